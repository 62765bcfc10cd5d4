//! Checks conditions on two objects: containment, overlaps, one VPC for all, duplicates, sizes. The
//! reader has reported references that dangle; they are ignored here.

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

use super::diagnostic::{Report, Span};
use super::spec::Spec;

/// Reports a file that has no object of a lab, such as one that was cut short. A file with other
/// errors gets no such report.
pub(super) fn not_empty(spec: &Spec, report: &Report) {
    let Spec { vpcs, services, internet_hosts, expectations, apprunner, .. } = spec;
    let has_none = vpcs.is_empty() && services.is_empty() && internet_hosts.is_empty();
    if !has_none || apprunner.api.listen.is_some() || report.has_errors() {
        return;
    }
    let help = match expectations.is_empty() {
        true => "write at least one [[vpc]], [[service]] or [[internet_host]] section",
        false => {
            "these are expectations alone: give the lab with --config FILE, or write its [[vpc]] and other sections"
        }
    };
    let message = "the file is not a lab: it has no VPC, no service and no internet host";
    report.error(Span::default(), "empty-lab", message, help);
}

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
