//! The error report of a failed command: a line on standard error that begins with `egret:`, below
//! the details; in JSON or YAML if that is the format of the answer, so that a program need not
//! read text.

use super::Cli;
use super::error::CliError;
use super::format::{FORMAT, Format, JSON, yaml};
use super::output::{self, ColorChoice};
use crate::config::import::ImportFailure;
use crate::config::{Diagnostic, MOST_LISTED};
use crate::edge::shown::without_colours;
use crate::edge::{and_more, is_hidden, shown};
use crate::explain::{self, FindingRow};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use serde::Serialize;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

/// The form of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    /// Text for people.
    Text,
    /// One object on one line.
    Json,
    /// One document.
    Yaml,
}

/// An error for programs.
#[derive(Debug, Default, Serialize)]
struct Failure {
    /// The error, and what to do about it.
    error: String,
    /// The command's exit code.
    exit_code: u8,
    /// The errors in a file, if it is about one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Diagnostic>,
    /// The number of errors or findings that are not listed, because there are so many.
    #[serde(skip_serializing_if = "is_zero")]
    errors_left_out: usize,
    /// The parts of a source that are not understood, if it is about one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<FindingRow>,
}

/// Reads the command line, or prints its errors, or the help that it asks for.
///
/// # Errors
/// The exit code if there is nothing to run.
pub fn parse(words: &[OsString]) -> Result<(Cli, ErrorForm), ExitCode> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(words);
    let parsed = matches.and_then(|matches| {
        let form = ErrorForm::of(&matches);
        let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        Ok((cli, form))
    });
    parsed.map_err(|error| match shown_words(words).filter(|shown| shown.kind() == error.kind()) {
        Some(shown) => refused(&shown, &[], ErrorForm::of_words(words)),
        None => refused(&error, words, ErrorForm::of_words(words)),
    })
}

/// Returns the error of a command line that has hidden characters, each replaced by its number. In
/// the message about the original words, clap's own colours could not be told from those of the
/// words.
fn shown_words(words: &[OsString]) -> Option<clap::Error> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    if !words.iter().any(|word| word.contains(is_hidden)) {
        return None;
    }
    let mut command = Cli::command();
    let words = words.iter().map(|word| shown(word).into_owned());
    let parsed = command.try_get_matches_from_mut(words);
    parsed.and_then(|matches| Cli::from_arg_matches(&matches)).err()
}

fn refused(error: &clap::Error, words: &[OsString], form: ErrorForm) -> ExitCode {
    let exit_code = u8::try_from(error.exit_code()).unwrap_or(2);
    if form == ErrorForm::Text || !error.use_stderr() {
        print(error, words);
        return ExitCode::from(exit_code);
    }
    let text = without_colours(&on_one_line(error.render().ansi().to_string(), words));
    let said = text.split("\n\nUsage:").next().unwrap_or_default();
    let said = said.strip_prefix("error: ").unwrap_or(said).trim().to_owned();
    form.write(&Failure { error: said, exit_code, ..Failure::default() });
    ExitCode::from(exit_code)
}

/// Prints the error of a command line, or its help.
fn print(error: &clap::Error, words: &[OsString]) {
    let (text, auto) = (error.render(), ColorChoice::Auto);
    let is_error = error.use_stderr();
    let is_coloured = if is_error { auto.on_stderr() } else { auto.on_stdout() };
    // Without colours clap also leaves out parts of the words that it takes for colours.
    let text = on_one_line(text.ansi().to_string(), words);
    let text = if is_coloured { text } else { without_colours(&text) };
    let text = if is_error { text.replacen("error:", "egret:", 1) } else { text };
    match is_error {
        true => output::note(text.trim_end()),
        // If that fails too, there is no other output.
        false => drop(output::out(|w| w.write_all(text.as_bytes()))),
    }
}

/// Puts each word that a message repeats of the command line, or of the environment, on one line.
fn on_one_line(mut text: String, words: &[OsString]) -> String {
    let lab = std::env::var_os("EGRET_LAB");
    let given = words.iter().chain(&lab).map(|word| word.to_string_lossy());
    for word in given.filter(|word| word.contains(is_hidden)) {
        // An option's value, or a part of it, may be repeated alone.
        let parts = word.split(['=', ':', ',', '/']).filter(|part| part.contains(is_hidden));
        for part in std::iter::once(&*word).chain(parts) {
            text = text.replace(part, &shown(part));
        }
    }
    text
}

/// Prints why a command failed, and returns its exit code.
pub fn report(error: CliError, form: ErrorForm, color: ColorChoice) -> ExitCode {
    let (message, exit_code) = (error.to_string(), error.exit_code());
    let (errors, findings, errors_left_out) = listed(details(error));
    match form {
        ErrorForm::Text => {
            note_details(&errors, &findings, color);
            // One of the two is empty.
            let noun = if findings.is_empty() { "error" } else { "finding" };
            and_more(errors_left_out, noun).iter().for_each(|more| output::note(more));
            let words: Vec<OsString> = std::env::args_os().collect();
            output::note(&on_one_line(format!("egret: {message}"), &words));
        }
        ErrorForm::Json | ErrorForm::Yaml => {
            let error = message;
            form.write(&Failure { error, exit_code, errors, errors_left_out, findings });
        }
    }
    ExitCode::from(exit_code)
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Returns the first of the details, and the number of those that are left out.
fn listed(
    (mut errors, mut findings): (Vec<Diagnostic>, Vec<FindingRow>),
) -> (Vec<Diagnostic>, Vec<FindingRow>, usize) {
    let all = errors.len() + findings.len();
    errors.truncate(MOST_LISTED);
    findings.truncate(MOST_LISTED);
    let left_out = all - errors.len() - findings.len();
    (errors, findings, left_out)
}

/// Returns the details of an error that its sentence does not contain.
fn details(error: CliError) -> (Vec<Diagnostic>, Vec<FindingRow>) {
    match error {
        CliError::Config(errors) | CliError::Expectations(errors) => (errors.0, Vec::new()),
        CliError::Import(failure) | CliError::NotImported(failure) => match failure {
            ImportFailure::Lab(errors) => (errors.0, Vec::new()),
            ImportFailure::NotUnderstood(findings) => (Vec::new(), FindingRow::of(&findings)),
            ImportFailure::Source(_) => (Vec::new(), Vec::new()),
        },
        CliError::Lab(_)
        | CliError::State(_)
        | CliError::Store(_)
        | CliError::Client(_)
        | CliError::Exec(_)
        | CliError::Target(_)
        | CliError::Edit(_)
        | CliError::Patch(_)
        | CliError::Ask(_)
        | CliError::NotApplied(_)
        | CliError::Demo(_)
        | CliError::Bench(_)
        | CliError::Usage(_)
        | CliError::Stopped
        | CliError::Networks(_)
        | CliError::PluginSocket(_)
        | CliError::Io(_) => (Vec::new(), Vec::new()),
    }
}

fn note_details(errors: &[Diagnostic], findings: &[FindingRow], color: ColorChoice) {
    output::fit_stderr();
    let mut text = String::new();
    for error in errors {
        // Writing to a string does not fail.
        let _ = error.render(&mut text, color.on_stderr());
    }
    if !findings.is_empty() {
        let mut table = Vec::new();
        let _ = explain::print_findings(&mut table, findings);
        let _ = text.write_str(&String::from_utf8_lossy(&table));
    }
    if !text.is_empty() {
        output::note(text.trim_end());
    }
}

impl ErrorForm {
    fn of(matches: &ArgMatches) -> Self {
        if let Some((_, command)) = matches.subcommand() {
            return Self::of(command);
        }
        let is_json = matches.try_get_one::<bool>(JSON).ok().flatten() == Some(&true);
        let format = matches.try_get_one::<Format>(FORMAT).ok().flatten();
        match format {
            _ if is_json => Self::Json,
            Some(Format::Json) => Self::Json,
            Some(Format::Yaml) => Self::Yaml,
            Some(Format::Table | Format::Wide | Format::Csv | Format::Name) | None => Self::Text,
        }
    }

    /// Finds the form in a command line that cannot be parsed. Words after `--` are another
    /// program's.
    fn of_words(words: &[OsString]) -> Self {
        let words: Vec<&str> = words
            .iter()
            .filter_map(|word| word.to_str())
            .take_while(|word| *word != "--")
            .collect();
        let value = |at: usize| match words[at] {
            "--json" => Some("json"),
            "-o" | "--output" => words.get(at + 1).copied(),
            word => word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o")),
        };
        match (0..words.len()).rev().find_map(value) {
            Some("json" | "=json") => Self::Json,
            Some("yaml" | "=yaml") => Self::Yaml,
            Some(_) | None => Self::Text,
        }
    }

    fn write(self, failure: &Failure) {
        let value = serde_json::to_value(failure).unwrap_or_default();
        let text = match self {
            Self::Text => failure.error.clone(),
            Self::Json => value.to_string(),
            Self::Yaml => {
                let mut text = Vec::new();
                let _ = yaml(&mut text, &value);
                String::from_utf8_lossy(&text).into_owned()
            }
        };
        output::note(text.trim_end());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn form(line: &str) -> ErrorForm {
        ErrorForm::of(&Cli::command().try_get_matches_from(words(line)).unwrap())
    }

    #[test]
    fn errors_have_the_format_of_the_answer() {
        assert_eq!(form("egret ps"), ErrorForm::Text);
        assert_eq!(form("egret ps --json"), ErrorForm::Json);
        assert_eq!(form("egret task list -o yaml"), ErrorForm::Yaml);
        assert_eq!(form("egret ps -o csv"), ErrorForm::Text);
        assert_eq!(form("egret import x --json"), ErrorForm::Json);
        assert_eq!(form("egret import x -o json"), ErrorForm::Text, "a file");
        assert_eq!(form("egret exec web -- ps --json"), ErrorForm::Text);
    }

    #[test]
    fn command_line_that_cannot_be_read_tells_the_format_all_the_same() {
        let form = |line: &str| ErrorForm::of_words(&words(line));
        assert_eq!(form("egret ps --no-such --json"), ErrorForm::Json);
        assert_eq!(form("egret ps -ojson --no-such"), ErrorForm::Json);
        assert_eq!(form("egret ps -o yaml --no-such"), ErrorForm::Yaml);
        assert_eq!(form("egret ps --output=yaml x"), ErrorForm::Yaml);
        assert_eq!(form("egret ps -o jsn"), ErrorForm::Text);
        assert_eq!(form("egret exec -- x --json"), ErrorForm::Text);
    }
}
