//! Writes tables of rows: columns without rules, one row per line. With `-o wide` nothing is cut or
//! left out, so that grep and awk work.

use super::columns::{Column, Fitted, GAP, NOTHING, fitted};
use super::rows::{
    DropRow, EniRow, FlowRow, HolderRow, Offloaded, ProcessRow, PsRow, ResourceRow, TopRow,
};
use super::shown_ids::{Ids, ShownIds};
use super::width::width;
use crate::edge::shown;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// A row that a table can show.
pub trait Row: Serialize {
    /// The columns.
    const COLUMNS: &'static [Column];
    /// The text in place of a table without rows.
    const EMPTY: &'static str;
    /// Returns the row's cells, as many as columns.
    fn cells(&self) -> Vec<String>;
}

/// How a table is drawn.
#[derive(Clone, Debug, Default)]
pub struct TableStyle {
    /// Set if nothing is shortened or left out, however wide the table gets.
    pub wide: bool,
    /// Set if there is no line of headings, and no text in place of a table without rows.
    pub without_headings: bool,
    /// The columns' positions if they were chosen; nothing of them is shortened.
    pub columns: Option<Vec<usize>>,
}

/// Writes the rows as a table. Its lines fit the width of the output, unless the style is wide or
/// names the columns.
///
/// # Errors
/// Those of `w`.
pub fn print<R: Row>(w: &mut dyn Write, rows: &[R], style: &TableStyle) -> io::Result<()> {
    if rows.is_empty() {
        return if style.without_headings { Ok(()) } else { writeln!(w, "{}", R::EMPTY) };
    }
    let on_one_line = |cell: String| shown(&cell).into_owned();
    let cells = |row: &R| row.cells().into_iter().map(on_one_line).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let Fitted { columns, rows } = match &style.columns {
        Some(chosen) => only(chosen, &rows),
        None if style.wide => only(&(0..R::COLUMNS.len()).collect::<Vec<_>>(), &rows),
        None => {
            let kinds: Vec<Ids> = R::COLUMNS.iter().map(|column| column.ids).collect();
            fitted(R::COLUMNS, &with_shown_ids(rows, &kinds), width())
        }
    };
    let headings: Vec<&str> = columns.iter().map(|at| R::COLUMNS[*at].heading).collect();
    let lines = lines(&headings, rows.into_iter());
    let skipped = usize::from(style.without_headings);
    lines.iter().skip(skipped).try_for_each(|line| writeln!(w, "{line}"))
}

/// Returns the position of the column with a heading, in upper or lower case.
pub fn position_of<R: Row>(heading: &str) -> Option<usize> {
    R::COLUMNS.iter().position(|column| column.heading.eq_ignore_ascii_case(heading))
}

fn only(columns: &[usize], rows: &[Vec<String>]) -> Fitted {
    let row = |row: &Vec<String>| columns.iter().map(|at| row[*at].clone()).collect();
    Fitted { columns: columns.to_vec(), rows: rows.iter().map(row).collect() }
}

/// Shows names or short ids in cells, by the kind of each column.
fn with_shown_ids(rows: Vec<Vec<String>>, kinds: &[Ids]) -> Vec<Vec<String>> {
    let ids = ShownIds::of(rows.iter().flatten().map(String::as_str));
    let row = |row: Vec<String>| {
        row.iter().zip(kinds).map(|(cell, kind)| ids.show(cell, *kind)).collect()
    };
    rows.into_iter().map(row).collect()
}

/// Draws a table, line by line.
pub(super) fn lines(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().copied());
    let on_one_line = |cell: String| shown(&cell).into_owned();
    table.add_rows(rows.map(|cells| cells.into_iter().map(on_one_line).collect::<Vec<_>>()));
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP as u16));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

impl Row for FlowRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("TASK", 0),
        Column::first("PROTOCOL", 4),
        Column::first("STATE", 3),
        Column::further("INSIDE", 2),
        Column::first("DESTINATION", 1),
        Column::further("ENI", 3).ids(),
        Column::further("NAT-GATEWAY", 0).ids(),
        Column::further("OUTSIDE", 1),
        Column::first("OUT", 5).steady(10),
        Column::first("IN", 6).steady(10),
        Column::first("PATH", 8),
        Column::further("AGE", 5).steady(6),
        Column::first("IDLE", 7).steady(6),
        Column::further("EXPIRES", 4).steady(6),
        Column::first("ADMITTED-BY", 2).rule(28),
        Column::wide("OFFLOADED-OUT"),
        Column::wide("OFFLOADED-IN"),
        Column::wide("GENERATION"),
    ];
    const EMPTY: &'static str = "no flows";

    fn cells(&self) -> Vec<String> {
        let Offloaded { packets_out, bytes_out, packets_in, bytes_in } = self.offloaded;
        vec![
            format!("{}/{}", self.service, self.task),
            self.protocol.clone(),
            self.state.clone(),
            self.inside.clone(),
            self.destination.clone(),
            // App Runner's own egress has no ENI, and no port of one.
            match self.eni_port {
                0 => self.eni.clone(),
                port => format!("{}:{port}", self.eni),
            },
            or_dash(self.nat_gateway.as_ref()),
            self.outside.clone(),
            traffic(self.packets_out, self.bytes_out),
            traffic(self.packets_in, self.bytes_in),
            self.path.clone(),
            duration(self.age_ms),
            duration(self.idle_ms),
            duration(self.expires_ms),
            with_line(&self.admitted_by, self.line, self.rule_generation),
            traffic(packets_out, bytes_out),
            traffic(packets_in, bytes_in),
            self.generation.to_string(),
        ]
    }
}

impl Row for DropRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("PACKETS", 0),
        Column::first("REASON", 1),
        Column::first("TASK", 2),
        Column::further("PROTOCOL", 3),
        Column::further("SOURCE", 2),
        Column::first("DESTINATION", 3),
        Column::first("PORT", 5),
        Column::further("FIRST", 1).steady(10),
        Column::further("LAST", 0).steady(10),
        Column::first("RULE", 4).rule(18),
        Column::wide("SERVER"),
    ];
    const EMPTY: &'static str = "no drops";

    fn cells(&self) -> Vec<String> {
        let task = match (&self.service, self.task) {
            (Some(service), Some(task)) => Some(format!("{service}/{task}")),
            (service, _) => service.clone(),
        };
        vec![
            self.packets.to_string(),
            self.reason.clone(),
            or_dash(task),
            or_dash(self.protocol.as_ref()),
            or_dash(self.source),
            or_dash(self.destination),
            port(self.port, self.protocol.as_deref()),
            format!("{} ago", duration(self.first_seen_ms_ago)),
            format!("{} ago", duration(self.last_seen_ms_ago)),
            with_line(&self.rule, self.line, self.rule_generation),
            or_dash(self.server),
        ]
    }
}

impl Row for EniRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("ID", 0).ids(),
        Column::first("KIND", 1),
        Column::further("DEVICE", 1),
        Column::first("SUBNET", 6).ids(),
        Column::further("AZ", 2),
        Column::first("ADDRESS", 5),
        Column::first("PUBLIC", 8),
        Column::further("SECURITY-GROUPS", 0).ids(),
        Column::first("SERVICES", 7).list(8),
        Column::further("CONNECTORS", 5),
        Column::first("TASKS", 9),
        Column::first("FLOWS", 4),
        Column::first("OUT", 2).steady(10),
        Column::first("IN", 2).steady(10),
        Column::further("OFFLOADED", 3),
        Column::first("DROPS", 3),
        Column::first("PORT-ERRORS", 4),
        Column::wide("STATE"),
        Column::wide("INTERFACE-TYPE"),
        Column::wide("MANAGED"),
        Column::wide("TAGS"),
    ];
    const EMPTY: &'static str = "no ENIs";

    fn cells(&self) -> Vec<String> {
        let tags: Vec<String> =
            self.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            self.id.clone(),
            self.kind.clone(),
            device(&self.device, self.queues, self.dead_workers),
            or_dash(self.subnet.as_ref()),
            or_dash(self.availability_zone.as_ref()),
            addresses(self.address, &self.secondary_addresses),
            addresses(self.public_address, &self.secondary_public_addresses),
            list(&self.security_groups),
            list(&self.services),
            list(&self.connectors),
            self.tasks.to_string(),
            self.flows.to_string(),
            traffic(self.packets_out, self.bytes_out),
            traffic(self.packets_in, self.bytes_in),
            share(
                self.offloaded.bytes_out.saturating_add(self.offloaded.bytes_in),
                self.bytes_out.saturating_add(self.bytes_in),
            ),
            self.drops.to_string(),
            // A column of dashes is left out.
            or_dash((self.port_errors > 0).then_some(self.port_errors)),
            or_dash(self.state.as_ref()),
            or_dash(self.interface_type.as_ref()),
            if self.requester_managed { "yes" } else { "no" }.to_owned(),
            list(&tags),
        ]
    }
}

/// Writes `eni-0a1b2c3d`, or `eni-0a1b2c3d x4` with four queues, `eni-0a1b2c3d x4 (1 dead)` if a
/// worker of these is dead.
fn device(name: &str, queues: usize, dead: usize) -> String {
    let name = if queues > 1 { format!("{name} x{queues}") } else { name.to_owned() };
    match dead {
        0 => name,
        _ if queues <= 1 => format!("{name} (dead)"),
        dead => format!("{name} ({dead} dead)"),
    }
}

impl Row for HolderRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("ID", 0).ids(),
        Column::first("DESTINATION", 3),
        Column::first("TAKEN", 2),
        Column::first("LIMIT", 4),
        Column::first("TASK", 1),
        Column::first("PORTS", 1),
    ];
    const EMPTY: &'static str = "no ports are taken";

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            or_dash(self.destination.as_ref()),
            self.taken.to_string(),
            self.limit.to_string(),
            format!("{}/{}", self.service, self.task),
            self.ports.to_string(),
        ]
    }
}

impl Row for PsRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("TASK", 0),
        Column::first("STATE", 1),
        Column::first("NAMESPACE", 2),
        Column::first("ADDRESS", 3),
        Column::first("ENI", 4).ids(),
        Column::first("SUBNET", 5).ids(),
        Column::first("AZ", 6),
        Column::first("ORIGIN", 7),
        Column::wide("EGRESS"),
        Column::wide("GENERATION"),
        Column::wide("CONTAINER"),
    ];
    const EMPTY: &'static str = "no tasks";

    fn cells(&self) -> Vec<String> {
        vec![
            format!("{}/{}", self.service, self.task),
            self.state.clone(),
            self.namespace.clone(),
            self.address.to_string(),
            or_dash(self.eni.as_ref()),
            or_dash(self.subnet.as_ref()),
            or_dash(self.availability_zone.as_ref()),
            or_dash((!self.origin.is_empty()).then_some(&self.origin)),
            self.egress.clone(),
            self.generation.to_string(),
            or_dash(self.container.as_ref()),
        ]
    }
}

impl Row for ResourceRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("RESOURCE", 0),
        Column::first("ADDRESS", 1),
        Column::first("NAMESPACE", 2),
        Column::first("INTERFACE", 3),
        Column::first("LISTENS", 4).list(9),
        Column::first("SUBNET", 5).ids(),
        Column::first("SECURITY-GROUPS", 6).list(12).ids(),
    ];
    const EMPTY: &'static str = "no resources";

    fn cells(&self) -> Vec<String> {
        vec![
            self.resource.clone(),
            self.address.to_string(),
            or_dash(self.namespace.as_ref()),
            or_dash(self.interface.as_ref()),
            list(&self.listens),
            self.subnet.clone(),
            list(&self.security_groups),
        ]
    }
}

impl Row for ProcessRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("PID", 0),
        Column::first("TASK", 1),
        Column::first("NAMESPACE", 2),
        Column::first("STATE", 3),
        Column::first("COMMAND", 4).text(12),
    ];
    const EMPTY: &'static str = "no programs";

    fn cells(&self) -> Vec<String> {
        vec![
            self.pid.to_string(),
            or_dash(self.task.as_ref()),
            self.namespace.clone(),
            self.state.clone(),
            self.command.clone(),
        ]
    }
}

impl Row for TopRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("NAME", 0).text(46),
        Column::first("FLOWS", 3),
        Column::first("BIT/S-OUT", 1),
        Column::first("PACKET/S-OUT", 4),
        Column::first("BIT/S-IN", 2),
        Column::first("PACKET/S-IN", 5),
        Column::first("OFFLOADED", 6),
    ];
    const EMPTY: &'static str = "nothing yet";

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.flows.to_string(),
            thousands(self.bits_out),
            thousands(self.packets_out),
            thousands(self.bits_in),
            thousands(self.packets_in),
            share(self.offloaded_bits, self.bits_out.saturating_add(self.bits_in)),
        ]
    }
}

/// Writes `97%`, or a dash if the whole is nothing.
fn share(part: u64, whole: u64) -> String {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole));
    or_dash(percent.map(|percent| format!("{percent}%")))
}

/// Writes `999`, `1.2k`, `12M`.
fn thousands(number: u64) -> String {
    size(number).trim_end_matches('B').to_owned()
}

fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |v| v.to_string())
}

/// Writes `443/tcp` as a lab file does, or the protocol of packets without ports.
fn port(port: Option<u16>, protocol: Option<&str>) -> String {
    match (port, protocol) {
        (Some(port), Some(protocol)) => format!("{port}/{protocol}"),
        (Some(port), None) => port.to_string(),
        (None, protocol) => or_dash(protocol),
    }
}

fn list(values: &[String]) -> String {
    or_dash((!values.is_empty()).then(|| values.join(",")))
}

fn addresses(primary: Option<Ipv4Addr>, secondary: &[Ipv4Addr]) -> String {
    let all: Vec<String> = primary.iter().chain(secondary).map(ToString::to_string).collect();
    list(&all)
}

fn with_line(rule: &str, line: Option<u32>, generation: Option<u32>) -> String {
    match (line, generation) {
        (Some(line), None) => format!("{rule} (line {line})"),
        (Some(line), Some(generation)) => {
            format!("{rule} (line {line} of generation {generation})")
        }
        (None, Some(generation)) => format!("{rule} (generation {generation})"),
        (None, None) => rule.to_owned(),
    }
}

/// Writes `12/3.4kB`: packets and bytes, without a blank on which awk would split.
fn traffic(packets: u64, bytes: u64) -> String {
    format!("{packets}/{}", size(bytes))
}

/// Writes `999B`, `1.2kB`, `12MB`: powers of 1000, as for throughput.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    let mut unit = 0;
    let mut divisor: u64 = 1000;
    while bytes / divisor >= 1000 && unit + 1 < UNITS.len() {
        divisor *= 1000;
        unit += 1;
    }
    let (whole, tenth) = (bytes / divisor, bytes % divisor / (divisor / 10));
    let unit = UNITS[unit];
    if whole < 10 { format!("{whole}.{tenth}{unit}") } else { format!("{whole}{unit}") }
}

/// Writes `340ms`, `1.5s`, `4m10s`, `2h05m`.
fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short_and_keep_their_size() {
        let shown = [0, 999, 1000, 1_234, 12_345, 999_999, 1_000_000, u64::MAX].map(size);
        assert_eq!(shown, ["0B", "999B", "1.0kB", "1.2kB", "12kB", "999kB", "1.0MB", "18446PB"]);
    }

    #[test]
    fn durations_name_the_two_largest_units() {
        let shown = [0, 340, 1_500, 59_999, 250_000, 7_500_000].map(duration);
        assert_eq!(shown, ["0ms", "340ms", "1.5s", "59.9s", "4m10s", "2h05m"]);
    }
}
