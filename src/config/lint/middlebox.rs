//! Routes through a middlebox that nothing gets through (spec 3.7).

use super::dead_route::to_nothing;
use crate::config::diagnostic::Report;
use crate::config::spec::{Destination, Route, RouteTable, Spec, Subnet, Target};

/// A subnet, and the subnets of all middleboxes that its routes lead through.
pub(super) fn behind<'s>(spec: &'s Spec, subnet: &'s Subnet) -> Vec<&'s Subnet> {
    let mut found = vec![subnet];
    let mut asked = 0;
    while let Some(at) = found.get(asked).copied() {
        asked += 1;
        let routes = spec.route_table_of(at).into_iter().flat_map(|table| &table.routes);
        for next in routes.filter_map(|route| spec.subnet_of_middlebox(&route.target.value)) {
            if !found.iter().any(|known| *known.id == *next.id) {
                found.push(next);
            }
        }
    }
    found
}

/// A network interface whose check is on, and a middlebox in a subnet that the route itself is for.
pub(super) fn check(spec: &Spec, table: &RouteTable, route: &Route, report: &Report) {
    let target = &route.target.value;
    if let Target::NetworkInterface(id) = target
        && spec.network_interface(id).is_some_and(|resource| resource.has_source_dest_check())
    {
        let why = format!(
            "the source/dest check of network interface {id:?} is on, as AWS has it by default: add \
             source_dest_check = false to its [[resource]]"
        );
        return to_nothing(route, &why, report);
    }
    let Some(subnet) = spec.subnet_of_middlebox(target) else { return };
    if route.destination.value == Destination::Cidr(*subnet.cidr) {
        report.warning(
            route.target.span,
            "middlebox-in-destination-subnet",
            format!(
                "the middlebox stands in subnet {:?}, which this route is for",
                subnet.id.value
            ),
            "AWS wants it in another subnet than the source and the destination",
        );
    }
    let own = spec.route_table_of(subnet).is_some_and(|own| *own.id == *table.id);
    if own {
        report.warning(
            route.target.span,
            "middlebox-in-same-subnet",
            format!(
                "{:?} uses this table itself, so what the middlebox there sends on goes round and is dropped",
                subnet.id.value
            ),
            "put the middlebox into a subnet of its own, with a route table that leads on",
        );
    }
}
