//! `egret task`: tasks of a running lab.

use super::completion::values;
use super::exec::parse_task;
use super::format::OutputArgs;
use super::list::{PsArgs, TASKS, Tasks};
use super::namespace_args::NamespaceArgs;
use super::remaining::{Held, KillArg, Processes};
use super::runtime::runtime;
use super::{CliError, LabArg, list, output};
use crate::daemon::control::{AttachTaskRequest, Maker, Removed, TaskAnswer, TaskRequest};
use crate::daemon::{Client, attached_namespaces, task_namespace};
use crate::explain::PsRow;
use clap_complete::engine::ArgValueCompleter;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo egret task add web --count 3
  sudo egret task add web --pid 4711
  sudo egret task remove web/2
  sudo egret task list --json")]
pub struct TaskArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add tasks to a service: new ones, or one of a namespace that another program made
    ///
    /// With --netns or --pid, that namespace becomes the task: it gets an interface, an address and a default route, and
    /// its traffic leaves as the service's does. `egret task remove` detaches it; the namespace and its programs stay.
    #[command(after_help = "Examples:
  sudo egret task add web
  sudo egret task add web --count 3 --json
  task=$(sudo egret task add web -o name)
  sudo egret task add web --netns /run/netns/blue
  sudo egret task add web --pid \"$(podman inspect -f '{{.State.Pid}}' app)\"")]
    Add(AddArgs),
    /// Remove a task, with its flows
    #[command(after_help = "\
Programs that still run in its namespace lose their network. They are listed; --kill ends them.
A task of a namespace that another program made is detached: namespace and programs stay.

Exit codes:
  0  removed, and no program is left there
  1  the lab could not remove it
  2  there is no such task, or no lab answers
  3  removed, and programs still run there

Examples:
  sudo egret task remove web/2
  sudo egret task remove web/2 --kill --json")]
    Remove(RemoveArgs),
    /// Repair the link of a task, such as an eth0 that was deleted
    #[command(after_help = "\
Programs in the task and their connections stay. `egret ps` shows which tasks are broken.

Exit codes:
  0  nothing is broken any more
  1  the lab could not repair it
  2  there is no such task, or no lab answers

Examples:
  sudo egret task repair web/2")]
    Repair(RepairArgs),
    /// List the tasks, as `egret ps` does
    #[command(after_help = "Examples:
  sudo egret task list
  sudo egret task list -o name")]
    List(PsArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    lab: LabArg,
    /// The service
    #[arg(add = ArgValueCompleter::new(values::services))]
    service: String,
    /// How many
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000), conflicts_with = "namespace")]
    count: u16,
    #[command(flatten)]
    namespace: Option<NamespaceArgs>,
    #[command(flatten)]
    output: OutputArgs<Tasks>,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    lab: LabArg,
    /// The task: SERVICE/N
    #[arg(add = ArgValueCompleter::new(values::tasks))]
    task: String,
    #[command(flatten)]
    kill: KillArg,
    #[command(flatten)]
    output: OutputArgs<Processes>,
}

#[derive(Debug, clap::Args)]
struct RepairArgs {
    #[command(flatten)]
    lab: LabArg,
    /// The task: SERVICE/N
    #[arg(add = ArgValueCompleter::new(values::tasks))]
    task: String,
}

pub(super) fn run(args: &TaskArgs) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Add(args) => runtime()?.block_on(add(args)),
        Action::Remove(args) => runtime()?.block_on(remove(args)),
        Action::Repair(args) => runtime()?.block_on(repair(args)),
        Action::List(args) => list::ps(args),
    }
}

async fn attach(args: &AddArgs, namespace: &NamespaceArgs) -> Result<ExitCode, CliError> {
    let client = Client::new(args.lab.name());
    let service = args.service.clone();
    let (number, interface) = (None, namespace.interface().to_owned());
    let request = AttachTaskRequest { service, number, interface, container: None };
    let descriptor = namespace.open()?;
    let TaskAnswer { task, notes } =
        client.post_with("/v1/tasks/attach", &request, descriptor).await?;
    notes.iter().for_each(|note| output::note(&format!("egret: {note}")));
    list::print(&[task], args.output.format, &TASKS)
}

async fn add(args: &AddArgs) -> Result<ExitCode, CliError> {
    if let Some(namespace) = &args.namespace {
        return attach(args, namespace).await;
    }
    let client = Client::new(args.lab.name());
    let service = args.service.clone();
    let request = TaskRequest { service, number: None, maker: Maker::TaskAdd };
    let mut rows: Vec<PsRow> = Vec::new();
    for _ in 0..args.count {
        let TaskAnswer { task, notes } = match client.post("/v1/tasks", &request).await {
            Ok(answer) => answer,
            Err(error) => {
                // The tasks that were made exist.
                if !rows.is_empty() {
                    list::print(&rows, args.output.format, &TASKS)?;
                }
                return Err(error.into());
            }
        };
        notes.iter().for_each(|note| output::note(&format!("egret: {note}")));
        rows.push(task);
    }
    list::print(&rows, args.output.format, &TASKS)
}

async fn remove(args: &RemoveArgs) -> Result<ExitCode, CliError> {
    let (service, number) = numbered(&args.task)?;
    let path = format!("/v1/tasks/{service}/{number}");
    let lab = args.lab.name();
    let is_attached = attached_namespaces(lab).contains(&task_namespace(lab, &service, number));
    let held = Held::of_task(args.lab.name(), &service, number).await;
    let Removed { notes } = Client::new(args.lab.name()).delete(&path).await?;
    notes.iter().for_each(|note| output::note(&format!("egret: {note}")));
    output::note(&match is_attached {
        true => format!("detached task {}; its namespace and programs stay", args.task),
        false => format!("removed task {}", args.task),
    });
    Ok(held.remaining(args.kill)?.print(args.output.format)?)
}

async fn repair(args: &RepairArgs) -> Result<ExitCode, CliError> {
    let (service, number) = numbered(&args.task)?;
    let path = format!("/v1/tasks/{service}/{number}/repair");
    let faults: Vec<String> = Client::new(args.lab.name()).post(&path, &()).await?;
    let task = &args.task;
    output::note(&match faults.as_slice() {
        [] => format!("task {task} is not broken; nothing to repair"),
        faults => format!("repaired task {task}: {}", faults.join("; ")),
    });
    Ok(ExitCode::SUCCESS)
}

/// Parses `SERVICE/N`, for a command that needs exactly one task.
fn numbered(word: &str) -> Result<(String, u16), CliError> {
    if !word.contains('/') {
        return Err(CliError::Usage(format!(
            "`{word}` is a service: give one of its tasks as {word}/N; `egret ps` lists them"
        )));
    }
    parse_task(word)
}
