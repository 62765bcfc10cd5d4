//! `egret diff`: lists the packets whose verdict changes from one configuration to another, and the
//! names that resolve differently.

use super::completion::values;
use super::error::NO;
use super::format::{Formats, OutputArgs, Rows, each};
use super::import::{ImportArgs, imported};
use super::progress::{Patience, waiting};
use super::runtime::runtime;
use super::{CliError, LabArg};
use crate::config::import::{self, ImportFailure, Imported};
use crate::config::{Lab, Overlay, is_source};
use crate::daemon::Client;
use crate::daemon::configuration::Configuration;
use crate::daemon::reload::Request;
use crate::edge::shown;
use crate::explain::{self, AffectedFlows, Comparison, Reload};
use crate::vpc::{Generation, Line};
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "A and B are each one of
  lab.toml        a lab file
  examples/vpc    what `egret import` reads: a folder, a template, a state
  -               either of standard input; so is a pipe
  lab:NAME        the configuration of a running lab; needs root

All that services may send to the interfaces of the lab's VPCs and to the internet is compared, \
from every subnet, private address, source port and NAT gateway address; FROM says which of them a \
row is about if it is not all. The resolver and the other addresses that AWS serves itself are \
compared too. A service that changes its subnets is compared in all of both. What the App Runner \
API made in a running lab counts for the other side too.

Names are compared by the resolver of each service's VPC: those of resources, endpoints, internet \
hosts and private zones of either side. A name that resolves to other addresses, or on one side \
only, is a change of its own.

Exit codes:
  0  no packet has another verdict, and no name other addresses
  1  some have, or a service comes or goes
  2  a usage error, or one side cannot be read or has errors

Examples:
  egret diff lab.toml new.toml
  egret diff examples/vpc lab.toml --json | jq '.rows[] | select(.change == \"lost\")'
  egret diff lab.toml new.toml --json | jq '.names[] | select(.change == \"lost\") | .names[]'
  egret diff lab.toml new.toml -o csv > changes.csv
  sudo egret diff lab:egret new.toml --flows    also the live flows that `egret apply` would cut")]
pub struct DiffArgs {
    /// The configuration before
    #[arg(id = "source", value_name = "A", add = ArgValueCompleter::new(values::configurations))]
    pub before: String,
    /// The configuration after
    #[arg(value_name = "B", add = ArgValueCompleter::new(values::configurations))]
    pub after: String,
    #[command(flatten)]
    import: ImportArgs,
    /// List the live flows that would end; A must be a running lab
    #[arg(long)]
    pub flows: bool,
    #[command(flatten)]
    output: OutputArgs<Changes>,
}

/// The formats of `egret diff`.
#[derive(Debug)]
pub struct Changes;

impl Formats for Changes {
    const CSV: Option<&'static str> = Some("One row for each row of the tables, without flows");
    const NAME: Option<&'static str> = Some("The services that differ");
}

const CHANGES: Rows = Rows {
    lists: &["/rows", "/names"],
    columns: &[
        "services",
        "change",
        "before.verdict",
        "before.reason",
        "before.decided_by.kind",
        "before.decided_by.id",
        "before.decided_by.rule",
        "before.decided_by.line",
        "before.decided_by.place",
        "before.decided_by.groups.id",
        "before.decided_by.groups.line",
        "before.decided_by.groups.place",
        "after.verdict",
        "after.reason",
        "after.decided_by.kind",
        "after.decided_by.id",
        "after.decided_by.rule",
        "after.decided_by.line",
        "after.decided_by.place",
        "after.decided_by.groups.id",
        "after.decided_by.groups.line",
        "after.decided_by.groups.place",
        "from",
        "names",
        "destinations",
        "ports",
        "before.addresses",
        "after.addresses",
    ],
    names: |answer| {
        let only = ["services_only_before", "services_only_after"];
        let only = only.iter().flat_map(|key| each(answer, "", &[key]));
        let rows = ["/rows", "/names"].iter().flat_map(|list| each(answer, list, &["services"]));
        rows.chain(only).collect()
    },
    ..Rows::NONE
};

/// The answer of the command.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    before: &'a str,
    after: &'a str,
    #[serde(flatten)]
    comparison: &'a Comparison,
    /// The effects on live flows, if they were asked for.
    flows: Option<&'a AffectedFlows>,
}

pub(super) fn run(args: &DiffArgs) -> Result<ExitCode, CliError> {
    if args.flows && (lab_name(&args.before)?.is_none() || lab_name(&args.after)?.is_some()) {
        let said =
            "--flows needs a running lab: give lab:NAME as A, and a lab file or a source as B";
        return Err(CliError::Usage(said.to_owned()));
    }
    let (before, after) = (Side::read(&args.before, args)?, Side::read(&args.after, args)?);
    let (before, after) = overlaid(before, after)?;
    let comparison = compare(&before, &after)?;
    let flows = if args.flows { Some(flows(&args.before, &after.lab)?) } else { None };
    let format = args.output.format;
    let answer = || Answer {
        before: &args.before,
        after: &args.after,
        comparison: &comparison,
        flows: flows.as_ref(),
    };
    format.print(&CHANGES, answer, |w| {
        if format.is_wide() {
            comparison.wide_text(w)?
        } else {
            comparison.text(w)?
        }
        match &flows {
            Some(flows) => {
                writeln!(w)?;
                explain::print_affected_flows(w, flows)
            }
            None => Ok(()),
        }
    })?;
    Ok(ExitCode::from(if comparison.has_changes() { NO } else { 0 }))
}

/// Applies the overlay of a running lab to the other side, as `egret apply` does.
fn overlaid(before: Side, after: Side) -> Result<(Side, Side), CliError> {
    match (before.overlay.clone(), after.overlay.clone()) {
        (Some(own), None) => Ok((before, after.with(own)?)),
        (None, Some(own)) => Ok((before.with(own)?, after)),
        (None, None) | (Some(_), Some(_)) => Ok((before, after)),
    }
}

fn compare(before: &Side, after: &Side) -> Result<Comparison, CliError> {
    let (a, b) = (before.lab.lower(Generation(1)), after.lab.lower(Generation(2)));
    let mut patience = Patience::new();
    let mut comparison = explain::compare(&a, &b, &mut |service| patience.goes_on(service))?;
    let (a, b) = (|line| before.place(line), |line| after.place(line));
    let places = |side: &Side| side.imported.is_some();
    comparison.name_places(places(before).then_some(&a), places(after).then_some(&b));
    Ok(comparison)
}

/// Asks a running lab for the effects on its flows.
fn flows(before: &str, after: &Lab) -> Result<AffectedFlows, CliError> {
    let name = lab_name(before)?.unwrap_or_default();
    let (file, text) = (after.file.clone(), after.source().to_owned());
    let request =
        Request { file, text, time_scale: None, dry_run: true, before: None, keeps_name: true };
    let client = Client::new(&name);
    let asked = waiting(&name, client.post::<Reload>("/v1/apply", &request));
    let reload = runtime()?.block_on(asked)?;
    Ok(reload.flows)
}

/// One of the two configurations.
struct Side {
    lab: Lab,
    /// The overlay of a running lab.
    overlay: Option<Overlay>,
    /// The source that the lab is made from, if there is one.
    imported: Option<Imported>,
}

impl Side {
    fn read(word: &str, args: &DiffArgs) -> Result<Self, CliError> {
        if let Some(name) = lab_name(word)? {
            return Self::running(&name);
        }
        let path = Path::new(word);
        if path.extension().is_some_and(|end| end == "toml") {
            let lab = LabArg::of_environment()?.load(path).map_err(CliError::Config)?;
            return Ok(Self { lab, overlay: None, imported: None });
        }
        let mut order = args.import.order(path, None);
        if order.format.is_none() && !is_source(path) && !path.is_dir() {
            // Its name does not tell which it is, and a pipe is read once.
            let text =
                import::text(path).map_err(ImportFailure::Source).map_err(CliError::Import)?;
            if import::is_lab_file(&text) {
                let file = shown(word).into_owned();
                let lab = Lab::parse(&file, &text).map_err(CliError::Config)?;
                let lab = LabArg::of_environment()?.rename(lab);
                return Ok(Self { lab, overlay: None, imported: None });
            }
            order.text = Some(text);
        }
        let imported = imported(&order)?;
        Ok(Self { lab: imported.lab.clone(), overlay: None, imported: Some(imported) })
    }

    fn running(name: &str) -> Result<Self, CliError> {
        let client = Client::new(name);
        let asked = runtime()?.block_on(waiting(name, client.get("/v1/configuration")));
        let Configuration { file, text, overlay, .. } = asked?;
        let lab = Lab::parse(&file, &text).map_err(CliError::Config)?;
        explain::show_names(&lab.spec.name_tags);
        let side = Self { lab, overlay: Some(overlay.clone()), imported: None };
        side.with(overlay)
    }

    fn with(self, overlay: Overlay) -> Result<Self, CliError> {
        let lab = self.lab.with_overlay(overlay).map_err(CliError::Config)?;
        Ok(Self { lab, ..self })
    }

    /// Names the place of a line in the source, or in the lab file.
    fn place(&self, line: Line) -> String {
        match &self.imported {
            Some(imported) => imported.place(line),
            None => format!("{}:{line}", self.lab.file),
        }
    }
}

/// Returns the name of the running lab that a word names.
fn lab_name(word: &str) -> Result<Option<String>, CliError> {
    match word.strip_prefix("lab:") {
        Some(name) => crate::config::lab_name(name).map(Some).map_err(CliError::Usage),
        None => Ok(None),
    }
}
