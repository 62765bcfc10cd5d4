//! Leads: the ends of the route tables' chains for whole networks. They follow the chains of a
//! packet's path.

use super::chain::{Chain, has};
use super::chains::{Chains, Exit, exit};
use super::hop::{DeadEnd, Link, Middlebox};
use super::parts::{parts, prefixes_by_table};
use crate::vpc::{NatGatewayIx, RouteTableIx, RuleRef, Snapshot, SubnetIx, everywhere};
use ipnetwork::Ipv4Network;

/// The result of the route tables for packets from one subnet to one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The subnet that the packets come from.
    pub from: SubnetIx,
    /// The network, except its addresses in a smaller network of the same subnet's leads.
    pub to: Ipv4Network,
    /// The route that leads out of the subnet; `None` for its own addresses, and if its table has
    /// no route.
    pub route: Option<RuleRef>,
    /// The last route of the chain.
    pub last_route: Option<RuleRef>,
    /// The first middlebox that the packets pass.
    pub middlebox: Option<Middlebox>,
    /// The NAT gateway that the packets pass.
    pub nat_gateway: Option<NatGatewayIx>,
    /// The link by which the packets leave egret, or the reason why none does. Refusals of hops on
    /// the way, such as the internet gateway's, are not considered.
    pub end: Result<Link, DeadEnd>,
}

/// Lists the leads of a subnet. Their networks hold every address.
pub fn leads(snapshot: &Snapshot, from: SubnetIx) -> Vec<Lead> {
    leads_by_table(snapshot, from, snapshot.subnet(from).route_table)
}

/// Lists the leads that a subnet would have with this table.
pub fn leads_by_table(snapshot: &Snapshot, from: SubnetIx, table: RouteTableIx) -> Vec<Lead> {
    let prefixes = prefixes_by_table(snapshot, from, table);
    let lead = |to| {
        let chains = Chains::by_table(snapshot, from, table, to);
        lead(snapshot, (from, to), (&chains.first, chains.last()), chains.nat_gateway())
    };
    parts(snapshot, from, everywhere(), &prefixes).map(lead).collect()
}

/// Lists the leads of packets that a NAT gateway has translated.
pub fn leads_beyond(snapshot: &Snapshot, gateway: NatGatewayIx) -> Vec<Lead> {
    let from = snapshot.nat_gateway(gateway).subnet;
    let prefixes = prefixes_by_table(snapshot, from, snapshot.subnet(from).route_table);
    let lead = |to| {
        let chain = Chain::of(snapshot, from, to);
        lead(snapshot, (from, to), (&chain, &chain), Some(gateway))
    };
    parts(snapshot, from, everywhere(), &prefixes).map(lead).collect()
}

/// Makes the lead of a network by its first and its last chain, which are one if no NAT gateway is
/// between.
fn lead(
    snapshot: &Snapshot,
    (from, to): (SubnetIx, Ipv4Network),
    (first, last): (&Chain, &Chain),
    nat_gateway: Option<NatGatewayIx>,
) -> Lead {
    Lead {
        from,
        to,
        route: first.first_route(),
        last_route: last.last_route().or_else(|| first.last_route()),
        middlebox: first_middlebox(first).or_else(|| first_middlebox(last)),
        nat_gateway,
        end: end(snapshot, exit(snapshot, last, nat_gateway), to),
    }
}

fn first_middlebox(chain: &Chain) -> Option<Middlebox> {
    chain.middleboxes().next().map(|through| through.middlebox)
}

fn end(snapshot: &Snapshot, exit: Exit, to: Ipv4Network) -> Result<Link, DeadEnd> {
    match exit {
        Exit::To(link) => Ok(link),
        Exit::Nowhere(dead_end) => Err(dead_end),
        Exit::Peer(ix, peer) => {
            let in_block = |block: &Ipv4Network| has(*block, to);
            let peer = peer.filter(|peer| snapshot.vpc(*peer).cidrs.iter().any(in_block));
            peer.map(Link::Vpc).ok_or(DeadEnd::OutsidePeer(ix))
        }
    }
}
