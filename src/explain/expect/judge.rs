//! Decides whether an answer meets an expectation.

use super::known;
use super::resolve::{By, Resolved};
use super::seen::{of_blocks, seen};
use crate::config::{At, Expected};
use crate::explain::Explained;
use crate::explain::coverage::{addresses, joined};
use crate::explain::explained::NAME_NOT_RESOLVED;
use crate::explain::names::{self, DecidedBy};
use crate::pipeline::reach::{Class, SetVerdict};
use crate::vpc::Snapshot;
use ipnetwork::Ipv4Network;

/// The number of addresses that a message lists.
const SHOWN: usize = 3;

/// The difference between an answer and the expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Miss {
    pub(super) message: String,
    /// The position of a class that shows it.
    pub(super) class: usize,
}

/// Compares an answer with an expectation; `None` if it is met. `pool` has the tasks' own
/// addresses.
pub(super) fn judge(of: &Resolved<'_>, answer: &Explained, pool: Ipv4Network) -> Option<Miss> {
    let is = of.expectation.is;
    match (is, answer.verdict()) {
        (Expected::Reachable, SetVerdict::Forward) | (Expected::Blocked, SetVerdict::Drop) => {
            if answer.classes().is_empty() {
                return unresolved(of);
            }
            let mut counted = answer.classes().iter().enumerate().filter(|(_, class)| class.counts);
            counted.find_map(|(at, class)| {
                let message = otherwise(of, class, pool, answer.snapshot())?;
                Some(Miss { message, class: at })
            })
        }
        (Expected::Reachable | Expected::Blocked, _) => {
            Some(Miss { message: answer.verdict_in_short(), class: 0 })
        }
    }
}

/// Judges the verdict on a name without an address, which has no classes.
fn unresolved(of: &Resolved<'_>) -> Option<Miss> {
    let is_met = of.by == Some(By::Reason(NAME_NOT_RESOLVED));
    (!is_met).then(|| Miss { message: format!("DROP {NAME_NOT_RESOLVED}"), class: 0 })
}

/// Describes a difference of a class other than the verdict.
fn otherwise(
    of: &Resolved<'_>,
    class: &Class,
    pool: Ipv4Network,
    snapshot: &Snapshot,
) -> Option<String> {
    let by = || of.by.and_then(|by| decided_otherwise(by, class, snapshot));
    let via = || misses(&of.expectation.via, class, snapshot);
    let seen_as = || seen_otherwise(&of.expectation.seen_as, class, pool, snapshot);
    by().or_else(via).or_else(seen_as)
}

fn decided_otherwise(by: By<'_>, class: &Class, snapshot: &Snapshot) -> Option<String> {
    let reason = class.denial.map(|denial| denial.reason.name());
    let rule = class.denial.map(|denial| denial.decided_by).or(class.admitted_by);
    let decided = rule.map(|rule| names::decided_by(rule, snapshot));
    let is_met = match by {
        By::Reason(name) => reason == Some(name),
        By::Object(id) => decided.as_ref().is_some_and(|decided| is_of(decided, id)),
    };
    if is_met {
        return None;
    }
    let verdict = reason.map_or_else(|| "FORWARD".to_owned(), |reason| format!("DROP {reason}"));
    let expected = match by {
        By::Reason(name) | By::Object(name) => name,
    };
    Some(match decided {
        Some(decided) => format!("{verdict} by {decided}, not by {expected}"),
        None => format!("{verdict}, not by {expected}"),
    })
}

/// Decides whether an object decided, alone or with others.
fn is_of(decided: &DecidedBy, id: &str) -> bool {
    decided.id == id || decided.id.split(',').any(|one| one == id)
}

/// Describes that some packets of a class pass none of these objects.
fn misses(via: &[At<String>], class: &Class, snapshot: &Snapshot) -> Option<String> {
    let is_met = via.is_empty() || via.iter().any(|id| known::is_on_path(class, id, snapshot));
    let ids = || via.iter().map(|id| id.value.clone()).collect::<Vec<_>>().join(" or ");
    (!is_met).then(|| format!("FORWARD, but not via {}", ids()))
}

fn seen_otherwise(
    expected: &[Ipv4Network],
    class: &Class,
    pool: Ipv4Network,
    snapshot: &Snapshot,
) -> Option<String> {
    if expected.is_empty() {
        return None;
    }
    let others = seen(class, pool, snapshot).difference(&of_blocks(expected));
    let shown = || format!("FORWARD, but seen as {}", joined(&addresses(&others), SHOWN));
    (!others.is_empty()).then(shown)
}
