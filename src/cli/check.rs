//! `egret check`: is a lab file sound?

use super::args::CheckArgs;
use super::{CliError, NO, Output};
use crate::config::{Diagnostic, Lab};
use crate::vpc::{Generation, Parts};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// The answer.
#[derive(Debug, Serialize)]
struct Findings {
    file: String,
    ok: bool,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

/// Checks the file: 0 without errors, 1 with, 2 where it cannot be read.
pub(super) fn run(args: &CheckArgs, output: Output) -> Result<ExitCode, CliError> {
    let file = args.file.display().to_string();
    let (findings, summary) = match Lab::load(&args.file) {
        Ok(lab) => {
            let warnings = lab.lint();
            let summary = describe(lab.lower(Generation::default()).parts());
            (Findings { file, ok: true, errors: Vec::new(), warnings }, summary)
        }
        Err(errors) => {
            let summary = "cannot be used".to_owned();
            (Findings { file, ok: false, errors: errors.0, warnings: Vec::new() }, summary)
        }
    };
    if let [only] = findings.errors.as_slice()
        && only.rule == "unreadable-file"
    {
        return Err(CliError::Unreadable(only.message.clone()));
    }
    output.print(|w| match args.output.json {
        true => json(w, &findings),
        false => text(w, &findings, &summary, output.color()),
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
        counted(parts.connectors.len(), "connector"),
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
