//! The reply's list: from the server back to the ENI, by the route tables on its own way.

use super::chain::{Chain, ChainEnd, Next, Nowhere};
use super::hop::{DeadEnd, Hop, Hops};
use super::list::List;
use super::parts::{parts, prefixes};
use crate::vpc::{
    EniIx, GatewayEndpointIx, NatGatewayIx, PeeringIx, RuleRef, Snapshot, SubnetIx, VpcIx,
};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// Where replies return to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnTo {
    /// The ENI.
    pub eni: EniIx,
    /// Its private address.
    pub eni_address: Ipv4Addr,
    /// The NAT gateway in front of it, and the private address of it that the request took.
    pub nat_gateway: Option<(NatGatewayIx, Ipv4Addr)>,
}

impl ReturnTo {
    fn eni(&self, snapshot: &Snapshot) -> ReturnAddress {
        ReturnAddress { subnet: snapshot.eni(self.eni).subnet, address: self.eni_address }
    }
}

/// Resolves what a server's reply meets. The request's list is not needed: a request may have lost its route while its
/// replies still arrive.
pub fn reply(snapshot: &Snapshot, to: ReturnTo, server: Ipv4Addr) -> Hops {
    let mut list = List::new(snapshot);
    let eni = to.eni(snapshot);
    let end = match to.nat_gateway {
        None => come_from(&mut list, server, eni, false),
        Some((ix, address)) => {
            let subnet = snapshot.nat_gateway(ix).subnet;
            let end = come_from(&mut list, server, ReturnAddress { subnet, address }, true);
            end.and_then(|()| leave_nat_gateway(&mut list, ix, eni, server))
        }
    };
    list.finish(end)
}

/// Resolves what a packet meets behind the NAT gateway on its way to the ENI: a reply, or what the gateway itself sends.
pub fn reply_beyond(snapshot: &Snapshot, to: ReturnTo, ix: NatGatewayIx, server: Ipv4Addr) -> Hops {
    let mut list = List::new(snapshot);
    let end = leave_nat_gateway(&mut list, ix, to.eni(snapshot), server);
    list.finish(end)
}

fn leave_nat_gateway(
    list: &mut List<'_>,
    ix: NatGatewayIx,
    eni: ReturnAddress,
    server: Ipv4Addr,
) -> Result<(), DeadEnd> {
    list.push(Hop::NatGateway(ix));
    let own = list.snapshot.nat_gateway(ix).subnet;
    if own == eni.subnet {
        return Ok(());
    }
    lead_back(list, own, eni, Next::Local, server)
}

/// Decides whether replies from a subnet of a peered VPC are routed back to any part of networks on the other side: by the
/// peering connection that the requests came by.
pub fn is_led_back(
    snapshot: &Snapshot,
    from: SubnetIx,
    to: &[Ipv4Network],
    peering: PeeringIx,
) -> bool {
    let prefixes = prefixes(snapshot, from);
    let back = |part| Chain::of(snapshot, from, part).ends_at(Next::Peering(peering));
    to.iter().any(|to| parts(snapshot, from, *to, &prefixes).any(back))
}

/// The address that replies are sent to, and its subnet.
#[derive(Clone, Copy)]
struct ReturnAddress {
    subnet: SubnetIx,
    address: Ipv4Addr,
}

/// Where a server's replies come from.
#[derive(Clone, Copy)]
enum Origin {
    Internet,
    Endpoint(GatewayEndpointIx),
    /// A subnet of the same VPC.
    Subnet(SubnetIx),
    /// A subnet of a peered VPC.
    Peer(PeeringIx, SubnetIx),
}

impl Origin {
    /// Finds a server as an ENI in `subnet` reaches it, or a NAT gateway there.
    fn of(snapshot: &Snapshot, subnet: SubnetIx, server: Ipv4Addr, by_nat_gateway: bool) -> Self {
        let vpc = snapshot.subnet(subnet).vpc;
        if let Some(own) = snapshot.subnet_of(vpc, server) {
            return Self::Subnet(own);
        }
        let peering = match Chain::of(snapshot, subnet, server.into()).end {
            ChainEnd::Route(_, Next::Peering(ix)) => Some(ix),
            ChainEnd::Route(_, Next::GatewayEndpoint(ix)) => return Self::Endpoint(ix),
            // The route there may have been removed, and a peer that has the address still answers. The internet does not
            // answer an ENI.
            ChainEnd::Route(_, Next::Local | Next::InternetGateway | Next::NatGateway(_))
            | ChainEnd::Inside
            | ChainEnd::Nowhere(_) => {
                let has = |&(_, peer): &(PeeringIx, VpcIx)| snapshot.vpc(peer).contains(server);
                snapshot.peers_of(vpc).find(has).filter(|_| !by_nat_gateway).map(|(ix, _)| ix)
            }
        };
        let in_peer = |ix: PeeringIx| {
            let peer = snapshot.peering(ix).peer_of(vpc)?;
            Some(Self::Peer(ix, snapshot.subnet_of(peer, server)?))
        };
        peering.and_then(in_peer).unwrap_or(Self::Internet)
    }
}

/// Leads from the server to the first address that its replies are sent to: the NAT gateway's, or the ENI's.
fn come_from(
    list: &mut List<'_>,
    server: Ipv4Addr,
    to: ReturnAddress,
    by_nat_gateway: bool,
) -> Result<(), DeadEnd> {
    match Origin::of(list.snapshot, to.subnet, server, by_nat_gateway) {
        Origin::Internet => {
            list.push(Hop::InternetGateway(list.vpc(to.subnet)));
            list.enter(to.subnet);
        }
        Origin::Endpoint(ix) => {
            list.push(Hop::GatewayEndpoint(ix));
            list.enter(to.subnet);
        }
        Origin::Subnet(subnet) if subnet == to.subnet => {}
        Origin::Subnet(subnet) => lead_back(list, subnet, to, Next::Local, server)?,
        Origin::Peer(ix, subnet) => lead_back(list, subnet, to, Next::Peering(ix), server)?,
    }
    Ok(())
}

/// Leads from another subnet to an address, by the route tables there: straight or through middleboxes, and at last by the
/// target that the request came by.
fn lead_back(
    list: &mut List<'_>,
    from: SubnetIx,
    to: ReturnAddress,
    expected: Next,
    server: Ipv4Addr,
) -> Result<(), DeadEnd> {
    let chain = Chain::of(list.snapshot, from, to.address.into());
    let has_middlebox = chain.middleboxes().next().is_some();
    let request = has_middlebox.then(|| Chain::of(list.snapshot, to.subnet, server.into()));
    list.through(&chain, from, |middlebox| {
        request.as_ref().is_some_and(|request| request.passes(middlebox))
    });
    let at = chain.last();
    let astray = |rule| Err(DeadEnd::NotRoutedBack(at, rule));
    match chain.end {
        ChainEnd::Inside => Ok(()),
        ChainEnd::Route(route, next) if next == expected => {
            list.leave(at, route);
            if let Next::Peering(ix) = next {
                list.push(Hop::Peering(ix));
            }
            list.enter(to.subnet);
            Ok(())
        }
        ChainEnd::Route(route, _)
        | ChainEnd::Nowhere(Nowhere::Blackhole(route) | Nowhere::Loop(route)) => {
            list.strand(at);
            astray(route)
        }
        ChainEnd::Nowhere(Nowhere::NoRoute) => {
            list.strand(at);
            astray(RuleRef::RouteTable(list.snapshot.subnet(at).route_table))
        }
    }
}
