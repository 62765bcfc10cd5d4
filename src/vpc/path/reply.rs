//! The reply's list: from the server back to the ENI, by the route tables of the reply's own path.

use super::chain::{Chain, ChainEnd, Next, Nowhere};
use super::hop::{DeadEnd, Hop, Hops};
use super::list::List;
use super::parts::{parts, prefixes};
use crate::vpc::{
    EniIx, GatewayEndpointIx, NatAddress, NatGatewayIx, PeeringIx, ResourceIx, RuleRef, Snapshot,
    SubnetIx, VpcIx,
};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// The NAT or interface to which replies return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnTo {
    /// App Runner's own NAT.
    AppRunner,
    /// An ENI.
    Eni {
        /// The ENI.
        eni: EniIx,
        /// Its private address.
        address: Ipv4Addr,
        /// The NAT gateway in front of it, and its address that the request took.
        nat_gateway: Option<(NatGatewayIx, NatAddress)>,
    },
}

/// Resolves the hops of a server's reply. It does not need the request's list: a request may have
/// lost its route while its replies still arrive.
pub fn reply(snapshot: &Snapshot, to: ReturnTo, server: Ipv4Addr) -> Hops {
    let mut list = List::new(snapshot);
    let end = match to {
        ReturnTo::AppRunner => return_to_app_runner(&mut list, server),
        ReturnTo::Eni { eni, address, nat_gateway: None } => {
            come_from(&mut list, server, at_eni(snapshot, eni, address), false)
        }
        ReturnTo::Eni { eni, address, nat_gateway: Some((ix, own)) } => {
            let subnet = snapshot.nat_gateway(ix).subnet;
            let NatAddress { private, public } = own;
            let at_nat_gateway = ReturnAddress { subnet, private, public };
            let eni = at_eni(snapshot, eni, address);
            come_from(&mut list, server, at_nat_gateway, true)
                .and_then(|()| leave_nat_gateway(&mut list, ix, eni, server))
        }
    };
    list.finish(end)
}

/// Resolves the hops of a packet from a NAT gateway to an address of an ENI: a reply, or a packet
/// that the gateway itself sends.
pub fn reply_beyond(
    snapshot: &Snapshot,
    (eni, address): (EniIx, Ipv4Addr),
    ix: NatGatewayIx,
    server: Ipv4Addr,
) -> Hops {
    let mut list = List::new(snapshot);
    let end = leave_nat_gateway(&mut list, ix, at_eni(snapshot, eni, address), server);
    list.finish(end)
}

fn at_eni(snapshot: &Snapshot, ix: EniIx, private: Ipv4Addr) -> ReturnAddress {
    let eni = snapshot.eni(ix);
    ReturnAddress { subnet: eni.subnet, private, public: eni.public_address() }
}

/// Leads back to App Runner's own NAT. Only a packet from a VPC has hops on this path.
fn return_to_app_runner(list: &mut List<'_>, server: Ipv4Addr) -> Result<(), DeadEnd> {
    let Some(ix) = list.snapshot.public_endpoint(server) else { return Ok(()) };
    leave_public_endpoint(list, ix, list.snapshot.parts().apprunner_address)
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

/// Decides whether replies from a subnet of a peered VPC are routed back to any part of `to` on the
/// other side, by the peering connection that the requests came by.
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
    private: Ipv4Addr,
    /// The address that the internet uses for it.
    public: Option<Ipv4Addr>,
}

/// The origin of a server's replies.
#[derive(Clone, Copy)]
enum Origin {
    /// The internet, or over it another VPC, in which a resource has the public address.
    Internet(Option<ResourceIx>),
    Endpoint(GatewayEndpointIx),
    /// A subnet of the same VPC.
    Subnet(SubnetIx),
    /// A subnet of a peered VPC.
    Peer(PeeringIx, SubnetIx),
}

impl Origin {
    /// Finds the origin of a server as an ENI in `subnet` reaches it, or a NAT gateway there.
    fn of(snapshot: &Snapshot, subnet: SubnetIx, server: Ipv4Addr, by_nat_gateway: bool) -> Self {
        let vpc = snapshot.subnet(subnet).vpc;
        if let Some(own) = snapshot.subnet_of(vpc, server) {
            return Self::Subnet(own);
        }
        let peering = match Chain::of(snapshot, subnet, server.into()).end {
            ChainEnd::Route(_, Next::Peering(ix)) => Some(ix),
            ChainEnd::Route(_, Next::GatewayEndpoint(ix)) => return Self::Endpoint(ix),
            // The route there may have been removed, and a peer that has the address still answers.
            // The internet does not answer an ENI.
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
        let by_internet = || Self::Internet(snapshot.public_endpoint(server));
        peering.and_then(in_peer).unwrap_or_else(by_internet)
    }
}

/// Leads from the server to the first address that its replies are sent to: the NAT gateway's, or
/// the ENI's.
fn come_from(
    list: &mut List<'_>,
    server: Ipv4Addr,
    to: ReturnAddress,
    by_nat_gateway: bool,
) -> Result<(), DeadEnd> {
    match Origin::of(list.snapshot, to.subnet, server, by_nat_gateway) {
        Origin::Internet(endpoint) => {
            if let Some(ix) = endpoint {
                leave_public_endpoint(list, ix, to.public)?;
            }
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

/// Leads out of the VPC of a public endpoint. Its own subnet's route table must lead to the
/// internet gateway that the request came in by; else the reply leaves with an address to which the
/// sender sent nothing, if it leaves at all.
fn leave_public_endpoint(
    list: &mut List<'_>,
    ix: ResourceIx,
    to: Option<Ipv4Addr>,
) -> Result<(), DeadEnd> {
    list.set_public_endpoint(ix);
    let subnet = list.snapshot.resource(ix).subnet;
    // An ENI without a public address sends nothing through an internet gateway, so nothing returns
    // to it.
    let to = to.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let chain = Chain::of(list.snapshot, subnet, to.into());
    list.through(&chain, subnet, |_| false);
    let at = chain.last();
    if let ChainEnd::Route(route, Next::InternetGateway) = chain.end {
        list.leave(at, route);
        list.push(Hop::PublicEndpoint(ix));
        return Ok(());
    }
    list.strand(at);
    let table = RuleRef::RouteTable(list.snapshot.subnet(at).route_table);
    Err(DeadEnd::NotRoutedBack(at, chain.last_route().unwrap_or(table)))
}

/// Leads from another subnet to an address, by the route tables there: straight or through
/// middleboxes, and at last by the target that the request came by.
fn lead_back(
    list: &mut List<'_>,
    from: SubnetIx,
    to: ReturnAddress,
    expected: Next,
    server: Ipv4Addr,
) -> Result<(), DeadEnd> {
    let chain = Chain::of(list.snapshot, from, to.private.into());
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
