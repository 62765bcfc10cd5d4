//! What needs two objects at once: containment, overlaps, one VPC for all, duplicates, sizes. References that dangle have
//! been reported by the reader already and are passed over here.

mod addresses;
mod dns;
mod endpoints;
mod gateway_endpoints;
mod groups;
mod more_specific;
mod names;
mod networks;
mod peering;
mod routing;
mod wrong_vpc;

use super::diagnostic::Report;
use super::spec::Spec;

/// Reports everything that makes the lab impossible to lower.
pub(super) fn all(spec: &Spec, report: &Report) {
    networks::check(spec, report);
    routing::check(spec, report);
    peering::check(spec, report);
    gateway_endpoints::check(spec, report);
    addresses::check(spec, report);
    endpoints::check(spec, report);
    groups::check(spec, report);
    dns::check(spec, report);
    names::check(spec, report);
}
