//! Writes tables of lists that fit the width of a terminal: the widest columns show the beginnings
//! of their lists.

use super::super::columns::{GAP, beginning};
use super::super::shown_ids::{Ids, ShownIds};
use super::super::tables;
use super::super::width::{columns_of, width as line};
use std::io::{self, Write};

/// The columns whose cells are never shortened: words for which scripts search.
const WHOLE: [&str; 4] = ["CHANGE", "VERDICT", "REASON", "REACHES"];

/// Returns in the place of which words below a heading names can stand.
fn kind(heading: &str) -> Ids {
    match heading {
        "DECIDED BY" | "PATH" | "FROM" | "BEFORE" | "AFTER" => Ids::OfRule,
        _ => Ids::None,
    }
}

/// Rows of lists, one for each column.
pub(in crate::explain) struct Cells {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Vec<String>>>,
}

impl Cells {
    /// Makes a table of these columns, without those in which every cell is empty.
    pub(in crate::explain) fn new(headings: &[&'static str], rows: &[Vec<Vec<String>>]) -> Self {
        let is_used = |at: &usize| rows.iter().any(|row| !row[*at].is_empty());
        let used: Vec<usize> = (0..headings.len()).filter(is_used).collect();
        let only_used =
            |row: &Vec<Vec<String>>| used.iter().map(|at| row[*at].clone()).collect::<Vec<_>>();
        let headings = used.iter().map(|at| headings[*at]).collect();
        Self { headings, rows: rows.iter().map(only_used).collect() }
    }

    /// Writes the table.
    pub(in crate::explain) fn write(&self, w: &mut dyn Write) -> io::Result<()> {
        let items = self.rows.iter().flatten().flatten();
        let ids = ShownIds::of(items.map(String::as_str));
        let kinds: Vec<Ids> = self.headings.iter().map(|heading| kind(heading)).collect();
        let cell = |(items, kind): (&Vec<String>, &Ids)| {
            items.iter().map(|item| ids.show(item, *kind)).collect()
        };
        let row = |row: &Vec<Vec<String>>| row.iter().zip(&kinds).map(cell).collect();
        let rows = self.rows.iter().map(row).collect();
        let short = Self { headings: self.headings.clone(), rows };
        let widest = short.widest();
        let lines =
            short.lines(|heading| if WHOLE.contains(&heading) { usize::MAX } else { widest });
        lines.iter().try_for_each(|line| writeln!(w, "{line}"))?;
        match lines.iter().any(|line| line.contains(" +")) {
            true => writeln!(w, "+N stands for N more: -o wide lists all"),
            false => Ok(()),
        }
    }

    /// Writes the table with every item, however wide it gets.
    pub(in crate::explain) fn write_wide(&self, w: &mut dyn Write) -> io::Result<()> {
        self.lines(|_| usize::MAX).iter().try_for_each(|line| writeln!(w, "{line}"))
    }

    /// Draws the table, with a width for the cells below each heading.
    fn lines(&self, widest: impl Fn(&str) -> usize) -> Vec<String> {
        let row = |row: &Vec<Vec<String>>| {
            let cells = row.iter().zip(&self.headings);
            cells.map(|(items, heading)| shown(items, widest(heading))).collect()
        };
        tables::lines(&self.headings, self.rows.iter().map(row))
    }

    /// Returns the width of a cell that lets the table fit.
    fn widest(&self) -> usize {
        let width = |at: usize| {
            let cells = self.rows.iter().map(|row| columns_of(&shown(&row[at], usize::MAX)));
            cells.chain([self.headings[at].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let room = line().saturating_sub(GAP * widths.len().saturating_sub(1));
        let columns = || widths.iter().zip(&self.headings);
        let width = |(width, heading): (&usize, &&str), widest: usize| {
            if WHOLE.contains(heading) { *width } else { widest.min(*width) }
        };
        let fits = |widest: &usize| columns().map(|c| width(c, *widest)).sum::<usize>() <= room;
        (1..=line()).rev().find(fits).unwrap_or(1)
    }
}

/// Returns as many items of a list as fit, and the number of the others.
fn shown(items: &[String], widest: usize) -> String {
    if items.is_empty() { "-".to_owned() } else { beginning(items, ", ", widest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[Vec<Vec<String>>]) -> String {
        let mut text = Vec::new();
        Cells::new(&["NAME", "RULES", "PATH"], rows).write(&mut text).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_table_leaves_out_columns_without_content() {
        let rows = [vec![words(&["web"]), Vec::new(), words(&["local"])]];
        assert_eq!(drawn(&rows), "NAME  PATH\nweb   local\n");
    }

    #[test]
    fn the_widest_column_shows_the_beginning_of_its_lists() {
        let long = ["a".repeat(30), "b".repeat(30), "c".repeat(30), "d".repeat(30)];
        let row = |list: &[String]| vec![words(&["web"]), list.to_vec(), words(&["local"])];
        assert!(drawn(&[row(&long[..2])]).contains(&long[1]));
        let shown = drawn(&[row(&long)]);
        assert!(shown.contains("b +2  local"), "{shown}");
        let shown = drawn(&[row(&["x".repeat(120)])]);
        assert!(shown.lines().all(|shown| shown.chars().count() <= line()), "{shown}");
        assert!(shown.contains("xx…  local"), "{shown}");
        let shown = drawn(&[row(&["x".repeat(120), "y".to_owned()])]);
        assert!(shown.lines().all(|shown| shown.chars().count() <= line()), "{shown}");
        assert!(shown.contains("xx… +1  local"), "{shown}");
    }
}
