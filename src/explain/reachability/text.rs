//! Writes reachability for people: one table.

use super::super::class_table::percent;
use super::super::layout::paragraph;
use super::super::names::DecidedBy;
use super::known::port_words;
use super::rule::{rule_in_full, rule_in_short};
use super::table::Cells;
use super::{ReachRow, Reachability, ReacherRow};
use std::io::{self, Write};

/// The most rows for people, unless they ask for a wide table.
const MOST_ROWS: usize = 200;

impl Reachability {
    /// Writes the answer for people, with the first rows of a huge one.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn text(&self, w: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Rows { services, .. } | Self::To { services, .. } if services.is_empty() => {
                writeln!(w, "the lab has no services")
            }
            Self::Rows { services, drops, rows } if rows.is_empty() => {
                let nothing = if *drops { "nothing is dropped of" } else { "nothing passes of" };
                writeln!(w, "{nothing} what {} may send", services.join(", "))
            }
            Self::Rows { drops, rows, .. } => {
                of_rows(first(rows), *drops, false).write(w)?;
                rest(w, rows.len() - first(rows).len())
            }
            Self::To { rows, notes, .. } => {
                of_reachers(first(rows), false).write(w)?;
                rest(w, rows.len() - first(rows).len())?;
                write_notes(w, notes)
            }
        }
    }

    /// Writes the answer for people, with every row, every item of a list and every rule in full.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn wide_text(&self, w: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Rows { drops, rows, .. } if !rows.is_empty() => {
                of_rows(rows, *drops, true).write_wide(w)
            }
            Self::To { rows, notes, .. } if !rows.is_empty() => {
                of_reachers(rows, true).write_wide(w)?;
                write_notes(w, notes)
            }
            Self::Rows { .. } | Self::To { .. } => self.text(w),
        }
    }
}

fn write_notes(w: &mut dyn Write, notes: &[String]) -> io::Result<()> {
    notes.iter().try_for_each(|note| paragraph(w, ("note: ", "note: ".len()), note))
}

/// Returns the rows to show.
fn first<T>(rows: &[T]) -> &[T] {
    rows.get(..MOST_ROWS).unwrap_or(rows)
}

/// Writes the number of rows that are not shown.
fn rest(w: &mut dyn Write, rows: usize) -> io::Result<()> {
    match rows {
        0 => Ok(()),
        1 => writeln!(w, "and 1 row more: -o wide shows it"),
        rows => writeln!(w, "and {rows} rows more: -o wide shows them"),
    }
}

fn of_rows(rows: &[ReachRow], drops: bool, wide: bool) -> Cells {
    let headings = ["SERVICE", "DESTINATIONS", "PORTS", "VERDICT", "REASON", "DECIDED BY", "PATH"];
    let row = |row: &ReachRow| {
        let reasons = || row.reasons.iter().map(|&reason| reason.to_owned()).collect();
        let (reasons, paths) = match (wide, drops) {
            (true, _) => (reasons(), paths(&row.paths)),
            (false, true) => (reasons(), Vec::new()),
            (false, false) => (Vec::new(), paths(&row.paths)),
        };
        vec![
            row.services.clone(),
            row.names.clone(),
            port_words(&row.shown_ports),
            verdict(row, wide),
            reasons,
            rules(&row.decided_by, wide),
            paths,
        ]
    };
    Cells::new(&headings, &rows.iter().map(row).collect::<Vec<_>>())
}

fn of_reachers(rows: &[ReacherRow], wide: bool) -> Cells {
    let row = |row: &ReacherRow| {
        let reaches = match row.reaches {
            "part" => format!("part, {}", percent(row.share)),
            whole => whole.to_owned(),
        };
        vec![
            row.services.clone(),
            vec![reaches],
            row.reasons.iter().map(|&reason| reason.to_owned()).collect(),
            rules(&row.decided_by, wide),
            paths(&row.paths),
        ]
    };
    let headings = ["SERVICE", "REACHES", "REASON", "DECIDED BY", "PATH"];
    Cells::new(&headings, &rows.iter().map(row).collect::<Vec<_>>())
}

/// Returns the share of packets that pass; all or nothing is shown only in a wide table.
fn verdict(row: &ReachRow, wide: bool) -> Vec<String> {
    match row.verdict {
        "mixed" => vec![format!("mixed: {} pass", percent(row.share))],
        whole => wide.then(|| whole.to_owned()).into_iter().collect(),
    }
}

fn rules(rules: &[DecidedBy], wide: bool) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for rule in rules {
        let shown = if wide { rule_in_full(rule) } else { rule_in_short(rule) };
        if !all.contains(&shown) {
            all.push(shown);
        }
    }
    all
}

fn paths(paths: &[Vec<String>]) -> Vec<String> {
    paths.iter().map(|hops| hops.join(" > ")).collect()
}
