//! The legs to a network: from a subnet, and behind a NAT gateway if there is one between.

use super::hop::{DeadEnd, Link};
use super::leg::{Leg, LegEnd, Next};
use crate::vpc::{NatGatewayIx, PeeringIx, RouteTableIx, Snapshot, SubnetIx, VpcIx};
use ipnetwork::Ipv4Network;

/// The legs.
pub(super) struct Legs {
    pub(super) first: Leg,
    pub(super) behind: Option<(NatGatewayIx, Leg)>,
}

/// How packets leave the last subnet.
pub(super) enum Exit {
    To(Link),
    Peer(PeeringIx, Option<VpcIx>),
    Nowhere(DeadEnd),
}

impl Legs {
    pub(super) fn of(snapshot: &Snapshot, from: SubnetIx, to: Ipv4Network) -> Self {
        Self::by_table(snapshot, from, snapshot.subnet(from).route_table, to)
    }

    /// Follows the route tables as if the first subnet used this one.
    pub(super) fn by_table(
        snapshot: &Snapshot,
        from: SubnetIx,
        table: RouteTableIx,
        to: Ipv4Network,
    ) -> Self {
        let first = Leg::by_table(snapshot, from, table, to);
        let behind = match first.end {
            LegEnd::Route(_, Next::NatGateway(ix)) => Some(ix),
            LegEnd::Route(..) | LegEnd::Inside | LegEnd::Nowhere(_) => None,
        };
        let behind = behind.map(|ix| (ix, Leg::of(snapshot, snapshot.nat_gateway(ix).subnet, to)));
        Self { first, behind }
    }

    pub(super) fn last(&self) -> &Leg {
        self.behind.as_ref().map_or(&self.first, |(_, leg)| leg)
    }

    /// Returns the NAT gateway between the legs.
    pub(super) fn nat_gateway(&self) -> Option<NatGatewayIx> {
        self.behind.as_ref().map(|(ix, _)| *ix)
    }

    pub(super) fn exit(&self, snapshot: &Snapshot) -> Exit {
        exit(snapshot, self.last(), self.nat_gateway())
    }
}

/// Finds how packets leave the last subnet of a leg, which may begin behind a NAT gateway.
pub(super) fn exit(snapshot: &Snapshot, leg: &Leg, behind: Option<NatGatewayIx>) -> Exit {
    let at = leg.last();
    let vpc = snapshot.subnet(at).vpc;
    match (leg.end, behind) {
        (LegEnd::Inside | LegEnd::Route(_, Next::Local), _) => Exit::To(Link::Vpc(vpc)),
        (LegEnd::Route(_, Next::InternetGateway), _) => Exit::To(Link::Internet),
        (LegEnd::Route(_, Next::GatewayEndpoint(ix)), _) => Exit::To(Link::Endpoint(ix)),
        (LegEnd::Route(_, Next::Peering(ix)), _) => {
            Exit::Peer(ix, snapshot.peering(ix).peer_of(vpc))
        }
        // No packet passes two NAT gateways.
        (LegEnd::Route(route, Next::NatGateway(_)), Some(ix)) => {
            Exit::Nowhere(DeadEnd::NatToNat(ix, route))
        }
        (LegEnd::Route(_, Next::NatGateway(ix)), None) => Exit::Nowhere(DeadEnd::NatAddress(ix)),
        (LegEnd::Nowhere(nowhere), _) => {
            let own = behind.filter(|_| leg.middleboxes().next().is_none());
            Exit::Nowhere(nowhere.dead_end(at, own))
        }
    }
}
