//! The connector's ENI, and its many-to-one source translation (spec 2.1).

use crate::packet::Tuple;
use crate::pipeline::evaluation::{Evaluation, Transit};
use crate::pipeline::leases::Grant;
use crate::pipeline::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, Step};
use crate::vpc::security_group::Remote;
use crate::vpc::{EniIx, RuleRef};

/// Records that the packet enters the ENI to which the task is attached.
pub(in crate::pipeline) fn attach<R: Recorder>(evaluation: &mut Evaluation<'_, R>, ix: EniIx) {
    evaluation.record(Step {
        stage: Stage::Connector,
        component: Component::Eni(ix),
        rule: Some(RuleRef::Eni(ix)),
        outcome: Outcome::Pass,
        detail: Detail::Attached { subnet: evaluation.snapshot.eni(ix).subnet },
    });
}

/// Translates the source to the ENI's address and one of its ports: a drawn one at a Hyperplane
/// ENI, the task's at a task's own ENI.
pub(in crate::pipeline) fn translate<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &mut Transit,
    ix: EniIx,
) -> Result<Grant, Denial> {
    let (component, rule) = (Component::Eni(ix), RuleRef::Eni(ix));
    let (snapshot, inside) = (evaluation.snapshot, evaluation.probe.inside);
    let Ok(grant) = evaluation.leases.eni(snapshot, ix, inside) else {
        return Err(evaluation.deny(component, Reason::EniPortsExhausted, rule));
    };
    let member = snapshot.eni(ix).address;
    let (address, port) = (evaluation.leases.eni_address(member), grant.port());
    let after = Tuple { src: address, sport: port, ..transit.tuple };
    evaluation.translated(Stage::PortLease, component, rule, (transit.tuple, after));
    transit.tuple = after;
    transit.eni = Some((Remote { address, member, behind_middlebox: false }, port));
    transit.member = member;
    transit.public = snapshot.eni(ix).public_address();
    Ok(grant)
}
