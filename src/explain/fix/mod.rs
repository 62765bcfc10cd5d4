//! Proposes the exact lines to add or change in the lab file, if they are verified to help and to
//! break nothing.

mod candidates;
mod change;
mod endpoints;
mod failing;
mod groups;
mod ids;
mod losses;
mod network_acls;
mod new_endpoint;
mod rendered;
mod routes;
mod sections;
mod senders;
mod source;
mod terms;
mod verified;
mod words;

#[cfg(test)]
mod tests;

use crate::config::import::Source;
use crate::pipeline::Evidence;
use crate::pipeline::reach::{Class, Interrupted, Question};
use crate::vpc::Snapshot;
use candidates::candidates;
use failing::Failing;
pub use rendered::Fix;
use rendered::rendered;
pub(super) use rendered::{NEW_SECTIONS, SECTION};
pub use source::Form;
use verified::{Effect, Wanted};

/// The most changes that are tried.
const MOST_CHANGES: usize = 8;

/// The most small steps of all trials together: under 0.2 s in a large lab.
const MOST_STEPS: usize = 50_000;

/// The proposal for packets that are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proposal {
    /// A change that is verified.
    Change(Box<Fix>),
    /// No change, with the reason why the obvious ones are not proposed.
    Nothing(&'static str),
    /// A person must decide.
    Unknown,
}

impl Proposal {
    /// Writes the change in the words of the source from which the lab file is made.
    pub(super) fn write_for(&mut self, source: &Source, snapshot: &Snapshot) {
        if let Self::Change(fix) = self {
            fix.write_for(source, snapshot);
        }
    }

    /// Returns the change.
    pub(super) fn fix(&self) -> Option<&Fix> {
        match self {
            Self::Change(fix) => Some(fix),
            Self::Nothing(_) | Self::Unknown => None,
        }
    }
}

impl Fix {
    fn write_for(&mut self, source: &Source, snapshot: &Snapshot) {
        let change = self.change.as_ref();
        let Some((form, written)) = change.and_then(|one| source::written(one, snapshot, source))
        else {
            return;
        };
        match written {
            Ok(words) => {
                self.form = form;
                self.id = words.id;
                self.action = words.action;
                self.rule = words.text;
            }
            Err(why) => self.note = Some(format!("{why}; for the lab file, it is:")),
        }
    }
}

const TAKES: &str = "no change is proposed: those tried take packets from a service";
const FAILS: &str = "no change is proposed: those tried do not let all of these packets pass";
const IDLE: &str =
    "no change is proposed: nothing there takes these packets, whatever the rules allow";
const LARGE: &str = "no change is proposed: the lab is too large to verify one in short time";

/// Proposes the first change that removes the denial of a class's packets, and takes none from
/// others. `name` is that of the destination, if the question has one.
///
/// # Errors
/// [`Interrupted`] once `goes_on` is false.
pub(super) fn propose(
    snapshot: &Snapshot,
    question: &Question,
    (class, name): (&Class, Option<&str>),
    evidence: &Evidence,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Proposal, Interrupted> {
    let Some(failing) = Failing::class(class, evidence, snapshot, name) else {
        return Ok(Proposal::Unknown);
    };
    let wanted = Wanted { snapshot, question, class };
    let (mut steps, mut why) = (0, senders::why_none(&failing));
    for change in candidates(&failing).iter().take(MOST_CHANGES) {
        let mut is_wanted = true;
        let mut goes_on = || {
            steps += 1;
            is_wanted = goes_on();
            is_wanted && steps < MOST_STEPS
        };
        match wanted.effect(change, &mut goes_on) {
            Ok(Effect::Fixes(next)) => {
                let next = next.map(|denial| denial.reason.name());
                let fix = Fix { next, ..rendered(change, snapshot) };
                return Ok(Proposal::Change(Box::new(fix)));
            }
            Ok(Effect::Breaks) => why = Some(TAKES),
            Ok(Effect::Idle) => why = Some(IDLE),
            Ok(Effect::Fails) => why = why.or(Some(FAILS)),
            Err(Interrupted) if !is_wanted => return Err(Interrupted),
            Err(Interrupted) => return Ok(Proposal::Nothing(LARGE)),
        }
    }
    Ok(why.map_or(Proposal::Unknown, Proposal::Nothing))
}

/// Returns the change that is tried first for one packet. It is not verified: tests make up
/// evidence without a configuration.
#[cfg(test)]
pub(crate) fn first_candidate(evidence: &Evidence, snapshot: &Snapshot) -> Option<Fix> {
    let failing = Failing::packet(evidence, snapshot)?;
    candidates(&failing).first().map(|change| rendered(change, snapshot))
}
