//! Verifies a proposed change: in a copy of the configuration, the denial of the packets is
//! removed, and no service loses anything.

use super::change::Change;
use super::losses::Compared;
use crate::pipeline::reach::{
    self, Addresses, Answer, Answered, Class, Interrupted, Question, SetVerdict, Tasks,
};
use crate::pipeline::{Component, Denial, Evidence, Outcome, Reason, Stage};
use crate::vpc::{RuleRef, Snapshot};

/// The effect of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The packets pass, or are dropped for another reason further on their path.
    Fixes(Option<Denial>),
    /// Some of the packets are dropped as before.
    Fails,
    /// All of them get past the denial, and come to an address that accepts none.
    Idle,
    /// The packets pass, and others no longer do.
    Breaks,
}

/// Packets that fail: a class of the answer to a question.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) question: &'a Question,
    pub(super) class: &'a Class,
}

impl Wanted<'_> {
    /// Applies a change to a copy of the configuration, and asks again.
    pub(super) fn effect(
        &self,
        change: &Change,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Effect, Interrupted> {
        let after = change.applied(self.snapshot);
        let Some((asked, question)) = self.question_after(change, &after) else {
            return Ok(Effect::Fails);
        };
        let answer = reach::ask(&asked, &question, goes_on)?;
        let next = match self.remaining(change, (&asked, &answer)) {
            Remaining::None => None,
            Remaining::Further(denial) => Some(denial),
            Remaining::AtGate => return Ok(Effect::Fails),
            Remaining::Nowhere => return Ok(Effect::Idle),
        };
        let addresses = self.question.gateway_addresses;
        let compared = Compared { before: self.snapshot, after: &after, change, addresses };
        Ok(if compared.loses(goes_on)? { Effect::Breaks } else { Effect::Fixes(next) })
    }

    /// Returns the question about the packets of the class with a change. A connector that is moved
    /// is asked about in its new subnets, in which its ENIs have no addresses yet. With a new
    /// interface endpoint, the question's name leads there.
    fn question_after(&self, change: &Change, after: &Snapshot) -> Option<(Snapshot, Question)> {
        let Question { service, .. } = *self.question;
        let (snapshot, attachments) = match change.is_move() {
            true => reach::attachments(after, service, Tasks::Possible, Addresses::Open),
            false => {
                let asked = self.question.attachments.iter();
                let own = asked.filter(|asked| self.class.attachments.contains(&asked.attachment));
                (after.clone(), own.copied().collect())
            }
        };
        let destinations = match change.new_interface() {
            Some(endpoint) => endpoint.addresses(after)?,
            None => self.class.destinations.clone(),
        };
        let question = Question {
            attachments,
            destinations,
            ports: self.class.ports.clone(),
            ..self.question.clone()
        };
        Some((snapshot, question))
    }

    /// Returns the packets of the class that are dropped with the change.
    fn remaining(&self, change: &Change, (snapshot, answer): (&Snapshot, &Answer)) -> Remaining {
        let classes = vec![self.class.clone()];
        let own = Answer { verdict: SetVerdict::Drop, classes, walks: 0 };
        let renames = change.new_interface().is_some();
        let is_elsewhere = change.is_move() || renames;
        let dropped: Vec<&Class> = match is_elsewhere {
            true => answer.classes.iter().filter(|class| !class.passes()).collect(),
            false => {
                let before = Answered { snapshot: self.snapshot, answer: &own };
                let both = reach::dropped_by_both(before, Answered { snapshot, answer });
                both.iter().filter_map(|both| answer.classes.get(both.after.class)).collect()
            }
        };
        let Some(first) = dropped.first() else { return Remaining::None };
        let is_further = |class: &&Class| match renames {
            true => class.denial.is_some_and(|denial| is_of_own_groups(&denial)),
            false => self.is_further(&class.sample),
        };
        let is_nowhere =
            |class: &&Class| class.denial.is_some_and(|denial| takes_nothing(denial.reason));
        let passes = answer.classes.iter().any(Class::passes);
        match (dropped.iter().all(is_further), first.denial) {
            (true, Some(_)) if !passes && dropped.iter().all(is_nowhere) => Remaining::Nowhere,
            (true, Some(denial)) => Remaining::Further(denial),
            (false, _) | (true, None) => Remaining::AtGate,
        }
    }

    /// Decides whether a packet is dropped further on its path than the class is.
    fn is_further(&self, sample: &Evidence) -> bool {
        match (gate(&self.class.sample), gate(sample)) {
            (Some((at, own)), Some((further, other))) => further > at && own != other,
            (None, _) | (_, None) => false,
        }
    }
}

/// Decides whether the groups of the ENI drop a packet, because a later change may open them for
/// it.
fn is_of_own_groups(denial: &Denial) -> bool {
    matches!(denial.decided_by, RuleRef::EniSecurityGroups(..))
}

/// Decides whether a destination accepts no packets, so that no change lets any pass.
const fn takes_nothing(reason: Reason) -> bool {
    matches!(reason, Reason::NoInterface | Reason::EniAddress | Reason::NatAddress)
}

/// The packets that are dropped with a change.
enum Remaining {
    None,
    Further(Denial),
    Nowhere,
    AtGate,
}

/// Returns the stage and component that drop a packet, with their position on the path.
fn gate(evidence: &Evidence) -> Option<(usize, (Stage, Component))> {
    let position = evidence.steps.iter().rposition(|step| step.outcome == Outcome::Drop)?;
    let step = evidence.steps.get(position)?;
    Some((position, (step.stage, step.component)))
}
