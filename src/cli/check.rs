//! `egret check`: is a lab file sound?

use super::error::NO;
use super::format::{Formats, OutputArgs, Rows, each};
use super::import::ImportArgs;
use super::output::ColorChoice;
use super::{CliError, import};
use crate::config::expectations::Expectations;
use crate::config::import::{ImportFailure, Imported, Order};
use crate::config::{Diagnostic, Diagnostics, Lab};
use crate::explain::{check, name_errors};
use crate::vpc::{Generation, Parts, ServiceKind};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Needs no root and starts nothing.

Exit codes:
  0  sound: no errors, though perhaps warnings
  1  errors
  2  the file or source cannot be read, or a part of the source is not understood

Examples:
  egret check lab.toml
  egret check --from examples/vpc
  egret check lab.toml --json | jq '.errors[].message'
  egret check lab.toml -o csv")]
pub struct CheckArgs {
    /// The lab file
    #[arg(required_unless_present = "source", conflicts_with = "source")]
    pub file: Option<PathBuf>,
    /// In place of a lab file: what `egret import` reads
    #[arg(id = "source", long = "from", value_name = "SOURCE")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    pub(super) import: ImportArgs,
    #[command(flatten)]
    output: OutputArgs<Found>,
}

/// The formats of `egret check`.
#[derive(Debug)]
pub struct Found;

impl Formats for Found {
    const CSV: Option<&'static str> = Some("One row for each finding");
    const NAME: Option<&'static str> = Some("The ids of the findings");
}

/// The lists of findings.
const LISTS: &[&str] = &["/errors", "/warnings"];

const FINDINGS: Rows = Rows {
    lists: LISTS,
    columns: &["severity", "file", "line", "column", "text", "message", "help", "rule"],
    names: |answer| LISTS.iter().flat_map(|list| each(answer, list, &["rule"])).collect(),
    ..Rows::NONE
};

/// The answer.
#[derive(Debug, Serialize)]
struct Findings {
    file: String,
    ok: bool,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

/// Checks the file: 0 without errors, 1 with, 2 where it cannot be read.
pub(super) fn run(args: &CheckArgs, color: ColorChoice) -> Result<ExitCode, CliError> {
    let checked = match (&args.file, &args.from) {
        (_, Some(source)) => of_source(&args.import.order(source, None))?,
        (Some(file), None) => {
            args.import.without_source()?;
            of_file(file)?
        }
        (None, None) => return Err(CliError::Usage("give a lab file, or --from SOURCE".into())),
    };
    let (findings, summary) = match checked {
        Ok((file, lab, warnings)) => {
            let summary = describe(lab.lower(Generation::default()).parts());
            (Findings { file, ok: true, errors: Vec::new(), warnings }, summary)
        }
        Err((file, errors)) => {
            let summary = "cannot be used".to_owned();
            (Findings { file, ok: false, errors: errors.0, warnings: Vec::new() }, summary)
        }
    };
    args.output.format.print(
        &FINDINGS,
        || &findings,
        |w| text(w, &findings, &summary, color.on_stdout()),
    )?;
    Ok(ExitCode::from(if findings.ok { 0 } else { NO }))
}

/// A sound lab with its warnings, or the errors of one that is not; each with what was checked.
type Checked = Result<(String, Lab, Vec<Diagnostic>), (String, Diagnostics)>;

fn of_file(file: &Path) -> Result<Checked, CliError> {
    let name = file.display().to_string();
    match Lab::load(file) {
        Ok(lab) => {
            let names = name_errors(&lab.lower(Generation::default()), &Expectations::of_lab(&lab));
            if !names.is_empty() {
                return Ok(Err((name, names)));
            }
            let warnings = check(&lab);
            Ok(Ok((name, lab, warnings)))
        }
        Err(errors) if errors.iter().any(|e| e.rule == "unreadable-file") => {
            Err(CliError::Config(errors))
        }
        Err(errors) => Ok(Err((name, errors))),
    }
}

/// Errors and warnings name their places in the source.
fn of_source(order: &Order) -> Result<Checked, CliError> {
    let name = order.source.display().to_string();
    match Imported::from_source(order) {
        Ok(imported) => {
            import::note_findings(order, &imported);
            let mut warnings = check(&imported.lab);
            imported.name_places(&mut warnings);
            Ok(Ok((name, imported.lab, warnings)))
        }
        Err(ImportFailure::Lab(errors)) => Ok(Err((name, errors))),
        Err(failure) => Err(CliError::Import(failure)),
    }
}

fn text(w: &mut dyn Write, findings: &Findings, summary: &str, color: bool) -> io::Result<()> {
    for finding in findings.errors.iter().chain(&findings.warnings) {
        let mut rendered = String::new();
        finding.render(&mut rendered, color).map_err(io::Error::other)?;
        writeln!(w, "{}", rendered.trim_end())?;
        writeln!(w)?;
    }
    let counted =
        [counted(findings.errors.len(), "error"), counted(findings.warnings.len(), "warning")];
    writeln!(w, "{}: {}; {summary}", findings.file, counted.join(", "))
}

fn describe(parts: &Parts) -> String {
    [
        counted(parts.vpcs.len(), "VPC"),
        counted(parts.subnets.len(), "subnet"),
        counted(parts.nat_gateways.len(), "NAT gateway"),
        counted(
            parts.connectors.iter().filter(|c| c.kind == ServiceKind::AppRunner).count(),
            "connector",
        ),
        counted(parts.services.len(), "service"),
        counted(parts.enis.len(), "ENI"),
    ]
    .join(", ")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
