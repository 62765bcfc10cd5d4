//! A peering connection: to the other VPC, and not beyond it (spec 3.5, 6 "Who may use it", 7.1).

use crate::pipeline::evaluation::Evaluation;
use crate::pipeline::{Component, Denial, Outcome, Reason, Recorder, Stage};
use crate::vpc::{PeeringIx, RuleRef};

pub(in crate::pipeline) fn pass<R: Recorder>(evaluation: &mut Evaluation<'_, R>, ix: PeeringIx) {
    let (component, rule) = (Component::Peering(ix), RuleRef::Peering(ix));
    evaluation.step(Stage::Peering, component, Some(rule), Outcome::Pass);
}

/// Denies a packet to an address outside the peer VPC.
pub(in crate::pipeline) fn refuse<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    ix: PeeringIx,
) -> Denial {
    let (component, rule) = (Component::Peering(ix), RuleRef::Peering(ix));
    evaluation.deny(component, Reason::PeeringOutsideCidr, rule)
}
