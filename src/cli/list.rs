//! `egret flows`, `drops`, `enis` and `ps`: tables from a running lab.

use super::trace::SelectionArgs;
use super::{CliError, LabArg, output, runtime};
use crate::daemon::Client;
use crate::daemon::flows::{FlowQuery, FlowSort};
use crate::explain::{self, DropRow, EniRow, FlowRow, HolderRow, PsRow, Row};
use serde::de::DeserializeOwned;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    lab: LabArg,
    /// As JSON, with raw numbers
    #[arg(long)]
    json: bool,
}

/// Arguments of `egret flows`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo egret flows
  sudo egret flows --service web --dst 10.0.0.0/16     one service's flows inside the VPC
  sudo egret flows --nat nat-a --sort bytes --limit 10   what goes through a NAT gateway, the ten largest
  sudo egret flows --sort expires --state established    the connections that idle away
  sudo egret flows --json | jq '.[] | select(.service == \"web\")'

States: denied; of TCP opening, established, closed; of other protocols unreplied, replied. A flow whose rule was
changed or removed since stays (security groups track connections): its rule then shows the generation that it is of.")]
pub struct FlowsArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Through this NAT gateway
    #[arg(long, value_name = "ID")]
    nat: Option<String>,
    /// Of this protocol
    #[arg(long, value_name = "tcp|udp|icmp|NUMBER")]
    protocol: Option<String>,
    /// In this state
    #[arg(long, value_name = "STATE", value_parser = ["denied", "opening", "established", "closed", "unreplied", "replied"])]
    state: Option<String>,
    /// Most first: octets, packets, time idle, age; or the next to expire. By task and destination where it is left out
    #[arg(long, value_enum, value_name = "KEY")]
    sort: Option<FlowSort>,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// So many at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Arguments of `egret enis`.
#[derive(Debug, clap::Args)]
pub struct EnisArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Who holds the most ports, of the fullest ENIs and destinations first
    #[arg(long)]
    holders: bool,
}

/// Arguments of `egret drops`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo egret drops             what died, whose it was, where it went, and by which rule
  sudo egret drops --by-rule   one row for each rule, whoever sent the packets")]
pub struct DropsArgs {
    #[command(flatten)]
    list: ListArgs,
    /// One row for each rule, whoever sent the packets
    #[arg(long)]
    by_rule: bool,
}

pub(super) fn flows(args: &FlowsArgs) -> Result<ExitCode, CliError> {
    let query = FlowQuery {
        selection: args.selection.selection(None),
        nat_gateway: args.nat.clone(),
        protocol: args.protocol.clone(),
        state: args.state.clone(),
        sort: args.sort,
        reverse: args.reverse,
        limit: args.limit,
    };
    let client = Client::new(&args.list.lab.lab);
    let rows: Vec<FlowRow> = runtime()?.block_on(client.post("/v1/flows", &query))?;
    print(&rows, args.list.json)
}

pub(super) fn drops(args: &DropsArgs) -> Result<ExitCode, CliError> {
    let rows: Vec<DropRow> = rows(&args.list, "/v1/drops")?;
    print(&if args.by_rule { by_rule(rows) } else { rows }, args.list.json)
}

pub(super) fn enis(args: &EnisArgs) -> Result<ExitCode, CliError> {
    if args.holders {
        return show::<HolderRow>(&args.list, "/v1/holders");
    }
    show::<EniRow>(&args.list, "/v1/enis")
}

pub(super) fn ps(args: &ListArgs) -> Result<ExitCode, CliError> {
    show::<PsRow>(args, "/v1/ps")
}

fn show<R: Row + DeserializeOwned>(args: &ListArgs, path: &str) -> Result<ExitCode, CliError> {
    print(&rows::<R>(args, path)?, args.json)
}

fn rows<R: DeserializeOwned>(args: &ListArgs, path: &str) -> Result<Vec<R>, CliError> {
    Ok(runtime()?.block_on(Client::new(&args.lab.lab).get(path))?)
}

fn print<R: Row>(rows: &[R], json: bool) -> Result<ExitCode, CliError> {
    output::out(|w| explain::print(w, rows, json))?;
    Ok(ExitCode::SUCCESS)
}

/// Adds up the rows that one rule decided, the most packets first.
fn by_rule(rows: Vec<DropRow>) -> Vec<DropRow> {
    let mut sums: Vec<DropRow> = Vec::new();
    for row in rows {
        let same = |sum: &&mut DropRow| {
            (&sum.reason, &sum.rule, sum.line) == (&row.reason, &row.rule, row.line)
        };
        match sums.iter_mut().find(same) {
            Some(sum) => {
                sum.packets += row.packets;
                sum.first_seen_ms_ago = sum.first_seen_ms_ago.max(row.first_seen_ms_ago);
                sum.last_seen_ms_ago = sum.last_seen_ms_ago.min(row.last_seen_ms_ago);
            }
            None => sums.push(DropRow {
                service: None,
                task: None,
                source: None,
                destination: None,
                protocol: None,
                port: None,
                ..row
            }),
        }
    }
    sums.sort_by_key(|sum| std::cmp::Reverse(sum.packets));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_rule_adds_packets_and_spans_the_times() {
        let row = |rule: &str, task, packets, first, last| DropRow {
            reason: "nacl-egress-deny".into(),
            rule: rule.into(),
            line: Some(7),
            rule_generation: None,
            service: Some("web".into()),
            task: Some(task),
            source: None,
            destination: None,
            protocol: None,
            port: None,
            packets,
            first_seen_ms_ago: first,
            last_seen_ms_ago: last,
        };
        let sums =
            by_rule(vec![row("a", 1, 1, 50, 10), row("b", 1, 5, 9, 9), row("a", 2, 2, 90, 40)]);
        let told: Vec<_> = sums
            .iter()
            .map(|s| (&*s.rule, s.task, s.packets, s.first_seen_ms_ago, s.last_seen_ms_ago))
            .collect();
        assert_eq!(told, [("b", None, 5, 9, 9), ("a", None, 3, 90, 10)]);
    }
}
