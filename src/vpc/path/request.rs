//! The request's list: from the attachment to the destination.

use super::attachment::Attachment;
use super::chain::{Chain, ChainEnd, Next, Nowhere};
use super::hop::{DeadEnd, Hop, Hops};
use super::list::List;
use crate::vpc::{Interface, NatGatewayIx, PeeringIx, Snapshot, SubnetIx, VpcIx};
use std::net::Ipv4Addr;

/// Resolves the hops of a request from an attachment to an address.
pub fn request(snapshot: &Snapshot, from: Attachment, to: Ipv4Addr) -> Hops {
    let mut list = List::new(snapshot);
    let end = match from {
        Attachment::Eni(ix) => leave_eni(&mut list, snapshot.eni(ix).subnet, to),
        Attachment::AppRunner => {
            list.push(Hop::AppRunner);
            cross_internet(&mut list, to);
            Ok(())
        }
    };
    list.finish(end)
}

/// Resolves the hops of a request behind App Runner's own NAT.
pub fn request_beyond_app_runner(snapshot: &Snapshot, to: Ipv4Addr) -> Hops {
    let mut list = List::new(snapshot);
    cross_internet(&mut list, to);
    list.finish(Ok(()))
}

/// Resolves the hops of a request behind a NAT gateway.
pub fn request_beyond(snapshot: &Snapshot, ix: NatGatewayIx, to: Ipv4Addr) -> Hops {
    let mut list = List::new(snapshot);
    let end = leave_nat_gateway(&mut list, ix, to);
    list.finish(end)
}

fn leave_eni(list: &mut List<'_>, home: SubnetIx, to: Ipv4Addr) -> Result<(), DeadEnd> {
    let chain = Chain::of(list.snapshot, home, to.into());
    list.through(&chain, home, |_| false);
    let at = chain.last();
    match chain.end {
        ChainEnd::Inside => stay_inside(list, at, to),
        ChainEnd::Nowhere(nowhere) => Err(strand(list, at, nowhere)),
        ChainEnd::Route(route, Next::NatGateway(ix)) => {
            let own = list.snapshot.nat_gateway(ix).subnet;
            list.border(at, Some(route), own != at);
            list.enter_or_stay(own, own != at);
            list.push(Hop::NatGateway(ix));
            leave_nat_gateway(list, ix, to)
        }
        ChainEnd::Route(route, next) => {
            list.leave(at, route);
            reach(list, at, next, to)
        }
    }
}

fn leave_nat_gateway(list: &mut List<'_>, ix: NatGatewayIx, to: Ipv4Addr) -> Result<(), DeadEnd> {
    let own = list.snapshot.nat_gateway(ix).subnet;
    list.at_nat_gateway = Some(ix);
    let chain = Chain::of(list.snapshot, own, to.into());
    list.through(&chain, own, |_| false);
    let at = chain.last();
    match chain.end {
        ChainEnd::Inside => stay_inside(list, at, to),
        ChainEnd::Nowhere(nowhere) => Err(strand(list, at, nowhere)),
        ChainEnd::Route(route, Next::NatGateway(_)) => {
            if at != own {
                list.leave(at, route);
            }
            Err(DeadEnd::NatToNat(ix, route))
        }
        ChainEnd::Route(route, next) => {
            list.leave(at, route);
            reach(list, at, next, to)
        }
    }
}

/// Follows the last route to its target. A route to a NAT gateway has been followed before.
fn reach(list: &mut List<'_>, at: SubnetIx, next: Next, to: Ipv4Addr) -> Result<(), DeadEnd> {
    let vpc = list.vpc(at);
    match next {
        Next::Local => return route_locally(list, at, vpc, to),
        Next::Peering(ix) => return pass_peering(list, at, ix, to),
        Next::NatGateway(ix) => return Err(DeadEnd::NatAddress(ix)),
        Next::InternetGateway => {
            list.push(Hop::InternetGateway(vpc));
            cross_internet(list, to);
        }
        Next::GatewayEndpoint(ix) => {
            list.push(Hop::GatewayEndpoint(ix));
            list.push(Hop::EndpointService(ix));
        }
    }
    Ok(())
}

/// Leads to a host on the internet, or by a public address into a VPC: its internet gateway comes
/// before the network ACL of the resource's subnet (spec 3.6).
fn cross_internet(list: &mut List<'_>, to: Ipv4Addr) {
    let Some(ix) = list.snapshot.public_endpoint(to) else { return list.push(Hop::Internet) };
    let subnet = list.snapshot.resource(ix).subnet;
    list.set_public_endpoint(ix);
    list.push(Hop::PublicEndpoint(ix));
    list.enter(subnet);
    list.push(Hop::Resource(list.vpc(subnet), ix));
}

/// Leads into the peer VPC, and not beyond it (spec 3.5, 6 "Who may use it", 7.1): its internet
/// gateway, NAT gateways and endpoints are for its own packets only, and its own peering
/// connections do not continue this one. All of these have addresses outside its CIDR blocks.
fn pass_peering(
    list: &mut List<'_>,
    at: SubnetIx,
    ix: PeeringIx,
    to: Ipv4Addr,
) -> Result<(), DeadEnd> {
    let peer = list.snapshot.peering(ix).peer_of(list.vpc(at));
    let peer = peer.filter(|peer| list.snapshot.vpc(*peer).contains(to));
    let peer = peer.ok_or(DeadEnd::OutsidePeer(ix))?;
    list.push(Hop::Peering(ix));
    route_locally(list, at, peer, to)
}

/// Leads to a subnet of a VPC: the sender's own, or one that is peered with it.
fn route_locally(
    list: &mut List<'_>,
    at: SubnetIx,
    vpc: VpcIx,
    to: Ipv4Addr,
) -> Result<(), DeadEnd> {
    let subnet = list.snapshot.subnet_of(vpc, to).ok_or(DeadEnd::NoInterface(vpc))?;
    list.enter_or_stay(subnet, subnet != at);
    deliver(list, vpc, to)
}

/// Leads to an interface of the same subnet, where neither an ACL nor a route table is consulted
/// (spec 3.1).
fn stay_inside(list: &mut List<'_>, at: SubnetIx, to: Ipv4Addr) -> Result<(), DeadEnd> {
    list.border(at, None, false);
    deliver(list, list.vpc(at), to)
}

fn deliver(list: &mut List<'_>, vpc: VpcIx, to: Ipv4Addr) -> Result<(), DeadEnd> {
    match list.snapshot.interface(vpc, to) {
        Some(Interface::Resource(ix)) => {
            list.push(Hop::Resource(vpc, ix));
            Ok(())
        }
        Some(Interface::Eni(ix)) => Err(DeadEnd::EniAddress(ix)),
        Some(Interface::NatGateway(ix)) => Err(DeadEnd::NatAddress(ix)),
        None => Err(DeadEnd::NoInterface(vpc)),
    }
}

fn strand(list: &mut List<'_>, at: SubnetIx, nowhere: Nowhere) -> DeadEnd {
    let nat_gateway = list.at_nat_gateway;
    if nat_gateway.is_none() {
        list.strand(at);
    }
    nowhere.dead_end(at, nat_gateway)
}
