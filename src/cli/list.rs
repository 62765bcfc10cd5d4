//! `egret flows`, `enis` and `ps`: tables from a running lab.

use super::completion::values;
use super::format::{Format, Formats, OutputArgs, Rows, each};
use super::number;
use super::selection::SelectionArgs;
use super::table_args::TableArgs;
use super::watch::{Listing, nothing};
use super::{CliError, LabArg};
use crate::daemon::Client;
use crate::daemon::flows::{FlowQuery, FlowSort};
use crate::daemon::requests::STATES;
use crate::explain::{self, EniRow, FlowRow, HolderRow, PsRow, Row};
use clap_complete::engine::ArgValueCompleter;
use std::io::{self, Write};
use std::process::ExitCode;

/// Arguments of `egret ps`.
#[derive(Debug, clap::Args)]
pub struct PsArgs {
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    output: OutputArgs<Tasks>,
    #[command(flatten)]
    table: TableArgs<PsRow>,
}

/// Arguments of `egret flows`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
STATE is `denied`; for TCP `opening`, `established` or `closed`; for other protocols `unreplied` or \
`replied`. A flow stays when its rule is changed or removed, since security groups track \
connections. Its rule is then shown with the generation that the rule is of.

Exit codes:
  0  the flows are listed, even if there are none
  1  the lab ended before it answered
  2  a usage error, an unknown name, or no lab answers

Examples:
  sudo egret flows
  sudo egret flows --service web --dst 10.0.0.0/16       one service's flows inside the VPC
  sudo egret flows --nat nat-a --sort bytes --limit 10   the ten largest of a NAT gateway
  sudo egret flows --sort expires --state established    connections, the next to expire first
  sudo egret flows --json | jq '.[] | select(.service == \"web\")'
  sudo egret flows -o csv > flows.csv")]
pub struct FlowsArgs {
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    output: OutputArgs<Flows>,
    #[command(flatten)]
    table: TableArgs<FlowRow>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Show only flows through this NAT gateway, by id, device or name
    #[arg(long, value_name = "ID|NAME", add = ArgValueCompleter::new(values::nat_gateways))]
    nat: Option<String>,
    /// Show only flows of this protocol
    #[arg(long, value_name = "tcp|udp|icmp|NUMBER")]
    protocol: Option<String>,
    /// Show only flows in this state
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Option<String>,
    /// Sort by this key; without it, by task and destination
    #[arg(long, value_enum, value_name = "KEY")]
    sort: Option<FlowSort>,
    /// Reverse the order
    #[arg(long)]
    reverse: bool,
    /// Show at most N flows
    #[arg(long, value_name = "N", value_parser = number::positive)]
    limit: Option<u64>,
}

/// Arguments of `egret enis`.
#[derive(Debug, clap::Args)]
pub struct EnisArgs {
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    output: OutputArgs<Enis>,
    #[command(flatten)]
    table: TableArgs<EniRow>,
    /// List who holds the most ports; the fullest ENIs and destinations come first
    #[arg(long)]
    holders: bool,
}

pub(super) fn flows(args: &FlowsArgs) -> Result<ExitCode, CliError> {
    let query = FlowQuery {
        selection: args.selection.selection(None),
        nat_gateway: args.nat.clone(),
        protocol: args.protocol.clone(),
        state: args.state.clone(),
        sort: args.sort,
        reverse: args.reverse,
        limit: args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
    };
    let client = Client::new(args.lab.name());
    let (format, below) = (args.output.format, nothing);
    let listing = Listing { client: Some(&client), args: &args.table, format, rows: &FLOWS, below };
    listing.show(async || Ok(client.post::<Vec<FlowRow>>("/v1/flows", &query).await?))
}

pub(super) fn enis(args: &EnisArgs) -> Result<ExitCode, CliError> {
    let holders = args.holders;
    let client = Client::new(args.lab.name());
    let (args, format) = (&args.table, args.output.format);
    if holders {
        let listing =
            Listing { client: Some(&client), args, format, rows: &HOLDERS, below: nothing };
        return listing.show(async || Ok(client.get::<Vec<HolderRow>>("/v1/holders").await?));
    }
    let listing = Listing { client: Some(&client), args, format, rows: &ENIS, below: dead_workers };
    listing.show(async || Ok(client.get::<Vec<EniRow>>("/v1/enis").await?))
}

pub(super) fn ps(args: &PsArgs) -> Result<ExitCode, CliError> {
    let client = Client::new(args.lab.name());
    let (args, format) = (&args.table, args.output.format);
    let listing =
        Listing { client: Some(&client), args, format, rows: &TASKS, below: broken_tasks };
    listing.show(async || Ok(client.get::<Vec<PsRow>>("/v1/ps").await?))
}

/// Writes which tasks are broken, and the speed of the lab's timeouts if that is not as in AWS.
fn broken_tasks(w: &mut dyn Write, rows: &[PsRow]) -> io::Result<()> {
    explain::print_broken(w, rows)?;
    match rows.first().and_then(|row| speed(row.time_scale)) {
        Some(speed) => writeln!(w, "\n{speed}"),
        None => Ok(()),
    }
}

/// Writes which devices have lost a worker: the table may have no room for that.
fn dead_workers(w: &mut dyn Write, rows: &[EniRow]) -> io::Result<()> {
    for EniRow { id, queues, dead_workers, .. } in rows.iter().filter(|row| row.dead_workers > 0) {
        writeln!(w, "{id}: {dead_workers} of {queues} workers ended: packets to them are lost")?;
    }
    Ok(())
}

/// Returns the speed of a lab's timeouts, if that is not as in AWS.
pub(super) fn speed(time_scale: f64) -> Option<String> {
    (time_scale.to_bits() != 1.0_f64.to_bits())
        .then(|| format!("timeouts pass {time_scale} times as fast"))
}

/// Prints rows of a running lab.
pub(super) fn print<R: Row>(list: &[R], format: Format, rows: &Rows) -> Result<ExitCode, CliError> {
    format.print(rows, || list, |w| explain::print(w, list, &format.style()))?;
    Ok(ExitCode::SUCCESS)
}

/// The formats of `egret ps`.
#[derive(Debug)]
pub struct Tasks;

impl Formats for Tasks {
    const CSV: Option<&'static str> = Some("One row for each task");
    const NAME: Option<&'static str> = Some("The tasks, as SERVICE/N");
}

/// The formats of `egret flows`.
#[derive(Debug)]
pub struct Flows;

impl Formats for Flows {
    const CSV: Option<&'static str> = Some("One row for each flow");
    const NAME: Option<&'static str> = None;
}

/// The formats of `egret enis`.
#[derive(Debug)]
pub struct Enis;

impl Formats for Enis {
    const CSV: Option<&'static str> = Some("One row for each ENI and gateway, or each holder");
    const NAME: Option<&'static str> = Some("The ids; with --holders the tasks, as SERVICE/N");
}

/// The rows of `egret ps`.
pub(super) const TASKS: Rows = Rows {
    lists: &[""],
    columns: &[
        "service",
        "task",
        "namespace",
        "address",
        "eni",
        "subnet",
        "availability_zone",
        "egress",
        "origin",
        "state",
        "faults",
        "way_out",
        "generation",
        "time_scale",
        "container",
    ],
    names: |answer| each(answer, "", &["service", "task"]),
    ..Rows::NONE
};

const FLOWS: Rows = Rows {
    lists: &[""],
    columns: &[
        "service",
        "task",
        "protocol",
        "state",
        "inside",
        "destination",
        "eni",
        "eni_port",
        "nat_gateway",
        "outside",
        "admitted_by",
        "line",
        "rule_generation",
        "packets_out",
        "bytes_out",
        "packets_in",
        "bytes_in",
        "path",
        "offloaded.packets_out",
        "offloaded.bytes_out",
        "offloaded.packets_in",
        "offloaded.bytes_in",
        "age_ms",
        "idle_ms",
        "expires_ms",
        "generation",
        "admitted_under",
    ],
    ..Rows::NONE
};

const ENIS: Rows = Rows {
    lists: &[""],
    columns: &[
        "id",
        "device",
        "queues",
        "dead_workers",
        "kind",
        "subnet",
        "availability_zone",
        "security_groups",
        "address",
        "public_address",
        "secondary_addresses",
        "secondary_public_addresses",
        "state",
        "services",
        "connectors",
        "interface_type",
        "requester_managed",
        "tags",
        "tasks",
        "flows",
        "packets_out",
        "bytes_out",
        "packets_in",
        "bytes_in",
        "offloaded.packets_out",
        "offloaded.bytes_out",
        "offloaded.packets_in",
        "offloaded.bytes_in",
        "drops",
        "port_errors",
        "metrics.ActiveConnectionCount",
        "metrics.ConnectionAttemptCount",
        "metrics.ConnectionEstablishedCount",
        "metrics.IdleTimeoutCount",
        "metrics.ErrorPortAllocation",
        "metrics.PacketsDropCount",
        "metrics.PacketsOutToDestination",
        "metrics.BytesOutToDestination",
        "metrics.PacketsOutToSource",
        "metrics.BytesOutToSource",
    ],
    names: |answer| each(answer, "", &["id"]),
    ..Rows::NONE
};

const HOLDERS: Rows = Rows {
    lists: &[""],
    columns: &["id", "destination", "taken", "limit", "service", "task", "ports"],
    names: |answer| each(answer, "", &["service", "task"]),
    ..Rows::NONE
};

#[cfg(test)]
mod tests {
    use super::super::format::fields::{fields, keys};
    use super::*;
    use crate::explain::Offloaded;
    use crate::pipeline::NatMetrics;

    /// A field that is added to a row gets its column, and one that is removed loses it.
    #[test]
    fn columns_are_the_fields_of_the_rows() {
        assert_eq!(keys(&TASKS, ""), fields::<PsRow>());
        assert_eq!(keys(&FLOWS, ""), fields::<FlowRow>());
        assert_eq!(keys(&FLOWS, "offloaded"), fields::<Offloaded>());
        assert_eq!(keys(&ENIS, ""), fields::<EniRow>());
        assert_eq!(keys(&ENIS, "offloaded"), fields::<Offloaded>());
        assert_eq!(keys(&ENIS, "metrics"), fields::<NatMetrics>());
        assert_eq!(keys(&HOLDERS, ""), fields::<HolderRow>());
    }
}
