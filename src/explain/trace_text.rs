//! The texts of records: the lines of `egret trace`, and comments on captured packets.

use super::columns::{GAP, cut, narrow_rule};
use super::evidence::Endpoints;
use super::layout::paragraph;
use super::packet::end;
use super::paint::{Look, Style};
use super::shown_ids::SeenIds;
use super::text::{mark_of, step_columns};
use super::trace::TraceRow;
use super::width::{columns_of, padded, width};
use crate::packet::Protocol;
use std::io::{self, Write};

/// Writes rows as lines. Columns grow to the widest cell so far, so that they stay aligned.
#[derive(Debug)]
pub struct TraceText {
    look: Look,
    columns: Vec<Column>,
    titled: bool,
    ids: SeenIds,
}

/// A column before the rule, for which the rest of the line is.
#[derive(Debug)]
struct Column {
    title: &'static str,
    cell: fn(&TraceRow) -> String,
    /// The width of the widest cell so far, at first the one that most lines need.
    width: usize,
    /// The width beyond which a cell is cut, unless the output is wide.
    most: usize,
    /// The width of the output from which there is room for it.
    from: usize,
}

/// The title of the last column, which shows the verdict.
const VERDICT: &str = "VERDICT";
/// The title of what is beside it.
const RULE: &str = "RULE";
/// The titles of the other columns that can be cut.
const TASK: &str = "TASK";
const SERVER: &str = "SERVER";

/// The columns that are cut where the output has no room for them, in this order, and the width at
/// which that ends.
const CUT: [(&str, usize); 3] = [(VERDICT, 8), (TASK, 4), (SERVER, 6)];

/// Lists all columns.
fn columns() -> [Column; 8] {
    let column =
        |title, [width, most, from]: [usize; 3], cell| Column { title, cell, width, most, from };
    [
        column("TIME", [12, 12, 0], |row| time(row).to_owned()),
        column(TASK, [6, 16, 0], |row| or_dash(row.task.as_deref())),
        column("PROTOCOL", [8, 8, 90], protocol),
        column("INSIDE", [20, 21, 122], task_end),
        column("", [2, 2, 0], |row| way(row).to_owned()),
        column(SERVER, [17, 21, 0], server_end),
        column("OUTSIDE", [21, 21, 150], outside_end),
        column(VERDICT, [28, 40, 0], |row| verdict(row).0),
    ]
}

/// The least room beside the verdict for a rule that does not fit there; with less it is below.
const BESIDE: usize = 28;
/// The indent of what is below a line.
const INDENT: usize = 4;

impl TraceText {
    /// Makes a writer of lines that fit the output, or of lines with all columns for a wide one.
    pub fn new(look: Look) -> Self {
        let has_room = |column: &Column| look.wide || column.from <= width();
        let columns = columns().into_iter().filter(has_room).collect();
        Self { look, columns, titled: false, ids: SeenIds::default() }
    }

    /// Writes a row, and the columns' titles before the first.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn write(&mut self, w: &mut dyn Write, row: &TraceRow) -> io::Result<()> {
        if let Some(text) = about_the_trace(row) {
            let heading = format!("{}  ", time(row));
            return paragraph(w, (&heading, heading.len()), &text);
        }
        if !self.titled {
            self.titled = true;
            let titles = self.columns.iter().map(|column| column.title.to_owned()).collect();
            let (line, used) = self.line(titles, None);
            let rule = if self.has_room(used, BESIDE) { RULE } else { "" };
            writeln!(w, "{}", format!("{line}  {rule}").trim_end())?;
        }
        let cells = self.columns.iter().map(|column| (column.cell)(row)).collect();
        let (line, used) = self.line(cells, Some(verdict(row).1));
        match rule(row) {
            None => writeln!(w, "{}", line.trim_end())?,
            Some(rule) => self.rule(w, &line, used, rule)?,
        }
        self.steps(w, row)
    }

    /// Draws cells in their columns, the verdict in a style; returns the visible width too.
    fn line(&mut self, cells: Vec<String>, style: Option<Style>) -> (String, usize) {
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            let most = if self.look.wide { usize::MAX } else { column.most };
            column.width = column.width.max(columns_of(cell).min(most));
        }
        let (mut line, mut used) = (String::new(), 0);
        for ((column, width), cell) in self.columns.iter().zip(self.widths()).zip(cells) {
            let padded = padded(&cut(&cell, width), width);
            let gap = if line.is_empty() { "" } else { "  " };
            used += gap.len() + width;
            line.push_str(gap);
            match style.filter(|_| column.title == VERDICT) {
                Some(style) => line.push_str(&self.look.paint().with(style, &padded)),
                None => line.push_str(&padded),
            }
        }
        (line, used)
    }

    /// Returns the columns' widths, as far as the output has room for them.
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.width).collect();
        if self.look.wide {
            return widths;
        }
        let gaps = GAP * widths.len().saturating_sub(1);
        for (title, least) in CUT {
            let beyond = (widths.iter().sum::<usize>() + gaps).saturating_sub(width());
            let own = self.columns.iter().zip(&mut widths).find(|(own, _)| own.title == title);
            if let Some((_, width)) = own {
                *width = width.saturating_sub(beyond).max(least.min(*width));
            }
        }
        widths
    }

    /// Returns whether a text fits beside so many columns.
    fn has_room(&self, used: usize, text: usize) -> bool {
        self.look.wide || used + GAP + text <= width()
    }

    /// Writes a line with its rule: beside it as much of the rule as fits, or below it the whole.
    fn rule(&mut self, w: &mut dyn Write, line: &str, used: usize, rule: String) -> io::Result<()> {
        let rule = if self.look.wide { rule } else { self.ids.show_rule(&rule) };
        if self.has_room(used, columns_of(&rule)) {
            return writeln!(w, "{line}  {rule}");
        }
        if self.has_room(used, BESIDE) {
            let room = width().saturating_sub(used + GAP);
            return writeln!(w, "{line}  {}", narrow_rule(&rule, room));
        }
        writeln!(w, "{}", line.trim_end())?;
        writeln!(w, "{:INDENT$}{}", "", narrow_rule(&rule, width().saturating_sub(INDENT)))
    }

    fn steps(&self, w: &mut dyn Write, row: &TraceRow) -> io::Result<()> {
        let columns = step_columns(&row.steps, INDENT);
        for step in &row.steps {
            let (mark, style) = mark_of(&step.outcome);
            let named = step.rule.clone();
            let news = named.filter(|rule| ![&*step.component, &*step.stage].contains(&&**rule));
            let line = step.line.map(|line| format!("(line {line})"));
            let rule = [news, line].into_iter().flatten().reduce(|rule, line| rule + " " + &line);
            let said: Vec<String> = [rule, step.detail.clone()].into_iter().flatten().collect();
            let mark = self.look.paint().with(style, mark);
            columns.write(w, (&mark, &step.stage, &step.component), &said)?;
        }
        Ok(())
    }
}

/// Returns the comment on a packet in a capture.
pub fn comment(row: &TraceRow) -> String {
    let (verdict, _) = verdict(row);
    let rule = rule(row).map(|rule| format!("by {rule}"));
    let task = row.task.as_ref().map(|task| format!("task {task}"));
    let eni = row.eni.clone();
    let nat = row.nat_gateway.clone();
    let generation = Some(format!("generation {}", row.generation));
    let parts = [Some(verdict), rule, task, eni, nat, generation];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Returns the text of a row about the trace; `None` for one about a packet or a flow.
fn about_the_trace(row: &TraceRow) -> Option<String> {
    match (row.left_out, row.flows, row.lost) {
        (Some(records), _, _) => Some(format!(
            "-- {records} records left out: they came faster than egret could write them"
        )),
        (None, Some(flows), _) => Some(format!(
            "-- {flows} offloaded flows go through user space while they are watched, with a lower \
             throughput (queue-full)"
        )),
        (None, None, Some(packets)) => Some(format!(
            "-- {packets} packets of all flows dropped: a queue was full (queue-full)"
        )),
        (None, None, None) => None,
    }
}

/// Returns the rule with its line in the lab file.
fn rule(row: &TraceRow) -> Option<String> {
    let rule = row.rule.as_ref()?;
    Some(match row.line {
        Some(line) => format!("{rule} (line {line})"),
        None => rule.clone(),
    })
}

fn protocol(row: &TraceRow) -> String {
    or_dash(row.inside.as_ref().or(row.outside.as_ref()).map(|ends| ends.protocol.as_str()))
}

fn verdict(row: &TraceRow) -> (String, Style) {
    match (&*row.record, row.reason.as_deref()) {
        ("forward", _) => ("forward".to_owned(), Style::Good),
        ("drop", Some(reason)) if row.answered => (format!("drop {reason}, answered"), Style::Bad),
        ("drop", Some(reason)) => (format!("drop {reason}"), Style::Bad),
        (other, _) => (other.replacen('-', " ", 1), Style::Note),
    }
}

/// Returns the time of day, to the millisecond.
fn time(row: &TraceRow) -> &str {
    row.time.get(11..23).unwrap_or(&row.time)
}

fn way(row: &TraceRow) -> &'static str {
    match row.side.as_deref() {
        Some("return") => "<-",
        Some(_) => "->",
        None => "--",
    }
}

fn is_return(row: &TraceRow) -> bool {
    row.side.as_deref() == Some("return")
}

/// Returns `(source, destination)` of a tuple, as text.
fn ends(endpoints: &Endpoints) -> (String, String) {
    let protocol = match endpoints.protocol.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        other => Protocol::Other(other.parse().unwrap_or(0)),
    };
    let text = |address, port| match (protocol, port) {
        (Protocol::Icmp, 0) => format!("{address}"),
        _ => end(protocol, address, port),
    };
    (text(endpoints.src, endpoints.sport), text(endpoints.dst, endpoints.dport))
}

fn task_end(row: &TraceRow) -> String {
    let Some(inside) = &row.inside else { return "-".to_owned() };
    let (src, dst) = ends(inside);
    if is_return(row) { dst } else { src }
}

fn server_end(row: &TraceRow) -> String {
    let Some(tuple) = row.inside.as_ref().or(row.outside.as_ref()) else { return "-".to_owned() };
    let (src, dst) = ends(tuple);
    if is_return(row) { src } else { dst }
}

/// Returns the task's end as hosts outside egret see it.
fn outside_end(row: &TraceRow) -> String {
    let Some(outside) = &row.outside else { return "-".to_owned() };
    let (src, dst) = ends(outside);
    if is_return(row) { dst } else { src }
}

fn or_dash(value: Option<&str>) -> String {
    value.unwrap_or("-").to_owned()
}
