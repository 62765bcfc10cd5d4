//! `egret flows`, `enis` and `ps`: tables from a running lab.

use super::runtime::runtime;
use super::selection::SelectionArgs;
use super::{CliError, LabArg, output};
use crate::daemon::Client;
use crate::daemon::flows::{FlowQuery, FlowSort};
use crate::explain::{self, EniRow, FlowRow, HolderRow, PsRow, Row};
use serde::de::DeserializeOwned;
use std::num::NonZeroUsize;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) lab: LabArg,
    /// As JSON, with raw numbers
    #[arg(long)]
    pub(super) json: bool,
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
    limit: Option<NonZeroUsize>,
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

pub(super) fn flows(args: &FlowsArgs) -> Result<ExitCode, CliError> {
    let query = FlowQuery {
        selection: args.selection.selection(None),
        nat_gateway: args.nat.clone(),
        protocol: args.protocol.clone(),
        state: args.state.clone(),
        sort: args.sort,
        reverse: args.reverse,
        limit: args.limit.map(NonZeroUsize::get),
    };
    let client = Client::new(&args.list.lab.lab);
    let rows: Vec<FlowRow> = runtime()?.block_on(client.post("/v1/flows", &query))?;
    print(&rows, args.list.json)
}

pub(super) fn enis(args: &EnisArgs) -> Result<ExitCode, CliError> {
    if args.holders {
        return show::<HolderRow>(&args.list, "/v1/holders");
    }
    show::<EniRow>(&args.list, "/v1/enis")
}

pub(super) fn ps(args: &ListArgs) -> Result<ExitCode, CliError> {
    let rows = rows::<PsRow>(args, "/v1/ps")?;
    let speed = rows.first().and_then(|row| speed(row.time_scale));
    print(&rows, args.json)?;
    if let Some(speed) = speed.filter(|_| !args.json) {
        output::out(|w| writeln!(w, "\n{speed}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How fast a lab's timeouts pass, where that is not as in AWS.
pub(super) fn speed(time_scale: f64) -> Option<String> {
    (time_scale.to_bits() != 1.0_f64.to_bits())
        .then(|| format!("timeouts pass {time_scale} times as fast"))
}

fn show<R: Row + DeserializeOwned>(args: &ListArgs, path: &str) -> Result<ExitCode, CliError> {
    print(&rows::<R>(args, path)?, args.json)
}

fn rows<R: DeserializeOwned>(args: &ListArgs, path: &str) -> Result<Vec<R>, CliError> {
    Ok(runtime()?.block_on(Client::new(&args.lab.lab).get(path))?)
}

pub(super) fn print<R: Row>(rows: &[R], json: bool) -> Result<ExitCode, CliError> {
    output::out(|w| explain::print(w, rows, json))?;
    Ok(ExitCode::SUCCESS)
}
