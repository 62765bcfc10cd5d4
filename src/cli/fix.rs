//! `egret explain --fix`: prints a patch of the lab file that makes all packets of the question
//! pass.

use super::CliError;
use super::apply::is_below;
use super::error::NO;
use super::explain::{ExplainArgs, ask, asked_in_vain, asking, in_time};
use super::output;
use super::progress::patiently;
use super::runtime::runtime;
use crate::config::Lab;
use crate::config::edit::diff;
use crate::daemon::Client;
use crate::daemon::configuration::Configuration;
use crate::daemon::control::no_task;
use crate::explain::{self, Explained, Form, Repair, TaskRef};
use crate::pipeline::reach::{Addresses, SetVerdict, Tasks};
use crate::vpc::Snapshot;
use std::path::Path;
use std::process::ExitCode;

/// Prints a patch: 0 if there is one or nothing to fix, 1 if no change is known.
pub(super) fn run(args: &ExplainArgs) -> Result<ExitCode, CliError> {
    if args.from.is_none() {
        args.import.without_source()?;
    }
    match (&args.config, &args.from) {
        (Some(file), _) => of_file(args, file),
        (None, Some(source)) => of_source(args, source),
        (None, None) => of_running(args),
    }
}

fn of_file(args: &ExplainArgs, file: &Path) -> Result<ExitCode, CliError> {
    let lab = args.lab.load(file).map_err(CliError::Config)?;
    let mut read =
        |text: &str| Lab::parse_after(Some(&lab), &lab.file, text).map_err(CliError::Config);
    let repair = explain::repair(lab.source(), &mut read, &mut |changed| ask(args, changed))?;
    print(repair, &lab.file, lab.source())
}

/// Asks by the configuration of a running lab, whose file may have changed.
fn of_running(args: &ExplainArgs) -> Result<ExitCode, CliError> {
    let client = Client::new(args.lab.name());
    let asked = runtime()?.block_on(patiently(client.get("/v1/configuration")));
    let own: Configuration = asked.map_err(asked_in_vain)?;
    let mut read = |text: &str| own.with_text(text.to_owned()).lab().map_err(CliError::Config);
    let mut asked = |(lab, snapshot): &(Lab, Snapshot)| ask_running(args, lab, snapshot);
    let repair = explain::repair(&own.text, &mut read, &mut asked)?;
    print(repair, &own.file, &own.text)
}

fn ask_running(args: &ExplainArgs, lab: &Lab, snapshot: &Snapshot) -> Result<Explained, CliError> {
    let TaskRef { service, number } = TaskRef::parse(&args.task, snapshot)?;
    let own = |number: u16| {
        let mut tasks = snapshot.tasks();
        let task = tasks.find(|task| task.service == service && task.number == number);
        task.copied().ok_or_else(|| CliError::Usage(no_task(&args.task)))
    };
    let tasks = match number {
        Some(number) => Tasks::One(own(number)?),
        None if args.running => Tasks::Running,
        None => Tasks::Possible,
    };
    let asking = asking(args, lab, (service, tasks), Addresses::Real);
    Ok(explain::ask(snapshot, &asking, &mut in_time())?)
}

/// Prints the change in the source's own words, and on standard error its place and what it leaves.
fn of_source(args: &ExplainArgs, source: &Path) -> Result<ExitCode, CliError> {
    let imported = args.import.load(source)?;
    let mut explained = ask(args, &imported.lab)?;
    if explained.verdict() == SetVerdict::Forward {
        return print(Repair::Nothing, &imported.lab.file, "");
    }
    explained.write_fix_for(&imported.written);
    let Some(fix) = explained.fix() else {
        return print(Repair::Unknown(explained.why_no_fix()), &imported.lab.file, "");
    };
    if fix.form == Form::Toml {
        let why = fix.note.clone().unwrap_or_else(|| "the source has no words for it".to_owned());
        return print(Repair::Unknown(why), &imported.lab.file, "");
    }
    output::out(|w| writeln!(w, "{}", fix.rule))?;
    output::note(&format!("egret: to change {}: {}", fix.id, fix.action));
    let Some(next) = fix.next else { return Ok(ExitCode::SUCCESS) };
    output::note(&format!(
        "egret: with this change some of these packets are still dropped, {next}: apply it, and \
         ask again"
    ));
    Ok(ExitCode::from(NO))
}

fn print(repair: Repair, file: &str, before: &str) -> Result<ExitCode, CliError> {
    match repair {
        Repair::Nothing => {
            output::note("egret: nothing to fix: all of these packets pass");
            Ok(ExitCode::SUCCESS)
        }
        Repair::Unknown(why) => {
            output::note(&format!("egret: no patch: {why}"));
            Ok(ExitCode::from(NO))
        }
        Repair::Text { text, .. } => {
            let file = from_here(file);
            let patch = diff(&file, before, &text);
            output::out(|w| w.write_all(patch.as_bytes()))?;
            if !is_below(&file) && Path::new(&file).exists() {
                output::note(&format!(
                    "egret: `patch {} < PATCH` applies it",
                    explain::shell_word(&file)
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Returns a file's name as seen from the current folder: `patch` takes no other.
fn from_here(file: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match Path::new(file).strip_prefix(here) {
        Ok(below) => below.display().to_string(),
        Err(_) => file.strip_prefix("./").unwrap_or(file).to_owned(),
    }
}
