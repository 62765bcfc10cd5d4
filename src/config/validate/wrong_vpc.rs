//! Reports an object of one VPC that is used in another.

use crate::config::diagnostic::{At, Report};
use crate::config::spec::Spec;

/// Reports an object of one VPC that is used in another. A VPC that does not exist has been
/// reported where it was named.
pub(super) fn wrong_vpc(
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
