//! Checks interface endpoints: one subnet in each Availability Zone, all of the endpoint's VPC
//! (spec 7.2).

use super::wrong_vpc::wrong_vpc;
use crate::config::diagnostic::Report;
use crate::config::spec::{EndpointKind, Spec, VpcEndpoint};
use std::collections::BTreeMap;

pub(super) fn check(spec: &Spec, report: &Report) {
    for endpoint in &spec.vpc_endpoints {
        match endpoint.kind {
            EndpointKind::Interface => interface(spec, endpoint, report),
            EndpointKind::Gateway => gateway(endpoint, report),
            EndpointKind::GatewayLoadBalancer => gateway_load_balancer(spec, endpoint, report),
        }
    }
}

fn interface(spec: &Spec, endpoint: &VpcEndpoint, report: &Report) {
    let mut zones: BTreeMap<&str, &str> = BTreeMap::new();
    for id in &endpoint.subnets {
        let Some(subnet) = spec.subnet(id) else { continue };
        if *subnet.vpc != *endpoint.vpc {
            wrong_vpc((spec, report), "subnet", id, &subnet.vpc, &endpoint.vpc);
        }
        if let Some(other) = zones.insert(&subnet.availability_zone, id) {
            report.error(
                id.span,
                "two-subnets-of-a-zone",
                format!("{other:?} is in {} already", subnet.availability_zone),
                "an interface endpoint has one subnet in each Availability Zone",
            );
        }
    }
    if let Some(surplus) = endpoint.addresses.get(endpoint.subnets.len()) {
        report.error(
            surplus.span,
            "address-without-subnet",
            format!("{} has no subnet to be in", surplus.value),
            "give one address for each subnet, in the same order",
        );
    }
}

/// Checks that a Gateway Load Balancer endpoint is in one subnet. It is transparent: nothing is
/// sent to it, so it has no group (spec 3.5).
fn gateway_load_balancer(spec: &Spec, endpoint: &VpcEndpoint, report: &Report) {
    match endpoint.subnets.as_slice() {
        [only] => {
            let subnet = spec.subnet(only).filter(|subnet| *subnet.vpc != *endpoint.vpc);
            if let Some(subnet) = subnet {
                wrong_vpc((spec, report), "subnet", only, &subnet.vpc, &endpoint.vpc);
            }
        }
        [] => report.error(
            endpoint.id.span,
            "endpoint-without-subnet",
            format!("Gateway Load Balancer endpoint {:?} is in no subnet", endpoint.id.value),
            "add subnets = [\"...\"], with one subnet, whose route table leads on",
        ),
        [_, second, ..] => report.error(
            second.span,
            "two-subnets",
            "a Gateway Load Balancer endpoint is in one subnet",
            "declare another endpoint for another subnet",
        ),
    }
    let spans = endpoint.addresses.iter().map(|at| at.span);
    let spans = spans.chain(endpoint.security_groups.iter().map(|at| at.span));
    let spans = spans.chain(endpoint.prefix_list.iter().map(|at| at.span));
    for span in spans.chain(endpoint.route_tables.iter().map(|at| at.span)) {
        report.error(
            span,
            "not-of-a-gateway-load-balancer-endpoint",
            "a Gateway Load Balancer endpoint has no security group, no prefix list and no route of its own",
            "remove this; name the endpoint as the target of routes",
        );
    }
}

/// Reports subnets, addresses and groups of a gateway endpoint, which has no interface (spec 7.1).
fn gateway(endpoint: &VpcEndpoint, report: &Report) {
    let spans = endpoint.subnets.iter().map(|at| at.span);
    let spans = spans.chain(endpoint.addresses.iter().map(|at| at.span));
    for span in spans.chain(endpoint.security_groups.iter().map(|at| at.span)) {
        report.error(
            span,
            "not-of-a-gateway-endpoint",
            "a gateway endpoint has no interface: no subnet, no address and no security group",
            "write kind = \"interface\", or remove this",
        );
    }
}
