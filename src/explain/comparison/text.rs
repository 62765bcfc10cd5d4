//! A comparison for people: one table, and the services that are in one configuration only.

use super::super::reachability::{Cells, port_words, rule_in_full, rule_in_short};
use super::{ChangeRow, Comparison, SideOfChange};
use std::io::{self, Write};

impl Comparison {
    /// Writes the answer for people.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn text(&self, w: &mut dyn Write) -> io::Result<()> {
        match self.rows.as_slice() {
            [] => writeln!(w, "no packet has another verdict")?,
            rows => table(rows, false).write(w)?,
        }
        self.services(w)
    }

    /// Writes the answer for people, with every item of a list and every rule in full.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn wide_text(&self, w: &mut dyn Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return self.text(w);
        }
        table(&self.rows, true).write_wide(w)?;
        self.services(w)
    }

    fn services(&self, w: &mut dyn Write) -> io::Result<()> {
        for (place, services) in
            [("before", &self.services_only_before), ("after", &self.services_only_after)]
        {
            for service in services {
                writeln!(
                    w,
                    "service {service} is there only {place}: its packets are not compared"
                )?;
            }
        }
        Ok(())
    }
}

fn table(rows: &[ChangeRow], wide: bool) -> Cells {
    let headings = ["SERVICE", "CHANGE", "DESTINATIONS", "PORTS", "FROM", "BEFORE", "AFTER"];
    let row = |row: &ChangeRow| {
        vec![
            row.services.clone(),
            vec![row.change.to_owned()],
            row.names.clone(),
            port_words(&row.shown_ports),
            row.from.clone(),
            vec![side(&row.before, wide)],
            vec![side(&row.after, wide)],
        ]
    };
    Cells::new(&headings, &rows.iter().map(row).collect::<Vec<_>>())
}

/// Shows a verdict by its rule; in a wide table with the reason.
fn side(side: &SideOfChange, wide: bool) -> String {
    let in_words = if wide { rule_in_full } else { rule_in_short };
    let rule = side.decided_by.as_ref().map_or_else(|| side.verdict.to_owned(), in_words);
    match side.reason {
        Some(reason) if wide => format!("drop {reason}: {rule}"),
        Some(_) => format!("drop: {rule}"),
        None => rule,
    }
}
