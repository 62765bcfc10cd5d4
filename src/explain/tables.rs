//! Writes tables of rows: columns without rules, one row per line, so that grep and awk work.

use super::rows::{DropRow, EniRow, FlowRow, HolderRow, Offloaded, ProcessRow, PsRow, TopRow};
use crate::edge::shown;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// A row that a table can show.
pub trait Row: Serialize {
    /// The headings of the columns.
    const HEADER: &'static [&'static str];
    /// The text in place of a table without rows.
    const EMPTY: &'static str;
    /// The headings of further columns of a wide table.
    const FURTHER: &'static [&'static str] = &[];
    /// Returns the row's cells, as many as headings.
    fn cells(&self) -> Vec<String>;
    /// Returns the row's cells in a wide table, as many as headings and further headings.
    fn wide_cells(&self) -> Vec<String> {
        self.cells()
    }
}

/// Writes the rows as a table.
///
/// # Errors
/// Those of `w`.
pub fn print<R: Row>(w: &mut dyn Write, rows: &[R]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(w, "{}", R::EMPTY);
    }
    write_lines(w, &lines(R::HEADER, rows.iter().map(Row::cells)))
}

/// Writes the rows as a table that leaves nothing out.
///
/// # Errors
/// Those of `w`.
pub fn print_wide<R: Row>(w: &mut dyn Write, rows: &[R]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(w, "{}", R::EMPTY);
    }
    let headings = [R::HEADER, R::FURTHER].concat();
    write_lines(w, &lines(&headings, rows.iter().map(Row::wide_cells)))
}

fn write_lines(w: &mut dyn Write, lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(w, "{line}"))
}

/// Draws a table, line by line.
pub(super) fn lines(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().copied());
    let on_one_line = |cell: String| shown(&cell).into_owned();
    table.add_rows(rows.map(|cells| cells.into_iter().map(on_one_line).collect::<Vec<_>>()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

impl Row for FlowRow {
    const HEADER: &'static [&'static str] = &[
        "TASK",
        "PROTOCOL",
        "STATE",
        "INSIDE",
        "DESTINATION",
        "ENI",
        "NAT-GATEWAY",
        "OUTSIDE",
        "OUT",
        "IN",
        "PATH",
        "AGE",
        "IDLE",
        "EXPIRES",
        "ADMITTED-BY",
    ];
    const EMPTY: &'static str = "no flows";
    const FURTHER: &'static [&'static str] = &["OFFLOADED-OUT", "OFFLOADED-IN", "GENERATION"];

    fn cells(&self) -> Vec<String> {
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
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        let Offloaded { packets_out, bytes_out, packets_in, bytes_in } = self.offloaded;
        let further = [
            traffic(packets_out, bytes_out),
            traffic(packets_in, bytes_in),
            self.generation.to_string(),
        ];
        [self.cells(), further.to_vec()].concat()
    }
}

impl Row for DropRow {
    const HEADER: &'static [&'static str] = &[
        "PACKETS",
        "REASON",
        "TASK",
        "PROTOCOL",
        "SOURCE",
        "DESTINATION",
        "PORT",
        "FIRST",
        "LAST",
        "RULE",
    ];
    const EMPTY: &'static str = "no drops";
    const FURTHER: &'static [&'static str] = &["SERVER"];

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
            or_dash(self.port),
            format!("{} ago", duration(self.first_seen_ms_ago)),
            format!("{} ago", duration(self.last_seen_ms_ago)),
            with_line(&self.rule, self.line, self.rule_generation),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        [self.cells(), vec![or_dash(self.server)]].concat()
    }
}

impl Row for EniRow {
    const HEADER: &'static [&'static str] = &[
        "ID",
        "KIND",
        "DEVICE",
        "SUBNET",
        "AZ",
        "ADDRESS",
        "PUBLIC",
        "SECURITY-GROUPS",
        "SERVICES",
        "CONNECTORS",
        "TASKS",
        "FLOWS",
        "OUT",
        "IN",
        "OFFLOADED",
        "DROPS",
        "PORT-ERRORS",
    ];
    const EMPTY: &'static str = "no ENIs";
    const FURTHER: &'static [&'static str] = &["STATE", "INTERFACE-TYPE", "MANAGED", "TAGS"];

    fn cells(&self) -> Vec<String> {
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
            self.port_errors.to_string(),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        let tags: Vec<String> =
            self.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let further = [
            or_dash(self.state.as_ref()),
            or_dash(self.interface_type.as_ref()),
            if self.requester_managed { "yes" } else { "no" }.to_owned(),
            list(&tags),
        ];
        [self.cells(), further.to_vec()].concat()
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
    const HEADER: &'static [&'static str] =
        &["ID", "DESTINATION", "TAKEN", "LIMIT", "TASK", "PORTS"];
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
    const HEADER: &'static [&'static str] =
        &["TASK", "STATE", "NAMESPACE", "ADDRESS", "ENI", "SUBNET", "AZ", "ORIGIN"];
    const EMPTY: &'static str = "no tasks";
    const FURTHER: &'static [&'static str] = &["EGRESS", "GENERATION"];

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
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        [self.cells(), vec![self.egress.clone(), self.generation.to_string()]].concat()
    }
}

impl Row for ProcessRow {
    const HEADER: &'static [&'static str] = &["PID", "TASK", "NAMESPACE", "STATE", "COMMAND"];
    const EMPTY: &'static str = "no programs";

    fn cells(&self) -> Vec<String> {
        vec![
            self.pid.to_string(),
            or_dash(self.task.as_ref()),
            self.namespace.clone(),
            self.state.clone(),
            self.command_in_short(),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        let mut cells = self.cells();
        cells.splice(cells.len() - 1.., [self.command.clone()]);
        cells
    }
}

impl Row for TopRow {
    const HEADER: &'static [&'static str] =
        &["NAME", "FLOWS", "BIT/S-OUT", "PACKET/S-OUT", "BIT/S-IN", "PACKET/S-IN", "OFFLOADED"];
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
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
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

/// Writes `12 pkt, 3.4 kB`, without spaces inside a number's unit, on which awk would split.
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
