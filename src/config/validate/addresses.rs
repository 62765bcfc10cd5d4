//! Checks single addresses: in their subnet, not AWS's own, each once.

use crate::config::address::is_reserved;
use crate::config::diagnostic::{At, Report};
use crate::config::spec::Spec;
use crate::vpc::NatGatewayState;
use std::collections::HashMap;
use std::net::Ipv4Addr;

pub(super) fn check(spec: &Spec, report: &Report) {
    private(spec, report);
    public(spec, report);
    internet_gateways(spec, report);
}

/// Checks the addresses of resources, NAT gateways and interface endpoints (spec 6, 7.2).
fn private(spec: &Spec, report: &Report) {
    let resources = spec.resources.iter().map(|r| (&r.name, &r.subnet, &r.address));
    let gateways = spec
        .nat_gateways
        .iter()
        .filter(|n| n.state != NatGatewayState::Deleted)
        .flat_map(|n| n.private_ips().map(move |address| (&n.id, &n.subnet, address)));
    let endpoints = spec.vpc_endpoints.iter().flat_map(|e| {
        e.subnets.iter().zip(&e.addresses).map(move |(s, address)| (&e.id, s, address))
    });
    let mut taken: HashMap<(&str, Ipv4Addr), &At<String>> = HashMap::new();
    for (owner, subnet, address) in resources.chain(gateways).chain(endpoints) {
        let Some(subnet) = spec.subnet(subnet) else { continue };
        let cidr = *subnet.cidr;
        let error = |rule, message: String, help: String| {
            report.error(address.span, rule, message, help);
        };
        if !cidr.contains(**address) {
            error(
                "address-outside-subnet",
                format!("{} is not in subnet {:?}, {cidr}", **address, subnet.id.value),
                format!("take an address of {cidr}, or name another subnet"),
            );
        } else if is_reserved(cidr, **address) {
            error(
                "reserved-address",
                format!("AWS keeps {} for itself", **address),
                format!("the first four addresses of {cidr} and its last one are reserved"),
            );
        }
        if let Some(other) = taken.insert((&subnet.vpc, **address), owner) {
            error(
                "duplicate-address",
                format!("{} is the address of {:?} already", **address, other.value),
                "give each its own address".to_owned(),
            );
        }
    }
}

fn public(spec: &Spec, report: &Report) {
    let hosts = spec.internet_hosts.iter().map(|h| (h.name.value.as_str(), &h.address));
    let gateways = spec
        .nat_gateways
        .iter()
        .filter(|n| n.state != NatGatewayState::Deleted)
        .flat_map(|n| n.public_ips().map(move |address| (n.id.value.as_str(), address)));
    let resources = spec.resources.iter();
    let resources = resources.filter_map(|r| Some((r.name.value.as_str(), r.public_ip.as_ref()?)));
    let apprunner = spec.apprunner_public_ip.iter().map(|ip| ("apprunner_public_ip", ip));
    let mut all: Vec<_> = hosts.chain(gateways).chain(resources).chain(apprunner).collect();
    all.sort_by_key(|(_, address)| address.span.start);
    let mut taken: HashMap<Ipv4Addr, &str> = HashMap::new();
    for (owner, address) in all {
        if let Some(other) = taken.insert(**address, owner) {
            report.error(
                address.span,
                "duplicate-address",
                format!("{} is the address of {other:?} already", **address),
                "give each its own public address",
            );
        }
    }
}

/// Reports a public address in a VPC without an internet gateway, which would map it: EC2 refuses
/// to associate such an address (`Gateway.NotAttached`).
fn internet_gateways(spec: &Spec, report: &Report) {
    for resource in &spec.resources {
        let Some(public) = &resource.public_ip else { continue };
        let Some(subnet) = spec.subnet(&resource.subnet) else { continue };
        let vpc = spec.vpcs.iter().find(|vpc| vpc.id.value == subnet.vpc.value);
        if let Some(vpc) = vpc.filter(|vpc| vpc.internet_gateway.is_none()) {
            report.error(
                public.span,
                "public-ip-without-internet-gateway",
                format!("VPC {:?} has no internet gateway to map {}", vpc.id.value, public.value),
                "give the [[vpc]] an internet_gateway, or remove public_ip",
            );
        }
    }
}
