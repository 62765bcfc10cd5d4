//! The argument that names a lab: a running one, or the one that a lab file becomes.

use super::completion::values;
use super::{CliError, output};
use crate::config::{Diagnostics, Lab, Span, lab_name};
use crate::daemon::DEFAULT_LAB;
use crate::explain::show_names;
use clap_complete::engine::ArgValueCompleter;
use std::path::Path;

/// The environment variable that names a lab.
const VARIABLE: &str = "EGRET_LAB";

/// Which lab: it takes the place of `lab` in a lab file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LabArg {
    /// The lab's name, in place of `lab` in its file [default: egret]
    #[arg(
        long,
        env = VARIABLE,
        hide_env_values = true,
        value_name = "NAME",
        value_parser = given,
        add = ArgValueCompleter::new(values::labs_that_run)
    )]
    lab: Option<String>,
}

impl LabArg {
    /// Takes the name in the environment, for a command whose `--lab` has another meaning, or that
    /// has none.
    ///
    /// # Errors
    /// No lab can have that name.
    pub(super) fn of_environment() -> Result<Self, CliError> {
        if is_unset() {
            return Ok(Self::default());
        }
        let name = std::env::var_os(VARIABLE).unwrap_or_default();
        let name = lab_name(&name.to_string_lossy());
        let name = name.map_err(|why| CliError::Usage(format!("{VARIABLE}: {why}")))?;
        Ok(Self { lab: Some(name) })
    }

    /// Returns the name of a running lab.
    pub(super) fn name(&self) -> &str {
        self.given().unwrap_or(DEFAULT_LAB)
    }

    /// Returns the name, if one was given.
    pub(super) fn given(&self) -> Option<&str> {
        self.lab.as_deref().filter(|name| !name.is_empty())
    }

    /// Reads a lab file.
    ///
    /// # Errors
    /// As [`Lab::load`].
    pub(super) fn load(&self, file: &Path) -> Result<Lab, Diagnostics> {
        let lab = Lab::load(file)?;
        show_names(&lab.spec.name_tags);
        Ok(self.rename(lab))
    }

    /// Gives a lab the name that was given in place of its file's.
    pub(super) fn rename(&self, lab: Lab) -> Lab {
        match self.given() {
            Some(name) => lab.with_name(name.to_owned()),
            None => lab,
        }
    }

    /// Notes that a lab's file names another lab than the one that it is for. `does` is the verb of
    /// the note.
    pub(super) fn note_other_name(&self, lab: &Lab, does: &str) {
        let own = &lab.spec.lab;
        let is_given = own.span != Span::default();
        if let Some(name) = self.given().filter(|name| is_given && *name != own.value) {
            let own = &own.value;
            output::note(&format!(
                "egret: the file is of lab `{own}`, and {does} lab `{name}`, as --lab or {VARIABLE} says"
            ));
        }
    }
}

/// Parses a name. An empty environment variable, as from a shell that has no value for it, is no
/// name.
fn given(text: &str) -> Result<String, String> {
    match text.is_empty() && std::env::var_os(VARIABLE).is_some_and(|name| name.is_empty()) {
        true => Ok(String::new()),
        false => lab_name(text),
    }
}

/// Returns whether the environment names no lab.
fn is_unset() -> bool {
    std::env::var_os(VARIABLE).is_none_or(|name| name.is_empty())
}
