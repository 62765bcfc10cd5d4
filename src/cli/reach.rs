//! `egret reach`: everything that services reach, or who reaches a destination.

use super::explain::asked_in_vain;
use super::import::ImportArgs;
use super::output::{self, ColorChoice};
use super::progress::{Patience, patiently};
use super::runtime::runtime;
use super::{CliError, LabArg};
use crate::config::Lab;
use crate::daemon::Client;
use crate::daemon::control::{ReachAnswer, ReachRequest};
use crate::explain::{self, Reachability, Reaching};
use crate::pipeline::reach::Addresses;
use crate::vpc::{Generation, Line};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A row is about destinations and ports whose packets have the same verdict, by the same rules, on
the same paths: every packet that the configuration leaves open counts, as for `egret explain`.
VERDICT says what part passes where that is not all, for one destination and port: the others come
from another subnet or source port, or take another address of a NAT gateway.
Destinations are the interfaces of the lab's VPCs that take requests, and the internet.
With --config nothing has to run and no root is needed.

Exit codes:
  0  there is an answer, whatever it is
  2  a usage error, or an error in the lab file

Examples:
  egret reach web --config lab.toml                  what web reaches
  egret reach --config lab.toml                      what every service reaches
  egret reach web --drops --config lab.toml          what web does not reach, and why
  egret reach --to orders-db --config lab.toml       who reaches orders-db
  egret reach --to 10.0.0.0/16:22 --from examples/vpc
  sudo egret reach web --json | jq '.rows[].names'   of the running lab"
)]
pub struct ReachArgs {
    /// The services; without one, all of them
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// List who reaches DEST, which is written as for `egret explain`
    #[arg(long, value_name = "DEST[:PORTS][/PROTO]")]
    pub to: Option<String>,
    /// List what is dropped, and why
    #[arg(long, conflicts_with = "to")]
    pub drops: bool,
    /// Ask this lab file instead of a running lab
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ask what `egret import` reads, instead of a running lab
    #[arg(id = "source", long = "from", value_name = "SOURCE", conflicts_with = "config")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArgs,
    /// Show all rows, however many; without it, the first 200
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    lab: LabArg,
    /// As JSON, with stable keys
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &ReachArgs, color: ColorChoice) -> Result<ExitCode, CliError> {
    if args.from.is_none() {
        args.import.without_source()?;
    }
    match (&args.config, &args.from) {
        (Some(file), _) => {
            let lab = Lab::load(file).map_err(CliError::Config)?;
            write(args, &ask(args, &lab)?)?;
        }
        (None, Some(source)) => from_source(args, source, color)?,
        (None, None) => online(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks a source, as the lab that it becomes. Rules are named by their places in the source.
fn from_source(args: &ReachArgs, source: &Path, color: ColorChoice) -> Result<(), CliError> {
    let imported = args.import.load(source, color)?;
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
        json: args.json,
        all: args.all,
    }
}

/// Asks the running lab.
fn online(args: &ReachArgs) -> Result<(), CliError> {
    let client = Client::new(&args.lab.lab);
    let request = request(args);
    let asked = runtime()?.block_on(patiently(client.post("/v1/reach", &request)));
    let answer: ReachAnswer = asked.map_err(asked_in_vain)?;
    output::out(|w| match args.json {
        true => output::json(w, &answer.json),
        false => w.write_all(answer.text.as_bytes()),
    })?;
    Ok(())
}

fn write(args: &ReachArgs, found: &Reachability) -> Result<(), CliError> {
    output::out(|w| match args.json {
        true => output::json(w, found),
        false => found.text(w, args.all),
    })?;
    Ok(())
}
