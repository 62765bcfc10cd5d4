//! Routes to peering connections that carry nothing, or no reply.

use super::context::Context;
use super::dead_route::to_nothing;
use crate::config::spec::{Peering, Route, RouteTable};
use crate::vpc::path::{self, DeadEnd, Lead, Link};
use crate::vpc::{PeeringIx, PeeringState, RuleRef, SubnetIx};
use ipnetwork::Ipv4Network;

/// Reports a route to a connection that is not active, that has no address behind it, or that no reply comes back by.
pub(super) fn check(
    context: &Context<'_>,
    (table, route): (&RouteTable, &Route),
    leads: &[Lead],
    id: &str,
) {
    let Some(peering) = context.spec.peerings.iter().find(|p| *p.id == *id) else { return };
    if peering.state != PeeringState::Active {
        let why = format!("peering connection {id:?} is {}", peering.state.as_str());
        return to_nothing(route, &why, context.report);
    }
    let outside = |lead: &Lead| matches!(lead.end, Err(DeadEnd::OutsidePeer(_)));
    if !leads.is_empty() && leads.iter().all(outside) {
        let (to, peer) = (&route.destination.value, peering.other_than(&table.vpc));
        let why = format!("{to} is not in VPC {peer:?}, and a peering connection leads no further");
        return to_nothing(route, &why, context.report);
    }
    if let (Some(ix), Some(rule)) = (context.peering(id), context.route(table, route))
        && !is_answered(context, ix, rule, leads)
    {
        no_route_back(context, (table, route), peering);
    }
}

fn no_route_back(context: &Context<'_>, (table, route): (&RouteTable, &Route), peering: &Peering) {
    let (ours, peer) = (&table.vpc.value, peering.other_than(&table.vpc));
    let id = &peering.id.value;
    context.report.warning(
        route.target.span,
        "no-route-back",
        format!("no subnet there has a route back to {ours:?} by {id:?}: requests arrive, replies do not"),
        format!("add a route to the CIDR block of {ours:?} by {id:?} to the route tables of {peer:?}"),
    );
}

/// Decides whether any subnet of the peer that the route leads to is led back; true if there is no such subnet.
fn is_answered(context: &Context<'_>, ix: PeeringIx, rule: RuleRef, leads: &[Lead]) -> bool {
    let senders = senders(context, rule, leads);
    let there = answering(context, leads);
    let is_led_back = |from| path::is_led_back(context.snapshot, from, &senders, ix);
    there.is_empty() || there.into_iter().any(is_led_back)
}

/// Returns the subnets that the leads go to.
fn answering(context: &Context<'_>, leads: &[Lead]) -> Vec<SubnetIx> {
    let led_to = |vpc, cidr: Ipv4Network| {
        leads.iter().any(|lead| {
            let meets = lead.to.contains(cidr.network()) || cidr.contains(lead.to.network());
            lead.end == Ok(Link::Vpc(vpc)) && meets
        })
    };
    let subnets = (0..).map(SubnetIx).zip(&context.snapshot.parts().subnets);
    subnets.filter(|(_, s)| led_to(s.vpc, s.cidr)).map(|(ix, _)| ix).collect()
}

/// Returns the networks whose packets the route leads out of the VPC: they come from an ENI, or from the NAT gateway before
/// it. If no subnet is led by it, any address of the VPC could be.
fn senders(context: &Context<'_>, rule: RuleRef, leads: &[Lead]) -> Vec<Ipv4Network> {
    let snapshot = context.snapshot;
    let cidr = |subnet| snapshot.subnet(subnet).cidr;
    let senders: Vec<_> = context.senders(rule).map(cidr).collect();
    if !senders.is_empty() {
        return senders;
    }
    let vpc = leads.first().map(|lead| snapshot.subnet(lead.from).vpc);
    vpc.map(|vpc| snapshot.vpc(vpc).cidrs.clone()).unwrap_or_default()
}
