//! Proposes changes of routing: routes, the tables of gateway endpoints, and the subnets of
//! connectors.

use super::change::Change;
use super::endpoints;
use super::failing::Failing;
use super::senders::Senders;
use super::terms::{all_addresses, blocks, holds};
use crate::explain::packet::destination_vpc;
use crate::pipeline::{Reason, Step};
use crate::vpc::path::{self, Hop};
use crate::vpc::{
    Connectivity, ConnectorIx, Destination, GatewayEndpointIx, NatGateway, NatGatewayIx,
    NatGatewayState, PeeringIx, RouteTableIx, RuleRef, SubnetIx, Target, VpcIx, everywhere,
};
use std::net::Ipv4Addr;

/// Lists the changes that give the packets a route that a table lacks.
pub(super) fn missing(failing: &Failing<'_>, table: RouteTableIx) -> Vec<Change> {
    if failing.reason == Reason::ReplyNotRoutedBack {
        return back(failing, table, None);
    }
    let add = |target| Change::AddRoute { table, destination: everywhere(), target };
    let mut changes: Vec<Change> = Vec::new();
    if failing.own_table() == Some(table) {
        changes.extend(to_endpoints(failing, table));
    }
    changes.extend(to_peer(failing));
    let routes = targets(failing, table).into_iter().map(add).collect();
    changes.extend(routes_and_moves(failing, table, routes));
    if failing.own_table() == Some(table) {
        changes.extend(endpoints::missing_interface(failing));
        changes.extend(endpoints::missing_gateway(failing));
    }
    changes
}

/// Lists the changes for a route, by position, that leads nowhere.
pub(super) fn wrong(failing: &Failing<'_>, table: RouteTableIx, position: u16) -> Vec<Change> {
    if failing.reason == Reason::ReplyNotRoutedBack {
        return back(failing, table, Some(position));
    }
    let routes = &failing.snapshot.route_table(table).routes;
    let of_a_block = |destination| matches!(destination, Destination::Cidr(_));
    let is_block = routes.get(usize::from(position)).is_some_and(|own| of_a_block(own.destination));
    let mut changes: Vec<Change> = Vec::new();
    if failing.own_table() == Some(table) {
        changes.extend(to_endpoints(failing, table));
    }
    changes.extend(to_peer(failing));
    let change = |target| Change::Redirect { table, position, target };
    let targets = targets(failing, table).into_iter().filter(|_| is_block);
    let routes = targets.map(change).collect();
    changes.extend(routes_and_moves(failing, table, routes));
    changes
}

/// Lists the changes for the last route on the packets' path.
pub(super) fn last_followed(failing: &Failing<'_>) -> Vec<Change> {
    let followed = |step: &Step| {
        let Some(RuleRef::Route(table, position)) = step.rule else { return None };
        Some((table, position))
    };
    match failing.evidence.steps.iter().rev().find_map(followed) {
        Some((table, position)) => wrong(failing, table, position),
        None => Vec::new(),
    }
}

/// Lists the changes for a NAT gateway that does not work: another one that does.
pub(super) fn around(failing: &Failing<'_>, gateway: NatGatewayIx) -> Vec<Change> {
    let followed = |step: &Step| {
        let Some(RuleRef::Route(table, position)) = step.rule else { return None };
        let route = failing.snapshot.route_table(table).routes.get(usize::from(position))?;
        (route.target == Target::NatGateway(gateway)).then_some((table, position))
    };
    match failing.evidence.steps.iter().find_map(followed) {
        Some((table, position)) => wrong(failing, table, position),
        None => Vec::new(),
    }
}

/// Orders routes and moves of the connector: a table that others use is changed last.
fn routes_and_moves(
    failing: &Failing<'_>,
    table: RouteTableIx,
    routes: Vec<Change>,
) -> Vec<Change> {
    if failing.own_table() != Some(table) {
        return routes;
    }
    let moves = moves(failing);
    match is_shared(failing, table) {
        true => moves.into_iter().chain(routes).collect(),
        false => routes.into_iter().chain(moves).collect(),
    }
}

/// Decides whether a table has subnets that are not the connector's, or that others use.
fn is_shared(failing: &Failing<'_>, table: RouteTableIx) -> bool {
    let parts = failing.snapshot.parts();
    let has = |subnet: SubnetIx| failing.snapshot.subnet(subnet).route_table == table;
    let own = failing.connector().map(|ix| failing.snapshot.connector(ix));
    let is_own = |subnet: SubnetIx| own.is_some_and(|own| own.subnets.contains(&subnet));
    let mut subnets = (0..parts.subnets.len()).map(SubnetIx::from);
    let mut connectors = (0..).map(ConnectorIx).zip(&parts.connectors);
    let others = |(ix, _): &(ConnectorIx, _)| failing.connector() != Some(*ix);
    subnets.any(|subnet| has(subnet) && !is_own(subnet))
        || parts.nat_gateways.iter().any(|gateway| has(gateway.subnet))
        || connectors.any(|pair| others(&pair) && pair.1.subnets.iter().any(|ix| has(*ix)))
}

/// Lists moves of the connector: some subnets with a route to a NAT gateway or an endpoint replace
/// its subnets that fail, in the same zones if possible.
fn moves(failing: &Failing<'_>) -> Option<Change> {
    let ix = failing.connector()?;
    let snapshot = failing.snapshot;
    let own = &snapshot.connector(ix).subnets;
    let all = (0..snapshot.parts().subnets.len()).map(SubnetIx::from);
    let fit: Vec<SubnetIx> = all.filter(|subnet| leads_on(failing, *subnet)).collect();
    let zone = |subnet: SubnetIx| &snapshot.subnet(subnet).availability_zone;
    let mut subnets: Vec<SubnetIx> = Vec::new();
    for subnet in own {
        let same_zone = || fit.iter().find(|other| zone(**other) == zone(*subnet));
        let replacement = match failing.subnets.contains(subnet) {
            true => *same_zone().or_else(|| fit.first())?,
            false => *subnet,
        };
        if !subnets.contains(&replacement) {
            subnets.push(replacement);
        }
    }
    (subnets != *own).then_some(Change::MoveConnector { connector: ix, subnets })
}

/// Decides whether a subnet of the connector's VPC, which does not fail, has a route for the
/// destination to a NAT gateway that works or to a gateway endpoint.
fn leads_on(failing: &Failing<'_>, subnet: SubnetIx) -> bool {
    let to = failing.evidence.inside.dst();
    let own = failing.snapshot.subnet(subnet);
    let route = failing.snapshot.route_table(own.route_table).lookup(to);
    let leads = match route.map(|(_, route)| &route.target) {
        Some(Target::NatGateway(ix)) => {
            let gateway = failing.snapshot.nat_gateway(*ix);
            is_at_work(gateway)
                && path::request_beyond(failing.snapshot, *ix, to).pass_internet_gateway()
        }
        Some(Target::GatewayEndpoint(_)) => true,
        Some(_) | None => false,
    };
    leads && Some(own.vpc) == failing.vpc() && !failing.subnets.contains(&subnet)
}

/// Lists the gateway endpoints to which the table could lead.
fn to_endpoints(failing: &Failing<'_>, table: RouteTableIx) -> Vec<Change> {
    let parts = failing.snapshot.parts();
    let own = failing.snapshot.route_table(table);
    let fits = |(_, endpoint): &(GatewayEndpointIx, &crate::vpc::GatewayEndpoint)| {
        let list = failing.snapshot.prefix_list(endpoint.prefix_list);
        let destination = Destination::PrefixList(endpoint.prefix_list);
        endpoint.vpc == own.vpc
            && own.routes.iter().all(|route| route.destination != destination)
            && holds(&all_addresses(&list.entries), &failing.destinations)
    };
    let endpoints = (0..).map(GatewayEndpointIx).zip(&parts.gateway_endpoints).filter(fits);
    endpoints.map(|(endpoint, _)| Change::EndpointTable { endpoint, table }).collect()
}

/// Returns the route of the connector's table by the connection to a peered VPC that has the
/// destination.
fn to_peer(failing: &Failing<'_>) -> Option<Change> {
    let table = failing.own_table()?;
    let (vpc, peering) = destination_vpc(failing.evidence, failing.snapshot)?;
    by_peering(failing, table, (vpc, failing.evidence.inside.dst()), peering?)
}

/// Lists the routes for replies for which a table has no route, or a wrong one at a position.
fn back(failing: &Failing<'_>, table: RouteTableIx, position: Option<u16>) -> Vec<Change> {
    match Senders::of(failing) {
        Some(senders) => out_again(failing, &senders, (table, position)),
        None => to_requester(failing, table).into_iter().collect(),
    }
}

/// Lists the routes from the subnet of a public endpoint to the internet gateway by which the
/// request came in. The wrong route may be meant for others: then there is one for the sender
/// alone, if its address is known.
fn out_again(
    failing: &Failing<'_>,
    senders: &Senders,
    (table, position): (RouteTableIx, Option<u16>),
) -> Vec<Change> {
    let target = Target::InternetGateway;
    let add = |destination| Change::AddRoute { table, destination, target: target.clone() };
    let Some(position) = position else { return vec![add(everywhere())] };
    let only = senders.known().and_then(blocks).unwrap_or_default();
    let route = failing.snapshot.route_table(table).routes.get(usize::from(position));
    // The local route cannot be changed in this way, nor have a more specific one to an internet
    // gateway (spec 3.4).
    if route.is_some_and(|own| own.target == Target::Local) {
        return Vec::new();
    }
    let is_block = route.is_some_and(|own| matches!(own.destination, Destination::Cidr(_)));
    let redirect = Change::Redirect { table, position, target: target.clone() };
    let narrow = if let [one] = only.as_slice() { Some(add(*one)) } else { None };
    is_block.then_some(redirect).into_iter().chain(narrow).collect()
}

/// Returns the route back from a peered VPC, by the connection by which the request came.
fn to_requester(failing: &Failing<'_>, table: RouteTableIx) -> Option<Change> {
    let (_, peering) = destination_vpc(failing.evidence, failing.snapshot)?;
    let source = failing.evidence.outside?.src();
    by_peering(failing, table, (failing.vpc()?, source), peering?)
}

/// Leads a table to an address of a peered VPC: by the route that wins so far if it covers no more
/// than the VPC's block, or else by a new one for the block.
fn by_peering(
    failing: &Failing<'_>,
    table: RouteTableIx,
    (vpc, address): (VpcIx, Ipv4Addr),
    peering: PeeringIx,
) -> Option<Change> {
    let cidrs = &failing.snapshot.vpc(vpc).cidrs;
    let destination = *cidrs.iter().find(|block| block.contains(address))?;
    let target = Target::Peering(peering);
    let is_within =
        |own: Destination| matches!(own, Destination::Cidr(own) if own.is_subnet_of(destination));
    match failing.snapshot.route_table(table).lookup(address) {
        Some((_, route)) if route.target == target => None,
        Some((position, route)) if is_within(route.destination) => {
            Some(Change::Redirect { table, position, target })
        }
        Some(_) | None => Some(Change::AddRoute { table, destination, target }),
    }
}

/// Lists the targets that the table should have: the connector's a NAT gateway, the NAT gateway's
/// own an internet gateway.
fn targets(failing: &Failing<'_>, table: RouteTableIx) -> Vec<Target> {
    let connector = matches!(
        failing.reason,
        Reason::NoRoute
            | Reason::RouteBlackhole
            | Reason::IgwNoPublicAddress
            | Reason::NatGatewayState
    );
    let gateway = matches!(
        failing.reason,
        Reason::NatNoRoute | Reason::NatRoutesToNat | Reason::NatBlackhole
    );
    let is_public =
        |ix: NatGatewayIx| failing.snapshot.nat_gateway(ix).connectivity == Connectivity::Public;
    let vpc = failing.snapshot.route_table(table).vpc;
    if connector {
        return working_nat_gateways(failing, table);
    }
    // No route helps a private gateway to the internet (spec 3.6).
    let helps = gateway
        && !failing.evidence.inside.dst().is_private()
        && failing.nat_gateway().is_none_or(is_public)
        && failing.own_table() != Some(table)
        && failing.snapshot.vpc(vpc).internet_gateway.is_some();
    if helps { vec![Target::InternetGateway] } else { Vec::new() }
}

fn is_at_work(gateway: &NatGateway) -> bool {
    gateway.connectivity == Connectivity::Public && gateway.state == NatGatewayState::Available
}

/// Lists the public NAT gateways of the VPC whose path leads to the internet, and still would with
/// the change: one whose path uses the table `changed` would be led to itself. Those in the zones
/// of the ENIs come first.
fn working_nat_gateways(failing: &Failing<'_>, changed: RouteTableIx) -> Vec<Target> {
    let snapshot = failing.snapshot;
    let vpc = snapshot.route_table(changed).vpc;
    let works = |(ix, gateway): &(NatGatewayIx, &NatGateway)| {
        is_at_work(gateway)
            && snapshot.subnet(gateway.subnet).vpc == vpc
            && leads_out(failing, *ix, changed)
    };
    let gateways = (0..).map(NatGatewayIx).zip(&snapshot.parts().nat_gateways).filter(works);
    let zone = |subnet: SubnetIx| &snapshot.subnet(subnet).availability_zone;
    let is_far = |(_, gateway): &(NatGatewayIx, &NatGateway)| {
        failing.subnets.iter().all(|own| zone(*own) != zone(gateway.subnet))
    };
    let mut gateways: Vec<_> = gateways.collect();
    gateways.sort_by_key(is_far);
    gateways.into_iter().map(|(ix, _)| Target::NatGateway(ix)).collect()
}

/// Decides whether a NAT gateway has a path to an internet gateway that does not use one table.
fn leads_out(failing: &Failing<'_>, gateway: NatGatewayIx, without: RouteTableIx) -> bool {
    let snapshot = failing.snapshot;
    let hops = path::request_beyond(snapshot, gateway, failing.evidence.inside.dst());
    let asks = |hop: &Hop| matches!(*hop, Hop::RouteTable { subnet, .. } if snapshot.subnet(subnet).route_table == without);
    hops.pass_internet_gateway() && !hops.as_slice().iter().any(asks)
}
