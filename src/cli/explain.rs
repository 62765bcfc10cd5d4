//! `egret explain`: shows the verdict on everything that a service may send, and the rule that
//! decides.

use super::completion::values;
use super::error::NO;
use super::format::{FORMAT, Formats, JSON, OutputArgs, Rows};
use super::import::ImportArgs;
use super::output::ColorChoice;
use super::progress::{PATIENCE, in_progress, patiently};
use super::runtime::runtime;
use super::{CliError, LabArg};
use crate::config::Lab;
use crate::daemon::control::{ExplainAnswer, ExplainRequest};
use crate::daemon::{Client, ClientError};
use crate::explain::{self, Asking, Explained, Look, Places, TaskRef};
use crate::pipeline::reach::{Addresses, SetVerdict, Tasks};
use crate::vpc::{Generation, Line, ServiceIx, ServiceKind, Snapshot, Task};
use clap_complete::engine::ArgValueCompleter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The verdict is about every packet that the question leaves open: each subnet of the \
service, each private address, source port and NAT gateway address that AWS may choose, each address \
of DEST's name, each port. It is FORWARD if all pass, DROP if none does, MIXED otherwise.

DEST is one of
  db                 a resource, an internet host or a DNS name: every port on which it listens
  db:5432,8000-8100  these TCP ports; db:53/udp these UDP ports
  db:*               all protocols and ports
  db/icmp            ping; another protocol by its number: db --protocol 47
  10.0.1.10:5432     an address
  10.0.0.0/16:5432   a block
  internet:443       all public addresses outside the lab's VPCs and their peers
  https://api.example/v1   a URL: its host, and its port or its scheme's

With --config nothing has to run and no root is needed, so it fits in CI.

A change that is proposed is written for what was asked: lines of the lab file; with --from commands \
of the AWS CLI, resources of Terraform, or a fragment of the CloudFormation template.

With --fix only a patch of the lab file is printed, which makes all of these packets pass and takes \
none from other services: `egret explain … --fix > fix.patch`, then `patch -p0 < fix.patch`, or \
`egret apply fix.patch` for the running lab.

Exit codes:
  0  all packets pass; with --fix: a patch is printed, or there is nothing to fix
  1  some or all are dropped, or the name of DEST does not resolve; with --fix: no change
     is known, or with --from another one is needed after it
  2  a usage error, or an error in the lab file

Examples:
  egret explain web orders-db --config lab.toml            every port of orders-db
  egret explain web/2 203.0.113.10:443 --config lab.toml   from task 2 only
  egret explain web 'internet:*' --config lab.toml --json
  egret explain web 10.0.0.0/16:443 --config lab.toml -o csv   the classes of packets, one a row
  egret explain web orders-db --from examples/vpc          see `egret import`
  sudo egret explain web orders-db                         by the configuration of the running lab
  sudo egret explain web orders-db --running               from the tasks that run now
  egret explain web orders-db --config lab.toml --fix | patch -p0")]
pub struct ExplainArgs {
    /// The service that sends, or its task N, counted from 1
    #[arg(value_name = "SERVICE[/N]", add = ArgValueCompleter::new(values::services_and_tasks))]
    pub task: String,
    /// Where to: an address, a name, a block, `internet` or a URL; PROTO is tcp (the default), udp, icmp or a number
    #[arg(value_name = "DEST[:PORTS][/PROTO]", add = ArgValueCompleter::new(values::destinations))]
    pub destination: String,
    /// The protocol, by name or number, instead of /PROTO
    #[arg(long, value_name = "PROTO")]
    pub protocol: Option<String>,
    /// Ask for the tasks that run now, not for all that the configuration allows
    #[arg(long, conflicts_with_all = ["config", "source"])]
    pub running: bool,
    /// Ask this lab file instead of a running lab
    #[arg(long, value_name = "FILE", add = ArgValueCompleter::new(values::lab_files))]
    pub config: Option<PathBuf>,
    /// Ask what `egret import` reads, instead of a running lab
    #[arg(id = "source", long = "from", value_name = "SOURCE", conflicts_with = "config")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    pub(super) import: ImportArgs,
    /// The task's source port, or the identifier of an ICMP echo. It matters only where the ENI keeps it, as that of a
    /// Fargate task does; all others draw one from 1024 to 65535 [default: any]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub source_port: Option<u16>,
    #[command(flatten)]
    pub(super) lab: LabArg,
    /// Print a patch of the lab file that lets all of these packets pass, and nothing else
    #[arg(long, conflicts_with_all = [FORMAT, JSON])]
    pub fix: bool,
    #[command(flatten)]
    output: OutputArgs<Classes>,
}

/// The formats of `egret explain`.
#[derive(Debug)]
pub struct Classes;

impl Formats for Classes {
    const CSV: Option<&'static str> = Some("One row for each class of packets, without the stages");
    const NAME: Option<&'static str> = None;
}

const CLASSES: Rows = Rows {
    lists: &["/classes"],
    columns: &[
        "verdict",
        "reason",
        "code",
        "decided_by.kind",
        "decided_by.id",
        "decided_by.rule",
        "decided_by.line",
        "decided_by.place",
        "decided_by.groups.id",
        "decided_by.groups.line",
        "decided_by.groups.place",
        "hint",
        "generation",
        "inside.src",
        "inside.sport",
        "inside.dst",
        "inside.dport",
        "inside.protocol",
        "outside.src",
        "outside.sport",
        "outside.dst",
        "outside.dport",
        "outside.protocol",
        "sentence",
        "nearest_miss.id",
        "nearest_miss.rule",
        "nearest_miss.line",
        "nearest_miss.place",
        "nearest_miss.text",
        "nearest_miss.protocol",
        "nearest_miss.ports",
        "nearest_miss.peer",
        "counts",
        "share",
        "part",
        "whole",
        "attachments.subnet",
        "attachments.eni",
        "attachments.groups",
        "attachments.addresses",
        "tasks",
        "source_ports",
        "gateway_addresses.gateway",
        "gateway_addresses.private",
        "gateway_addresses.public",
        "gateway_ports",
        "destinations",
        "ports",
    ],
    ..Rows::NONE
};

/// Explains a set of packets: 0 if all are forwarded, 1 if some are dropped.
pub(super) fn run(args: &ExplainArgs, color: ColorChoice) -> Result<ExitCode, CliError> {
    if args.from.is_none() {
        args.import.without_source()?;
    }
    let passes = match (&args.config, &args.from) {
        (Some(file), _) => offline(args, file, color)?,
        (None, Some(source)) => from_source(args, source, color)?,
        (None, None) => online(args, color)?,
    };
    Ok(ExitCode::from(if passes { 0 } else { NO }))
}

/// Asks a lab file. Nothing is started.
fn offline(args: &ExplainArgs, file: &Path, color: ColorChoice) -> Result<bool, CliError> {
    let lab = args.lab.load(file).map_err(CliError::Config)?;
    let explained = ask(args, &lab)?;
    let places = |line| format!("{}:{line}", lab.file);
    let value = || explained.explanation();
    args.output.format.print(&CLASSES, value, |w| explained.text(w, &places, look(args, color)))?;
    Ok(explained.verdict() == SetVerdict::Forward)
}

/// Asks a source, as the lab that it becomes. Rules are named by their places in the source.
fn from_source(args: &ExplainArgs, source: &Path, color: ColorChoice) -> Result<bool, CliError> {
    let imported = args.import.load(source)?;
    let mut explained = ask(args, &imported.lab)?;
    explained.write_fix_for(&imported.written);
    let place = |line: Line| imported.place(line);
    let places: Places<'_> = &place;
    let value = || {
        let mut explanation = explained.explanation();
        explanation.name_places(places);
        explanation
    };
    args.output.format.print(&CLASSES, value, |w| explained.text(w, places, look(args, color)))?;
    Ok(explained.verdict() == SetVerdict::Forward)
}

/// Returns the look of a text for people.
fn look(args: &ExplainArgs, color: ColorChoice) -> Look {
    Look { color: color.on_stdout(), wide: args.output.format.is_wide() }
}

/// Answers by a lab file's configuration.
pub(super) fn ask(args: &ExplainArgs, lab: &Lab) -> Result<Explained, CliError> {
    let (snapshot, service, tasks) = tasks(args, lab)?;
    let asking = asking(args, lab, (service, tasks), Addresses::Open);
    Ok(explain::ask(&snapshot, &asking, &mut in_time())?)
}

pub(super) fn asking<'a>(
    args: &'a ExplainArgs,
    lab: &Lab,
    (service, tasks): (ServiceIx, Tasks),
    addresses: Addresses,
) -> Asking<'a> {
    Asking {
        service,
        tasks,
        addresses,
        pool: lab.task_cidr,
        destination: &args.destination,
        protocol: args.protocol.as_deref(),
        source_port: args.source_port,
    }
}

/// Lets an answer take as long as it needs, and reports progress after a while.
pub(super) fn in_time() -> impl FnMut() -> bool {
    let begin = Instant::now();
    let mut progress = None;
    move || {
        if progress.is_none() && begin.elapsed() > PATIENCE {
            progress = Some(in_progress());
        }
        true
    }
}

/// Returns the tasks of the question, and the configuration with them.
fn tasks(args: &ExplainArgs, lab: &Lab) -> Result<(Snapshot, ServiceIx, Tasks), CliError> {
    let snapshot = lab.lower(Generation::default());
    let TaskRef { service, number } = TaskRef::parse(&args.task, &snapshot)?;
    let Some(number) = number else { return Ok((snapshot, service, Tasks::Possible)) };
    let snapshot = with_the_task(lab, &snapshot, service, number)?.lower(Generation::default());
    let task = task(lab, &snapshot, service, number)?;
    Ok((snapshot.with_task(task), service, Tasks::One(task)))
}

/// Returns the lab with an ENI for a task, if it needs one of its own and is more than the file
/// counts.
fn with_the_task(
    lab: &Lab,
    snapshot: &Snapshot,
    service: ServiceIx,
    number: u16,
) -> Result<Lab, CliError> {
    let service = snapshot.service(service);
    if service.kind != ServiceKind::Fargate {
        return Ok(lab.clone());
    }
    let mut overlay = lab.overlay.clone();
    overlay.tasks_by_hand.entry(service.name.clone()).or_default().insert(number);
    lab.with_overlay(overlay).map_err(CliError::Config)
}

fn task(lab: &Lab, snapshot: &Snapshot, service: ServiceIx, number: u16) -> Result<Task, CliError> {
    let pool = lab.task_cidr;
    let address = pool.nth(u32::from(number)).ok_or_else(|| {
        CliError::Usage(format!(
            "task_cidr {pool} has no address for task {number}; use a lower number, or a larger task_cidr"
        ))
    })?;
    Ok(Task { service, number, address, eni: snapshot.choose_eni(service, number) })
}

/// Asks the running lab.
fn online(args: &ExplainArgs, color: ColorChoice) -> Result<bool, CliError> {
    let request = ExplainRequest {
        task: args.task.clone(),
        destination: args.destination.clone(),
        protocol: args.protocol.clone(),
        running: args.running,
        source_port: args.source_port,
        json: !args.output.format.is_text(),
        color: color.on_stdout(),
        wide: args.output.format.is_wide(),
    };
    let client = Client::new(args.lab.name());
    let asked = runtime()?.block_on(patiently(client.post("/v1/explain", &request)));
    let answer: ExplainAnswer = asked.map_err(asked_in_vain)?;
    let text = answer.text.as_bytes();
    args.output.format.print(&CLASSES, || &answer.json, |w| w.write_all(text))?;
    Ok(answer.passes)
}

/// Adds to the error that no lab runs how to ask a lab file.
pub(super) fn asked_in_vain(error: ClientError) -> CliError {
    match error {
        ClientError::NotRunning { .. } => {
            CliError::Usage(format!("{error}, or ask a lab file with --config FILE"))
        }
        ClientError::NotRoot { .. }
        | ClientError::Refused(_)
        | ClientError::Failed(_)
        | ClientError::Silent(_)
        | ClientError::WentDown { .. }
        | ClientError::Broken { .. } => error.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::{Cli, Command, output};
    use super::*;
    use crate::explain::Fix;
    use crate::pipeline::{Evidence, Reason};
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

    fn asked(text: &str, task: &str, destination: &str) -> Explained {
        let lab = Lab::parse("lab.toml", text).unwrap();
        let cli = Cli::parse_from(["egret", "explain", task, destination]);
        let Command::Explain(args) = cli.command else { unreachable!() };
        ask(&args, &lab).unwrap()
    }

    fn explain(text: &str, task: &str, destination: &str) -> (Evidence, Snapshot) {
        let explained = asked(text, task, destination);
        (explained.sample().unwrap(), explained.snapshot().clone())
    }

    /// Returns the lab file with the fix written where it belongs.
    fn fixed(text: &str, fix: &Fix) -> String {
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

    /// Applies the fixes for task 1 from drop to drop until the packet passes. Returns the reasons,
    /// and the resulting file.
    fn until_it_passes(lab: &str, destination: &str) -> (Vec<Reason>, String) {
        let mut text = lab.to_owned();
        let mut reasons = Vec::new();
        loop {
            let explained = asked(&text, "web", destination);
            let Some(denial) = explained.sample().unwrap().denial else { return (reasons, text) };
            assert!(!reasons.contains(&denial.reason), "{} again:\n{text}", denial.reason);
            reasons.push(denial.reason);
            text = fixed(&text, explained.fix().unwrap());
        }
    }

    fn reasons_until_it_passes(destination: &str) -> Vec<Reason> {
        until_it_passes(LAB, destination).0
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

    /// A fix for the address of one interface would leave the tasks of the other zones without an
    /// answer.
    #[test]
    fn a_fix_of_a_network_acl_is_for_every_task_of_the_service() {
        let private_b = r#"[[subnet]]
id = "private-b"
vpc = "vpc"
availability_zone = "us-east-1b"
cidr = "10.0.3.0/24"
route_table = "rtb-private"
network_acl = "acl-private"

[[network_acl]]
id = "acl-data"
vpc = "vpc"

"#;
        let lab = LAB
            .replace("cidr = \"10.0.2.0/24\"", "cidr = \"10.0.2.0/24\"\nnetwork_acl = \"acl-data\"")
            .replace("subnets = [\"private\"]", "subnets = [\"private\", \"private-b\"]")
            + private_b;
        for (destination, expected) in [
            ("db", &[Reason::NaclIngressImplicitDeny, Reason::NaclReturnImplicitDeny][..]),
            ("example", &[Reason::NaclReturnImplicitDeny]),
        ] {
            let (reasons, text) = until_it_passes(&lab, destination);
            let of_acls = reasons.iter().filter(|r| r.name().starts_with("nacl"));
            assert_eq!(of_acls.collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
            for task in ["web/1", "web/2"] {
                let (evidence, _) = explain(&text, task, destination);
                assert_eq!(
                    evidence.denial.map(|d| d.reason),
                    None,
                    "{task} {destination}:\n{text}"
                );
            }
        }
        let (_, text) = until_it_passes(&lab, "example");
        assert!(text.contains("ports = \"1024-65535\", cidr = \"0.0.0.0/0\""), "{text}");
    }

    /// Scripts read the same object, key by key, from a file and from the daemon.
    #[test]
    fn a_running_lab_answers_in_the_same_words_and_order() {
        let explanation = asked(LAB, "web", "db").explanation();
        let mut offline = Vec::new();
        output::json(&mut offline, &explanation).unwrap();
        let answer = ExplainAnswer {
            passes: false,
            text: String::new(),
            json: serde_json::to_value(explanation).unwrap(),
        };
        let sent = serde_json::to_string(&answer).unwrap();
        let received: ExplainAnswer = serde_json::from_str(&sent).unwrap();
        let mut online = Vec::new();
        output::json(&mut online, &received.json).unwrap();
        assert_eq!(String::from_utf8(online).unwrap(), String::from_utf8(offline).unwrap());
    }

    #[test]
    fn a_task_beyond_the_pool_is_named() {
        let lab = Lab::parse("lab.toml", &format!("task_cidr = \"100.64.0.0/29\"\n{LAB}")).unwrap();
        let snapshot = lab.lower(Generation::default());
        let error = task(&lab, &snapshot, ServiceIx(0), 8).unwrap_err().to_string();
        assert_eq!(
            error,
            "task_cidr 100.64.0.0/29 has no address for task 8; use a lower number, or a larger task_cidr"
        );
    }
}
