//! A comparison for people: one table, and the services that are in one configuration only.

use super::super::reachability::{Cells, port_words, rule_in_short};
use super::{ChangeRow, Comparison, SideOfChange};
use std::io::{self, Write};

impl Comparison {
    /// Writes the answer for people.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn text(&self, w: &mut dyn Write) -> io::Result<()> {
        if self.rows.is_empty() {
            writeln!(w, "no packet has another verdict")?;
        } else {
            table(&self.rows).write(w)?;
        }
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

fn table(rows: &[ChangeRow]) -> Cells {
    let headings = ["SERVICE", "CHANGE", "DESTINATIONS", "PORTS", "FROM", "BEFORE", "AFTER"];
    let row = |row: &ChangeRow| {
        vec![
            row.services.clone(),
            vec![row.change.to_owned()],
            row.names.clone(),
            port_words(&row.shown_ports),
            row.from.clone(),
            vec![side(&row.before)],
            vec![side(&row.after)],
        ]
    };
    Cells::new(&headings, &rows.iter().map(row).collect::<Vec<_>>())
}

/// Shows a verdict by its rule.
fn side(side: &SideOfChange) -> String {
    let rule = side.decided_by.as_ref().map_or_else(|| side.verdict.to_owned(), rule_in_short);
    if side.reason.is_some() { format!("drop: {rule}") } else { rule }
}
