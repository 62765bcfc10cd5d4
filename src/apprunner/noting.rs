//! Notes for requests that App Runner would refuse and egret accepts without effect; the lab file
//! can have them refused.

use super::fault::Fault;
use crate::config::apprunner::{AppRunner, Strictness};

/// The key of `[apprunner]` that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// `source`: images, code, and the other parts of a service that egret does not run.
    Source,
    /// `access_role`: roles and connections.
    AccessRole,
}

impl Setting {
    /// Returns the note with which a request is accepted all the same; `None` if the lab file has
    /// it refused.
    pub(super) fn note(self, lab: &AppRunner, message: &str) -> Option<String> {
        let (strictness, key) = match self {
            Self::Source => (lab.source, "source"),
            Self::AccessRole => (lab.access_role, "access_role"),
        };
        match strictness {
            Strictness::Require => None,
            Strictness::Note => Some(format!(
                "App Runner refuses this: {message}. egret runs no image and accepts it; `{key} = \"require\"` in \
                 [apprunner] refuses it"
            )),
        }
    }
}

/// Collects notes on what App Runner refuses and egret accepts.
pub(super) struct Noting<'a> {
    lab: &'a AppRunner,
    notes: Vec<String>,
}

impl<'a> Noting<'a> {
    /// Begins with the notes that exist already.
    pub(super) fn new(lab: &'a AppRunner, notes: Vec<String>) -> Self {
        Self { lab, notes }
    }

    /// Returns the notes.
    pub(super) fn notes(self) -> Vec<String> {
        self.notes
    }

    /// Notes something that egret accepts without effect.
    pub(super) fn note(&mut self, message: impl Into<String>) {
        self.notes.push(message.into());
    }

    /// Notes an error in an image, in code, or in another part that egret does not run.
    ///
    /// # Errors
    /// The message as `InvalidRequestException`, if `source` is `require`.
    pub(super) fn source(&mut self, message: impl Into<String>) -> Result<(), Fault> {
        self.judge(Setting::Source, message.into())
    }

    /// Notes what App Runner lacks to get an image or code.
    ///
    /// # Errors
    /// The message as `InvalidRequestException`, if `access_role` is `require`.
    pub(super) fn role(&mut self, message: &str) -> Result<(), Fault> {
        self.judge(Setting::AccessRole, message.to_owned())
    }

    fn judge(&mut self, setting: Setting, message: String) -> Result<(), Fault> {
        let note = setting.note(self.lab, &message).ok_or_else(|| Fault::invalid(message))?;
        self.notes.push(note);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn notes_so_far(&self) -> &[String] {
        &self.notes
    }
}
