//! What came of expectations, for people: a line for each, and the explanation of those that fail.

use super::tested::{Failure, Tested};
use crate::explain::class_table::{self, MOST_ROWS};
use crate::explain::evidence::named_steps;
use crate::explain::explained::evidence_of;
use crate::explain::names::{self, Places};
use crate::explain::paint::{Paint, Style};
use crate::explain::text::steps;
use crate::pipeline::reach::SetVerdict;
use std::io::{self, Write};

/// The number of failures of one expectation that are listed.
const MOST_FAILURES: usize = 5;

const INDENT: &str = "      ";

impl Tested<'_> {
    /// Writes a line, and below it the explanation if the expectation fails. `places` names lines of the lab file.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn text(&self, w: &mut dyn Write, places: Places<'_>, color: bool) -> io::Result<()> {
        let paint = Paint(color);
        let place = self.place();
        if self.holds() {
            return writeln!(w, "{}    {place}  {self}", paint.with(Style::Good, "ok"));
        }
        writeln!(w, "{}  {place}  {self}", paint.with(Style::Bad, "FAIL"))?;
        if let Some(note) = self.note() {
            writeln!(w, "{INDENT}{} {note}", paint.with(Style::Note, "note:"))?;
        }
        self.explanation(w, places, paint)
    }

    /// Returns the explanation of what fails, without the line before it.
    pub(super) fn explained(&self, places: Places<'_>) -> io::Result<String> {
        let mut text = Vec::new();
        self.explanation(&mut text, places, Paint(false))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn explanation(&self, w: &mut dyn Write, places: Places<'_>, paint: Paint) -> io::Result<()> {
        for (at, failure) in self.failures.iter().take(MOST_FAILURES).enumerate() {
            writeln!(w, "{INDENT}{}", failure.line())?;
            if at == 0 {
                failure.details(w, places, paint)?;
            }
        }
        match self.failures.len().saturating_sub(MOST_FAILURES) {
            0 => Ok(()),
            more => writeln!(w, "{INDENT}and {more} more: --json lists all"),
        }
    }
}

impl Failure {
    /// Says in one line what is different.
    pub(super) fn line(&self) -> String {
        format!("{} -> {}: {}", self.service, self.destination, self.message)
    }

    /// Writes the classes if some packets pass, else the stages of one packet and who decided.
    fn details(&self, w: &mut dyn Write, places: Places<'_>, paint: Paint) -> io::Result<()> {
        let mut text = Vec::new();
        match self.explained.verdict() {
            SetVerdict::Mixed => self.classes(&mut text)?,
            SetVerdict::Forward | SetVerdict::Drop => self.stages(&mut text, places, paint)?,
        }
        for line in String::from_utf8_lossy(&text).lines() {
            writeln!(w, "{}", format!("{INDENT}{line}").trim_end())?;
        }
        Ok(())
    }

    fn classes(&self, w: &mut dyn Write) -> io::Result<()> {
        let beyond = self.explained.classes().len().saturating_sub(MOST_ROWS);
        class_table::write(w, &self.explained.listings(), INDENT.len(), beyond)
    }

    fn stages(&self, w: &mut dyn Write, places: Places<'_>, paint: Paint) -> io::Result<()> {
        let snapshot = self.explained.snapshot();
        let Some(class) = self.explained.classes().get(self.class) else {
            return writeln!(w, "{}", self.explained.unresolved_explanation().sentence);
        };
        let evidence = evidence_of(class);
        steps(w, &evidence, snapshot, &named_steps(&evidence, snapshot), places, paint)?;
        let Some(denial) = evidence.denial else { return Ok(()) };
        let decided_by = names::decided_by(denial.decided_by, snapshot);
        match decided_by.shown_place(places) {
            Some(place) => writeln!(w, "decided by {decided_by} ({place})"),
            None => writeln!(w, "decided by {decided_by}"),
        }
    }
}

/// Counts what holds and what fails.
pub fn summary(held: usize, failed: usize) -> String {
    let all = held + failed;
    let expectations = if all == 1 { "1 expectation" } else { &format!("{all} expectations") };
    match (held, failed) {
        (1, 0) => format!("{expectations}: it holds"),
        (_, 0) => format!("{expectations}: all hold"),
        (held, failed) => {
            let hold = if held == 1 { "holds" } else { "hold" };
            let fail = if failed == 1 { "fails" } else { "fail" };
            format!("{expectations}: {held} {hold}, {failed} {fail}")
        }
    }
}
