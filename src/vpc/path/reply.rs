//! The reply's list: from the server back to the ENI, by the route tables on its own way.

use super::hop::{DeadEnd, Hop, Hops};
use super::leg::{Leg, LegEnd, Next, Nowhere};
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

/// Resolves what a server's reply meets. The request's list is not needed: a request may have lost its route while its
/// replies still arrive.
pub fn reply(snapshot: &Snapshot, to: ReturnTo, server: Ipv4Addr) -> Hops {
    let eni = snapshot.eni(to.eni);
    let home = Stop { subnet: eni.subnet, address: to.eni_address };
    let nat_gateway = to.nat_gateway.map(|(ix, address)| {
        let subnet = snapshot.nat_gateway(ix).subnet;
        (ix, Stop { subnet, address })
    });
    let first = nat_gateway.map_or(home, |(_, stop)| stop);
    let origin = Origin::of(snapshot, first.subnet, server, nat_gateway.is_some());
    let mut list = List::new(snapshot);
    let end = lead_home(&mut list, origin, (nat_gateway, home), server);
    list.finish(end)
}

/// Leads a reply to the NAT gateway if there is one, and from there to the ENI.
fn lead_home(
    list: &mut List<'_>,
    origin: Origin,
    (nat_gateway, home): (Option<(NatGatewayIx, Stop)>, Stop),
    server: Ipv4Addr,
) -> Result<(), DeadEnd> {
    let Some((ix, stop)) = nat_gateway else { return come_from(list, origin, home, server) };
    come_from(list, origin, stop, server)?;
    list.push(Hop::NatGateway(ix));
    if stop.subnet == home.subnet {
        return Ok(());
    }
    lead_back(list, stop.subnet, home, Next::Local, server)
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
    let back = |part| Leg::of(snapshot, from, part).ends_at(Next::Peering(peering));
    to.iter().any(|to| parts(snapshot, from, *to, &prefixes).any(back))
}

/// A subnet on the way, and the address in it that replies are sent to.
#[derive(Clone, Copy)]
struct Stop {
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
        let peering = match Leg::of(snapshot, subnet, server.into()).end {
            LegEnd::Route(_, Next::Peering(ix)) => Some(ix),
            LegEnd::Route(_, Next::GatewayEndpoint(ix)) => return Self::Endpoint(ix),
            // The route there may have been removed, and a peer that has the address still answers. The internet does not
            // answer an ENI.
            LegEnd::Route(_, Next::Local | Next::InternetGateway | Next::NatGateway(_))
            | LegEnd::Inside
            | LegEnd::Nowhere(_) => {
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

fn come_from(
    list: &mut List<'_>,
    origin: Origin,
    to: Stop,
    server: Ipv4Addr,
) -> Result<(), DeadEnd> {
    match origin {
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

/// Leads from another subnet to a stop, by the route tables there: straight or through middleboxes, and at last by the
/// target that the request came by.
fn lead_back(
    list: &mut List<'_>,
    from: SubnetIx,
    to: Stop,
    expected: Next,
    server: Ipv4Addr,
) -> Result<(), DeadEnd> {
    let leg = Leg::of(list.snapshot, from, to.address.into());
    let snapshot = list.snapshot;
    list.through(&leg, from, |middlebox| {
        Leg::of(snapshot, to.subnet, server.into()).passes(middlebox)
    });
    let at = leg.last();
    let astray = |rule| Err(DeadEnd::NotRoutedBack(at, rule));
    match leg.end {
        LegEnd::Inside => Ok(()),
        LegEnd::Route(route, next) if next == expected => {
            list.leave(at, route);
            if let Next::Peering(ix) = next {
                list.push(Hop::Peering(ix));
            }
            list.enter(to.subnet);
            Ok(())
        }
        LegEnd::Route(route, _)
        | LegEnd::Nowhere(Nowhere::Blackhole(route) | Nowhere::Loop(route)) => {
            list.strand(at);
            astray(route)
        }
        LegEnd::Nowhere(Nowhere::NoRoute) => {
            list.strand(at);
            astray(RuleRef::RouteTable(list.snapshot.subnet(at).route_table))
        }
    }
}
