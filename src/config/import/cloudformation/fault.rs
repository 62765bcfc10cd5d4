//! Faults of a template, with their places.

use super::tree::Place;
use crate::config::import::secrets::Secrets;

/// A mistake in the template: CloudFormation would refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) help: String,
}

impl Fault {
    pub(super) fn new(place: Place, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { place, message: message.into(), help: help.into() }
    }

    /// Puts stars in place of values that no message shows.
    pub(super) fn hide(&mut self, secrets: &Secrets) {
        secrets.hide(&mut self.message);
        secrets.hide(&mut self.help);
    }
}
