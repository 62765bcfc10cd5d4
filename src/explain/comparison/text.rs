//! Writes a comparison for people: a table of packets, one of names, and the services that only one
//! configuration has.

use super::super::reachability::{Cells, port_words, rule_in_full, rule_in_short};
use super::{ChangeRow, Comparison, NameRow, Resolved, SideOfChange};
use std::io::{self, Write};

/// The most rows of names that are shown, except in a wide table.
const MOST_NAMES: usize = 20;

/// The kind of the decider for addresses that AWS serves itself.
const EXEMPT: &str = "exempt-address";

impl Comparison {
    /// Writes the answer for people.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn text(&self, w: &mut dyn Write) -> io::Result<()> {
        match self.rows.as_slice() {
            [] => unchanged(w)?,
            rows => table(rows, false).write(w)?,
        }
        let shown = &self.names[..self.names.len().min(MOST_NAMES)];
        if !shown.is_empty() {
            writeln!(w)?;
            names(shown, false).write(w)?;
        }
        match self.names.len() - shown.len() {
            0 => {}
            others => writeln!(w, "{others} more rows of names: -o wide lists all")?,
        }
        self.services(w)
    }

    /// Writes the answer for people, with every item of a list and every rule in full.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn wide_text(&self, w: &mut dyn Write) -> io::Result<()> {
        match self.rows.as_slice() {
            [] => unchanged(w)?,
            rows => table(rows, true).write_wide(w)?,
        }
        if !self.names.is_empty() {
            writeln!(w)?;
            names(&self.names, true).write_wide(w)?;
        }
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

fn unchanged(w: &mut dyn Write) -> io::Result<()> {
    writeln!(w, "no packet has another verdict")
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

/// Returns a verdict by its rule; in a wide table with the reason. If no rule can be changed,
/// returns the reason, which says more.
fn side(side: &SideOfChange, wide: bool) -> String {
    let is_exempt = side.decided_by.as_ref().is_some_and(|rule| rule.kind == EXEMPT);
    let in_words = if wide { rule_in_full } else { rule_in_short };
    let rule = side.decided_by.as_ref().map_or_else(|| side.verdict.to_owned(), in_words);
    match side.reason {
        Some(reason) if wide => format!("drop {reason}: {rule}"),
        Some(reason) if is_exempt => format!("drop: {reason}"),
        Some(_) => format!("drop: {rule}"),
        None => rule,
    }
}

fn names(rows: &[NameRow], wide: bool) -> Cells {
    let row = |row: &NameRow| {
        vec![
            row.services.clone(),
            vec![row.change.to_owned()],
            row.names.clone(),
            resolved(&row.before, wide),
            resolved(&row.after, wide),
        ]
    };
    let headings = ["SERVICE", "CHANGE", "NAMES", "BEFORE", "AFTER"];
    Cells::new(&headings, &rows.iter().map(row).collect::<Vec<_>>())
}

/// Returns the addresses of a name; in a wide table with the reason if there are none.
fn resolved(side: &Resolved, wide: bool) -> Vec<String> {
    match side.reason {
        Some(reason) if wide => vec![format!("does not resolve: {reason}")],
        Some(_) => vec!["does not resolve".to_owned()],
        None => side.addresses.iter().map(ToString::to_string).collect(),
    }
}
