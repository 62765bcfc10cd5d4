//! Middleboxes: what a route leads through instead of to. An appliance's network interface, and a Gateway Load Balancer
//! endpoint; either gives the packet back unchanged to its own subnet, whose route table leads on (spec 3.5, 3.7).
//!
//! egret runs no appliance. One whose source/dest check is off forwards everything that its groups let in and out,
//! translates nothing and takes nothing off the TTL; the fleet behind an endpoint passes everything.

use super::route_table::{self, Chosen};
use super::security_group::{self, Passing};
use super::walk::{Sender, Walk};
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, network_acl};
use crate::vpc::{
    GatewayEndpointIx, GatewayLoadBalancerEndpointIx, NatGatewayIx, PeeringIx, ResourceIx, RuleRef,
    Snapshot, SubnetIx, Target,
};
use ipnetwork::Ipv4Network;

/// The most middleboxes in a row.
pub(super) const MOST: usize = 8;

/// What a packet is routed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Middlebox {
    /// The network interface of an appliance.
    Appliance(ResourceIx),
    /// A Gateway Load Balancer endpoint.
    Endpoint(GatewayLoadBalancerEndpointIx),
}

impl Middlebox {
    fn subnet(self, snapshot: &Snapshot) -> SubnetIx {
        match self {
            Self::Appliance(ix) => snapshot.resource(ix).subnet,
            Self::Endpoint(ix) => snapshot.gateway_load_balancer_endpoint(ix).subnet,
        }
    }

    fn names(self) -> (Component, RuleRef) {
        match self {
            Self::Appliance(ix) => (Component::NetworkInterface(ix), RuleRef::NetworkInterface(ix)),
            Self::Endpoint(ix) => (
                Component::GatewayLoadBalancerEndpoint(ix),
                RuleRef::GatewayLoadBalancerEndpoint(ix),
            ),
        }
    }

    /// An interface with its check on takes nothing that is for another address.
    pub(super) fn check(self, snapshot: &Snapshot) -> Result<(), Denial> {
        let is_on = match self {
            Self::Appliance(ix) => {
                let interface = snapshot.resource(ix).network_interface.as_ref();
                interface.is_none_or(|interface| interface.source_dest_check)
            }
            Self::Endpoint(_) => false,
        };
        let (_, decided_by) = self.names();
        if is_on { Err(Denial { reason: Reason::SourceDestCheck, decided_by }) } else { Ok(()) }
    }

    /// In by its groups, past its check, and out by its groups again.
    pub(super) fn pass<R: Recorder>(
        self,
        walk: &mut Walk<'_, R>,
        passing: &Passing,
        stage: Stage,
    ) -> Result<(), Denial> {
        if let Self::Appliance(ix) = self {
            security_group::into_appliance(walk, passing, ix)?;
        }
        let (component, rule) = self.names();
        if let Err(Denial { reason, decided_by }) = self.check(walk.snapshot) {
            walk.step_with(stage, component, Some(decided_by), Outcome::Drop, Detail::None);
            return Err(Denial { reason, decided_by });
        }
        walk.step(stage, component, Some(rule), Outcome::Pass);
        if let Self::Appliance(ix) = self {
            security_group::out_of_appliance(walk, passing, ix)?;
        }
        Ok(())
    }
}

/// A middlebox on the way, and the route that leads there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) middlebox: Middlebox,
    pub(super) subnet: SubnetIx,
    pub(super) rule: RuleRef,
}

/// The way from a subnet to what is no middlebox, as the route tables on it lead.
#[derive(Debug)]
pub(super) struct Leg {
    from: SubnetIx,
    hops: [Option<Hop>; MOST],
    pub(super) end: End,
}

/// What is asked last on a leg.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// The last subnet has the destination: no route is asked there (spec 3.1).
    Inside,
    /// The route of the last subnet's table.
    Route(RuleRef, Onward),
    /// The last subnet's table leads nowhere.
    Nowhere(DeadEnd),
}

/// A target that ends a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onward {
    Local,
    InternetGateway,
    NatGateway(NatGatewayIx),
    GatewayEndpoint(GatewayEndpointIx),
    Peering(PeeringIx),
}

/// Why a table leads nowhere.
#[derive(Clone, Copy, Debug)]
pub(super) enum DeadEnd {
    /// It has no route.
    NoRoute,
    /// The target is gone.
    Blackhole(RuleRef),
    /// The route leads back to a middlebox of a subnet that has been asked already, or to one too many.
    Loop(RuleRef),
}

/// What a route says.
enum Next {
    Through(Middlebox),
    To(End),
}

impl Next {
    fn of(chosen: Chosen<'_>) -> Self {
        let to = |onward| Self::To(End::Route(chosen.rule, onward));
        match *chosen.target {
            Target::NetworkInterface(ix) => Self::Through(Middlebox::Appliance(ix)),
            Target::GatewayLoadBalancerEndpoint(ix) => Self::Through(Middlebox::Endpoint(ix)),
            Target::Local => to(Onward::Local),
            Target::InternetGateway => to(Onward::InternetGateway),
            Target::NatGateway(ix) => to(Onward::NatGateway(ix)),
            Target::GatewayEndpoint(ix) => to(Onward::GatewayEndpoint(ix)),
            Target::Peering(ix) => to(Onward::Peering(ix)),
            Target::Blackhole(_) => Self::To(End::Nowhere(DeadEnd::Blackhole(chosen.rule))),
        }
    }
}

impl Leg {
    /// For a network, the way of all its addresses that no longer prefix holds.
    pub(super) fn of(snapshot: &Snapshot, from: SubnetIx, to: Ipv4Network) -> Self {
        let mut leg = Self { from, hops: [None; MOST], end: End::Nowhere(DeadEnd::NoRoute) };
        loop {
            let at = leg.last();
            if is_inside(snapshot, at, to) {
                return Self { end: End::Inside, ..leg };
            }
            let Some(chosen) = route_table::lookup_network(snapshot, at, to) else { return leg };
            let middlebox = match Next::of(chosen) {
                Next::Through(middlebox) => middlebox,
                Next::To(end) => return Self { end, ..leg },
            };
            let hop = Hop { middlebox, subnet: middlebox.subnet(snapshot), rule: chosen.rule };
            if leg.has_asked(hop.subnet) || !leg.add(hop) {
                return Self { end: End::Nowhere(DeadEnd::Loop(chosen.rule)), ..leg };
            }
        }
    }

    /// Whether there was room.
    fn add(&mut self, hop: Hop) -> bool {
        let free = self.hops.iter_mut().find(|slot| slot.is_none());
        free.map(|slot| *slot = Some(hop)).is_some()
    }

    pub(super) fn hops(&self) -> impl Iterator<Item = Hop> {
        self.hops.iter().copied().flatten()
    }

    /// The subnet that is asked last.
    pub(super) fn last(&self) -> SubnetIx {
        self.hops().last().map_or(self.from, |hop| hop.subnet)
    }

    pub(super) fn passes(&self, middlebox: Middlebox) -> bool {
        self.hops().any(|hop| hop.middlebox == middlebox)
    }

    fn has_asked(&self, subnet: SubnetIx) -> bool {
        self.from == subnet || self.hops().any(|hop| hop.subnet == subnet)
    }
}

/// Whether a subnet has all addresses of a network.
fn is_inside(snapshot: &Snapshot, subnet: SubnetIx, network: Ipv4Network) -> bool {
    let cidr = snapshot.subnet(subnet).cidr;
    cidr.contains(network.network()) && cidr.prefix() <= network.prefix()
}

/// From the sender through the middleboxes of a leg: what comes out of the last one.
pub(super) fn travel<R: Recorder>(
    walk: &mut Walk<'_, R>,
    mut sender: Sender,
    leg: &Leg,
) -> Result<Sender, Denial> {
    for hop in leg.hops() {
        network_acl::leave(walk, sender.subnet)?;
        route_table::pass(walk, sender.subnet, hop.rule);
        network_acl::enter(walk, sender.tuple, hop.subnet)?;
        let passing = Passing::request(walk, &sender);
        hop.middlebox.pass(walk, &passing, Stage::Middlebox)?;
        sender = Sender { subnet: hop.subnet, behind_middlebox: true, ..sender };
    }
    Ok(sender)
}
