//! The explanation for machines: one object whose keys and names are stable.

use super::evidence::explanation;
use crate::pipeline::Evidence;
use crate::vpc::Snapshot;
use std::io::{self, Write};

/// Writes the answer of `egret explain --json`: an [`Explanation`](super::Explanation) as one JSON object.
///
/// # Errors
/// Those of `w`.
pub fn explain_json(w: &mut dyn Write, evidence: &Evidence, snapshot: &Snapshot) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *w, &explanation(evidence, snapshot))?;
    writeln!(w)
}
