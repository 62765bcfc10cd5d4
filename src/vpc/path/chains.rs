//! The chains to a network: from a subnet, and behind a NAT gateway if one is between.

use super::chain::{Chain, ChainEnd, Next};
use super::hop::{DeadEnd, Link};
use crate::vpc::{NatGatewayIx, PeeringIx, RouteTableIx, Snapshot, SubnetIx, VpcIx};
use ipnetwork::Ipv4Network;

/// The chain from a subnet, and the one behind a NAT gateway.
pub(super) struct Chains {
    pub(super) first: Chain,
    pub(super) behind: Option<(NatGatewayIx, Chain)>,
}

/// The way in which packets leave the last subnet.
pub(super) enum Exit {
    To(Link),
    Peer(PeeringIx, Option<VpcIx>),
    Nowhere(DeadEnd),
}

impl Chains {
    pub(super) fn of(snapshot: &Snapshot, from: SubnetIx, to: Ipv4Network) -> Self {
        Self::by_table(snapshot, from, snapshot.subnet(from).route_table, to)
    }

    /// Follows the route tables as if the first subnet used `table`.
    pub(super) fn by_table(
        snapshot: &Snapshot,
        from: SubnetIx,
        table: RouteTableIx,
        to: Ipv4Network,
    ) -> Self {
        let first = Chain::by_table(snapshot, from, table, to);
        let behind = match first.end {
            ChainEnd::Route(_, Next::NatGateway(ix)) => Some(ix),
            ChainEnd::Route(..) | ChainEnd::Inside | ChainEnd::Nowhere(_) => None,
        };
        let behind =
            behind.map(|ix| (ix, Chain::of(snapshot, snapshot.nat_gateway(ix).subnet, to)));
        Self { first, behind }
    }

    pub(super) fn last(&self) -> &Chain {
        self.behind.as_ref().map_or(&self.first, |(_, chain)| chain)
    }

    /// Returns the NAT gateway between the chains.
    pub(super) fn nat_gateway(&self) -> Option<NatGatewayIx> {
        self.behind.as_ref().map(|(ix, _)| *ix)
    }

    pub(super) fn exit(&self, snapshot: &Snapshot) -> Exit {
        exit(snapshot, self.last(), self.nat_gateway())
    }
}

/// Returns the exit of a chain's packets from its last subnet. The chain may begin behind a NAT
/// gateway.
pub(super) fn exit(snapshot: &Snapshot, chain: &Chain, behind: Option<NatGatewayIx>) -> Exit {
    let at = chain.last();
    let vpc = snapshot.subnet(at).vpc;
    match (chain.end, behind) {
        (ChainEnd::Inside | ChainEnd::Route(_, Next::Local), _) => Exit::To(Link::Vpc(vpc)),
        (ChainEnd::Route(_, Next::InternetGateway), _) => Exit::To(Link::Internet),
        (ChainEnd::Route(_, Next::GatewayEndpoint(ix)), _) => Exit::To(Link::Endpoint(ix)),
        (ChainEnd::Route(_, Next::Peering(ix)), _) => {
            Exit::Peer(ix, snapshot.peering(ix).peer_of(vpc))
        }
        // No packet passes two NAT gateways.
        (ChainEnd::Route(route, Next::NatGateway(_)), Some(ix)) => {
            Exit::Nowhere(DeadEnd::NatToNat(ix, route))
        }
        (ChainEnd::Route(_, Next::NatGateway(ix)), None) => Exit::Nowhere(DeadEnd::NatAddress(ix)),
        (ChainEnd::Nowhere(nowhere), _) => {
            let own = behind.filter(|_| chain.middleboxes().next().is_none());
            Exit::Nowhere(nowhere.dead_end(at, own))
        }
    }
}
