//! All that is doubtful in a lab: what stands in its file, and what becomes of packets.

use crate::config::{Diagnostic, Lab, LabFinding, Severity};
use crate::vpc::{Generation, Snapshot};

/// Returns what can be used and probably does not do what is wanted, by line.
pub fn check(lab: &Lab) -> Vec<Diagnostic> {
    let mut found = lab.lint();
    found.extend(lab.located(of_packets(lab, &lab.lower(Generation::default()))));
    found.sort_by_key(|finding| (finding.line, finding.column));
    found
}

/// What a check finds in a lab and not in the one before.
#[derive(Clone, Debug, Default)]
pub struct Since {
    /// The findings, by line.
    pub new: Vec<Diagnostic>,
    /// How many warnings both have.
    pub old_warnings: usize,
}

/// Returns what is doubtful in a lab and was not in the one before, wherever in the file.
pub fn check_since(lab: &Lab, before: &Lab) -> Since {
    let mut known = check(before);
    let is_known = |finding: &Diagnostic| {
        let same = |old: &Diagnostic| old.rule == finding.rule && old.message == finding.message;
        // Of several alike, as many are known as there were.
        known.iter().position(same).map(|at| known.swap_remove(at)).is_some()
    };
    let (old, new): (Vec<_>, Vec<_>) = check(lab).into_iter().partition(is_known);
    let old_warnings = old.iter().filter(|finding| finding.severity == Severity::Warning).count();
    Since { new, old_warnings }
}

/// Lists what the verdicts over sets of packets show.
fn of_packets(_lab: &Lab, _snapshot: &Snapshot) -> Vec<LabFinding> {
    Vec::new()
}
