//! Where route tables lead whole networks: the same chains as a packet's path.

use super::chain::{Chain, has};
use super::chains::{Chains, Exit, exit};
use super::hop::{DeadEnd, Link, Middlebox};
use super::parts::{parts, prefixes_by_table};
use crate::vpc::{NatGatewayIx, RouteTableIx, RuleRef, Snapshot, SubnetIx, everywhere};
use ipnetwork::Ipv4Network;

/// Where packets from one subnet to one network are led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The subnet that they are from.
    pub from: SubnetIx,
    /// The network: its addresses that are in no smaller network of the same subnet's leads.
    pub to: Ipv4Network,
    /// The route that leads them out of the subnet; `None` for its own addresses, and where its table has no route.
    pub route: Option<RuleRef>,
    /// The last route that they are led by.
    pub last_route: Option<RuleRef>,
    /// The first middlebox that they pass.
    pub middlebox: Option<Middlebox>,
    /// The NAT gateway that they pass.
    pub nat_gateway: Option<NatGatewayIx>,
    /// The link by which they leave egret, or why none of them does. What the hops on the way, the internet gateway for
    /// example, refuse is not looked at.
    pub end: Result<Link, DeadEnd>,
}

/// Lists where a subnet's packets are led: the networks of the leads hold every address.
pub fn leads(snapshot: &Snapshot, from: SubnetIx) -> Vec<Lead> {
    leads_by_table(snapshot, from, snapshot.subnet(from).route_table)
}

/// Lists where a subnet's packets would be led if it used this table.
pub fn leads_by_table(snapshot: &Snapshot, from: SubnetIx, table: RouteTableIx) -> Vec<Lead> {
    let prefixes = prefixes_by_table(snapshot, from, table);
    let lead = |to| {
        let chains = Chains::by_table(snapshot, from, table, to);
        lead(snapshot, (from, to), (&chains.first, chains.last()), chains.nat_gateway())
    };
    parts(snapshot, from, everywhere(), &prefixes).map(lead).collect()
}

/// Lists where packets are led that a NAT gateway has translated.
pub fn leads_beyond(snapshot: &Snapshot, gateway: NatGatewayIx) -> Vec<Lead> {
    let from = snapshot.nat_gateway(gateway).subnet;
    let prefixes = prefixes_by_table(snapshot, from, snapshot.subnet(from).route_table);
    let lead = |to| {
        let chain = Chain::of(snapshot, from, to);
        lead(snapshot, (from, to), (&chain, &chain), Some(gateway))
    };
    parts(snapshot, from, everywhere(), &prefixes).map(lead).collect()
}

/// Leads by the first and the last of a network's chains, which are one if no NAT gateway is between.
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
