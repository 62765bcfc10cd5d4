//! `egret drops`: lists the dropped packets, grouped as requested.

use super::completion::values;
use super::format::{Formats, OutputArgs, Rows, each};
use super::table_args::TableArgs;
use super::watch::{Listing, nothing};
use super::{CliError, LabArg};
use crate::config::names::{by_likeness, nearest};
use crate::daemon::Client;
use crate::explain::{DropRow, Selection};
use crate::pipeline::Reason;
use clap_complete::engine::ArgValueCompleter;
use std::cmp::Reverse;
use std::process::ExitCode;

/// Arguments of `egret drops`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  the drops are listed, even if there are none
  1  the lab ended before it answered
  2  a usage error, an unknown name, or no lab answers

Examples:
  sudo egret drops                             dropped packets: reason, task, destination and rule
  sudo egret drops --by rule                   one row for each rule, over all senders
  sudo egret drops --by destination --service web   destinations to which web's packets are dropped
  sudo egret drops --dst 10.0.0.0/8 --sort last     drops inside the VPC, the latest first
  sudo egret drops -o csv > drops.csv
  sudo egret trace --only drops                each dropped packet, as it happens")]
pub struct DropsArgs {
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    output: OutputArgs<Drops>,
    #[command(flatten)]
    table: TableArgs<DropRow>,
    /// Add up the packets in one row for each of these
    #[arg(long, value_enum, value_name = "reason|rule|service|destination")]
    by: Option<By>,
    /// The same as --by rule
    #[arg(long, conflicts_with = "by")]
    by_rule: bool,
    /// Show only packets of this service, or of one of its tasks
    #[arg(long, value_name = "SERVICE[/N]", add = ArgValueCompleter::new(values::services_and_tasks))]
    service: Option<String>,
    /// Show only packets to and from this server: a block, or a name
    #[arg(long, value_name = "CIDR|NAME[:PORT]", add = ArgValueCompleter::new(values::destinations))]
    dst: Option<String>,
    /// Show only packets that were dropped for this reason
    #[arg(long, value_name = "REASON", add = ArgValueCompleter::new(values::reasons))]
    reason: Option<String>,
    /// Sort by this key
    #[arg(long, value_enum, value_name = "packets|first|last", default_value_t = Sort::Packets, hide_default_value = true)]
    sort: Sort,
}

/// The key by which rows are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// The drop reason
    Reason,
    /// The rule that decided
    Rule,
    /// The service that sent the packets
    Service,
    /// The server, for requests and for replies
    Destination,
}

/// The order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// The most packets first
    Packets,
    /// The time of the first drop, the earliest first
    First,
    /// The time of the last drop, the latest first
    Last,
}

/// The formats of `egret drops`.
#[derive(Debug)]
pub struct Drops;

impl Formats for Drops {
    const CSV: Option<&'static str> = Some("One row for each row of the table");
    const NAME: Option<&'static str> = Some("The reasons, as --reason takes them");
}

const DROPS: Rows = Rows {
    lists: &[""],
    columns: &[
        "reason",
        "rule",
        "line",
        "rule_generation",
        "service",
        "task",
        "source",
        "destination",
        "server",
        "protocol",
        "port",
        "packets",
        "first_seen_ms_ago",
        "last_seen_ms_ago",
    ],
    names: |answer| each(answer, "", &["reason"]),
    ..Rows::NONE
};

/// The text for a value in which rows that are added up differ.
const SEVERAL: &str = "(several)";

pub(super) fn run(args: &DropsArgs) -> Result<ExitCode, CliError> {
    let selection = Selection {
        service: args.service.clone(),
        destination: args.dst.clone(),
        ..Selection::default()
    };
    if let Some(reason) = &args.reason {
        known(reason)?;
    }
    let client = Client::new(args.lab.name());
    let (format, below) = (args.output.format, nothing);
    let listing = Listing { client: Some(&client), args: &args.table, format, rows: &DROPS, below };
    listing.show(async || Ok(grouped(args, client.post("/v1/drops", &selection).await?)))
}

/// Returns the rows that are wanted, added up and sorted as requested.
fn grouped(args: &DropsArgs, mut rows: Vec<DropRow>) -> Vec<DropRow> {
    if let Some(reason) = &args.reason {
        rows.retain(|row| row.reason == *reason);
    }
    if let Some(by) = args.by.or(args.by_rule.then_some(By::Rule)) {
        rows = by.sums(rows);
    }
    args.sort.sort(&mut rows);
    rows
}

/// The number of near names in a message.
const NEAR: usize = 5;

/// Requires a known reason: an unknown one would otherwise look like one without drops.
fn known(reason: &str) -> Result<(), CliError> {
    let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    if names.contains(&reason) {
        return Ok(());
    }
    let hint = match nearest(reason, &names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let (near, all) = (near(reason, &names).join(", "), names.len());
            format!("near it: {near}; docs/reference/drop-reasons.md lists all {all}")
        }
    };
    Err(CliError::Usage(format!("there is no drop reason `{reason}`; {hint}")))
}

/// Returns the names nearest to a word: those that begin with it or share one of its parts, or else
/// those that look like it.
fn near<'n>(word: &str, names: &[&'n str]) -> Vec<&'n str> {
    let has_part = |name: &str| word.split('-').any(|part| name.split('-').any(|own| own == part));
    let mut near: Vec<_> = by_likeness(word, names).into_iter().rev().map(|(_, n)| n).collect();
    if near.iter().any(|name| name.starts_with(word) || has_part(name)) {
        near.retain(|name| name.starts_with(word) || has_part(name));
    }
    near.sort_by_key(|name| !name.starts_with(word));
    near.truncate(NEAR);
    near
}

impl Sort {
    fn sort(self, rows: &mut [DropRow]) {
        match self {
            Self::Packets => rows.sort_by_key(|row| Reverse(row.packets)),
            Self::First => rows.sort_by_key(|row| Reverse(row.first_seen_ms_ago)),
            Self::Last => rows.sort_by_key(|row| row.last_seen_ms_ago),
        }
    }
}

impl By {
    /// Adds up the rows of one group.
    fn sums(self, rows: Vec<DropRow>) -> Vec<DropRow> {
        let mut sums: Vec<DropRow> = Vec::new();
        for row in rows {
            match sums.iter_mut().find(|sum| self.same(sum, &row)) {
                Some(sum) => add(sum, &row),
                None => sums.push(self.only(row)),
            }
        }
        sums
    }

    fn same(self, sum: &DropRow, row: &DropRow) -> bool {
        match self {
            Self::Reason => sum.reason == row.reason,
            Self::Rule => (&sum.reason, &sum.rule, sum.line) == (&row.reason, &row.rule, row.line),
            Self::Service => sum.service == row.service,
            Self::Destination => {
                (sum.server, &sum.protocol, sum.port) == (row.server, &row.protocol, row.port)
            }
        }
    }

    /// Leaves out the parties of the packet, except those of the group.
    fn only(self, row: DropRow) -> DropRow {
        let DropRow { service, server, protocol, port, .. } = row.clone();
        let bare = DropRow {
            service: None,
            task: None,
            source: None,
            destination: None,
            server: None,
            protocol: None,
            port: None,
            ..row
        };
        match self {
            Self::Reason | Self::Rule => bare,
            Self::Service => DropRow { service, ..bare },
            // For a dropped reply it is the server: its destination is the task that waits for it.
            Self::Destination => DropRow { destination: server, server, protocol, port, ..bare },
        }
    }
}

fn add(sum: &mut DropRow, row: &DropRow) {
    sum.add(row);
    if sum.reason != row.reason {
        SEVERAL.clone_into(&mut sum.reason);
    }
    if (&sum.rule, sum.line) != (&row.rule, row.line) {
        SEVERAL.clone_into(&mut sum.rule);
        sum.rule_generation = None;
        sum.line = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::format::fields::{fields, keys};
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn row(rule: &str, task: u16, packets: u64, first: u64, last: u64) -> DropRow {
        DropRow {
            reason: "nacl-egress-deny".into(),
            rule: rule.into(),
            line: Some(7),
            rule_generation: None,
            service: Some("web".into()),
            task: Some(task),
            source: None,
            destination: Some(Ipv4Addr::new(10, 0, 0, task as u8).into()),
            server: Some(Ipv4Addr::new(10, 0, 0, task as u8).into()),
            protocol: Some("tcp".into()),
            port: Some(443),
            packets,
            first_seen_ms_ago: first,
            last_seen_ms_ago: last,
        }
    }

    fn rows() -> Vec<DropRow> {
        vec![row("a", 1, 1, 50, 10), row("b", 1, 5, 9, 9), row("a", 2, 2, 90, 40)]
    }

    #[test]
    fn columns_are_the_fields_of_the_rows() {
        assert_eq!(keys(&DROPS, ""), fields::<DropRow>());
    }

    #[test]
    fn by_rule_adds_packets_and_spans_the_times() {
        let mut sums = By::Rule.sums(rows());
        Sort::Packets.sort(&mut sums);
        let reported: Vec<_> = sums
            .iter()
            .map(|s| (&*s.rule, s.task, s.packets, s.first_seen_ms_ago, s.last_seen_ms_ago))
            .collect();
        assert_eq!(reported, [("b", None, 5, 9, 9), ("a", None, 3, 90, 10)]);
    }

    #[test]
    fn fields_that_differ_among_summed_rows_are_left_out() {
        let of = |by: By| {
            let sums = by.sums(rows());
            let reported = |s: &DropRow| {
                let last = |address: Option<IpAddr>| match address {
                    Some(IpAddr::V4(address)) => Some(address.octets()[3]),
                    Some(IpAddr::V6(_)) | None => None,
                };
                let (service, destination) = (s.service.is_some(), last(s.destination));
                (s.rule.clone(), s.line, service, destination, s.packets)
            };
            sums.iter().map(reported).collect::<Vec<_>>()
        };
        let several = SEVERAL.to_owned();
        assert_eq!(of(By::Reason), [(several.clone(), None, false, None, 8)]);
        assert_eq!(of(By::Service), [(several.clone(), None, true, None, 8)]);
        let to_two = ("a".to_owned(), Some(7), false, Some(2), 2);
        assert_eq!(of(By::Destination), [(several, None, false, Some(1), 6), to_two]);
    }

    #[test]
    fn a_reply_that_died_counts_for_the_server_that_it_comes_from() {
        let (task, server) = (Ipv4Addr::new(100, 64, 0, 1), Ipv4Addr::new(10, 0, 0, 1));
        let reply = DropRow {
            source: Some(server),
            destination: Some(task.into()),
            ..row("b", 1, 4, 3, 2)
        };
        let sums = By::Destination.sums(vec![row("a", 1, 1, 50, 10), reply]);
        let reported: Vec<_> = sums.iter().map(|s| (s.destination, s.port, s.packets)).collect();
        assert_eq!(reported, [(Some(server.into()), Some(443), 5)]);
    }

    #[test]
    fn rows_that_look_the_same_are_one() {
        let rows = vec![row("a", 1, 1, 50, 10), row("b", 1, 7, 9, 9), row("a", 1, 2, 90, 40)];
        let merged = DropRow::merged(rows);
        assert_eq!(merged, [row("a", 1, 3, 90, 10), row("b", 1, 7, 9, 9)]);
    }

    #[test]
    fn a_reason_that_is_none_is_an_error_with_the_nearest_one() {
        assert!(known("no-route").is_ok());
        let error = known("no-rout").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert_eq!(
            error.to_string(),
            "there is no drop reason `no-rout`; did you mean `no-route`?"
        );
        let far = known("blocked-nacl").unwrap_err().to_string();
        assert!(far.contains("; near it: nacl-"), "{far}");
        assert!(far.ends_with(&format!("lists all {}", Reason::ALL.len())), "{far}");
        assert!(far.len() < 300, "{far}");
    }

    #[test]
    fn rows_come_in_the_order_that_is_asked_for() {
        let order = |sort: Sort| {
            let mut rows = rows();
            sort.sort(&mut rows);
            rows.iter().map(|row| row.packets).collect::<Vec<_>>()
        };
        assert_eq!(order(Sort::Packets), [5, 2, 1]);
        assert_eq!(order(Sort::First), [2, 1, 5]);
        assert_eq!(order(Sort::Last), [5, 1, 2]);
    }
}
