//! Reports routes to peering connections that carry no packet, or no reply to a part of the
//! requests.

use super::context::Context;
use super::dead_route::to_nothing;
use crate::config::spec::{Peering, Route, RouteTable};
use crate::vpc::path::{self, DeadEnd, Lead, Link};
use crate::vpc::{PeeringIx, PeeringState, RuleRef, SubnetIx};
use ipnetwork::Ipv4Network;

/// Reports a route to a connection that is not active, that has no address behind it, or that no
/// reply comes back by.
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
    if let (Some(ix), Some(rule)) = (context.peering(id), context.route(table, route)) {
        let unanswered = unanswered(context, ix, rule, leads);
        if let Some(first) = unanswered.pairs.first() {
            no_route_back(context, (table, route), peering, (*first, &unanswered));
        }
    }
}

/// A subnet of the peer, and a network on this side to which it has no route back.
type Pair = (SubnetIx, Ipv4Network);

/// The subnets in which requests arrive and from which replies do not come back, by the network
/// that sent the requests.
struct Unanswered {
    pairs: Vec<Pair>,
    is_all: bool,
}

fn no_route_back(
    context: &Context<'_>,
    (table, route): (&RouteTable, &Route),
    peering: &Peering,
    ((subnet, network), unanswered): (Pair, &Unanswered),
) {
    let (ours, peer) = (&table.vpc.value, peering.other_than(&table.vpc));
    let id = &peering.id.value;
    let there = context.snapshot.subnet(subnet);
    let back = context.snapshot.route_table(there.route_table);
    let who = match (unanswered.is_all, unanswered.pairs.len()) {
        (true, _) => format!("no subnet there has a route back to {ours:?} by {id:?}"),
        (false, 1) => {
            format!("subnet {:?} of {peer:?} has no route back to {network} by {id:?}", there.id)
        }
        (false, more) => format!(
            "subnet {:?} of {peer:?} has no route back to {network} by {id:?}, and so in {} more cases",
            there.id,
            more - 1
        ),
    };
    let tables = match unanswered.is_all {
        true => format!("the route tables of {peer:?}"),
        false => format!("route table {:?}", back.id),
    };
    let block = match unanswered.is_all {
        true => format!("the CIDR block of {ours:?}"),
        false => network.to_string(),
    };
    context.report.warning(
        route.target.span,
        "no-route-back",
        format!("{who}: requests arrive, replies do not"),
        format!("add a route to {block} by {id:?} to {tables}"),
    );
}

/// Finds the subnets of the peer that the route leads to and that are not led back to the senders.
/// If nothing sends in the VPC yet, one subnet that is led back is enough.
fn unanswered(context: &Context<'_>, ix: PeeringIx, rule: RuleRef, leads: &[Lead]) -> Unanswered {
    let senders = senders(context, rule, leads);
    let there = answering(context, leads);
    let pairs = there.iter().flat_map(|from| senders.networks.iter().map(move |to| (*from, *to)));
    let is_led_back = |(from, to): &Pair| path::is_led_back(context.snapshot, *from, &[*to], ix);
    let (answered, mut pairs): (Vec<Pair>, Vec<Pair>) = pairs.partition(is_led_back);
    if !senders.are_there && !answered.is_empty() {
        pairs.clear();
    }
    Unanswered { pairs, is_all: answered.is_empty() }
}

/// Returns the subnets that the leads go to: those with interfaces, or all if none has any.
fn answering(context: &Context<'_>, leads: &[Lead]) -> Vec<SubnetIx> {
    let led_to = |vpc, cidr: Ipv4Network| {
        leads.iter().any(|lead| {
            let meets = lead.to.contains(cidr.network()) || cidr.contains(lead.to.network());
            lead.end == Ok(Link::Vpc(vpc)) && meets
        })
    };
    let subnets = (0..).map(SubnetIx).zip(&context.snapshot.parts().subnets);
    let all: Vec<SubnetIx> =
        subnets.filter(|(_, s)| led_to(s.vpc, s.cidr)).map(|(ix, _)| ix).collect();
    let resources = &context.snapshot.parts().resources;
    let replies = |subnet: &SubnetIx| resources.iter().any(|own| own.subnet == *subnet);
    let some: Vec<SubnetIx> = all.iter().copied().filter(replies).collect();
    if some.is_empty() { all } else { some }
}

/// The networks whose packets a route leads out of the VPC.
struct Senders {
    networks: Vec<Ipv4Network>,
    /// True if they are those of connectors and NAT gateways.
    are_there: bool,
}

/// Finds the networks whose packets the route leads out of the VPC: they come from an ENI, or from
/// the NAT gateway before it. If nothing sends yet, these are the networks of the subnets that the
/// route leads; if there is none, the VPC's own blocks.
fn senders(context: &Context<'_>, rule: RuleRef, leads: &[Lead]) -> Senders {
    let snapshot = context.snapshot;
    let parts = snapshot.parts();
    let has_sender = |subnet: &SubnetIx| {
        parts.connectors.iter().any(|connector| connector.subnets.contains(subnet))
            || parts.nat_gateways.iter().any(|gateway| gateway.subnet == *subnet)
    };
    let led: Vec<SubnetIx> = context.senders(rule).collect();
    let some: Vec<SubnetIx> = led.iter().copied().filter(has_sender).collect();
    let are_there = !some.is_empty();
    let subnets = if are_there { some } else { led };
    let mut networks: Vec<_> = subnets.iter().map(|ix| snapshot.subnet(*ix).cidr).collect();
    if networks.is_empty() {
        let vpc = leads.first().map(|lead| snapshot.subnet(lead.from).vpc);
        networks = vpc.map(|vpc| snapshot.vpc(vpc).cidrs.clone()).unwrap_or_default();
    }
    Senders { networks, are_there }
}
