//! `egret reach`: lists everything that services reach, or the services that reach a destination.

use super::completion::values;
use super::explain::asked_in_vain;
use super::format::{Formats, OutputArgs, Rows, each};
use super::import::ImportArgs;
use super::progress::{Patience, patiently};
use super::runtime::runtime;
use super::{CliError, LabArg};
use crate::config::Lab;
use crate::daemon::Client;
use crate::daemon::control::{ReachAnswer, ReachRequest};
use crate::explain::{self, Reachability, Reaching};
use crate::pipeline::reach::Addresses;
use crate::vpc::{Generation, Line};
use clap_complete::engine::ArgValueCompleter;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The destinations and ports of a row have the same verdict, by the same rules, on the same paths, for \
every packet that the configuration allows, as in `egret explain`. VERDICT says how many of these \
packets pass, if not all do. The others come from another subnet or source port, or take another \
address of a NAT gateway. Destinations are the internet and the interfaces of the lab's VPCs that \
take requests. With --config no lab has to run and no root is needed.

Exit codes:
  0  there is an answer, also where nothing is reached
  2  a usage error, an error in the lab file, or no lab answers

Examples:
  egret reach web --config lab.toml                  what web reaches
  egret reach --config lab.toml                      what every service reaches
  egret reach web --drops --config lab.toml          what web does not reach, and why
  egret reach --to orders-db --config lab.toml       who reaches orders-db
  egret reach --to 10.0.0.0/16:22 --from examples/vpc
  egret reach web --config lab.toml -o csv > web.csv
  egret reach --to orders-db --config lab.toml -o name   the services alone, one a line
  sudo egret reach web --json | jq '.rows[].names'   of the running lab")]
pub struct ReachArgs {
    /// The services; without one, all of them
    #[arg(value_name = "SERVICE", add = ArgValueCompleter::new(values::services))]
    pub services: Vec<String>,
    /// List who reaches DEST, which is written as for `egret explain`
    #[arg(long, value_name = "DEST[:PORTS][/PROTO]", add = ArgValueCompleter::new(values::destinations))]
    pub to: Option<String>,
    /// List what is dropped, and why
    #[arg(long, conflicts_with = "to")]
    pub drops: bool,
    /// Ask this lab file instead of a running lab
    #[arg(long, value_name = "FILE", add = ArgValueCompleter::new(values::lab_files))]
    pub config: Option<PathBuf>,
    /// Ask what `egret import` reads, instead of a running lab
    #[arg(id = "source", long = "from", value_name = "SOURCE", conflicts_with = "config")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArgs,
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    output: OutputArgs<Reached>,
}

/// The formats of `egret reach`.
#[derive(Debug)]
pub struct Reached;

impl Formats for Reached {
    const CSV: Option<&'static str> = Some("One row for each row of the table");
    const NAME: Option<&'static str> =
        Some("The destinations; with --to the services that reach DEST, all of it or a part");
}

const ROWS: Rows = Rows {
    lists: &["/rows"],
    columns: &[
        "services",
        "verdict",
        "share",
        "reasons",
        "decided_by.kind",
        "decided_by.id",
        "decided_by.rule",
        "decided_by.line",
        "decided_by.place",
        "decided_by.groups.id",
        "decided_by.groups.line",
        "decided_by.groups.place",
        "paths",
        "names",
        "destinations",
        "ports",
    ],
    names: |answer| each(answer, "/rows", &["names"]).iter().map(|name| alone(name)).collect(),
    ..Rows::NONE
};

/// The rows of an answer to `--to`.
const REACHERS: Rows = Rows {
    columns: &[
        "services",
        "reaches",
        "share",
        "reasons",
        "decided_by.kind",
        "decided_by.id",
        "decided_by.rule",
        "decided_by.line",
        "decided_by.place",
        "decided_by.groups.id",
        "decided_by.groups.line",
        "decided_by.groups.place",
        "paths",
    ],
    names: reachers,
    ..ROWS
};

/// Returns a destination's name without its address.
fn alone(name: &str) -> String {
    let named = name.strip_suffix(')').and_then(|name| name.split_once(" ("));
    // Descriptions contain blanks, such as `internet except api (203.0.113.9)`.
    let named = named.map(|(alone, _)| alone).filter(|alone| !alone.contains(' '));
    named.unwrap_or(name).to_owned()
}

/// Lists the services that reach the destination.
fn reachers(answer: &Value) -> Vec<String> {
    let rows = answer.get("rows").and_then(Value::as_array).into_iter().flatten();
    let reaching = rows.filter(|row| row.get("reaches") != Some(&Value::from("none")));
    reaching.flat_map(|row| each(row, "", &["services"])).collect()
}

impl ReachArgs {
    fn rows(&self) -> &'static Rows {
        if self.to.is_some() { &REACHERS } else { &ROWS }
    }
}

pub(super) fn run(args: &ReachArgs) -> Result<ExitCode, CliError> {
    if args.from.is_none() {
        args.import.without_source()?;
    }
    match (&args.config, &args.from) {
        (Some(file), _) => {
            let lab = args.lab.load(file).map_err(CliError::Config)?;
            write(args, &ask(args, &lab)?)?;
        }
        (None, Some(source)) => from_source(args, source)?,
        (None, None) => online(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks a source, as the lab that it becomes. Rules are named by their places in the source.
fn from_source(args: &ReachArgs, source: &Path) -> Result<(), CliError> {
    let imported = args.import.load(source)?;
    let mut found = ask(args, &imported.lab)?;
    found.name_places(&|line: Line| imported.place(line));
    write(args, &found)
}

/// Answers by a lab file's configuration.
fn ask(args: &ReachArgs, lab: &Lab) -> Result<Reachability, CliError> {
    let snapshot = lab.lower(Generation::default());
    let services = explain::services(&args.services, &snapshot)?;
    let request = request(args);
    let reaching =
        Reaching { services: &services, addresses: Addresses::Open, wanted: request.wanted() };
    let mut patience = Patience::new();
    Ok(explain::reach(&snapshot, &reaching, &mut |service| patience.goes_on(service))?)
}

fn request(args: &ReachArgs) -> ReachRequest {
    ReachRequest {
        services: args.services.clone(),
        to: args.to.clone(),
        drops: args.drops,
        json: !args.output.format.is_text(),
        wide: args.output.format.is_wide(),
    }
}

/// Asks the running lab.
fn online(args: &ReachArgs) -> Result<(), CliError> {
    let client = Client::new(args.lab.name());
    let request = request(args);
    let asked = runtime()?.block_on(patiently(client.post("/v1/reach", &request)));
    let answer: ReachAnswer = asked.map_err(asked_in_vain)?;
    let text = answer.text.as_bytes();
    Ok(args.output.format.print(args.rows(), || &answer.json, |w| w.write_all(text))?)
}

fn write(args: &ReachArgs, found: &Reachability) -> Result<(), CliError> {
    let format = args.output.format;
    let text = |w: &mut dyn Write| match format.is_wide() {
        true => found.wide_text(w),
        false => found.text(w),
    };
    Ok(format.print(args.rows(), || found, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_destination_stands_without_its_address() {
        let names = ["db (10.0.1.10)", "internet", "internet except a (1.1.1.1), b (1.1.1.2)"];
        let shown = names.map(alone);
        assert_eq!(shown, ["db", "internet", "internet except a (1.1.1.1), b (1.1.1.2)"]);
    }
}
