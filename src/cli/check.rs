//! `egret check`: finds the errors, warnings and notes of a lab file.

use super::completion::values;
use super::error::NO;
use super::format::{Formats, OutputArgs, Rows, each};
use super::import::ImportArgs;
use super::output::ColorChoice;
use super::progress::Patience;
use super::running_lab::{running_lab, running_services};
use super::{CliError, LabArg, import};
use crate::config::expectations::Expectations;
use crate::config::import::{ImportFailure, Imported, Order};
use crate::config::{Diagnostic, Diagnostics, LINTS, Lab, Severity, lab_name, suggestion};
use crate::daemon::readers;
use crate::edge::{and_more, shown, thousands};
use crate::explain::{ServiceRow, check_saying, name_errors};
use crate::vpc::{Generation, Parts, ServiceKind};
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(override_usage = "egret check [OPTIONS] <FILE|--from <SOURCE>|--lab <NAME>>")]
#[command(after_help = "\
The command needs no root and starts nothing. With --lab it asks a running lab, including everything \
that was made through the App Runner API, and needs root.

A lab with errors cannot be used. A warning is about something that probably does not work as \
intended; a note is worth knowing. A lab file turns off a rule with

  [lint]
  allow = [\"single-zone\"]

Exit codes:
  0  no errors; there may be warnings
  1  errors; with --strict, errors or warnings
  2  the file or source cannot be read, a part of the source is not understood, or no lab answers

Examples:
  egret check lab.toml
  egret check lab.toml --strict --allow two-zones-only
  egret check --from examples/vpc
  sudo egret check --lab staging
  egret check lab.toml --json | jq '.errors[].message'
  egret check lab.toml -o csv")]
pub struct CheckArgs {
    /// The lab file
    #[arg(required_unless_present_any = ["source", "lab"], conflicts_with_all = ["source", "lab"], add = ArgValueCompleter::new(values::lab_files))]
    pub file: Option<PathBuf>,
    /// In place of a lab file: what `egret import` reads
    #[arg(id = "source", long = "from", value_name = "SOURCE")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    pub(super) import: ImportArgs,
    /// In place of a lab file: a running lab
    #[arg(long, value_name = "NAME", value_parser = lab_name, conflicts_with = "source", add = ArgValueCompleter::new(values::labs_that_run))]
    pub lab: Option<String>,
    /// Exit with 1 for warnings too
    #[arg(long)]
    pub strict: bool,
    /// A rule of warnings or notes that is not reported; may be repeated
    #[arg(long, value_name = "RULE", value_parser = lint, add = ArgValueCompleter::new(values::rules))]
    pub allow: Vec<String>,
    #[command(flatten)]
    output: OutputArgs<Found>,
}

/// The formats of `egret check`.
#[derive(Debug)]
pub struct Found;

impl Formats for Found {
    const CSV: Option<&'static str> = Some("One row for each finding");
    const NAME: Option<&'static str> = Some("The rules, as --allow takes them");
}

/// The lists of findings.
const LISTS: &[&str] = &["/errors", "/warnings", "/notes"];

const FINDINGS: Rows = Rows {
    lists: LISTS,
    columns: &["severity", "file", "line", "column", "text", "message", "help", "rule"],
    names: |answer| LISTS.iter().flat_map(|list| each(answer, list, &["rule"])).collect(),
    ..Rows::NONE
};

fn lint(word: &str) -> Result<String, String> {
    match LINTS.contains(&word) {
        true => Ok(word.to_owned()),
        false => Err(format!("there is no such rule; {}", suggestion(word, &LINTS))),
    }
}

/// The answer of the command.
#[derive(Debug, Default, Serialize)]
struct Findings {
    file: String,
    ok: bool,
    errors: Vec<Diagnostic>,
    /// The number of errors that are not listed, because there are so many.
    errors_left_out: usize,
    warnings: Vec<Diagnostic>,
    warnings_left_out: usize,
    notes: Vec<Diagnostic>,
    notes_left_out: usize,
    /// The number of services that were checked; `None` if none could be.
    services: Option<usize>,
    /// The services of the App Runner API that the running lab does not have.
    not_checked: Vec<Unchecked>,
    #[serde(skip)]
    is_source: bool,
}

/// A service that a running lab does not have.
#[derive(Debug, Serialize)]
struct Unchecked {
    service: String,
    /// The status in App Runner's words, such as `CREATE_FAILED`.
    status: String,
}

/// Checks the file: 0 without errors, 1 with errors, 2 if it cannot be read.
pub(super) fn run(args: &CheckArgs, color: ColorChoice) -> Result<ExitCode, CliError> {
    if args.from.is_none() {
        args.import.without_source()?;
    }
    let checked = match (&args.file, &args.from, &args.lab) {
        (_, Some(source), _) => of_source(&args.import.order(source, None))?,
        (_, None, Some(name)) => of_running(name)?,
        (Some(file), None, None) => of_file(file)?,
        (None, None, None) => {
            let message = "give a lab file, --from SOURCE or --lab NAME";
            return Err(CliError::Usage(message.into()));
        }
    };
    let (findings, summary) = findings(checked, args);
    args.output.format.print(
        &FINDINGS,
        || &findings,
        |w| text(w, &findings, &summary, color.on_stdout()),
    )?;
    Ok(ExitCode::from(if findings.ok { 0 } else { NO }))
}

/// Sorts the findings by level.
fn findings(checked: Checked, args: &CheckArgs) -> (Findings, String) {
    let is_source = args.from.is_some();
    let sound = match checked {
        Ok(sound) => sound,
        Err((file, mut errors)) => {
            let errors_left_out = errors.listed();
            let errors = errors.0;
            let found =
                Findings { file, errors, errors_left_out, is_source, ..Findings::default() };
            return (found, "cannot be used".to_owned());
        }
    };
    let Sound { file, lab, found, services } = sound;
    let shown = found.into_iter().filter(|finding| !args.allow.iter().any(|r| r == finding.rule));
    let (notes, warnings): (Vec<_>, Vec<_>) =
        shown.partition(|finding| finding.severity == Severity::Note);
    let (mut notes, mut warnings) = (Diagnostics(notes), Diagnostics(warnings));
    let ok = warnings.is_empty() || !args.strict;
    let (notes_left_out, warnings_left_out) = (notes.listed(), warnings.listed());
    let snapshot = lab.lower(Generation::default());
    let (count, not_checked) = covered(snapshot.parts(), services);
    let summary = describe(snapshot.parts(), count, not_checked.len());
    let services = Some(count);
    let found = Findings {
        file,
        ok,
        warnings: warnings.0,
        warnings_left_out,
        notes: notes.0,
        notes_left_out,
        services,
        not_checked,
        is_source,
        ..Findings::default()
    };
    (found, summary)
}

/// Counts the services that were checked, and finds those that the lab does not have. The second
/// entry of a service that is being updated is none of them.
fn covered(parts: &Parts, services: Option<Vec<ServiceRow>>) -> (usize, Vec<Unchecked>) {
    let Some(all) = services else { return (parts.services.len(), Vec::new()) };
    let is_in_lab = |row: &ServiceRow| parts.services.iter().any(|own| own.name == row.service);
    let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_in_lab);
    let unchecked = |row: ServiceRow| Unchecked { service: row.service, status: row.status };
    (own.len(), others.into_iter().map(unchecked).collect())
}

/// A sound lab with its warnings and notes.
struct Sound {
    file: String,
    lab: Lab,
    found: Vec<Diagnostic>,
    /// The services of a running lab, and those that it does not have.
    services: Option<Vec<ServiceRow>>,
}

/// A sound lab, or the errors of one that is not, with the name of what was checked.
type Checked = Result<Sound, (String, Diagnostics)>;

fn of_file(file: &Path) -> Result<Checked, CliError> {
    let name = shown(&file.display().to_string()).into_owned();
    match LabArg::of_environment()?.load(file) {
        Ok(lab) => Ok(of_lab(name, lab)),
        Err(errors) if errors.iter().any(|e| e.rule == "unreadable-file") => {
            Err(CliError::Config(errors))
        }
        Err(errors) => Ok(Err((name, errors))),
    }
}

/// Checks the configuration of a running lab, even if its file has changed.
fn of_running(name: &str) -> Result<Checked, CliError> {
    let (lab, _) = running_lab(name)?;
    let services = Some(running_services(name)?);
    Ok(of_lab(format!("lab `{name}`"), lab).map(|sound| Sound { services, ..sound }))
}

fn of_lab(name: String, lab: Lab) -> Checked {
    let mut errors = name_errors(&lab.lower(Generation::default()), &Expectations::of_lab(&lab));
    errors.0.extend(readers::group(&lab).err().into_iter().flat_map(|unknown| unknown.0));
    if !errors.is_empty() {
        return Err((name, errors));
    }
    let found = patiently(&lab);
    Ok(Sound { file: name, lab, found, services: None })
}

/// Checks a lab, and names the connector whose packets are judged if it takes long.
fn patiently(lab: &Lab) -> Vec<Diagnostic> {
    let mut patience = Patience::new();
    check_saying(lab, &mut |connector| {
        patience.goes_on(connector);
    })
}

/// Checks a source. Errors and warnings name their places in the source.
fn of_source(order: &Order) -> Result<Checked, CliError> {
    let name = shown(&order.source.display().to_string()).into_owned();
    match Imported::from_source(order) {
        Ok(imported) => {
            import::note_findings(order, &imported);
            let mut found = patiently(&imported.lab);
            imported.name_places(&mut found);
            Ok(Ok(Sound { file: name, lab: imported.lab, found, services: None }))
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
    let Findings { file, errors, errors_left_out, warnings, warnings_left_out, notes, .. } =
        findings;
    left_out(w, *errors_left_out, "error")?;
    left_out(w, *warnings_left_out, "warning")?;
    let has_lines = !findings.is_source;
    notes.iter().try_for_each(|finding| note(w, finding, has_lines))?;
    left_out(w, findings.notes_left_out, "note")?;
    for Unchecked { service, status } in &findings.not_checked {
        writeln!(
            w,
            "not checked: service {service:?} is {status}, and the lab does not have it\n"
        )?;
    }
    let mut all = vec![
        counted(errors.len() + errors_left_out, "error"),
        counted(warnings.len() + warnings_left_out, "warning"),
    ];
    if !notes.is_empty() {
        all.push(counted(notes.len() + findings.notes_left_out, "note"));
    }
    writeln!(w, "{file}: {}; {summary}", all.join(", "))
}

/// Writes how many findings of a level are not listed, if any.
fn left_out(w: &mut dyn Write, count: usize, what: &str) -> io::Result<()> {
    and_more(count, what).map_or(Ok(()), |more| writeln!(w, "{more}\n"))
}

/// Writes a note on two lines: nothing is wrong at its place, so the text of the place is not
/// shown. The lines of a source's lab file say nothing, as nobody has written it: the message has
/// the place in the source.
fn note(w: &mut dyn Write, finding: &Diagnostic, has_lines: bool) -> io::Result<()> {
    let Diagnostic { file, line, message, help, rule, .. } = finding;
    let place = if *line > 0 && has_lines { format!("{file}:{line}, ") } else { String::new() };
    writeln!(w, "note: {message}")?;
    writeln!(w, "      {place}{rule}: {help}")?;
    writeln!(w)
}

fn describe(parts: &Parts, services: usize, not_checked: usize) -> String {
    let services = match not_checked {
        0 => counted(services, "service"),
        more => format!("{services} of {} services", services + more),
    };
    [
        counted(parts.vpcs.len(), "VPC"),
        counted(parts.subnets.len(), "subnet"),
        counted(parts.nat_gateways.len(), "NAT gateway"),
        counted(
            parts.connectors.iter().filter(|c| c.kind == ServiceKind::AppRunner).count(),
            "connector",
        ),
        services,
        counted(parts.enis.len(), "ENI"),
    ]
    .join(", ")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", thousands(count as u64)),
    }
}
