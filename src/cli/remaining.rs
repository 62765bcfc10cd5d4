//! Programs that still run in namespaces that a command removes. The command holds the namespaces
//! open meanwhile, so that the programs are found by them afterwards, and no others.

use super::format::{Format, Formats, Rows, each};
use super::output;
use crate::daemon::{Client, attached_namespaces, state, task_namespace};
use crate::explain::{self, ProcessRow, PsRow};
use crate::linux::Netns;
use crate::linux::processes::{Ending, Process, end, in_namespaces};
use serde::Serialize;
use std::collections::HashMap;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// Exit code for success while programs still run in namespaces that were removed.
const REMAIN: u8 = 3;
/// Limits the wait for a program to end by a signal.
const PATIENCE: Duration = Duration::from_secs(5);
/// Limits the wait for a lab to name its tasks: it may be busy.
const NAMES: Duration = Duration::from_secs(2);
/// The number of searches for programs that ended programs had started. A program that always
/// starts another one remains.
const MOST_LOOKS: usize = 10;
/// The most process ids in a command line to copy.
const MOST_PIDS: usize = 8;

/// What to do about them.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct KillArg {
    /// End the programs that still run in namespaces that are removed: by SIGTERM, and after 5 s by SIGKILL
    #[arg(long)]
    pub(super) kill: bool,
}

/// The namespaces of a lab, held open.
pub(super) struct Held {
    lab: String,
    namespaces: Vec<Netns>,
    /// Tasks by the names of their namespaces.
    tasks: HashMap<String, String>,
}

impl Held {
    /// Takes hold of the namespaces that a lab has now, running or not.
    pub(super) async fn of(lab: &str) -> Self {
        let client = Client::new(lab);
        let asked = tokio::time::timeout(NAMES, client.get::<Vec<PsRow>>("/v1/ps")).await;
        // Without an answer, processes are named by their namespaces alone.
        let rows = asked.ok().and_then(Result::ok).unwrap_or_default();
        let name = |row: PsRow| (row.namespace, format!("{}/{}", row.service, row.task));
        let mut held = Self::unnamed(lab);
        held.tasks = rows.into_iter().map(name).collect();
        held
    }

    /// Takes hold of the namespace of one task: namespaces that another command removes meanwhile
    /// are that command's.
    pub(super) async fn of_task(lab: &str, service: &str, number: u16) -> Self {
        let mut held = Self::of(lab).await;
        let own = task_namespace(lab, service, number);
        held.namespaces.retain(|netns| netns.name() == own);
        held
    }

    /// Takes hold of them without asking the lab for the names of its tasks.
    pub(super) fn unnamed(lab: &str) -> Self {
        let mut held = Self { lab: lab.to_owned(), namespaces: Vec::new(), tasks: HashMap::new() };
        held.hold_new();
        held
    }

    /// Takes hold of the new namespaces.
    pub(super) fn hold_new(&mut self) {
        // If the list cannot be read, the command's next step fails with that error.
        let names = state::namespaces(&self.lab).unwrap_or_default();
        // Programs of an attached namespace are not the lab's.
        let attached = attached_namespaces(&self.lab);
        let is_known = |name: &String| self.namespaces.iter().any(|netns| netns.name() == name);
        let is_own = |name: &String| !attached.contains(name);
        let new = names.into_iter().filter(|name| !is_known(name) && is_own(name));
        let new: Vec<String> = new.collect();
        self.namespaces.extend(new.iter().filter_map(|name| Netns::open(name).ok()));
    }

    /// Looks for programs in the namespaces that were removed since, and ends them if requested.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn remaining(self, kill: KillArg) -> io::Result<Remaining> {
        let Self { lab: _, namespaces, tasks } = self;
        let removed: Vec<Netns> = namespaces.into_iter().filter(Netns::is_removed).collect();
        let mut processes: Vec<ProcessRow> = Vec::new();
        // The programs that are ended may have started more in the meantime.
        for _ in 0..if kill.kill { MOST_LOOKS } else { 1 } {
            let is_new = |p: &Process| !processes.iter().any(|known| known.pid == p.pid);
            let found: Vec<_> = in_namespaces(&removed)?.into_iter().filter(is_new).collect();
            if found.is_empty() {
                break;
            }
            let endings =
                if kill.kill { end(&found, PATIENCE) } else { vec![Ending::Runs; found.len()] };
            processes.extend(found.iter().zip(endings).map(|(p, ending)| row(p, ending, &removed)));
        }
        for process in &mut processes {
            process.task = tasks.get(&process.namespace).cloned();
        }
        let removed = removed.iter().map(|netns| netns.name().to_owned()).collect();
        Ok(Remaining { removed, processes })
    }

    /// Prints which programs still run in namespaces that were removed since, and leaves them
    /// alone.
    pub(super) fn say_remaining(self) {
        // A failure here does not fail the command: the namespaces are removed.
        let Ok(remaining) = self.remaining(KillArg { kill: false }) else { return };
        for row in &remaining.processes {
            let (ProcessRow { pid, namespace, .. }, command) = (row, row.command_in_short());
            output::note(&format!(
                "process {pid} still runs in {namespace}, which was removed: {command}"
            ));
        }
    }
}

fn row(process: &Process, ending: Ending, namespaces: &[Netns]) -> ProcessRow {
    let state = match ending {
        Ending::Terminated => "ended by SIGTERM",
        Ending::Killed => "ended by SIGKILL",
        Ending::Runs => "runs",
    };
    ProcessRow {
        pid: process.pid,
        task: None,
        namespace: namespaces.get(process.namespace).map_or("", Netns::name).to_owned(),
        state: state.to_owned(),
        command: process.command.clone(),
    }
}

/// The namespaces that a command removed, and the programs there.
#[derive(Debug, Serialize)]
pub(super) struct Remaining {
    /// The namespaces that were removed.
    removed: Vec<String>,
    /// The programs that still ran there.
    pub(super) processes: Vec<ProcessRow>,
}

impl Remaining {
    /// Prints the answer of a command that only removes; returns its exit code.
    ///
    /// # Errors
    /// The errors of standard output.
    pub(super) fn print(&self, format: Format) -> io::Result<ExitCode> {
        let rows = &self.processes;
        format.print(
            &PROCESSES,
            || self,
            |w| match rows.is_empty() {
                true => Ok(()),
                false => explain::print(w, rows, &format.style()),
            },
        )?;
        Ok(tell(rows))
    }
}

/// Prints how to end the programs that still run; returns the exit code, which tells whether there
/// are any.
pub(super) fn tell(processes: &[ProcessRow]) -> ExitCode {
    let left: Vec<String> =
        processes.iter().filter(|row| row.runs()).map(|row| row.pid.to_string()).collect();
    if left.is_empty() {
        return ExitCode::SUCCESS;
    }
    let pids = if left.len() > MOST_PIDS { "PID…".to_owned() } else { left.join(" ") };
    let (they, them) = match left.len() {
        1 => ("1 program still runs in a namespace that was removed, and has".to_owned(), "it"),
        n => (format!("{n} programs still run in namespaces that were removed, and have"), "them"),
    };
    output::note(&format!("{they} no network;"));
    output::note(&format!("`kill {pids}` ends {them}, as --kill would have done"));
    ExitCode::from(REMAIN)
}

/// The formats of commands that remove namespaces.
#[derive(Debug)]
pub(super) struct Processes;

impl Formats for Processes {
    const CSV: Option<&'static str> = Some("One row for each program that still ran there");
    const NAME: Option<&'static str> = Some("The process ids of these programs");
}

const PROCESSES: Rows = Rows {
    lists: &["/processes"],
    columns: &["pid", "task", "namespace", "state", "command"],
    names: |answer| each(answer, "/processes", &["pid"]),
    ..Rows::NONE
};

#[cfg(test)]
mod tests {
    use super::super::format::fields::{fields, keys};
    use super::*;

    #[test]
    fn columns_are_the_fields_of_the_rows() {
        assert_eq!(keys(&PROCESSES, ""), fields::<ProcessRow>());
    }
}
