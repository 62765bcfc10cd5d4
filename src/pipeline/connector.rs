//! The connector's ENI, and the many-to-one source translation at it (spec 2.1).

use super::port_lease::Grant;
use super::walk::{AtEni, Walk};
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage};
use crate::vpc::{EniIx, RuleRef};

/// Looks up the ENI that the task is attached to.
pub(super) fn attach<'a, R: Recorder>(walk: &mut Walk<'a, R>, ix: EniIx) -> AtEni<'a> {
    let eni = walk.snapshot.eni(ix);
    let at = AtEni {
        ix,
        eni,
        subnet: eni.subnet,
        vpc: walk.snapshot.subnet(eni.subnet).vpc,
        tuple: walk.probe.inside,
    };
    walk.step_with(
        Stage::Connector,
        Component::Eni(ix),
        Some(RuleRef::Eni(ix)),
        Outcome::Pass,
        Detail::Attached { subnet: eni.subnet },
    );
    at
}

/// Translates the source to the ENI's address and a port of its own: of a Hyperplane ENI a drawn one, of a task's ENI the
/// task's.
pub(super) fn translate<'a, R: Recorder>(
    walk: &mut Walk<'a, R>,
    at: AtEni<'a>,
) -> Result<(AtEni<'a>, Grant), Denial> {
    let Ok(grant) = walk.leases.eni(walk.snapshot, at.vpc, at.eni, &walk.probe) else {
        return Err(walk.deny(
            Component::Eni(at.ix),
            Reason::EniPortsExhausted,
            RuleRef::Eni(at.ix),
            Detail::None,
        ));
    };
    let after = walk.probe.from(at.eni.address, grant.port());
    walk.step_with(
        Stage::PortLease,
        Component::Eni(at.ix),
        Some(RuleRef::Eni(at.ix)),
        Outcome::Translate,
        Detail::Translated { before: at.tuple, after },
    );
    Ok((AtEni { tuple: after, ..at }, grant))
}
