//! `egret probe`: sends one real packet from a task, and compares what happens with the verdict.

mod drops;
mod report;
mod send;
mod wanted;

use super::completion::values;
use super::error::NO;
use super::exec::parse_task;
use super::format::{Formats, OutputArgs, Rows};
use super::runtime::runtime;
use super::{CliError, LabArg, output};
use crate::daemon::Client;
use crate::daemon::control::{ExplainAnswer, ExplainRequest, Maker, TaskAnswer, TaskRequest};
use crate::daemon::flows::FlowQuery;
use crate::explain::{FlowRow, PsRow, Selection};
use crate::linux::Netns;
use clap_complete::engine::ArgValueCompleter;
use drops::Drops;
use report::Outcome;
pub(super) use report::Probed;
use send::{Sending, Sent};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;
use std::time::Duration;
use wanted::{Speaks, Wanted};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
DEST is one host, as in `egret explain`: a resource, an internet host, a DNS name, an address, or a \
URL. Without a port, HTTP goes to 80, HTTPS to 443, and TCP and UDP to the first port on which the \
lab listens there.

The verdict is that of `egret explain` on the same packet. A packet that is refused or not answered \
agrees with the verdict forward if the lab has its flow: then it has arrived, and what is there \
refuses it or does not answer.

Exit codes:
  0  the packet was answered
  1  it was dropped or refused, nothing answered, or the answer failed
  2  a usage error, an unknown service or destination, or no lab answers

Examples:
  sudo egret probe web orders-db:5432
  sudo egret probe web https://payments/        as curl would do it
  sudo egret probe web/2 orders --protocol https --port 8443
  sudo egret probe web orders-db/icmp
  sudo egret probe web payments:443 --json | jq -r .seen_as")]
pub struct ProbeArgs {
    /// The task that sends; task 1 where no number is given. It is made if it does not run
    #[arg(value_name = "SERVICE[/N]", add = ArgValueCompleter::new(values::services_and_tasks))]
    task: String,
    /// Where to
    #[arg(value_name = "DEST[:PORT][/PROTO]", add = ArgValueCompleter::new(values::destinations))]
    destination: String,
    /// The language of the packet, instead of /PROTO [default: tcp, or the URL's]
    #[arg(long, value_name = "PROTO")]
    protocol: Option<Speaks>,
    /// The port, instead of :PORT
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    output: OutputArgs<Probes>,
}

/// The formats of `egret probe`.
#[derive(Debug)]
pub struct Probes;

impl Formats for Probes {
    const CSV: Option<&'static str> = Some("One row");
    const NAME: Option<&'static str> = None;
}

const PROBED: Rows = Rows {
    lists: &[""],
    columns: &[
        "service",
        "task",
        "destination",
        "address",
        "port",
        "protocol",
        "outcome",
        "said",
        "time_ms",
        "seen_as",
        "seen_by",
        "verdict",
        "reason",
        "decided_by.kind",
        "decided_by.id",
        "decided_by.rule",
        "decided_by.line",
        "sentence",
        "agrees",
    ],
    ..Rows::NONE
};

/// Sends the packet: 0 if it was answered.
pub(super) fn run(args: &ProbeArgs) -> Result<ExitCode, CliError> {
    let wanted = Wanted::parse(&args.destination, args.protocol, args.port)?;
    let probed = runtime()?.block_on(probe(args, &wanted))?;
    args.output.format.print(&PROBED, || &probed, |w| probed.text(w))?;
    Ok(ExitCode::from(if probed.outcome == Outcome::Answered { 0 } else { NO }))
}

async fn probe(args: &ProbeArgs, wanted: &Wanted) -> Result<Probed, CliError> {
    let client = Client::new(args.lab.name());
    let (service, number) = parse_task(&args.task)?;
    let request = TaskRequest { service, number: Some(number), maker: Maker::Exec };
    let TaskAnswer { task, notes } = client.post("/v1/tasks", &request).await?;
    notes.iter().for_each(|note| output::note(&format!("egret: {note}")));
    let asked = explain(&client, &task, wanted.destination(), wanted.speaks, None).await?;
    let to = destination(wanted, &asked)?;
    let netns = Netns::open(&task.namespace).map_err(crate::linux::exec::ExecError::from)?;
    let sending = Sending::open(args.lab.name(), wanted, &netns, to);
    let sending = sending.map_err(std::io::Error::other)?;
    let source_port = sending.source_port();
    let key = (sending.protocol(), task.address, source_port, *to.ip(), to.port());
    let mut drops = Drops::follow(&client).await?;
    let sent = sending.send(args.timeout, drops.of(key)).await?;
    let flow = flow(&client, &task, source_port, wanted.speaks, to).await?;
    let exact = match wanted.speaks {
        Speaks::Icmp => to.ip().to_string(),
        Speaks::Tcp | Speaks::Udp | Speaks::Http | Speaks::Https => to.to_string(),
    };
    let verdict = explain(&client, &task, exact, wanted.speaks, Some(source_port)).await?;
    Ok(result(args, wanted, (task, to), sent, flow.as_ref(), &verdict))
}

/// Asks the lab for its verdict.
async fn explain(
    client: &Client,
    task: &PsRow,
    destination: String,
    speaks: Speaks,
    source_port: Option<u16>,
) -> Result<Value, CliError> {
    let request = ExplainRequest {
        task: format!("{}/{}", task.service, task.task),
        destination,
        protocol: Some(speaks.protocol().to_owned()),
        running: false,
        source_port,
        json: true,
        color: false,
        wide: false,
    };
    let answer: ExplainAnswer = client.post("/v1/explain", &request).await?;
    Ok(answer.json)
}

/// Chooses the address and the port: the first of those that the question has.
fn destination(wanted: &Wanted, asked: &Value) -> Result<SocketAddrV4, CliError> {
    let text = |pointer: &str| asked.pointer(pointer).and_then(Value::as_str);
    let address: Option<Ipv4Addr> =
        text("/question/destinations/0/from").and_then(|address| address.parse().ok());
    let Some(address) = address else {
        let why = text("/sentence").unwrap_or("it has no address");
        return Err(CliError::Usage(format!("cannot send to {}: {why}", wanted.host)));
    };
    let port = asked.pointer("/question/ports/0/from").and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    Ok(SocketAddrV4::new(address, port))
}

/// Finds the flow of the packet.
async fn flow(
    client: &Client,
    task: &PsRow,
    source_port: u16,
    speaks: Speaks,
    to: SocketAddrV4,
) -> Result<Option<FlowRow>, CliError> {
    let selection = Selection {
        service: Some(format!("{}/{}", task.service, task.task)),
        destination: Some(format!("{}/32", to.ip())),
        ..Selection::default()
    };
    let query = FlowQuery { selection, ..FlowQuery::default() };
    let flows: Vec<FlowRow> = client.post("/v1/flows", &query).await?;
    // A ping has an identifier in place of ports.
    let inside = match speaks {
        Speaks::Icmp => format!("{} id {source_port}", task.address),
        Speaks::Tcp | Speaks::Udp | Speaks::Http | Speaks::Https => {
            format!("{}:{source_port}", task.address)
        }
    };
    let destination = match speaks {
        Speaks::Icmp => to.ip().to_string(),
        Speaks::Tcp | Speaks::Udp | Speaks::Http | Speaks::Https => to.to_string(),
    };
    let is_it = |flow: &FlowRow| {
        flow.protocol == speaks.protocol()
            && flow.inside == inside
            && (flow.destination == destination
                || flow.destination.starts_with(&format!("{destination} id ")))
    };
    Ok(flows.into_iter().find(is_it))
}

/// Decides whether what happened is what the verdict says; a packet that was dropped, if for the
/// same reason.
fn agreement(verdict: &str, reason: Option<&str>, sent: &Sent, has_flow: bool) -> Option<bool> {
    let agrees = Probed::agreement(verdict, sent.outcome, has_flow)?;
    Some(agrees && sent.dropped_for.as_deref().is_none_or(|own| Some(own) == reason))
}

fn result(
    args: &ProbeArgs,
    wanted: &Wanted,
    (task, to): (PsRow, SocketAddrV4),
    sent: Sent,
    flow: Option<&FlowRow>,
    verdict: &Value,
) -> Probed {
    let text = |key: &str| verdict.get(key).and_then(Value::as_str).map(str::to_owned);
    let by_page = sent.page.as_ref().map(|page| {
        let source = SocketAddrV4::new(page.from.address, page.from.port);
        (source.to_string(), "page".to_owned())
    });
    let seen = by_page.or_else(|| flow.map(|flow| (flow.outside.clone(), "flow".to_owned())));
    let (seen_as, seen_by) = seen.unzip();
    let decision = text("verdict").unwrap_or_default();
    let agrees = agreement(&decision, text("reason").as_deref(), &sent, flow.is_some());
    Probed {
        service: task.service,
        task: task.task,
        destination: args.destination.clone(),
        address: *to.ip(),
        port: (wanted.speaks != Speaks::Icmp).then(|| to.port()),
        protocol: wanted.speaks.as_str().to_owned(),
        outcome: sent.outcome,
        said: sent.said,
        time_ms: (sent.took.as_secs_f64() * 1e6).round() / 1e3,
        seen_as,
        seen_by,
        agrees,
        verdict: decision,
        reason: text("reason"),
        decided_by: verdict.get("decided_by").cloned().unwrap_or_default(),
        sentence: text("sentence").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::fields::{fields, keys};
    use super::*;

    #[test]
    fn columns_are_the_fields_of_the_result() {
        let mut columns = keys(&PROBED, "");
        columns.retain(|column| !column.starts_with("decided_by."));
        let mut all = fields::<Probed>();
        all.remove("decided_by");
        columns.remove("decided_by");
        assert_eq!(columns, all);
    }
}
