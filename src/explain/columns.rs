//! The columns of a table: which of them a width has room for, and what is left of their cells.

use super::shown_ids::Ids;
use super::width::{columns_of, fitting};
use std::cmp::Reverse;

/// The blanks between two columns.
pub(super) const GAP: usize = 2;
/// The cell of a row that has no value in a column.
pub(super) const NOTHING: &str = "-";
/// The narrowest column to which a terminal that is too narrow for any table cuts one.
const NARROWEST: usize = 4;
/// The least part of a name that says something.
const LEGIBLE: usize = 8;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The heading.
    pub heading: &'static str,
    pub(super) place: Place,
    form: Form,
    /// The width for which there must be room, even if no cell needs it now.
    steady: usize,
    pub(super) ids: Ids,
}

/// Where a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In each table that has room; columns of lower numbers get it first.
    First(u8),
    /// In a table that has room for the whole of it after those; lower numbers come first.
    Further(u8),
    /// In wide tables only.
    Wide,
}

/// How a cell that is too wide becomes narrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// It does not.
    Whole,
    /// Its end is left out.
    Text { least: usize },
    /// A number stands for the last items of a list with commas.
    List { least: usize },
    /// The description in parentheses is left out, then the end of the name, but never the line in
    /// the lab file.
    Rule { least: usize },
}

/// A column whose cells are shown as they are.
const PLAIN: Column =
    Column { heading: "", place: Place::Wide, form: Form::Whole, steady: 0, ids: Ids::None };

impl Column {
    /// Makes a column that is shown while there is room; columns of lower rank get room first.
    pub const fn first(heading: &'static str, rank: u8) -> Self {
        Self { heading, place: Place::First(rank), ..PLAIN }
    }

    /// Makes a column for the room that the others leave, in the order of `rank`.
    pub const fn further(heading: &'static str, rank: u8) -> Self {
        Self { heading, place: Place::Further(rank), ..PLAIN }
    }

    /// Makes a column of wide tables.
    pub const fn wide(heading: &'static str) -> Self {
        Self { heading, place: Place::Wide, ..PLAIN }
    }

    /// Lets cells become as narrow as `least`, without their end.
    #[must_use]
    pub const fn text(self, least: usize) -> Self {
        Self { form: Form::Text { least }, ..self }
    }

    /// Lets lists become as narrow as `least`, with fewer items.
    #[must_use]
    pub const fn list(self, least: usize) -> Self {
        Self { form: Form::List { least }, ..self }
    }

    /// Lets rules become as narrow as `least`, with fewer words.
    #[must_use]
    pub const fn rule(self, least: usize) -> Self {
        Self { form: Form::Rule { least }, ids: Ids::OfRule, ..self }
    }

    /// Lets names take the place of the ids that the cells consist of.
    #[must_use]
    pub const fn ids(self) -> Self {
        Self { ids: Ids::All, ..self }
    }

    /// Reserves the width that a changing number usually needs, so that other columns do not come
    /// and go with it.
    #[must_use]
    pub const fn steady(self, steady: usize) -> Self {
        Self { steady, ..self }
    }

    /// Returns the least width of a column whose widest cell has this width.
    fn least(&self, natural: usize) -> usize {
        let least = match self.form {
            Form::Whole => natural,
            Form::Text { least } | Form::List { least } | Form::Rule { least } => least,
        };
        least.max(self.heading.len()).min(natural)
    }

    /// Returns a cell in at most this width.
    fn narrowed(&self, cell: &str, width: usize) -> String {
        if columns_of(cell) <= width {
            return cell.to_owned();
        }
        match self.form {
            Form::Whole | Form::Text { .. } => cut(cell, width),
            Form::List { .. } => {
                let items: Vec<String> = cell.split(',').map(str::to_owned).collect();
                beginning(&items, ",", width)
            }
            Form::Rule { .. } => narrow_rule(cell, width),
        }
    }
}

/// The part of a table that fits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    /// The positions of the columns.
    pub(super) columns: Vec<usize>,
    /// The rows' cells in these columns.
    pub(super) rows: Vec<Vec<String>>,
}

/// Fits a table into a width.
pub(super) fn fitted(columns: &[Column], rows: &[Vec<String>], width: usize) -> Fitted {
    let natural: Vec<usize> = (0..columns.len()).map(|at| natural(columns, rows, at)).collect();
    let has_content = |at: usize| {
        columns[at].place == Place::First(0) || rows.iter().any(|row| row[at] != NOTHING)
    };
    let has_content = (0..columns.len()).map(has_content).collect();
    let own = vec![None; columns.len()];
    let mut widths = Widths { columns, natural: &natural, has_content, own, width };
    widths.take_first();
    widths.grow();
    widths.take_further();
    widths.force();
    let shown: Vec<(usize, usize)> =
        widths.own.iter().enumerate().filter_map(|(at, own)| own.map(|own| (at, own))).collect();
    let row = |row: &Vec<String>| {
        shown.iter().map(|&(at, own)| columns[at].narrowed(&row[at], own)).collect()
    };
    Fitted {
        columns: shown.iter().map(|&(at, _)| at).collect(),
        rows: rows.iter().map(row).collect(),
    }
}

fn natural(columns: &[Column], rows: &[Vec<String>], at: usize) -> usize {
    let cells = rows.iter().map(|row| columns_of(&row[at]));
    let column = &columns[at];
    cells.chain([column.heading.len(), column.steady]).max().unwrap_or(0)
}

/// The widths that columns get.
struct Widths<'c> {
    columns: &'c [Column],
    natural: &'c [usize],
    /// Whether a column has a cell that is not a dash. The first one always counts as such.
    has_content: Vec<bool>,
    /// `None` for a column that is not shown.
    own: Vec<Option<usize>>,
    /// The width of the table.
    width: usize,
}

impl Widths<'_> {
    /// Returns the width that is left, or 0 if the columns are too wide.
    fn room(&self) -> usize {
        self.width.saturating_sub(self.used())
    }

    fn used(&self) -> usize {
        let own = self.own.iter().flatten();
        (own.clone().sum::<usize>() + GAP * own.count()).saturating_sub(GAP)
    }

    /// Lists the columns of a kind of place that have content, the most important ones first.
    fn ranked(&self, is_wanted: fn(Place) -> bool) -> Vec<usize> {
        let is_wanted = |at: &usize| self.has_content[*at] && is_wanted(self.columns[*at].place);
        let mut ranked: Vec<usize> = (0..self.columns.len()).filter(is_wanted).collect();
        ranked.sort_by_key(|at| self.columns[*at].place);
        ranked
    }

    fn first(&self) -> Vec<usize> {
        self.ranked(|place| matches!(place, Place::First(_)))
    }

    /// Takes columns at their least width until one does not fit. The first one is always there.
    fn take_first(&mut self) {
        for at in self.first() {
            let least = self.columns[at].least(self.natural[at]);
            if self.used() > 0 && least + GAP > self.room() {
                return;
            }
            self.own[at] = Some(least);
        }
    }

    /// Gives the room that is left to those columns that are narrower than their cells.
    fn grow(&mut self) {
        for at in self.first() {
            let room = self.room();
            if let Some(own) = &mut self.own[at] {
                *own += room.min(self.natural[at] - *own);
            }
        }
    }

    /// Takes further columns if all before them are there, as long as they fit.
    fn take_further(&mut self) {
        if self.first().iter().any(|at| self.own[*at] != Some(self.natural[*at])) {
            return;
        }
        for at in self.ranked(|place| matches!(place, Place::Further(_))) {
            if self.natural[at] + GAP > self.room() {
                return;
            }
            self.own[at] = Some(self.natural[at]);
        }
    }

    /// Cuts the widest columns of a table that is still too wide.
    fn force(&mut self) {
        while self.used() > self.width {
            let widest = (0..self.own.len()).max_by_key(|at| (self.own[*at], Reverse(*at)));
            match widest.and_then(|at| self.own[at].as_mut()) {
                Some(own) if *own > NARROWEST => *own -= 1,
                Some(_) | None => return,
            }
        }
    }
}

/// Returns a text of at most this width; a mark stands for the end that is left out.
pub(super) fn cut(text: &str, widest: usize) -> String {
    if columns_of(text) <= widest {
        return text.to_owned();
    }
    format!("{}…", fitting(text, widest.saturating_sub(1)))
}

/// Returns as many items of a list as fit, and the number of the others.
pub(super) fn beginning(items: &[String], separator: &str, widest: usize) -> String {
    let all = items.join(separator);
    if columns_of(&all) <= widest {
        return all;
    }
    let more = |shown: usize| match items.len() - shown {
        0 => String::new(),
        others => format!(" +{others}"),
    };
    let width = |items: &[String]| {
        let widths = items.iter().map(|item| columns_of(item) + separator.len());
        widths.sum::<usize>().saturating_sub(separator.len())
    };
    let fits = |shown: &usize| width(&items[..*shown]) + more(*shown).len() <= widest;
    match (1..items.len()).take_while(fits).last() {
        Some(most) => items[..most].join(separator) + &more(most),
        None if items.len() <= 1 => cut(&all, widest),
        None => cut(&items[0], widest.saturating_sub(more(1).len())) + &more(1),
    }
}

/// Returns a rule of at most this width: `rule 2 of sg-app (tcp 443 to 0.0.0.0/0) (line 131)`
/// becomes `rule 2 of sg-app (line 131)`, `rule … (line 131)`, `(line 131)`.
pub(super) fn narrow_rule(rule: &str, width: usize) -> String {
    let (name, line) = split_line(rule);
    let bare = name.split(" (").next().unwrap_or(name);
    let shorter = join(bare, line);
    if columns_of(&shorter) <= width {
        return shorter;
    }
    match width.checked_sub(columns_of(line) + 1) {
        Some(room) if room >= LEGIBLE && !line.is_empty() => join(&cut(bare, room), line),
        Some(_) | None if line.is_empty() => cut(bare, width),
        Some(_) | None => cut(line, width),
    }
}

/// Splits a rule from its line in the lab file.
fn split_line(rule: &str) -> (&str, &str) {
    let at = [" (line ", " (generation "].into_iter().find_map(|mark| rule.rfind(mark));
    match at {
        Some(at) => (&rule[..at], rule[at..].trim_start()),
        None => (rule, ""),
    }
}

fn join(name: &str, line: &str) -> String {
    if line.is_empty() { name.to_owned() } else { format!("{name} {line}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 5] = [
        Column::first("TASK", 0),
        Column::first("STATE", 2),
        Column::wide("GENERATION"),
        Column::further("AGE", 0),
        Column::first("RULE", 1).rule(12),
    ];

    fn rows() -> Vec<Vec<String>> {
        let row = ["web/1", "established", "3", "4m10s", "rule 2 of sg-app (tcp 443) (line 131)"];
        vec![row.map(str::to_owned).to_vec()]
    }

    /// Returns the table of a width, line by line.
    fn shown(width: usize) -> Vec<String> {
        let Fitted { columns, rows } = fitted(&COLUMNS, &rows(), width);
        let headings: Vec<&str> = columns.iter().map(|at| COLUMNS[*at].heading).collect();
        vec![headings.join("|"), rows[0].join("|")]
    }

    #[test]
    fn columns_get_room_in_their_order() {
        assert_eq!(shown(12), ["TASK", "web/1"]);
        assert_eq!(shown(20), ["TASK|RULE", "web/1|(line 131)"]);
        assert_eq!(shown(26), ["TASK|RULE", "web/1|rule 2 … (line 131)"]);
        assert_eq!(shown(36), ["TASK|STATE|RULE", "web/1|established|(line 131)"]);
        let all = "web/1|established|rule 2 of sg-app (tcp 443) (line 131)";
        assert_eq!(shown(59), ["TASK|STATE|RULE", all]);
        assert_eq!(shown(64)[0], "TASK|STATE|AGE|RULE");
        assert_eq!(shown(200)[0], "TASK|STATE|AGE|RULE");
    }

    #[test]
    fn no_line_is_wider_than_the_table() {
        for width in 8..80 {
            let Fitted { rows, .. } = fitted(&COLUMNS, &rows(), width);
            let cells: usize = rows[0].iter().map(|cell| columns_of(cell)).sum();
            assert!(cells + GAP * (rows[0].len() - 1) <= width, "{width}: {rows:?}");
        }
    }

    /// Returns the headings of a table of one row, and its cells.
    fn table<const N: usize>(
        columns: [Column; N],
        row: [&str; N],
        width: usize,
    ) -> (String, String) {
        let Fitted { columns: shown, rows } =
            fitted(&columns, &[row.map(str::to_owned).to_vec()], width);
        let headings: Vec<&str> = shown.iter().map(|at| columns[*at].heading).collect();
        (headings.join("|"), rows[0].join("|"))
    }

    fn pair(headings: &str, cells: &str) -> (String, String) {
        (headings.to_owned(), cells.to_owned())
    }

    #[test]
    fn steady_column_keeps_room_for_wider_numbers() {
        let columns = [Column::first("OUT", 0).steady(10), Column::first("STATE", 1)];
        assert_eq!(table(columns, ["1", "up"], 16), pair("OUT", "1"));
        assert_eq!(table(columns, ["1", "up"], 17), pair("OUT|STATE", "1|up"));
        assert_eq!(table(columns, ["1234567890", "up"], 17).0, "OUT|STATE");
    }

    #[test]
    fn column_is_as_wide_as_its_heading_and_a_list_has_fewer_items() {
        let columns = [Column::first("TASK", 0), Column::first("SERVICES", 1).list(2)];
        let row = ["web/1", "alpha,beta,gamma"];
        assert_eq!(table(columns, row, 14), pair("TASK", "web/1"));
        assert_eq!(table(columns, row, 15), pair("TASK|SERVICES", "web/1|alpha +2"));
        assert_eq!(table(columns, row, 20).1, "web/1|alpha,beta +1");
        assert_eq!(table(columns, row, 23).1, "web/1|alpha,beta,gamma");
    }

    #[test]
    fn column_without_content_is_left_out_unless_it_is_the_first() {
        let columns =
            [Column::first("TASK", 0), Column::first("RULE", 1), Column::further("AGE", 0)];
        assert_eq!(table(columns, ["-", "-", "-"], 80), pair("TASK", "-"));
        assert_eq!(table(columns, ["-", "-", "1s"], 80), pair("TASK|AGE", "-|1s"));
    }

    #[test]
    fn table_that_is_too_wide_by_its_first_column_is_cut() {
        let columns = [Column::first("ID", 0), Column::first("TASK", 1)];
        assert_eq!(table(columns, ["abcdefghij", "web/1"], 6), pair("ID", "abcde…"));
        assert_eq!(table(columns, ["abcdefghij", "web/1"], 2), pair("ID", "abc…"), "the narrowest");
    }

    #[test]
    fn wide_characters_take_two_columns_of_the_room() {
        let columns = [Column::first("NAME", 0).text(4), Column::first("STATE", 1)];
        let row = ["網路網路網路", "up"];
        assert_eq!(table(columns, row, 19), pair("NAME|STATE", "網路網路網路|up"));
        assert_eq!(table(columns, row, 14), pair("NAME|STATE", "網路網…|up"));
        assert_eq!(table(columns, row, 13).1, "網路…|up");
    }

    #[test]
    fn rule_keeps_its_line_in_the_lab_file() {
        let rule = "rule 2 of sg-app (tcp 443 to 0.0.0.0/0) (line 131 of generation 2)";
        assert_eq!(narrow_rule(rule, 50), "rule 2 of sg-app (line 131 of generation 2)");
        assert_eq!(narrow_rule(rule, 40), "rule 2 of sg… (line 131 of generation 2)");
        assert_eq!(narrow_rule(rule, 27), "(line 131 of generation 2)");
        assert_eq!(narrow_rule("no egress rule of sg-app", 10), "no egress…");
        assert_eq!(narrow_rule("implied (by AWS)", 8), "implied");
    }

    #[test]
    fn list_ends_with_the_number_of_what_is_left_out() {
        let items = ["alpha", "beta", "gamma"].map(str::to_owned);
        assert_eq!(beginning(&items, ",", 16), "alpha,beta,gamma");
        assert_eq!(beginning(&items, ",", 13), "alpha,beta +1");
        assert_eq!(beginning(&items, ",", 12), "alpha +2");
        assert_eq!(beginning(&items, ",", 6), "al… +2");
        assert_eq!(beginning(&items[..1], ",", 3), "al…");
    }
}
