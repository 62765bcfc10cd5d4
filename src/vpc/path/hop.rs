//! The parts of a path: hops, dead ends and links.

use crate::vpc::{
    Direction, EniIx, GatewayEndpointIx, GatewayLoadBalancerEndpointIx, NatGatewayIx, PeeringIx,
    ResourceIx, RuleRef, Snapshot, SubnetIx, VpcIx,
};
use smallvec::SmallVec;
use std::net::Ipv4Addr;

/// A target that a packet is routed through. An appliance's network interface or a Gateway Load
/// Balancer endpoint gives the packet back unchanged to its own subnet, whose route table leads on
/// (spec 3.5, 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Middlebox {
    /// The network interface of an appliance.
    Appliance(ResourceIx),
    /// A Gateway Load Balancer endpoint.
    Endpoint(GatewayLoadBalancerEndpointIx),
}

impl Middlebox {
    /// Returns the subnet that it is in.
    pub fn subnet(self, snapshot: &Snapshot) -> SubnetIx {
        match self {
            Self::Appliance(ix) => snapshot.resource(ix).subnet,
            Self::Endpoint(ix) => snapshot.gateway_load_balancer_endpoint(ix).subnet,
        }
    }
}

/// One check or translation on a packet's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// The network ACL of a subnet.
    NetworkAcl {
        /// The subnet.
        subnet: SubnetIx,
        /// The direction of the packet: it leaves the subnet or enters it.
        direction: Direction,
        /// Says that the packet crosses the border of the subnet: inside a subnet no ACL is
        /// evaluated (spec 3.1).
        crossed: bool,
    },
    /// The route table of a subnet.
    RouteTable {
        /// The subnet.
        subnet: SubnetIx,
        /// The route that leads on; `None` inside a subnet, where no route table is consulted
        /// (spec 3.1).
        route: Option<RuleRef>,
    },
    /// A middlebox.
    Middlebox {
        /// The middlebox.
        middlebox: Middlebox,
        /// Says, on a reply's list, that the request passes it too, so that its groups track the
        /// flow.
        saw_request: bool,
    },
    /// A NAT gateway. On a reply's list the packet is addressed to the ENI from here on.
    NatGateway(NatGatewayIx),
    /// App Runner's own NAT.
    AppRunner,
    /// The internet gateway of the sender's VPC: out of it, or back into it.
    InternetGateway(VpcIx),
    /// The internet gateway of a public endpoint's VPC, which maps its public address to its
    /// private one: the destination of requests, the source of replies.
    PublicEndpoint(ResourceIx),
    /// A gateway endpoint.
    GatewayEndpoint(GatewayEndpointIx),
    /// A peering connection.
    Peering(PeeringIx),
    /// The end of a request: the interface of a resource in a VPC.
    Resource(VpcIx, ResourceIx),
    /// The end of a request: a host on the internet.
    Internet,
    /// The end of a request: the service behind a gateway endpoint.
    EndpointService(GatewayEndpointIx),
}

/// The reason why a list of hops ends before the packet's destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadEnd {
    /// The table of this subnet has no route.
    NoRoute(SubnetIx),
    /// The target of this subnet's route does not exist any more.
    Blackhole(SubnetIx, RuleRef),
    /// This subnet's route leads to a middlebox in a subnet that the packet has left before, or to
    /// one too many.
    Loop(SubnetIx, RuleRef),
    /// The table of a NAT gateway's own subnet has no route.
    NatNoRoute(NatGatewayIx),
    /// The target of the route of a NAT gateway's own subnet does not exist any more.
    NatBlackhole(NatGatewayIx, RuleRef),
    /// The route of a NAT gateway's own subnet leads to a middlebox in that subnet.
    NatLoop(NatGatewayIx, RuleRef),
    /// Behind this NAT gateway a route leads to a NAT gateway again.
    NatToNat(NatGatewayIx, RuleRef),
    /// The destination is outside the peer VPC's own blocks.
    OutsidePeer(PeeringIx),
    /// No interface of the VPC has the address.
    NoInterface(VpcIx),
    /// The address is that of an ENI of tasks, which takes no requests.
    EniAddress(EniIx),
    /// The address is that of a NAT gateway, which takes no requests.
    NatAddress(NatGatewayIx),
    /// The table of this subnet does not lead the reply back to where the request came from.
    NotRoutedBack(SubnetIx, RuleRef),
}

/// The hops of one packet, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hops {
    pub(super) hops: SmallVec<[Hop; 16]>,
    /// The public endpoint that the packet is for, or comes from.
    pub(super) public_endpoint: Option<ResourceIx>,
    /// The reason why the list ends before the packet's destination, if it does.
    pub dead_end: Option<DeadEnd>,
}

impl Hops {
    /// Returns the hops, in order.
    #[inline]
    pub fn as_slice(&self) -> &[Hop] {
        &self.hops
    }

    /// Returns the NAT gateway on the list.
    pub fn nat_gateway(&self) -> Option<NatGatewayIx> {
        self.hops
            .iter()
            .find_map(|hop| if let Hop::NatGateway(ix) = hop { Some(*ix) } else { None })
    }

    /// Decides whether the packet passes the internet gateway of its sender's VPC.
    pub fn pass_internet_gateway(&self) -> bool {
        self.hops.iter().any(|hop| matches!(hop, Hop::InternetGateway(_)))
    }

    /// Returns the public endpoint that the packet is for, or comes from, even if the packet does
    /// not get out of that VPC.
    pub fn public_endpoint(&self) -> Option<ResourceIx> {
        self.public_endpoint
    }

    /// Returns the link by which the packet leaves egret.
    pub fn link(&self) -> Link {
        match self.hops.last() {
            Some(Hop::Resource(vpc, _)) => {
                self.public_endpoint.map_or(Link::Vpc(*vpc), Link::PublicEndpoint)
            }
            Some(Hop::EndpointService(ix)) => Link::Endpoint(*ix),
            Some(
                Hop::NetworkAcl { .. }
                | Hop::RouteTable { .. }
                | Hop::Middlebox { .. }
                | Hop::NatGateway(_)
                | Hop::AppRunner
                | Hop::InternetGateway(_)
                | Hop::PublicEndpoint(_)
                | Hop::GatewayEndpoint(_)
                | Hop::Peering(_)
                | Hop::Internet,
            )
            | None => Link::Internet,
        }
    }
}

/// The link by which a packet leaves egret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// The task with this address.
    Task(Ipv4Addr),
    /// A VPC.
    Vpc(VpcIx),
    /// The service behind a gateway endpoint.
    Endpoint(GatewayEndpointIx),
    /// The internet.
    Internet,
    /// The VPC of a resource, over the internet and through its internet gateway: the packet is
    /// addressed to the resource's public address until there.
    PublicEndpoint(ResourceIx),
    /// The services at the exempt addresses (spec 4.3).
    Services,
}
