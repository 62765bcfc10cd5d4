//! Routes to peering connections that carry nothing, or no reply.

use super::dead_route::to_nothing;
use crate::config::address::overlap;
use crate::config::diagnostic::Report;
use crate::config::spec::{Destination, Route, RouteTable, Spec, Subnet, Target, Vpc};
use crate::vpc::PeeringState;
use ipnetwork::Ipv4Network;

pub(super) fn check(spec: &Spec, table: &RouteTable, route: &Route, id: &str, report: &Report) {
    let Some(peering) = spec.peerings.iter().find(|p| *p.id == *id) else { return };
    if peering.state != PeeringState::Active {
        let why = format!("peering connection {id:?} is {}", peering.state.as_str());
        return to_nothing(route, &why, report);
    }
    let (Some(ours), Some(peer)) = (spec.vpc(&table.vpc), spec.vpc(peering.other_than(&table.vpc)))
    else {
        return;
    };
    let networks = networks(spec, route);
    if !networks.iter().any(|network| meets(peer, *network)) {
        let (to, peer) = (&route.destination.value, &peer.id.value);
        let why = format!("{to} is not in VPC {peer:?}, and a peering connection leads no further");
        return to_nothing(route, &why, report);
    }
    let there: Vec<&Subnet> = spec
        .subnets
        .iter()
        .filter(|s| *s.vpc == *peer.id && networks.iter().any(|n| overlap(*n, *s.cidr)))
        .collect();
    if !there.is_empty() && !there.iter().any(|subnet| leads_back(spec, subnet, id, ours)) {
        let (ours, peer) = (&ours.id.value, &peer.id.value);
        report.warning(
            route.target.span,
            "no-route-back",
            format!("no subnet there has a route back to {ours:?} by {id:?}: requests arrive, replies do not"),
            format!("add a route to the CIDR block of {ours:?} by {id:?} to the route tables of {peer:?}"),
        );
    }
}

fn networks(spec: &Spec, route: &Route) -> Vec<Ipv4Network> {
    match &route.destination.value {
        Destination::Cidr(network) => vec![*network],
        Destination::PrefixList(id) => {
            let list = spec.prefix_lists.iter().find(|list| *list.id == *id);
            list.map(|list| list.entries.clone()).unwrap_or_default()
        }
    }
}

fn meets(vpc: &Vpc, network: Ipv4Network) -> bool {
    vpc.cidrs.iter().any(|block| overlap(**block, network))
}

fn leads_back(spec: &Spec, subnet: &Subnet, peering: &str, ours: &Vpc) -> bool {
    let by_it =
        |route: &&Route| matches!(&route.target.value, Target::Peering(id) if id == peering);
    let to_us = |route: &Route| networks(spec, route).iter().any(|network| meets(ours, *network));
    spec.route_table_of(subnet).is_some_and(|table| table.routes.iter().filter(by_it).any(to_us))
}
