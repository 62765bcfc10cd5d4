//! Checks the routes of a table, by target.

use super::context::Context;
use super::dead_route::{private_destination, to_nothing};
use super::{middlebox, nat_gateway, peering};
use crate::config::spec::{RouteTable, Target};

/// Reports the routes of a table that carry no packet, or no reply.
pub(super) fn check(context: &Context<'_>, table: &RouteTable) {
    for route in &table.routes {
        let rule = context.route(table, route);
        let leads = rule.map_or(&[][..], |rule| context.led_by(rule));
        match &route.target.value {
            Target::Local => {}
            Target::InternetGateway(_) => private_destination(context.spec, route, context.report),
            Target::NatGateway(id) => nat_gateway::dead_route(context, route, leads, id),
            Target::VpcEndpoint(_) | Target::NetworkInterface(_) => {
                middlebox::check(context, table, route, leads);
            }
            Target::Peering(id) => peering::check(context, (table, route), leads, id),
            Target::Blackhole(_) => {
                to_nothing(route, "its target no longer exists (blackhole)", context.report);
            }
        }
    }
}
