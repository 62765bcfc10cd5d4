//! Reports routes through a middlebox that no packet gets through (spec 3.7).

use super::context::Context;
use super::dead_route::to_nothing;
use crate::config::spec::{Destination, Route, RouteTable, Spec, Subnet, Target};
use crate::vpc::path::{DeadEnd, Lead};

/// Reports a network interface whose source/dest check is on, a middlebox in a subnet that the
/// route itself is for, and a route whose packets go from middlebox to middlebox.
pub(super) fn check(context: &Context<'_>, table: &RouteTable, route: &Route, leads: &[Lead]) {
    let Context { spec, report, .. } = context;
    if let Target::NetworkInterface(id) = &route.target.value
        && spec.network_interface(id).is_some_and(|resource| resource.has_source_dest_check())
    {
        let why = format!(
            "the source/dest check of network interface {id:?} is on, as AWS has it by default: add \
             source_dest_check = false to its [[resource]]"
        );
        return to_nothing(route, &why, report);
    }
    let Some(subnet) = spec.subnet_of_middlebox(&route.target.value) else { return };
    if route.destination.value == Destination::Cidr(*subnet.cidr) {
        report.warning(
            route.target.span,
            "middlebox-in-destination-subnet",
            format!("the middlebox is in subnet {:?}, which this route is for", subnet.id.value),
            "AWS wants it in another subnet than the source and the destination",
        );
    }
    let looped = |lead: &Lead| matches!(lead.end, Err(DeadEnd::Loop(..) | DeadEnd::NatLoop(..)));
    if leads.is_empty() || !leads.iter().all(looped) {
        return;
    }
    if uses(spec, subnet, table) {
        report.warning(
            route.target.span,
            "middlebox-in-same-subnet",
            format!(
                "{:?} uses this table itself, so what the middlebox there sends on comes back to it and is dropped",
                subnet.id.value
            ),
            "put the middlebox into a subnet of its own, with a route table that leads on",
        );
    } else {
        let why = "its packets come back to a subnet that they have left, or pass more than eight middleboxes";
        to_nothing(route, why, report);
    }
}

fn uses(spec: &Spec, subnet: &Subnet, table: &RouteTable) -> bool {
    spec.route_table_of(subnet).is_some_and(|own| *own.id == *table.id)
}
