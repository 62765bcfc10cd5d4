//! Reports routes of which every packet is dropped, by AWS or by this version of egret.

use crate::config::diagnostic::Report;
use crate::config::spec::{Destination, Route, Spec};
use crate::config::text::is_private_block;
use ipnetwork::Ipv4Network;

/// Reports that a route carries no packet, and why.
pub(super) fn to_nothing(route: &Route, why: &str, report: &Report) {
    report.warning(
        route.target.span,
        "route-to-nothing",
        format!("this route drops every packet: {why}"),
        "point it to something that works, or remove it",
    );
}

/// Reports a route for private addresses: an internet gateway sends nothing to them (spec 3.6).
pub(super) fn private_destination(spec: &Spec, route: &Route, report: &Report) {
    if is_private_destination(spec, route) {
        let to = &route.destination.value;
        let why = format!("an internet gateway sends nothing to {to}, which is private");
        to_nothing(route, &why, report);
    }
}

/// Decides whether all destinations of a route are private addresses.
pub(super) fn is_private_destination(spec: &Spec, route: &Route) -> bool {
    let networks = networks(spec, route);
    !networks.is_empty() && networks.iter().all(|network| is_private_block(*network))
}

/// Returns the networks of a route's destination.
fn networks(spec: &Spec, route: &Route) -> Vec<Ipv4Network> {
    match &route.destination.value {
        Destination::Cidr(network) => vec![*network],
        Destination::PrefixList(id) => {
            let list = spec.prefix_lists.iter().find(|list| *list.id == *id);
            list.map(|list| list.entries.clone()).unwrap_or_default()
        }
    }
}
