//! Tests of templates: accounts, findings and errors.

mod account;
mod errors;
mod functions;
mod open;
mod public_addresses;
mod reading;

use super::*;
use crate::config::import::FindingKind;
use std::collections::BTreeMap;
use std::fmt::Write;

fn options(parameters: &[(&str, &str)]) -> Options {
    let parameters = parameters.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    Options { parameters: parameters.collect::<BTreeMap<_, _>>(), ..Options::default() }
}

#[track_caller]
fn accepted(text: &str, parameters: &[(&str, &str)]) -> (Account, Findings) {
    match import(text, "vpc.yaml", &options(parameters)) {
        Ok(read) => read,
        Err(errors) => panic!("{errors}"),
    }
}

/// Returns the errors, or what was read instead.
#[track_caller]
fn refused(text: &str) -> String {
    match import(text, "vpc.yaml", &options(&[])) {
        Ok((account, findings)) => panic!("{account:#?}\n{findings:#?}"),
        Err(errors) => errors.to_string(),
    }
}

/// Formats each finding as a line.
fn shown(findings: &Findings) -> String {
    let mut text = String::new();
    for f in findings.all() {
        let _ = writeln!(
            text,
            "{} | {} | {} | {} | {}",
            f.kind, f.object, f.what, f.consequence, f.origin
        );
    }
    text
}

fn count(findings: &Findings, kind: FindingKind) -> usize {
    findings.all().iter().filter(|finding| finding.kind == kind).count()
}
