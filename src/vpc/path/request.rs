//! The request's list: from the attachment to the destination.

use super::attachment::Attachment;
use super::hop::{DeadEnd, Hop, Hops};
use super::leg::{Leg, LegEnd, Next, Nowhere};
use super::list::List;
use crate::vpc::{Interface, NatGatewayIx, PeeringIx, Snapshot, SubnetIx, VpcIx};
use std::net::Ipv4Addr;

/// Resolves what a request meets on its way from an attachment to an address.
pub fn request(snapshot: &Snapshot, from: Attachment, to: Ipv4Addr) -> Hops {
    let mut list = List::new(snapshot);
    match from {
        Attachment::Eni(ix) => leave_eni(list, snapshot.eni(ix).subnet, to),
        Attachment::AppRunner => {
            list.push(Hop::AppRunner);
            list.push(Hop::Internet);
            list.arrive()
        }
    }
}

/// Resolves what a request meets behind a NAT gateway.
pub fn request_beyond(snapshot: &Snapshot, ix: NatGatewayIx, to: Ipv4Addr) -> Hops {
    pass_nat_gateway(List::new(snapshot), ix, false, to).beyond_nat_gateway()
}

fn leave_eni(mut list: List<'_>, home: SubnetIx, to: Ipv4Addr) -> Hops {
    let leg = Leg::of(list.snapshot, home, to.into());
    list.through(&leg, home, |_| false);
    let at = leg.last();
    match leg.end {
        LegEnd::Inside => stay_inside(list, at, to),
        LegEnd::Nowhere(nowhere) => strand(list, at, nowhere),
        LegEnd::Route(route, Next::NatGateway(ix)) => {
            let crossed = list.snapshot.nat_gateway(ix).subnet != at;
            list.border(at, Some(route), crossed);
            pass_nat_gateway(list, ix, crossed, to)
        }
        LegEnd::Route(route, next) => {
            list.leave(at, route);
            reach(list, at, next, to)
        }
    }
}

fn pass_nat_gateway(mut list: List<'_>, ix: NatGatewayIx, crossed: bool, to: Ipv4Addr) -> Hops {
    let own = list.snapshot.nat_gateway(ix).subnet;
    list.enter_or_stay(own, crossed);
    list.push(Hop::NatGateway(ix));
    list.at_nat_gateway = Some(ix);
    let leg = Leg::of(list.snapshot, own, to.into());
    list.through(&leg, own, |_| false);
    let at = leg.last();
    match leg.end {
        LegEnd::Inside => stay_inside(list, at, to),
        LegEnd::Nowhere(nowhere) => strand(list, at, nowhere),
        LegEnd::Route(route, Next::NatGateway(_)) => {
            if at != own {
                list.leave(at, route);
            }
            list.die(DeadEnd::NatToNat(ix, route))
        }
        LegEnd::Route(route, next) => {
            list.leave(at, route);
            reach(list, at, next, to)
        }
    }
}

/// Follows the last route to its target. A route to a NAT gateway has been followed before.
fn reach(mut list: List<'_>, at: SubnetIx, next: Next, to: Ipv4Addr) -> Hops {
    let vpc = list.vpc(at);
    match next {
        Next::Local => route_locally(list, at, vpc, to),
        Next::NatGateway(ix) => list.die(DeadEnd::NatAddress(ix)),
        Next::InternetGateway => {
            list.push(Hop::InternetGateway(vpc));
            list.push(Hop::Internet);
            list.arrive()
        }
        Next::GatewayEndpoint(ix) => {
            list.push(Hop::GatewayEndpoint(ix));
            list.push(Hop::EndpointService(ix));
            list.arrive()
        }
        Next::Peering(ix) => pass_peering(list, at, ix, to),
    }
}

/// Leads into the peer VPC, and not beyond it (spec 3.5, 6 "Who may use it", 7.1): its internet gateway, NAT gateways and
/// endpoints are for its own packets only, and its own peering connections do not continue this one. All of these have
/// addresses outside its CIDR blocks.
fn pass_peering(mut list: List<'_>, at: SubnetIx, ix: PeeringIx, to: Ipv4Addr) -> Hops {
    let peer = list.snapshot.peering(ix).peer_of(list.vpc(at));
    match peer.filter(|peer| list.snapshot.vpc(*peer).contains(to)) {
        Some(peer) => {
            list.push(Hop::Peering(ix));
            route_locally(list, at, peer, to)
        }
        None => list.die(DeadEnd::OutsidePeer(ix)),
    }
}

/// Leads to a subnet of a VPC: the sender's own, or one that is peered with it.
fn route_locally(mut list: List<'_>, at: SubnetIx, vpc: VpcIx, to: Ipv4Addr) -> Hops {
    match list.snapshot.subnet_of(vpc, to) {
        Some(subnet) => {
            list.enter_or_stay(subnet, subnet != at);
            deliver(list, vpc, to)
        }
        None => list.die(DeadEnd::NoInterface(vpc)),
    }
}

/// Leads to an interface of the same subnet, where neither ACL nor route table are asked (spec 3.1).
fn stay_inside(mut list: List<'_>, at: SubnetIx, to: Ipv4Addr) -> Hops {
    list.border(at, None, false);
    let vpc = list.vpc(at);
    deliver(list, vpc, to)
}

fn deliver(mut list: List<'_>, vpc: VpcIx, to: Ipv4Addr) -> Hops {
    match list.snapshot.interface(vpc, to) {
        Some(Interface::Resource(ix)) => {
            list.push(Hop::Resource(vpc, ix));
            list.arrive()
        }
        Some(Interface::Eni(ix)) => list.die(DeadEnd::EniAddress(ix)),
        Some(Interface::NatGateway(ix)) => list.die(DeadEnd::NatAddress(ix)),
        None => list.die(DeadEnd::NoInterface(vpc)),
    }
}

fn strand(mut list: List<'_>, at: SubnetIx, nowhere: Nowhere) -> Hops {
    let nat_gateway = list.at_nat_gateway;
    if nat_gateway.is_none() {
        list.strand(at);
    }
    list.die(nowhere.dead_end(at, nat_gateway))
}
