//! Finds doubtful settings in a lab: by its file, and by the verdicts on packets.

mod cause;
mod endpoint_partly_allowed;
mod no_internet_route;
mod nothing_leaves;
mod place;
mod pmtu_blocked;
mod reasons;
mod reply_ports_incomplete;
mod rule_splits_subnet;
mod split;
mod subnets_differ;
mod view;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod testing;

use self::split::Split;
use self::view::Subject;
use crate::config::{Diagnostic, Lab, LabFinding, Severity};
use crate::vpc::{Generation, Snapshot};

/// Returns settings that are valid and probably not intended, by line.
pub fn check(lab: &Lab) -> Vec<Diagnostic> {
    check_saying(lab, &mut |_| {})
}

/// Checks a lab; `says` is called repeatedly with the name of the connector whose packets are
/// judged.
pub fn check_saying(lab: &Lab, says: &mut dyn FnMut(&str)) -> Vec<Diagnostic> {
    let mut found = lab.lint();
    found.extend(lab.located(of_packets(lab, &lab.lower(Generation::default()), says)));
    found.sort_by_key(|finding| (finding.line, finding.column));
    found
}

/// The findings of a check in a lab that the lab before does not have.
#[derive(Clone, Debug, Default)]
pub struct Since {
    /// The findings, by line.
    pub new: Vec<Diagnostic>,
    /// The number of warnings that both have.
    pub old_warnings: usize,
}

/// Returns the findings in a lab that were not in the one before, wherever they are in the file.
pub fn check_since(lab: &Lab, before: &Lab) -> Since {
    since(check(before), check(lab))
}

/// Separates new findings from those that were known before.
pub fn since(mut known: Vec<Diagnostic>, found: Vec<Diagnostic>) -> Since {
    let is_known = |finding: &Diagnostic| {
        let same = |old: &Diagnostic| old.rule == finding.rule && old.message == finding.message;
        // Of several equal findings, as many are known as there were before.
        known.iter().position(same).map(|at| known.swap_remove(at)).is_some()
    };
    let (old, new): (Vec<_>, Vec<_>) = found.into_iter().partition(is_known);
    let old_warnings = old.iter().filter(|finding| finding.severity == Severity::Warning).count();
    Since { new, old_warnings }
}

/// Lists the findings from the verdicts over sets of packets. Connectors with equal attachments
/// share one answer.
fn of_packets(lab: &Lab, snapshot: &Snapshot, says: &mut dyn FnMut(&str)) -> Vec<LabFinding> {
    let (mut found, mut losses) = (Vec::new(), Vec::new());
    for view in view::all(snapshot, &lab.spec, says) {
        let splits = split::splits(&view);
        losses.extend(reply_ports_incomplete::losses(&view, &lab.spec, &splits));
        for connector in view.connectors(&lab.spec) {
            let subject = Subject { spec: &lab.spec, connector, view: &view };
            found.extend(of_connector(&subject, &splits));
        }
    }
    found.extend(reply_ports_incomplete::findings(losses, &lab.spec, snapshot));
    found
}

fn of_connector(subject: &Subject<'_>, splits: &[Split<'_>]) -> Vec<LabFinding> {
    let mut found: Vec<LabFinding> = nothing_leaves::find(subject).into_iter().collect();
    if found.is_empty() {
        found.extend(no_internet_route::find(subject));
        found.extend(nothing_leaves::find_of_internet(subject));
    }
    found.extend(subnets_differ::find(subject));
    found.extend(rule_splits_subnet::find(subject, splits));
    found.extend(endpoint_partly_allowed::find(subject));
    found.extend(pmtu_blocked::find(subject));
    found
}
