//! By which link a device's packets leave, by destination: the same legs as a packet's path, for whole networks.

use super::hop::Link;
use super::leg::{Leg, LegEnd, Next, Step};
use crate::vpc::{RouteTable, Snapshot, SubnetIx};
use ipnetwork::Ipv4Network;
use std::collections::BTreeSet;

/// Finds the link by which packets from a subnet leave to all addresses of a network that no longer prefix of
/// [`prefixes`] holds; `None` where the tables lead nowhere.
pub fn link(snapshot: &Snapshot, from: SubnetIx, to: Ipv4Network) -> Option<Link> {
    let (mut sender, mut end) = (from, Leg::of(snapshot, from, to).end);
    if let LegEnd::Route(_, Next::NatGateway(gateway)) = end {
        sender = snapshot.nat_gateway(gateway).subnet;
        end = Leg::of(snapshot, sender, to).end;
    }
    let vpc = snapshot.subnet(sender).vpc;
    match end {
        LegEnd::Inside | LegEnd::Route(_, Next::Local) => Some(Link::Vpc(vpc)),
        LegEnd::Route(_, Next::InternetGateway) => Some(Link::Internet),
        LegEnd::Route(_, Next::GatewayEndpoint(endpoint)) => Some(Link::Endpoint(endpoint)),
        LegEnd::Route(_, Next::Peering(ix)) => snapshot.peering(ix).peer_of(vpc).map(Link::Vpc),
        // No packet passes two NAT gateways.
        LegEnd::Route(_, Next::NatGateway(_)) | LegEnd::Nowhere(_) => None,
    }
}

/// Lists the prefixes at which the destinations of packets from a subnet may begin to differ: those of its route table and
/// its own block, and those of the subnets of all middleboxes and NAT gateways behind it.
pub fn prefixes(snapshot: &Snapshot, from: SubnetIx) -> BTreeSet<Ipv4Network> {
    let mut asked = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(subnet) = next.pop() {
        next.extend(beyond(snapshot, subnet).filter(|beyond| asked.insert(*beyond)));
    }
    let of = |subnet| table(snapshot, subnet).prefixes().chain([snapshot.subnet(subnet).cidr]);
    asked.into_iter().flat_map(of).collect()
}

/// Lists the subnets of the middleboxes and NAT gateways that a subnet's table leads to.
fn beyond(snapshot: &Snapshot, subnet: SubnetIx) -> impl Iterator<Item = SubnetIx> {
    table(snapshot, subnet).routes.iter().filter_map(|route| match Step::of(&route.target) {
        Step::Through(middlebox) => Some(middlebox.subnet(snapshot)),
        Step::To(Next::NatGateway(ix)) => Some(snapshot.nat_gateway(ix).subnet),
        Step::To(_) | Step::Gone => None,
    })
}

fn table(snapshot: &Snapshot, subnet: SubnetIx) -> &RouteTable {
    snapshot.route_table(snapshot.subnet(subnet).route_table)
}
