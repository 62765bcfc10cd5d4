//! Checks destinations within the VPC, and those that AWS keeps for itself (spec 3.4).

use crate::config::address::{contains, overlap};
use crate::config::diagnostic::Report;
use crate::config::spec::{Destination, EndpointKind, Route, Spec, Target, Vpc};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// Checks each CIDR block of a route's destination, and every entry of a prefix list.
pub(super) fn check(spec: &Spec, vpc: &Vpc, route: &Route, report: &Report) {
    match &route.destination.value {
        Destination::Cidr(network) => {
            reserved(*network, route, report);
            within_vpc(spec, vpc, *network, route, report);
        }
        Destination::PrefixList(id) => {
            let list = spec.prefix_lists.iter().find(|list| *list.id == *id);
            for &entry in list.map_or(&[][..], |list| &list.entries) {
                reserved(entry, route, report);
                if vpc.cidrs.iter().any(|block| is_inside(entry, **block)) {
                    more_specific(spec, vpc, entry, route, report);
                }
            }
        }
    }
}

/// Reports link-local addresses that no route may lead to.
fn reserved(network: Ipv4Network, route: &Route, report: &Report) {
    let reserved = Ipv4Network::new_checked(Ipv4Addr::new(169, 254, 168, 0), 22);
    if reserved.is_some_and(|reserved| contains(reserved, network)) {
        report.error(
            route.destination.span,
            "reserved-destination",
            format!("AWS takes no route for {network}"),
            "169.254.168.0/22 is reserved; a larger network that holds it is possible",
        );
    }
}

fn within_vpc(spec: &Spec, vpc: &Vpc, network: Ipv4Network, route: &Route, report: &Report) {
    let local = route.target.value == Target::Local;
    let is_block = vpc.cidrs.iter().any(|block| **block == network);
    match (is_block, local) {
        (true, true) => {}
        (true, false) => report.error(
            route.target.span,
            "local-route-replaced",
            format!("{network} is a CIDR block of VPC {:?}, and its route is local", vpc.id.value),
            "AWS can replace the local route's target; this version of egret cannot. A route for one whole subnet, \
             to a NAT gateway, a network interface or a Gateway Load Balancer endpoint, is possible",
        ),
        (false, true) => report.error(
            route.destination.span,
            "not-local",
            format!("{network} is not a CIDR block of VPC {:?}", vpc.id.value),
            "local routes are for the VPC's CIDR blocks, and are implied",
        ),
        (false, false) if vpc.cidrs.iter().any(|block| is_inside(network, **block)) => {
            more_specific(spec, vpc, network, route, report);
        }
        (false, false) => {}
    }
}

fn is_inside(network: Ipv4Network, block: Ipv4Network) -> bool {
    contains(block, network) && block != network
}

/// Checks that a route more specific than the local one is for a whole subnet, and to one of three
/// kinds of target.
fn more_specific(spec: &Spec, vpc: &Vpc, network: Ipv4Network, route: &Route, report: &Report) {
    let whole_subnet = spec.subnets.iter().any(|s| *s.vpc == *vpc.id && *s.cidr == network);
    if !whole_subnet {
        let near = spec.subnets.iter().filter(|s| *s.vpc == *vpc.id && overlap(*s.cidr, network));
        let near: Vec<String> = near.map(|s| s.cidr.value.to_string()).collect();
        let near = if near.is_empty() { String::new() } else { format!(": {}", near.join(", ")) };
        report.error(
            route.destination.span,
            "more-specific-route",
            format!("{network} is within the VPC and not the whole of a subnet"),
            format!("a route more specific than local is for one whole subnet{near}"),
        );
    }
    let takes = match &route.target.value {
        Target::NatGateway(_) | Target::NetworkInterface(_) | Target::Blackhole(_) => true,
        Target::VpcEndpoint(id) => spec
            .vpc_endpoint(id)
            .is_none_or(|endpoint| endpoint.kind == EndpointKind::GatewayLoadBalancer),
        Target::Local | Target::InternetGateway(_) | Target::Peering(_) => false,
    };
    if !takes {
        report.error(
            route.target.span,
            "more-specific-route",
            format!("{network} is within the VPC: a route to it cannot have this target"),
            "name a NAT gateway, a network interface or a Gateway Load Balancer endpoint",
        );
    }
}
