//! Warnings about lab files that AWS would accept, but that do not do what their author expects.

mod context;
mod dead_route;
mod gateway_endpoint;
mod middlebox;
mod nat_gateway;
mod peering;
mod public_address;
mod public_subnet;
mod routes;

use self::context::Context;
use super::acceptance::Refusal;
use super::address::overlap;
use super::diagnostic::{Report, Span};
use super::spec::{
    Connector, Destination, EndpointKind, Peer, RouteTable, SecurityGroupRule, Spec, Vpc,
};
use super::text::is_private;
use crate::vpc::{ServiceKind, Snapshot};
use std::collections::BTreeSet;

/// Reports all doubtful facts of a spec without errors. `snapshot` is the lowered spec; its paths
/// decide which links packets leave by.
pub(super) fn all(spec: &Spec, snapshot: &Snapshot, report: &Report) {
    let context = Context::new(spec, snapshot, report);
    for connector in &spec.connectors {
        match connector.kind {
            ServiceKind::AppRunner => {
                name(connector, report);
                unsupported_zones(spec, connector, report);
            }
            ServiceKind::Lambda | ServiceKind::Fargate => {}
        }
        public_subnet::check(&context, connector);
        few_zones(spec, connector, report);
    }
    for gateway in &spec.nat_gateways {
        nat_gateway::check(&context, gateway);
    }
    for resource in &spec.resources {
        public_address::check(&context, resource);
    }
    for endpoint in &spec.vpc_endpoints {
        gateway_endpoint::check(&context, endpoint);
    }
    for table in &spec.route_tables {
        routes::check(&context, table);
        overlapping_prefix_lists(spec, table, report);
    }
    for endpoint in spec.vpc_endpoints.iter().filter(|e| e.kind == EndpointKind::Interface) {
        if endpoint.subnets.is_empty() {
            report.warning(
                endpoint.id.span,
                "endpoint-without-subnet",
                format!(
                    "interface endpoint {:?} is in no subnet: nothing reaches it",
                    *endpoint.id
                ),
                "add subnets: one in each Availability Zone",
            );
        }
    }
    empty_lab(spec, report);
    api(spec, report);
    security_groups(spec, report);
    internet_hosts(spec, report);
    private_names_of_endpoints(spec, report);
    private_zones(spec, report);
}

fn few_zones(spec: &Spec, connector: &Connector, report: &Report) {
    let zones: BTreeSet<&str> = connector
        .subnets
        .iter()
        .filter_map(|id| Some(spec.subnet(id)?.availability_zone.as_str()))
        .collect();
    let place = connector.name.span;
    match zones.into_iter().collect::<Vec<_>>().as_slice() {
        [zone] => report.warning(
            place,
            "single-zone",
            format!("{} is in one Availability Zone, {zone}", connector.title()),
            "add a subnet in another zone; AWS advises three",
        ),
        [one, two] => report.note(
            place,
            "two-zones-only",
            format!("{} is in two Availability Zones, {one} and {two}", connector.title()),
            "AWS advises three: add a subnet in another zone",
        ),
        _ => {}
    }
}

/// The shortest name that CreateVpcConnector takes (spec 1.4). The lab file takes shorter ones.
const SHORTEST_NAME: usize = 4;

/// Reports a connector's name that App Runner refuses as too short.
fn name(connector: &Connector, report: &Report) {
    let name = &connector.name;
    if name.len() < SHORTEST_NAME && name.span != Span::NOWHERE {
        report.note(
            name.span,
            "connector-name",
            format!("App Runner takes no connector with the name {:?}", name.value),
            "names have 4 to 40 letters, digits, \"-\" and \"_\", and begin with a letter or digit",
        );
    }
}

/// Reports a lab in which nothing sends packets, and nothing can be created that does: it has no
/// service, and no App Runner API.
fn empty_lab(spec: &Spec, report: &Report) {
    if spec.services.is_empty() && spec.apprunner.api.listen.is_none() {
        report.warning(
            Span::NOWHERE,
            "empty-lab",
            "the lab has no service, so nothing sends packets",
            "add a [[service]]; or make services with the AWS CLI: `api` in [apprunner], or `egret up --api`",
        );
    }
}

/// Reports an API address that others can reach: they could change the lab, so `egret up` asks for
/// --api-anywhere too.
fn api(spec: &Spec, report: &Report) {
    let settings = &spec.apprunner;
    let (Some(address), Some(span)) = (settings.api.listen, settings.api_at) else { return };
    if !address.ip().is_loopback() {
        report.warning(
            span,
            "api-beyond-loopback",
            format!(
                "{address} is not a loopback address: `egret up` refuses it without --api-anywhere"
            ),
            "write an address of 127.0.0.0/8, or give --api-anywhere each time",
        );
    }
}

/// Reports subnets in zones that App Runner refuses for a connector (spec 1.11).
fn unsupported_zones(spec: &Spec, connector: &Connector, report: &Report) {
    for id in &connector.subnets {
        if let Err(refusal @ Refusal::UnsupportedZones(_)) = spec.accept_subnets(&[&id.value]) {
            report.warning(
                id.span,
                "unsupported-availability-zone",
                format!("VPC connector {:?}: {refusal}", connector.name.value),
                "take a subnet of another zone, or change apprunner.unsupported_availability_zones",
            );
        }
    }
}

/// Reports prefix-list routes that overlap: AWS picks one of two at random; egret takes the list
/// with the lower id (spec 3.3).
fn overlapping_prefix_lists(spec: &Spec, table: &RouteTable, report: &Report) {
    let by_list: Vec<_> = table
        .routes
        .iter()
        .filter_map(|route| match &route.destination.value {
            Destination::PrefixList(id) => {
                Some((route, spec.prefix_lists.iter().find(|list| *list.id == *id)?))
            }
            Destination::Cidr(_) => None,
        })
        .collect();
    for (position, (route, list)) in by_list.iter().enumerate() {
        let earlier = by_list.iter().take(position).find(|(other, theirs)| {
            let common = |a| list.entries.iter().any(|b| overlap(a, *b));
            other.target.value != route.target.value && theirs.entries.iter().copied().any(common)
        });
        if let Some((_, theirs)) = earlier {
            report.warning(
                route.destination.span,
                "overlapping-prefix-lists",
                format!(
                    "prefix lists {:?} and {:?} overlap and lead to different targets",
                    theirs.id.value, list.id.value
                ),
                "AWS picks one at random, egret the one with the lower id: make the lists disjoint",
            );
        }
    }
}

fn security_groups(spec: &Spec, report: &Report) {
    let attached = attached_groups(spec);
    let members = members(spec);
    let named_by_others: BTreeSet<&str> = spec
        .security_groups
        .iter()
        .flat_map(|group| {
            let named = rules(group).filter_map(group_peer);
            named.filter(|id| *id != group.id.value.as_str())
        })
        .collect();
    for group in &spec.security_groups {
        let id = group.id.value.as_str();
        let default = group.default.is_some_and(|default| *default);
        if !default && !attached.contains(id) && !named_by_others.contains(id) {
            report.warning(
                group.id.span,
                "unused-security-group",
                format!("nothing uses security group {id:?}"),
                "name it in a connector, a resource or a rule, or remove it",
            );
        }
        for rule in rules(group) {
            let empty = group_peer(rule).filter(|peer| *peer != id && !members.contains(*peer));
            if let Some(peer) = empty {
                report.warning(
                    rule.peer.span,
                    "group-without-members",
                    format!("this rule matches nothing: no network interface is in {peer:?}"),
                    "a rule with a group means the private addresses of that group's interfaces",
                );
            }
        }
    }
}

fn rules(group: &super::spec::SecurityGroup) -> impl Iterator<Item = &SecurityGroupRule> {
    group.egress.iter().flatten().chain(&group.ingress)
}

fn group_peer(rule: &SecurityGroupRule) -> Option<&str> {
    match &rule.peer.value {
        Peer::SecurityGroup(id) => Some(id),
        Peer::Cidr(_) | Peer::PrefixList(_) => None,
    }
}

/// Returns the groups that a connector or a resource names or has by default.
fn attached_groups(spec: &Spec) -> BTreeSet<String> {
    let connectors = spec.connectors.iter().flat_map(|c| spec.groups_of_connector(c));
    let endpoints = spec.vpc_endpoints.iter().flat_map(|e| spec.groups_of_endpoint(e));
    let connectors = connectors.chain(endpoints);
    connectors.chain(spec.resources.iter().flat_map(|r| spec.groups_of_resource(r))).collect()
}

/// Returns the groups that an interface is in: a connector has interfaces once a service uses it
/// (spec 2.1).
fn members(spec: &Spec) -> BTreeSet<String> {
    let used = spec.services.iter().filter_map(|service| service.vpc_connector.as_ref());
    let connectors = used.filter_map(|name| spec.connector(name));
    let enis = connectors.flat_map(|connector| spec.groups_of_connector(connector));
    let endpoints = spec.vpc_endpoints.iter().flat_map(|e| spec.groups_of_endpoint(e));
    enis.chain(endpoints)
        .chain(spec.resources.iter().flat_map(|r| spec.groups_of_resource(r)))
        .collect()
}

fn internet_hosts(spec: &Spec, report: &Report) {
    for host in &spec.internet_hosts {
        let address = *host.address;
        let vpc = spec.vpcs.iter().find(|vpc| vpc.cidrs.iter().any(|c| c.contains(address)));
        let message = match vpc {
            Some(vpc) => {
                format!("{address} is within VPC {:?}, whose local route wins", vpc.id.value)
            }
            None if is_private(address) => {
                format!("an internet gateway drops packets to {address}, a private address")
            }
            None => continue,
        };
        report.warning(
            host.address.span,
            "private-internet-host",
            message,
            "take an address of a documentation range, such as 203.0.113.10",
        );
    }
}

/// Reports private zones in a VPC without both DNS attributes, which Route 53 needs (spec 8); AWS
/// accepts the association.
fn private_zones(spec: &Spec, report: &Report) {
    for (zone, id) in spec.private_zones.iter().flat_map(|z| z.vpcs.iter().map(move |id| (z, id))) {
        let Some(missing) = spec.vpc(id).and_then(missing_dns_attributes) else { continue };
        report.warning(
            id.span,
            "private-dns-without-attributes",
            format!("VPC {:?} does not see private zone {:?}", id.value, zone.name.value),
            format!("write {missing} in the VPC"),
        );
    }
}

/// Reports private names of endpoints that AWS would refuse (spec 7.2). The lab creates the
/// endpoints, under their own names only.
fn private_names_of_endpoints(spec: &Spec, report: &Report) {
    for endpoint in &spec.vpc_endpoints {
        let Some(name) = endpoint.private_name(spec.region_of(&endpoint.vpc)) else { continue };
        let vpc = &endpoint.vpc;
        let Some(missing) = spec.vpc(vpc).and_then(missing_dns_attributes) else { continue };
        report.warning(
            vpc.span,
            "private-dns-without-attributes",
            format!(
                "in VPC {:?} the name {name} does not lead to {:?}",
                vpc.value, endpoint.id.value
            ),
            format!("write {missing} in the VPC, or private_dns_enabled = false in the endpoint"),
        );
    }
}

fn missing_dns_attributes(vpc: &Vpc) -> Option<&'static str> {
    match (vpc.has_dns_support(), vpc.has_dns_hostnames()) {
        (true, true) => None,
        (true, false) => Some("enable_dns_hostnames = true"),
        (false, true) => Some("enable_dns_support = true"),
        (false, false) => Some("enable_dns_support = true and enable_dns_hostnames = true"),
    }
}
