//! A route that drops every packet.

use crate::config::diagnostic::Report;
use crate::config::spec::Route;

/// Reports that a route carries nothing, and why.
pub(super) fn to_nothing(route: &Route, why: &str, report: &Report) {
    report.warning(
        route.target.span,
        "route-to-nothing",
        format!("this route drops every packet: {why}"),
        "point it to something that works, or remove it",
    );
}
