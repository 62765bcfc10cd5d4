//! The figures as a table: a row for each metric, a column for each path; plain or as Markdown.

use super::document::{Document, Metric, Summary, Unit};
use crate::explain::paragraph;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::io::{self, Write};

/// The form of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// For a terminal of this width.
    Plain {
        width: usize,
    },
    Markdown,
}

/// Writes machine and time, medians, and the ratios to nft and to veth if these were measured.
pub(super) fn print(w: &mut dyn Write, document: &Document, style: Style) -> io::Result<()> {
    head(w, document, style)?;
    if document.metrics.is_empty() {
        return curves(w, document, style);
    }
    block(w, document, style, "Medians", &median)?;
    for (base, title) in [("nft", "Times nft"), ("veth", "Times bare veth")] {
        if document.measured().any(|path| path.key == base) {
            let pick = move |metric: &Metric, summary: &Summary| ratio(metric, summary, base);
            block(w, document, style, title, &pick)?;
        }
    }
    curves(w, document, style)?;
    paths(w, document, style)?;
    for failure in &document.failures {
        item(w, style, bullet(style), &format!("no figure: {failure}"))?;
    }
    targets(w, document, style)
}

fn head(w: &mut dyn Write, document: &Document, style: Style) -> io::Result<()> {
    let machine = &document.machine;
    let (cpu, cpus, load) = (&machine.cpu, machine.cpus, machine.load_before);
    let (kernel, build, date) = (&machine.kernel, &machine.build, &machine.date);
    let text =
        format!("{cpu}, {cpus} CPUs, kernel {kernel}, load {load:.2} before, {build}, {date}");
    item(w, style, "", &text)?;
    if document.metrics.is_empty() {
        return Ok(());
    }
    let congestion = document.congestion.as_deref().unwrap_or("as the machine has it");
    let (rounds, seconds) = (document.rounds, document.seconds);
    let plural = if rounds == 1 { "" } else { "s" };
    writeln!(w, "{rounds} round{plural}, TCP {seconds} s each, congestion control: {congestion}")?;
    if style == Style::Markdown { writeln!(w) } else { Ok(()) }
}

/// Writes a table of all paths; one that is too wide as several, below each other.
fn block(
    w: &mut dyn Write,
    document: &Document,
    style: Style,
    title: &str,
    pick: &dyn Fn(&Metric, &Summary) -> Option<String>,
) -> io::Result<()> {
    let rows = rows(document, pick);
    let mut names = vec![title.to_owned()];
    names.extend(document.measured().map(|path| path.key.clone()));
    let widths: Vec<usize> = (0..names.len())
        .map(|at| rows.iter().chain([&names]).map(|row| row[at].chars().count()).max().unwrap_or(0))
        .collect();
    for columns in parts(&widths, style) {
        let only = |row: &Vec<String>| columns.iter().map(|at| row[*at].clone()).collect();
        part(w, style, only(&names), rows.iter().map(only))?;
    }
    Ok(())
}

/// Lists the rows, their titles first; a missing figure of `pick` is a dash, and a row of dashes is
/// left out.
fn rows(
    document: &Document,
    pick: &dyn Fn(&Metric, &Summary) -> Option<String>,
) -> Vec<Vec<String>> {
    let row = |metric: &Metric| {
        let cell = |key: &str| metric.paths.get(key).and_then(|summary| pick(metric, summary));
        let cells: Vec<Option<String>> = document.measured().map(|path| cell(&path.key)).collect();
        let is_there = cells.iter().any(Option::is_some);
        let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
        is_there.then(|| [row_title(metric)].into_iter().chain(cells).collect())
    };
    document.metrics.iter().filter_map(row).collect()
}

/// Divides the columns by the width of the output. Each part has the first one, with the titles.
fn parts(widths: &[usize], style: Style) -> Vec<Vec<usize>> {
    let Style::Plain { width } = style else { return vec![(0..widths.len()).collect()] };
    let mut parts = vec![vec![0]];
    let mut used = widths[0];
    for (at, own) in widths.iter().enumerate().skip(1) {
        if used + GAP + own > width && parts.last().is_some_and(|part| part.len() > 1) {
            parts.push(vec![0]);
            used = widths[0];
        }
        used += GAP + own;
        if let Some(part) = parts.last_mut() {
            part.push(at);
        }
    }
    parts
}

/// The blanks between two columns.
const GAP: usize = 2;

fn part(
    w: &mut dyn Write,
    style: Style,
    names: Vec<String>,
    rows: impl Iterator<Item = Vec<String>>,
) -> io::Result<()> {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.load_style(match style {
        Style::Plain { .. } => presets::NOTHING,
        Style::Markdown => presets::ASCII_MARKDOWN,
    });
    table.set_header(names);
    table.add_rows(rows);
    for (n, column) in table.column_iter_mut().enumerate() {
        if n > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if style != Style::Markdown {
            column.set_padding((0, 2));
        }
    }
    if style != Style::Markdown {
        writeln!(w)?;
    }
    for line in table.lines() {
        writeln!(w, "{}", line.trim_end())?;
    }
    if style == Style::Markdown { writeln!(w) } else { Ok(()) }
}

fn curves(w: &mut dyn Write, document: &Document, style: Style) -> io::Result<()> {
    if style != Style::Markdown && !document.curves.is_empty() {
        writeln!(w)?;
    }
    for curve in &document.curves {
        let points: Vec<String> =
            curve.points.iter().map(|(x, y)| format!("{}: {}", short(*x), short(*y))).collect();
        let (title, unit, of) = (&curve.title, &curve.unit, &curve.of);
        let text = format!("{title}, {unit} by {of}: {}", points.join(", "));
        item(w, style, bullet(style), &text)?;
    }
    if style == Style::Markdown && !document.curves.is_empty() {
        writeln!(w)?;
    }
    Ok(())
}

fn row_title(metric: &Metric) -> String {
    format!("{}, {}", metric.title, metric.unit.name())
}

fn median(metric: &Metric, summary: &Summary) -> Option<String> {
    Some(metric.unit.figure(summary.median))
}

/// Returns the ratio to a path; none for percents: a loss of 1 % beside one of 0.1 % is not ten
/// times as much of anything.
fn ratio(metric: &Metric, summary: &Summary, base: &str) -> Option<String> {
    let ratio = if base == "nft" { summary.to_nft } else { summary.to_veth };
    ratio.filter(|_| metric.unit != Unit::Percent).map(|ratio| format!("{ratio:.2}"))
}

fn paths(w: &mut dyn Write, document: &Document, style: Style) -> io::Result<()> {
    if style != Style::Markdown && !document.paths.is_empty() {
        writeln!(w)?;
    }
    for path in &document.paths {
        let (key, about) = (&path.key, &path.about);
        let skipped = path.skipped.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        match style {
            Style::Plain { .. } => item(w, style, "", &format!("{key}: {about}{skipped}"))?,
            Style::Markdown => writeln!(w, "- `{key}`: {about}{skipped}")?,
        }
    }
    Ok(())
}

fn targets(w: &mut dyn Write, document: &Document, style: Style) -> io::Result<()> {
    if !document.targets.is_empty() {
        writeln!(w)?;
    }
    for target in &document.targets {
        let reached = target.reached.map_or("not measured".to_owned(), |r| format!("{r:.2}"));
        let verdict = if target.met { "met" } else { "MISSED" };
        let (what, asked) = (&target.what, &target.asked);
        let text = format!("{what}: {reached}, {asked} asked: {verdict}");
        item(w, style, bullet(style), &text)?;
    }
    Ok(())
}

/// Writes a line after a bullet; on a terminal as several if it is too long.
fn item(w: &mut dyn Write, style: Style, bullet: &str, text: &str) -> io::Result<()> {
    match style {
        Style::Plain { .. } => paragraph(w, (bullet, INDENT), text),
        Style::Markdown => writeln!(w, "{bullet}{text}"),
    }
}

/// The indent of a long line's further ones.
const INDENT: usize = 4;

fn bullet(style: Style) -> &'static str {
    match style {
        Style::Plain { .. } => "",
        Style::Markdown => "- ",
    }
}

/// Writes `1k` for 1,000, `1M` for 1,000,000; three digits otherwise.
pub(super) fn short(value: f64) -> String {
    let (scaled, suffix) = match value {
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = match scaled {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    };
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{suffix}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::sample::document;
    use super::*;

    fn printed(style: Style) -> String {
        let mut text = Vec::new();
        print(&mut text, &document(), style).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_plain_table() {
        insta::assert_snapshot!(printed(Style::Plain { width: 100 }));
    }

    #[test]
    fn columns_that_do_not_fit_are_in_a_table_of_their_own() {
        let parts = |width| parts(&[20, 8, 8, 8], Style::Plain { width });
        assert_eq!(parts(50), [vec![0, 1, 2, 3]]);
        assert_eq!(parts(49), [vec![0, 1, 2], vec![0, 3]]);
        assert_eq!(parts(10), [vec![0, 1], vec![0, 2], vec![0, 3]]);
    }

    #[test]
    fn the_markdown_table() {
        insta::assert_snapshot!(printed(Style::Markdown));
    }

    #[test]
    fn short_figures_keep_three_digits() {
        let written = [1.0, 58.4, 736.2, 1000.0, 12_345.0, 1e6].map(short);
        assert_eq!(written, ["1", "58.4", "736", "1k", "12.3k", "1M"]);
    }
}
