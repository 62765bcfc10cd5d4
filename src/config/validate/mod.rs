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

use super::diagnostic::{At, Report};
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

/// Reports an object of one VPC that is used in another. A VPC that does not exist has been reported where it was named.
fn wrong_vpc(
    (spec, report): (&Spec, &Report),
    what: &str,
    id: &At<String>,
    theirs: &str,
    ours: &str,
) {
    if spec.vpc(theirs).is_none() || spec.vpc(ours).is_none() {
        return;
    }
    report.error(
        id.span,
        "wrong-vpc",
        format!("{what} {:?} is in VPC {theirs:?}, not in {ours:?}", id.value),
        format!("name a {what} of {ours:?}"),
    );
}
