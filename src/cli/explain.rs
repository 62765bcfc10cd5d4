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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::args::{Cli, Command};
    use super::*;
    use crate::explain::{Fix, fix};
    use crate::pipeline::Reason;
    use clap::Parser;

    const LAB: &str = r#"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
internet_gateway = "igw"

[[subnet]]
id = "private"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"
network_acl = "acl-private"

[[subnet]]
id = "public"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"

[[subnet]]
id = "data"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"

[[route_table]]
id = "rtb-private"
vpc = "vpc"

[[route_table]]
id = "rtb-public"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]

[[nat_gateway]]
id = "nat"
subnet = "public"
public_ip = "198.51.100.7"

[[network_acl]]
id = "acl-private"
vpc = "vpc"
egress = [
    { rule = 100, action = "deny", protocol = "tcp", ports = "22", cidr = "10.0.0.0/16" },
    { rule = 200, action = "allow", protocol = "all", cidr = "0.0.0.0/0" },
]
ingress = [{ rule = 100, action = "allow", protocol = "tcp", ports = "1024-65535", cidr = "10.0.0.0/16" }]

[[security_group]]
id = "sg-app"
vpc = "vpc"
egress = [{ protocol = "tcp", ports = "22", to = "10.0.2.10/32" }]

[[security_group]]
id = "sg-db"
vpc = "vpc"
ingress = []

[[resource]]
name = "db"
subnet = "data"
address = "10.0.2.10"
security_groups = ["sg-db"]
listen = ["5432/tcp"]

[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["443/tcp"]

[[vpc_connector]]
name = "c"
subnets = ["private"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "c"
"#;

    fn explain(text: &str, destination: &str) -> (Evidence, Snapshot) {
        let lab = Lab::parse("lab.toml", text).unwrap();
        let cli = Cli::parse_from(["egret", "explain", "web", destination]);
        let Command::Explain(args) = cli.command else { unreachable!() };
        let snapshot = lab.lower(Generation::default());
        let task = task(&args, &lab, &snapshot).unwrap();
        let snapshot = snapshot.with_task(task);
        let tuple = tuple(&args, &snapshot, task.address).unwrap();
        let engine = Engine::new(0);
        (engine.explain(Instant::ZERO, &snapshot, &task, tuple, (0, 0)), snapshot)
    }

    /// The lab file with the fix written where it says.
    fn mended(text: &str, fix: &Fix) -> String {
        let key = fix.action.strip_prefix("add to ").unwrap();
        let heading = format!("id = \"{}\"\n", fix.id);
        let (before, after) = text.split_once(&heading).unwrap();
        let end = after.find("\n\n").unwrap_or(after.len());
        let (section, rest) = after.split_at(end);
        let rule = &fix.rule;
        let section = match section.split_once(&format!("{key} = [")) {
            Some((head, tail)) => format!("{head}{key} = [{rule}, {tail}"),
            None => format!("{section}\n{key} = [{rule}]"),
        };
        format!("{before}{heading}{section}{rest}")
    }

    /// Follows the fixes from drop to drop until the packet passes.
    fn reasons_until_it_passes(destination: &str) -> Vec<Reason> {
        let mut text = LAB.to_owned();
        let mut reasons = Vec::new();
        loop {
            let (evidence, snapshot) = explain(&text, destination);
            let Some(denial) = evidence.denial else { return reasons };
            assert!(!reasons.contains(&denial.reason), "{} again:\n{text}", denial.reason);
            reasons.push(denial.reason);
            text = mended(&text, &fix(&evidence, &snapshot).unwrap());
        }
    }

    #[test]
    fn every_line_that_a_fix_proposes_opens_the_gate_that_it_is_about() {
        assert_eq!(
            reasons_until_it_passes("example"),
            [Reason::SgEgressImplicitDeny, Reason::NoRoute, Reason::NaclReturnImplicitDeny]
        );
        assert_eq!(
            reasons_until_it_passes("db"),
            [Reason::SgEgressImplicitDeny, Reason::SgIngressNoRules]
        );
        assert_eq!(
            reasons_until_it_passes("db:22"),
            [Reason::NaclEgressDeny, Reason::SgIngressNoRules]
        );
    }

    #[test]
    fn a_task_beyond_the_pool_is_named() {
        let lab = Lab::parse("lab.toml", &format!("task_cidr = \"100.64.0.0/29\"\n{LAB}")).unwrap();
        let snapshot = lab.lower(Generation::default());
        let cli = Cli::parse_from(["egret", "explain", "web/8", "example"]);
        let Command::Explain(args) = cli.command else { unreachable!() };
        let error = task(&args, &lab, &snapshot).unwrap_err().to_string();
        assert_eq!(
            error,
            "task_cidr 100.64.0.0/29 has no address for task 8; use a lower number, or a larger task_cidr"
        );
    }
}
