//! Reachability for people: one table.

use super::super::class_table::percent;
use super::super::names::DecidedBy;
use super::known::port_words;
use super::rule::rule_in_short;
use super::table::Cells;
use super::{ReachRow, Reachability, ReacherRow};
use std::io::{self, Write};

/// The rows that people get, unless they want all.
const MOST_ROWS: usize = 200;

impl Reachability {
    /// Writes the answer for people: all rows, or the first 200.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn text(&self, w: &mut dyn Write, all: bool) -> io::Result<()> {
        match self {
            Self::Rows { services, .. } | Self::To { services, .. } if services.is_empty() => {
                writeln!(w, "the lab has no services")
            }
            Self::Rows { services, drops, rows } if rows.is_empty() => {
                let nothing = if *drops { "nothing is dropped of" } else { "nothing passes of" };
                writeln!(w, "{nothing} what {} may send", services.join(", "))
            }
            Self::Rows { drops, rows, .. } => {
                of_rows(first(rows, all), *drops).write(w)?;
                rest(w, rows.len() - first(rows, all).len())
            }
            Self::To { rows, .. } => {
                of_reachers(first(rows, all)).write(w)?;
                rest(w, rows.len() - first(rows, all).len())
            }
        }
    }
}

/// Returns the rows to show.
fn first<T>(rows: &[T], all: bool) -> &[T] {
    let shown = if all { rows.len() } else { rows.len().min(MOST_ROWS) };
    rows.get(..shown).unwrap_or(rows)
}

/// Says how many rows are not shown.
fn rest(w: &mut dyn Write, rows: usize) -> io::Result<()> {
    match rows {
        0 => Ok(()),
        1 => writeln!(w, "and 1 row more: --all shows it"),
        rows => writeln!(w, "and {rows} rows more: --all shows them"),
    }
}

fn of_rows(rows: &[ReachRow], drops: bool) -> Cells {
    let headings = ["SERVICE", "DESTINATIONS", "PORTS", "VERDICT", "REASON", "DECIDED BY", "PATH"];
    let row = |row: &ReachRow| {
        let (reasons, paths) = match drops {
            true => (row.reasons.iter().map(|&reason| reason.to_owned()).collect(), Vec::new()),
            false => (Vec::new(), paths(&row.paths)),
        };
        vec![
            row.services.clone(),
            row.names.clone(),
            port_words(&row.shown_ports),
            mixed(row),
            reasons,
            rules(&row.decided_by),
            paths,
        ]
    };
    Cells::new(&headings, &rows.iter().map(row).collect::<Vec<_>>())
}

fn of_reachers(rows: &[ReacherRow]) -> Cells {
    let row = |row: &ReacherRow| {
        let reaches = match row.reaches {
            "part" => format!("part, {}", percent(row.share)),
            whole => whole.to_owned(),
        };
        vec![
            row.services.clone(),
            vec![reaches],
            row.reasons.iter().map(|&reason| reason.to_owned()).collect(),
            rules(&row.decided_by),
            paths(&row.paths),
        ]
    };
    let headings = ["SERVICE", "REACHES", "REASON", "DECIDED BY", "PATH"];
    Cells::new(&headings, &rows.iter().map(row).collect::<Vec<_>>())
}

/// Says how much passes, unless that is all or nothing.
fn mixed(row: &ReachRow) -> Vec<String> {
    let share = || format!("mixed: {} pass", percent(row.share));
    (row.verdict == "mixed").then(share).into_iter().collect()
}

fn rules(rules: &[DecidedBy]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for rule in rules {
        let shown = rule_in_short(rule);
        if !all.contains(&shown) {
            all.push(shown);
        }
    }
    all
}

fn paths(paths: &[Vec<String>]) -> Vec<String> {
    paths.iter().map(|hops| hops.join(" > ")).collect()
}
