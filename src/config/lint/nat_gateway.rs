//! Reports NAT gateways that do not reach their destinations, and routes to such gateways (spec 6).

use super::context::Context;
use super::dead_route::{is_private_destination, private_destination, to_nothing};
use crate::config::address::contains;
use crate::config::spec::{NatGateway, Route, Subnet};
use crate::config::text::is_private_block;
use crate::vpc::path::{self, DeadEnd, Lead, Link};
use crate::vpc::{Connectivity, Destination, NatGatewayState, RuleRef, Snapshot, Target};

/// The reason why a NAT gateway has no way out, and how to fix it.
type Finding = (String, &'static str);

/// Reports a NAT gateway that carries no packet, or a public one that leads none to the internet.
pub(super) fn check(context: &Context<'_>, gateway: &NatGateway) {
    let Some((message, help)) = finding(context, gateway) else { return };
    context.report.warning(
        gateway.id.span,
        "nat-gateway-without-way-out",
        format!("NAT gateway {:?} cannot send packets on: {message}", gateway.id.value),
        help,
    );
}

fn finding(context: &Context<'_>, gateway: &NatGateway) -> Option<Finding> {
    match (gateway.state, gateway.connectivity) {
        (NatGatewayState::Available, Connectivity::Private) => None,
        (NatGatewayState::Available, Connectivity::Public) => {
            without_way_out(context, gateway, context.spec.subnet(&gateway.subnet)?)
        }
        (
            NatGatewayState::Pending
            | NatGatewayState::Failed
            | NatGatewayState::Deleting
            | NatGatewayState::Deleted,
            _,
        ) => Some((
            format!("its state is {}", gateway.state.as_str()),
            "it carries packets only in the state \"available\"",
        )),
    }
}

/// Returns the reason why a subnet is not suitable for a public NAT gateway, and how to fix it.
fn without_way_out(
    context: &Context<'_>,
    gateway: &NatGateway,
    subnet: &Subnet,
) -> Option<Finding> {
    let (id, vpc) = (&subnet.id.value, context.spec.vpc(&subnet.vpc)?);
    if vpc.internet_gateway.is_none() {
        let help = "add internet_gateway to the VPC, and a route to it to the NAT gateway's subnet";
        let message =
            format!("Gateway.NotAttached: VPC {:?} has no internet gateway", vpc.id.value);
        return Some((message, help));
    }
    let help = "put the NAT gateway into a public subnet";
    let leads = path::leads_beyond(context.snapshot, context.nat_gateway(&gateway.id)?);
    if let Some((destination, other)) = to_nat_gateway(context.snapshot, &leads) {
        let message = format!("its subnet {id:?} leads {destination} to NAT gateway {other:?}");
        return Some((message, help));
    }
    let without_route = !leads.iter().any(|lead| lead.end == Ok(Link::Internet));
    without_route.then(|| (format!("subnet {id:?} has no route to an internet gateway"), help))
}

/// Returns the first route out of the VPC that leads to a NAT gateway behind another.
fn to_nat_gateway<'s>(snapshot: &'s Snapshot, leads: &[Lead]) -> Option<(String, &'s str)> {
    let leads_out = |lead: &Lead| {
        let vpc = snapshot.vpc(snapshot.subnet(lead.from).vpc);
        !vpc.cidrs.iter().any(|block| contains(*block, lead.to))
    };
    let route = |lead: &Lead| {
        let Err(DeadEnd::NatToNat(_, RuleRef::Route(table, position))) = lead.end else {
            return None;
        };
        leads_out(lead).then_some((table, position))
    };
    let (table, position) = leads.iter().filter_map(route).min()?;
    let route = snapshot.route_table(table).routes.get(usize::from(position))?;
    let Target::NatGateway(ix) = route.target else { return None };
    let destination = match route.destination {
        Destination::Cidr(network) => network.to_string(),
        Destination::PrefixList(list) => snapshot.prefix_list(list).id.clone(),
    };
    Some((destination, &snapshot.nat_gateway(ix).id))
}

/// Reports a route to a NAT gateway of which every packet is dropped.
pub(super) fn dead_route(context: &Context<'_>, route: &Route, leads: &[Lead], id: &str) {
    let Some(gateway) = context.spec.nat_gateway(id) else { return };
    if gateway.state != NatGatewayState::Available {
        let why = format!("NAT gateway {id:?} is {}", gateway.state.as_str());
        return to_nothing(route, &why, context.report);
    }
    if leads.is_empty() || leads.iter().any(|lead| gets_through(gateway, lead)) {
        return;
    }
    let meets_internet_gateway = leads.iter().any(|lead| lead.end == Ok(Link::Internet));
    let unrouted =
        |lead: &Lead| matches!(lead.end, Err(DeadEnd::NatNoRoute(_) | DeadEnd::NatBlackhole(..)));
    if gateway.connectivity == Connectivity::Private
        && (meets_internet_gateway || leads.iter().any(unrouted))
    {
        let why = format!(
            "private NAT gateway {id:?} has no public address, so no internet gateway lets its packets out, and its \
             own subnet leads nowhere else"
        );
        to_nothing(route, &why, context.report);
    } else if meets_internet_gateway && is_private_destination(context.spec, route) {
        private_destination(context.spec, route, context.report);
    } else if finding(context, gateway).is_none() {
        let to_another = |lead: &Lead| matches!(lead.end, Err(DeadEnd::NatToNat(..)));
        let why = if leads.iter().all(to_another) {
            format!("behind NAT gateway {id:?} a route leads to a NAT gateway again")
        } else {
            format!("behind NAT gateway {id:?} no working route leads there")
        };
        to_nothing(route, &why, context.report);
    }
}

/// Decides whether packets that a NAT gateway sends pass to the end of their lead: an internet
/// gateway lets them out only with a public address, and to one.
fn gets_through(gateway: &NatGateway, lead: &Lead) -> bool {
    match lead.end {
        Ok(Link::Internet | Link::PublicEndpoint(_)) => {
            gateway.connectivity == Connectivity::Public && !is_private_block(lead.to)
        }
        Ok(Link::Vpc(_) | Link::Endpoint(_) | Link::Task(_) | Link::Services) => true,
        Err(_) => false,
    }
}
