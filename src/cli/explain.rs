//! `egret explain`: what would happen to a packet, and which rule decides.

use super::args::ExplainArgs;
use super::{CliError, NO, Output};
use crate::config::Lab;
use crate::explain::{Target, TaskRef, explain_json, explain_text};
use crate::flow::Instant;
use crate::packet::{Protocol, Tuple};
use crate::pipeline::{Engine, Evidence};
use crate::vpc::{Generation, Snapshot, Task};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;

/// Type and code of an ICMP echo request (RFC 792).
const ECHO_REQUEST: (u8, u8) = (8, 0);
/// The identifier of the echo request that is asked about.
const ECHO_IDENTIFIER: u16 = 1;

/// Explains a packet: 0 where it is forwarded, 1 where it is dropped.
pub(super) fn run(args: &ExplainArgs, output: Output) -> Result<ExitCode, CliError> {
    match &args.config {
        Some(file) => offline(args, file, output),
        None => online(args, output),
    }
}

/// Asks a lab file. Nothing is started, and no port is taken: the engine is fresh, so every port is free.
fn offline(args: &ExplainArgs, file: &Path, output: Output) -> Result<ExitCode, CliError> {
    let lab = Lab::load(file).map_err(|e| CliError::config(file, &e, output.error_color()))?;
    let snapshot = lab.lower(Generation::default());
    let task = task(args, &lab, &snapshot)?;
    let snapshot = snapshot.with_task(task);
    let tuple = tuple(args, &snapshot, task.address)?;
    let icmp = if tuple.protocol == Protocol::Icmp { ECHO_REQUEST } else { (0, 0) };
    // The seed only chooses among free ports; a fixed one gives the same answer twice.
    let engine = Engine::new(0);
    let evidence = engine.explain(Instant::ZERO, &snapshot, &task, tuple, icmp);
    answer(args, &evidence, &snapshot, &lab.file, output)
}

/// Asks the running lab.
fn online(args: &ExplainArgs, _output: Output) -> Result<ExitCode, CliError> {
    Err(CliError::NoRunningLab(args.lab.lab.clone()))
}

fn task(args: &ExplainArgs, lab: &Lab, snapshot: &Snapshot) -> Result<Task, CliError> {
    let TaskRef { service, number } = TaskRef::parse(&args.task, snapshot)?;
    let address = lab
        .task_cidr
        .nth(u32::from(number))
        .ok_or_else(|| CliError::TaskPool { pool: lab.task_cidr.to_string(), number })?;
    Ok(Task { service, number, address, eni: snapshot.choose_eni(service, number) })
}

fn tuple(args: &ExplainArgs, snapshot: &Snapshot, source: Ipv4Addr) -> Result<Tuple, CliError> {
    let Target { address, protocol, port } = Target::parse(&args.destination, snapshot)?;
    if address == source {
        return Err(CliError::OwnAddress(address));
    }
    let sport = match protocol {
        Protocol::Tcp | Protocol::Udp => args.source_port,
        Protocol::Icmp => ECHO_IDENTIFIER,
        Protocol::Other(_) => 0,
    };
    Ok(Tuple { protocol, src: source, dst: address, sport, dport: port })
}

fn answer(
    args: &ExplainArgs,
    evidence: &Evidence,
    snapshot: &Snapshot,
    file_name: &str,
    output: Output,
) -> Result<ExitCode, CliError> {
    output.print(|w| match args.output.json {
        true => explain_json(w, evidence, snapshot),
        false => explain_text(w, evidence, snapshot, file_name, output.color()),
    })?;
    Ok(ExitCode::from(if evidence.denial.is_some() { NO } else { 0 }))
}
