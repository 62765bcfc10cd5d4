//! The networks at which paths from a subnet may begin to differ.

use super::chain::{Follow, Next, has};
use crate::vpc::{RouteTableIx, Snapshot, SubnetIx};
use ipnetwork::Ipv4Network;
use std::collections::BTreeSet;

/// Lists the prefixes at which the paths from a subnet may begin to differ: those of its route
/// table and its own block, and those of the subnets of all middleboxes and NAT gateways behind it.
pub fn prefixes(snapshot: &Snapshot, from: SubnetIx) -> BTreeSet<Ipv4Network> {
    prefixes_by_table(snapshot, from, snapshot.subnet(from).route_table)
}

/// Lists the prefixes as if the subnet used `table`.
pub(super) fn prefixes_by_table(
    snapshot: &Snapshot,
    from: SubnetIx,
    table: RouteTableIx,
) -> BTreeSet<Ipv4Network> {
    let mut asked = BTreeSet::from([(from, table)]);
    let mut next = vec![table];
    while let Some(table) = next.pop() {
        for subnet in beyond(snapshot, table) {
            let own = snapshot.subnet(subnet).route_table;
            if asked.insert((subnet, own)) {
                next.push(own);
            }
        }
    }
    let of = |(subnet, table)| {
        snapshot.route_table(table).prefixes().chain([snapshot.subnet(subnet).cidr])
    };
    asked.into_iter().flat_map(of).collect()
}

/// Lists the subnets of the middleboxes and NAT gateways that a table leads to.
fn beyond(snapshot: &Snapshot, table: RouteTableIx) -> impl Iterator<Item = SubnetIx> {
    let routes = snapshot.route_table(table).routes.iter();
    routes.filter_map(|route| match Follow::of(&route.target) {
        Follow::Through(middlebox) => Some(middlebox.subnet(snapshot)),
        Follow::To(Next::NatGateway(ix)) => Some(snapshot.nat_gateway(ix).subnet),
        Follow::To(_) | Follow::Missing => None,
    })
}

/// Divides a network into parts, in order. Each address belongs to the smallest part that contains
/// it, and all addresses of a part have one path from the subnet, as far as route tables and peers
/// decide it. A part without an address of its own is left out.
pub(super) fn parts(
    snapshot: &Snapshot,
    from: SubnetIx,
    of: Ipv4Network,
    prefixes: &BTreeSet<Ipv4Network>,
) -> impl Iterator<Item = Ipv4Network> + use<> {
    let peers = snapshot.peers_of(snapshot.subnet(from).vpc).map(|(_, peer)| peer);
    let blocks = peers.flat_map(|peer| &snapshot.vpc(peer).cidrs);
    let all = prefixes.iter().chain(blocks).copied();
    let mut parts: BTreeSet<Ipv4Network> = all.filter(|part| has(of, *part)).collect();
    parts.insert(of);
    let own: Vec<_> = parts.iter().copied().filter(|part| !is_covered(*part, &parts)).collect();
    own.into_iter()
}

/// Decides whether the smaller networks within a network contain all of its addresses.
fn is_covered(network: Ipv4Network, all: &BTreeSet<Ipv4Network>) -> bool {
    let mut next = u64::from(u32::from(network.network()));
    let end = u64::from(u32::from(network.broadcast()));
    let within = all.range(network..).take_while(|other| network.contains(other.network()));
    for other in within.filter(|other| other.prefix() > network.prefix()) {
        if u64::from(u32::from(other.network())) > next {
            return false;
        }
        next = next.max(u64::from(u32::from(other.broadcast())) + 1);
    }
    next > end
}
