//! `egret check`: is a lab file sound?

use super::output::{self, ColorChoice};
use super::{CliError, NO};
use crate::config::{Diagnostic, Lab};
use crate::vpc::{Generation, Parts, ServiceKind};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Needs no root and starts nothing.

Exit codes:
  0  sound: no errors, though perhaps warnings
  1  errors
  2  the file cannot be read

Examples:
  egret check lab.toml
  egret check lab.toml --json | jq '.errors[].message'")]
pub struct CheckArgs {
    /// The lab file
    pub file: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

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
    let file = args.file.display().to_string();
    let (findings, summary) = match Lab::load(&args.file) {
        Ok(lab) => {
            let warnings = lab.lint();
            let summary = describe(lab.lower(Generation::default()).parts());
            (Findings { file, ok: true, errors: Vec::new(), warnings }, summary)
        }
        Err(errors) if errors.iter().any(|e| e.rule == "unreadable-file") => {
            return Err(CliError::Config(errors));
        }
        Err(errors) => {
            let summary = "cannot be used".to_owned();
            (Findings { file, ok: false, errors: errors.0, warnings: Vec::new() }, summary)
        }
    };
    output::out(|w| match args.json {
        true => json(w, &findings),
        false => text(w, &findings, &summary, color.on_stdout()),
    })?;
    Ok(ExitCode::from(if findings.ok { 0 } else { NO }))
}

fn json(w: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *w, findings)?;
    writeln!(w)
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
