//! All that is doubtful in a lab: what stands in its file, and what becomes of packets.

use crate::config::{Diagnostic, Lab, LabFinding};
use crate::vpc::{Generation, Snapshot};

/// Returns what can be used and probably does not do what is wanted, by line.
pub fn check(lab: &Lab) -> Vec<Diagnostic> {
    let mut found = lab.lint();
    found.extend(lab.located(of_packets(lab, &lab.lower(Generation::default()))));
    found.sort_by_key(|finding| (finding.line, finding.column));
    found
}

/// Lists what the verdicts over sets of packets show.
fn of_packets(_lab: &Lab, _snapshot: &Snapshot) -> Vec<LabFinding> {
    Vec::new()
}
