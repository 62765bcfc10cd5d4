//! A chain of routes: from a subnet through middleboxes to a target that is not one, as the route
//! tables on it lead.

use super::hop::{DeadEnd, Middlebox};
use crate::vpc::{
    GatewayEndpointIx, NatGatewayIx, PeeringIx, RouteTableIx, RuleRef, Snapshot, SubnetIx, Target,
};
use ipnetwork::Ipv4Network;
use smallvec::SmallVec;

/// The most middleboxes in a row.
const MOST_MIDDLEBOXES: usize = 8;

/// A chain of routes.
#[derive(Debug)]
pub(super) struct Chain {
    from: SubnetIx,
    middleboxes: SmallVec<[Through; 2]>,
    pub(super) end: ChainEnd,
}

/// A middlebox on a chain, the subnet that it is in, and the route that leads to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Through {
    pub(super) middlebox: Middlebox,
    pub(super) subnet: SubnetIx,
    pub(super) route: RuleRef,
}

/// The end of a chain in its last subnet.
#[derive(Clone, Copy, Debug)]
pub(super) enum ChainEnd {
    /// The destination is in that subnet: no route is looked up there (spec 3.1).
    Inside,
    /// The route of that subnet's table, and its target.
    Route(RuleRef, Next),
    /// The table leads nowhere.
    Nowhere(Nowhere),
}

/// A target that ends a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Local,
    InternetGateway,
    NatGateway(NatGatewayIx),
    GatewayEndpoint(GatewayEndpointIx),
    Peering(PeeringIx),
}

/// The reason why a table leads nowhere.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nowhere {
    /// It has no route.
    NoRoute,
    /// The target does not exist any more.
    Blackhole(RuleRef),
    /// The route leads to a middlebox in a subnet that the chain has left before, or to one too
    /// many.
    Loop(RuleRef),
}

impl Nowhere {
    /// Names the dead end of a packet in a subnet, behind a NAT gateway or before any.
    pub(super) fn dead_end(self, at: SubnetIx, nat_gateway: Option<NatGatewayIx>) -> DeadEnd {
        match (self, nat_gateway) {
            (Self::NoRoute, None) => DeadEnd::NoRoute(at),
            (Self::NoRoute, Some(ix)) => DeadEnd::NatNoRoute(ix),
            (Self::Blackhole(route), None) => DeadEnd::Blackhole(at, route),
            (Self::Blackhole(route), Some(ix)) => DeadEnd::NatBlackhole(ix, route),
            (Self::Loop(route), None) => DeadEnd::Loop(at, route),
            (Self::Loop(route), Some(ix)) => DeadEnd::NatLoop(ix, route),
        }
    }
}

/// The meaning of a route's target for a chain.
pub(super) enum Follow {
    Through(Middlebox),
    To(Next),
    Missing,
}

impl Follow {
    pub(super) fn of(target: &Target) -> Self {
        match *target {
            Target::NetworkInterface(ix) => Self::Through(Middlebox::Appliance(ix)),
            Target::GatewayLoadBalancerEndpoint(ix) => Self::Through(Middlebox::Endpoint(ix)),
            Target::Local => Self::To(Next::Local),
            Target::InternetGateway => Self::To(Next::InternetGateway),
            Target::NatGateway(ix) => Self::To(Next::NatGateway(ix)),
            Target::GatewayEndpoint(ix) => Self::To(Next::GatewayEndpoint(ix)),
            Target::Peering(ix) => Self::To(Next::Peering(ix)),
            Target::Blackhole(_) => Self::Missing,
        }
    }
}

impl Chain {
    /// Follows the route tables. For a network, this is the chain of all its addresses except those
    /// in a longer prefix of the tables.
    pub(super) fn of(snapshot: &Snapshot, from: SubnetIx, to: Ipv4Network) -> Self {
        Self::by_table(snapshot, from, snapshot.subnet(from).route_table, to)
    }

    /// Follows the route tables as if the first subnet used `table`.
    pub(super) fn by_table(
        snapshot: &Snapshot,
        from: SubnetIx,
        mut table: RouteTableIx,
        to: Ipv4Network,
    ) -> Self {
        let end = ChainEnd::Nowhere(Nowhere::NoRoute);
        let mut chain = Self { from, middleboxes: SmallVec::new(), end };
        loop {
            let at = chain.last();
            if is_inside(snapshot, at, to) {
                chain.end = ChainEnd::Inside;
                return chain;
            }
            let Some((position, found)) = snapshot.route_table(table).lookup_network(to) else {
                return chain;
            };
            let route = RuleRef::Route(table, position);
            let middlebox = match Follow::of(&found.target) {
                Follow::Through(middlebox) => middlebox,
                Follow::To(next) => {
                    chain.end = ChainEnd::Route(route, next);
                    return chain;
                }
                Follow::Missing => {
                    chain.end = ChainEnd::Nowhere(Nowhere::Blackhole(route));
                    return chain;
                }
            };
            let through = Through { middlebox, subnet: middlebox.subnet(snapshot), route };
            if chain.has_asked(through.subnet) || chain.middleboxes.len() == MOST_MIDDLEBOXES {
                chain.end = ChainEnd::Nowhere(Nowhere::Loop(route));
                return chain;
            }
            chain.middleboxes.push(through);
            table = snapshot.subnet(through.subnet).route_table;
        }
    }

    pub(super) fn middleboxes(&self) -> impl DoubleEndedIterator<Item = Through> {
        self.middleboxes.iter().copied()
    }

    /// Decides whether a route to this target ends the chain.
    pub(super) fn ends_at(&self, target: Next) -> bool {
        matches!(self.end, ChainEnd::Route(_, next) if next == target)
    }

    /// Returns the route that leads out of the first subnet; `None` if none does.
    pub(super) fn first_route(&self) -> Option<RuleRef> {
        self.middleboxes().next().map_or_else(|| self.last_route(), |through| Some(through.route))
    }

    /// Returns the route that is found last: the one that ends the chain, or the last one before a
    /// table without a route.
    pub(super) fn last_route(&self) -> Option<RuleRef> {
        match self.end {
            ChainEnd::Route(route, _)
            | ChainEnd::Nowhere(Nowhere::Blackhole(route) | Nowhere::Loop(route)) => Some(route),
            ChainEnd::Inside | ChainEnd::Nowhere(Nowhere::NoRoute) => {
                self.middleboxes.last().map(|through| through.route)
            }
        }
    }

    /// Returns the last subnet whose table is looked up.
    pub(super) fn last(&self) -> SubnetIx {
        self.middleboxes.last().map_or(self.from, |through| through.subnet)
    }

    pub(super) fn passes(&self, middlebox: Middlebox) -> bool {
        self.middleboxes().any(|through| through.middlebox == middlebox)
    }

    fn has_asked(&self, subnet: SubnetIx) -> bool {
        self.from == subnet || self.middleboxes().any(|through| through.subnet == subnet)
    }
}

/// Decides whether a subnet contains all addresses of a network.
fn is_inside(snapshot: &Snapshot, subnet: SubnetIx, network: Ipv4Network) -> bool {
    has(snapshot.subnet(subnet).cidr, network)
}

/// Decides whether a network contains all addresses of another.
pub(super) fn has(outer: Ipv4Network, inner: Ipv4Network) -> bool {
    outer.contains(inner.network()) && outer.prefix() <= inner.prefix()
}
