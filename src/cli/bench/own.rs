//! `egret bench SERVICE DESTINATION`: through the user's own running lab, a column for each ENI.

use super::super::completion::values;
use super::args::{seconds, whole_seconds};
use super::cells::{Cell, Method};
use super::document::{Document, PathInfo};
use super::load::Between;
use super::measure::{Lane, Outcome, rounds};
use super::print::{PrintArgs, print};
use super::session::{require_root, until_signal};
use super::{BenchError, machine};
use crate::cli::exec::parse_task;
use crate::cli::iperf::{self, Direction};
use crate::cli::progress::Progress;
use crate::cli::{CliError, LabArg, output};
use crate::daemon::Client;
use crate::daemon::control::{ExplainAnswer, ExplainRequest, LabInfo, Maker, TaskRequest};
use crate::explain::PsRow;
use crate::linux::Netns;
use clap_complete::engine::ArgValueCompleter;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

/// The cells that are measured where the rules let the protocol through.
const CELLS: [Cell; 6] = [
    Cell::Tcp(Direction::Up, 1),
    Cell::Tcp(Direction::Up, 4),
    Cell::Tcp(Direction::Down, 4),
    Cell::Udp(64),
    Cell::Connections,
    Cell::Latency,
];

/// Arguments of the form without a command.
#[derive(Debug, clap::Args)]
pub(super) struct OwnArgs {
    #[command(flatten)]
    lab: LabArg,
    /// The service, or one of its tasks as SERVICE/N
    #[arg(required = true, add = ArgValueCompleter::new(values::services_and_tasks))]
    service: Option<String>,
    /// The name or address to measure to, and a port that the rules let through and that nothing
    /// listens on [default port: 5201]
    #[arg(required = true, value_name = "DESTINATION[:PORT]", add = ArgValueCompleter::new(values::destinations))]
    destination: Option<String>,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement takes; iperf3 takes whole seconds
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// TCP's congestion control [default: the machine's]
    #[arg(long, value_name = "NAME")]
    congestion: Option<String>,
    #[command(flatten)]
    print: PrintArgs,
}

pub(super) fn run(args: &OwnArgs) -> Result<ExitCode, CliError> {
    let (Some(service), Some(destination)) = (&args.service, &args.destination) else {
        return Err(CliError::Usage(
            "give a service and a destination, such as `egret bench web orders-db:5201`".to_owned(),
        ));
    };
    require_root()?;
    let document = until_signal(measure(args, service, destination))?;
    print(&document, &args.print)?;
    Ok(if document.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &OwnArgs, service: &str, destination: &str) -> Result<Document, CliError> {
    let client = Client::new(args.lab.name());
    let lab: LabInfo = client.get("/v1/lab").await?;
    let (name, port) = place_of(destination)?;
    let mut cells = CELLS.to_vec();
    if !iperf::IPERF.is_installed() {
        output::note(
            "iperf3 is not installed, so TCP throughput is left out: apt-get install iperf3",
        );
        cells.retain(|cell| !matches!(cell, Cell::Tcp(..)));
    }
    let mut lanes = Vec::new();
    let mut paths = Vec::new();
    for task in one_task_per_eni(&client, service).await? {
        let (lane, path) = lane(&client, &lab, &task, (name, port), &cells).await?;
        lanes.extend(lane);
        paths.push(path);
    }
    if lanes.is_empty() {
        let why = paths.first().and_then(|path| path.skipped.clone()).unwrap_or_default();
        return Err(BenchError::Nothing(why).into());
    }
    let (seconds, small) = (whole_seconds(args.seconds), args.seconds);
    let method = Method { seconds, small, congestion: args.congestion.clone() };
    let machine = machine::machine(format!("lab `{}`, {service} to {name}:{port}", lab.name));
    let Outcome { metrics, failures } =
        rounds(&lanes, &cells, &method, args.rounds, &Progress::new()).await;
    Ok(Document {
        machine,
        rounds: args.rounds,
        seconds,
        congestion: method.congestion,
        paths,
        metrics: metrics.into_iter().filter(|metric| !metric.rounds.is_empty()).collect(),
        failures: failures.into_iter().map(|(_, said)| said).collect(),
        curves: Vec::new(),
        targets: Vec::new(),
    })
}

/// Parses a destination: `orders-db:5201` is name and port.
fn place_of(destination: &str) -> Result<(&str, u16), CliError> {
    let Some((name, port)) = destination.split_once(':') else {
        return Ok((destination, iperf::PORT));
    };
    match port.parse() {
        Ok(port) if port > 0 => Ok((name, port)),
        Ok(_) | Err(_) => Err(CliError::Usage(format!(
            "`{port}` is not a port; write {name}:PORT with a number from 1 to 65535"
        ))),
    }
}

/// Returns one task for each ENI that the service's tasks use; or the one that was asked for.
async fn one_task_per_eni(client: &Client, word: &str) -> Result<Vec<PsRow>, CliError> {
    let (service, number) = parse_task(word)?;
    if word.contains('/') {
        let request = TaskRequest { service, number: Some(number), maker: Maker::Bench };
        return Ok(vec![client.post("/v1/tasks", &request).await?]);
    }
    let mut rows: Vec<PsRow> = client.get("/v1/ps").await?;
    rows.retain(|row| row.service == service);
    rows.sort_by(|a, b| (&a.availability_zone, &a.eni).cmp(&(&b.availability_zone, &b.eni)));
    rows.dedup_by(|a, b| a.eni == b.eni);
    if rows.is_empty() {
        return Err(CliError::Usage(format!(
            "no task of a service `{service}` runs; `egret ps` lists them, `egret task add` makes one"
        )));
    }
    Ok(rows)
}

/// Returns a task's path to the destination, with the cells whose protocol the lab lets through.
async fn lane(
    client: &Client,
    lab: &LabInfo,
    task: &PsRow,
    (name, port): (&str, u16),
    cells: &[Cell],
) -> Result<(Option<Lane>, PathInfo), CliError> {
    let from = format!("{}/{}", task.service, task.task);
    let mut allowed = cells.to_vec();
    let mut address = None;
    let mut refusals = Vec::new();
    for protocol in ["tcp", "udp"] {
        let answer = explain(client, &from, &format!("{name}:{port}/{protocol}")).await?;
        address = address.or_else(|| destination(&answer));
        if !answer.passes {
            allowed.retain(|cell| matches!(cell, Cell::Udp(_)) != (protocol == "udp"));
            refusals
                .push(format!("{from} may not send {protocol} to {name}:{port}: {}", why(&answer)));
        }
    }
    if !allowed.is_empty() {
        refusals.iter().for_each(|refusal| output::note(refusal));
    }
    let address = address.ok_or_else(|| BenchError::Nothing(format!("{name} has no address")))?;
    let key = task.eni.clone().unwrap_or_else(|| task.egress.clone());
    let about = format!("from {from} to {address}");
    if allowed.is_empty() {
        return Ok((None, PathInfo { key, about, skipped: Some(refusals.join("; ")) }));
    }
    let between = Between {
        client: Netns::open(&task.namespace).map_err(BenchError::from)?,
        server: home_of(lab, address)?,
        address,
        port,
        ports: 1,
    };
    let lane = Lane { key: key.clone(), between, cells: allowed, is_seen_rightly: None };
    Ok((Some(lane), PathInfo { key, about, skipped: None }))
}

async fn explain(client: &Client, from: &str, to: &str) -> Result<ExplainAnswer, CliError> {
    let request = ExplainRequest {
        task: from.to_owned(),
        destination: to.to_owned(),
        protocol: None,
        running: false,
        source_port: None,
        json: true,
        color: false,
        wide: false,
    };
    Ok(client.post("/v1/explain", &request).await?)
}

fn destination(answer: &ExplainAnswer) -> Option<Ipv4Addr> {
    answer.json.get("inside")?.get("dst")?.as_str()?.parse().ok()
}

fn why(answer: &ExplainAnswer) -> String {
    let sentence = answer.json.get("sentence").and_then(|sentence| sentence.as_str());
    sentence.unwrap_or("`egret explain` says why").to_owned()
}

/// Returns the lab's namespace that has the address.
fn home_of(lab: &LabInfo, address: Ipv4Addr) -> Result<Netns, CliError> {
    let places = lab.vpcs.iter().chain(&lab.gateway_endpoints).map(String::as_str);
    for place in places.chain(["internet"]) {
        let netns = Netns::open(&format!("{}-{place}", lab.name)).map_err(BenchError::from)?;
        let bound = netns.run(|| UdpSocket::bind((address, 0))).map_err(BenchError::from)?;
        match bound {
            Ok(_) => return Ok(netns),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CliError::Usage(format!(
        "nothing in the lab has {address}: name a resource or an internet host of the lab file"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_destination_is_a_name_and_perhaps_a_port() {
        assert_eq!(place_of("orders-db").unwrap(), ("orders-db", 5201));
        assert_eq!(place_of("10.0.1.10:443").unwrap(), ("10.0.1.10", 443));
        for wrong in ["db:", "db:0", "db:x", "db:70000", "db:5201/tcp"] {
            assert_eq!(place_of(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
