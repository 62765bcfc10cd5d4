//! Tasks whose link is not as the lab made it, for `egret ps` and `egret explain`.

use super::layout::paragraph;
use super::rows::PsRow;
use serde::Serialize;
use std::io::{self, Write};

/// A task whose link is not as the lab made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenTask {
    /// The task, as SERVICE/N.
    pub task: String,
    /// The differences.
    pub faults: Vec<String>,
    /// The commands that repair it.
    pub way_out: String,
}

impl BrokenTask {
    /// Returns the broken task of a row, if it is one.
    fn of(row: &PsRow) -> Option<Self> {
        let task = format!("{}/{}", row.service, row.task);
        let way_out = row.way_out.clone()?;
        Some(Self { task, faults: row.faults.clone(), way_out })
    }

    /// Returns a sentence about the faults and their repair.
    pub(super) fn said(&self) -> String {
        format!("{} is broken: {}; {}", self.task, self.faults.join("; "), self.way_out)
    }
}

/// Writes a paragraph for each task that is broken, after an empty line.
///
/// # Errors
/// Those of `w`.
pub fn print_broken(w: &mut dyn Write, rows: &[PsRow]) -> io::Result<()> {
    let mut broken = rows.iter().filter_map(BrokenTask::of).peekable();
    if broken.peek().is_some() {
        writeln!(w)?;
    }
    broken.try_for_each(|task| paragraph(w, ("", 4), &task.said()))
}
