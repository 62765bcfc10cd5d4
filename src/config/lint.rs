//! What AWS takes, and what does not do what its author thinks.

mod dead_route;
mod gateway_endpoint;
mod middlebox;
mod peering;

use self::dead_route::to_nothing;
use super::acceptance::Refusal;
use super::address::{contains, overlap};
use super::diagnostic::{At, Report};
use super::spec::{
    Connector, Destination, EndpointKind, NatGateway, Peer, Route, RouteTable, SecurityGroupRule,
    Spec, Subnet, Target, Vpc,
};
use super::text::{is_private, is_private_block};
use crate::vpc::{Connectivity, NatGatewayState, ServiceKind};
use ipnetwork::Ipv4Network;
use std::collections::BTreeSet;

const PRIVATE: &str = "use a private subnet, whose route table leads to a NAT gateway";

/// Reports everything that is doubtful in a spec without errors.
pub(super) fn all(spec: &Spec, report: &Report) {
    for connector in &spec.connectors {
        match connector.kind {
            ServiceKind::AppRunner => unsupported_zones(spec, connector, report),
            ServiceKind::Lambda | ServiceKind::Fargate => {}
        }
        if !public_addresses(spec, connector, report) {
            public_subnets(spec, connector, report);
        }
        single_zone(spec, connector, report);
    }
    for gateway in &spec.nat_gateways {
        way_out(spec, gateway, report);
    }
    for endpoint in &spec.vpc_endpoints {
        gateway_endpoint::check(spec, endpoint, report);
    }
    for table in &spec.route_tables {
        dead_routes(spec, table, report);
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
    api(spec, report);
    security_groups(spec, report);
    internet_hosts(spec, report);
    private_names_of_endpoints(spec, report);
    private_zones(spec, report);
}

/// Whether it is of Fargate tasks with public addresses, which are of use where an internet gateway is.
fn public_addresses(spec: &Spec, connector: &Connector, report: &Report) -> bool {
    let own = spec.services.iter().find(|service| {
        service.vpc_connector.as_ref().is_some_and(|named| **named == *connector.name)
    });
    let Some(assigned) = own.and_then(|service| service.assign_public_ip.as_ref()) else {
        return false;
    };
    let private = |id: &&At<String>| spec.subnet(id).is_some_and(|s| !spec.is_public(s));
    if let (true, Some(subnet)) = (**assigned, connector.subnets.iter().find(private)) {
        report.warning(
            assigned.span,
            "public-address-without-way",
            format!(
                "the public addresses of {} are of no use in {:?}, whose route table leads to no internet gateway",
                connector.title(),
                subnet.value
            ),
            "use public subnets, or leave assign_public_ip out",
        );
    }
    **assigned
}

/// A connector's ENI has no public address, so an internet gateway drops whatever it sends (spec 3.6).
fn public_subnets(spec: &Spec, connector: &Connector, report: &Report) {
    for id in &connector.subnets {
        let Some(subnet) = spec.subnet(id).filter(|subnet| spec.is_public(subnet)) else {
            continue;
        };
        // Where no line can be shown, the name must do.
        let whose = match connector.line {
            0 => format!(", of VPC connector {:?},", connector.name.value),
            _ => String::new(),
        };
        let (whose_interface, way_out) = match connector.kind {
            ServiceKind::AppRunner => {
                ("a connector's network interface, which has no public address", PRIVATE)
            }
            ServiceKind::Lambda => {
                ("a function's network interface, which has no public address", PRIVATE)
            }
            ServiceKind::Fargate => (
                "a Fargate task without a public address",
                "set assign_public_ip = true, or use a private subnet, whose route table leads to a NAT gateway",
            ),
        };
        report.warning(
            id.span,
            "public-subnet-in-connector",
            format!(
                "{:?}{whose} is a public subnet: tasks get no internet there, because the internet gateway drops what comes \
                 from {whose_interface}",
                subnet.id.value
            ),
            way_out,
        );
    }
}

fn single_zone(spec: &Spec, connector: &Connector, report: &Report) {
    let zones: BTreeSet<&str> = connector
        .subnets
        .iter()
        .filter_map(|id| Some(spec.subnet(id)?.availability_zone.as_str()))
        .collect();
    if let (Some(zone), 1) = (zones.first(), zones.len()) {
        report.warning(
            connector.name.span,
            "single-zone",
            format!("{} is in one Availability Zone, {zone}", connector.title()),
            "add a subnet in another zone; AWS advises three",
        );
    }
}

/// Whoever reaches the API can change the lab, so `egret up` wants to be told twice.
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

/// App Runner would not make a service of such a connector (spec 1.11).
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

/// A public NAT gateway without a working path to the internet (spec 6).
fn way_out(spec: &Spec, gateway: &NatGateway, report: &Report) {
    let Some(subnet) = spec.subnet(&gateway.subnet) else { return };
    let found = match (gateway.state, gateway.connectivity) {
        (NatGatewayState::Available, Connectivity::Private) => None,
        (NatGatewayState::Available, Connectivity::Public) => without_way_out(spec, subnet),
        (
            NatGatewayState::Pending
            | NatGatewayState::Failed
            | NatGatewayState::Deleting
            | NatGatewayState::Deleted,
            _,
        ) => Some((
            format!("its state is {}", gateway.state.as_str()),
            "it carries packets only in the state \"available\"",
        )),
    };
    let Some((message, help)) = found else { return };
    report.warning(
        gateway.id.span,
        "nat-gateway-without-way-out",
        format!("NAT gateway {:?} has no way out: {message}", gateway.id.value),
        help,
    );
}

/// Why a subnet is no place for a public NAT gateway, and what to do.
fn without_way_out(spec: &Spec, subnet: &Subnet) -> Option<(String, &'static str)> {
    let (id, vpc) = (&subnet.id.value, spec.vpc(&subnet.vpc)?);
    if vpc.internet_gateway.is_none() {
        let help = "add internet_gateway to the VPC, and a route to it to the NAT gateway's subnet";
        let message =
            format!("Gateway.NotAttached: VPC {:?} has no internet gateway", vpc.id.value);
        return Some((message, help));
    }
    let help = "put the NAT gateway into a public subnet";
    if let Some((destination, other)) = leads_to_nat_gateway(spec, subnet) {
        let message = format!("its subnet {id:?} leads {destination} to NAT gateway {other:?}");
        return Some((message, help));
    }
    let without_route = !middlebox::behind(spec, subnet).iter().any(|at| spec.is_public(at));
    without_route.then(|| (format!("subnet {id:?} has no route to an internet gateway"), help))
}

/// The first route out of the VPC by a NAT gateway.
fn leads_to_nat_gateway<'s>(
    spec: &'s Spec,
    subnet: &'s Subnet,
) -> Option<(&'s Destination, &'s str)> {
    let table = spec.route_table_of(subnet)?;
    table.routes.iter().filter(|route| !into_vpc(spec, table, route)).find_map(|route| {
        let Target::NatGateway(id) = &route.target.value else { return None };
        Some((&route.destination.value, id.as_str()))
    })
}

/// Whether a route is for a part of its own VPC.
fn into_vpc(spec: &Spec, table: &RouteTable, route: &Route) -> bool {
    let Destination::Cidr(network) = route.destination.value else { return false };
    let vpc = spec.vpc(&table.vpc);
    vpc.is_some_and(|vpc| vpc.cidrs.iter().any(|block| contains(**block, network)))
}

/// A route whose every packet is dropped, by AWS or by this version of egret.
fn dead_routes(spec: &Spec, table: &RouteTable, report: &Report) {
    for route in &table.routes {
        match &route.target.value {
            Target::Local => {}
            Target::InternetGateway(_) => private_destination(route, report),
            Target::NatGateway(id) => dead_nat_gateway(spec, table, route, id, report),
            Target::VpcEndpoint(_) | Target::NetworkInterface(_) => {
                middlebox::check(spec, table, route, report);
            }
            Target::Peering(id) => peering::check(spec, table, route, id, report),
            Target::Blackhole(_) => to_nothing(route, "its target is gone (blackhole)", report),
        }
    }
}

fn dead_nat_gateway(spec: &Spec, table: &RouteTable, route: &Route, id: &str, report: &Report) {
    let Some(gateway) = spec.nat_gateway(id) else { return };
    if gateway.state != NatGatewayState::Available {
        let why = format!("NAT gateway {id:?} is {}", gateway.state.as_str());
        to_nothing(route, &why, report);
    } else if into_vpc(spec, table, route) || leads_on(spec, gateway, route) {
        // The gateway's own subnet leads there without an internet gateway.
    } else if gateway.connectivity == Connectivity::Private {
        let why = format!(
            "private NAT gateway {id:?} has no public address, so no internet gateway lets its packets out, and its \
             own subnet leads nowhere else"
        );
        to_nothing(route, &why, report);
    } else {
        private_destination(route, report);
    }
}

/// Whether a part of what is routed to a NAT gateway goes on by another way than an internet gateway.
fn leads_on(spec: &Spec, gateway: &NatGateway, route: &Route) -> bool {
    let Some(subnet) = spec.subnet(&gateway.subnet) else { return false };
    let meets = |network| match &route.destination.value {
        Destination::Cidr(wanted) => overlap(*wanted, network),
        Destination::PrefixList(id) => entries(spec, id).any(|entry| overlap(entry, network)),
    };
    let table = spec.route_table_of(subnet).into_iter().flat_map(|table| &table.routes);
    let mut beyond = table.filter(|next| {
        let (target, by) = (&next.target.value, spec.subnet_of_middlebox(&next.target.value));
        by.is_none() && matches!(target, Target::Peering(_) | Target::VpcEndpoint(_))
    });
    beyond.any(|next| match &next.destination.value {
        Destination::Cidr(network) => meets(*network),
        Destination::PrefixList(id) => entries(spec, id).any(meets),
    })
}

fn entries<'s>(spec: &'s Spec, list: &'s str) -> impl Iterator<Item = Ipv4Network> + 's {
    let lists = spec.prefix_lists.iter().filter(move |found| *found.id == list);
    lists.flat_map(|found| found.entries.iter().copied())
}

/// An internet gateway sends nothing to private addresses (spec 3.6).
fn private_destination(route: &Route, report: &Report) {
    match route.destination.value {
        Destination::Cidr(network) if is_private_block(network) => {
            let why = format!("an internet gateway sends nothing to {network}, which is private");
            to_nothing(route, &why, report);
        }
        Destination::Cidr(_) | Destination::PrefixList(_) => {}
    }
}

/// AWS picks one of two such routes at random; egret takes the list with the lower id (spec 3.3).
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

/// The groups that a connector or a resource names or has by default.
fn attached_groups(spec: &Spec) -> BTreeSet<String> {
    let connectors = spec.connectors.iter().flat_map(|c| spec.groups_of_connector(c));
    let endpoints = spec.vpc_endpoints.iter().flat_map(|e| spec.groups_of_endpoint(e));
    let connectors = connectors.chain(endpoints);
    connectors.chain(spec.resources.iter().flat_map(|r| spec.groups_of_resource(r))).collect()
}

/// The groups that an interface is in: a connector has interfaces once a service uses it (spec 2.1).
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

/// Route 53 needs both attributes (spec 8); AWS takes the association all the same.
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

/// AWS does not make such an endpoint (spec 7.2). The lab has it, under its own names only.
fn private_names_of_endpoints(spec: &Spec, report: &Report) {
    for endpoint in &spec.vpc_endpoints {
        let Some(name) = endpoint.private_name(&spec.region) else { continue };
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
