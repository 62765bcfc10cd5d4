//! The errors of commands, and their exit codes.

use super::bench::BenchError;
use super::demo::DemoError;
use crate::apprunner::StoreError;
use crate::config::Diagnostics;
use crate::config::edit::{EditError, PatchError};
use crate::config::import::ImportFailure;
use crate::daemon::{ClientError, LabError, StateError};
use crate::docker::{NetworksError, SocketError};
use crate::edge::thousands;
use crate::explain::{AskError, TargetError};
use crate::linux::exec::ExecError;
use std::io;

/// Exit code for a negative answer: the packet is dropped, or the lab file has errors.
pub(super) const NO: u8 = 1;
/// Exit code of a command that a signal ended, as in shells: 128 and SIGINT.
pub(super) const AT_ONCE: u8 = 130;

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The lab file has errors; they are in it.
    #[error("{} in the lab file", errors(.0))]
    Config(Diagnostics),
    /// Expectations have errors; they are in it.
    #[error("{} in the expectations", errors(.0))]
    Expectations(Diagnostics),
    /// A source cannot be imported as a lab.
    #[error("{}", way_out(.0))]
    Import(ImportFailure),
    /// `egret import` has read a source, and writes no lab file.
    #[error("{}", way_out(.0))]
    NotImported(ImportFailure),
    /// The lab did not start, or refused.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The lab's state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The records of the App Runner API.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A running lab did not answer, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The file of Docker's networks.
    #[error(transparent)]
    Networks(#[from] NetworksError),
    /// The socket of Docker's plugin.
    #[error(transparent)]
    PluginSocket(#[from] SocketError),
    /// A program could not be run in a namespace.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A word of the command line names nothing in the lab.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The lab file cannot be changed as proposed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A patch is not for the lab file.
    #[error("not applied: {0}")]
    Patch(#[from] PatchError),
    /// A question about packets has no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A reload failed half-way, and was rolled back.
    #[error("not applied: {0}")]
    NotApplied(String),
    /// The demo failed.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// There are no figures.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The arguments are not valid.
    #[error("{0}")]
    Usage(String),
    /// A signal ended the command before there was an answer.
    #[error("a signal ended it before there was an answer")]
    Stopped,
    /// Output, or a socket, failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn errors(diagnostics: &Diagnostics) -> String {
    match diagnostics.0.len() {
        1 => "1 error".to_owned(),
        n => format!("{} errors", thousands(u64::try_from(n).unwrap_or(u64::MAX))),
    }
}

impl CliError {
    /// Returns 2 for a usage or configuration error, or if no lab answers; 1 for an operation that
    /// was tried and failed; 126 and 127 for `exec`, as in a shell.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(ClientError::WentDown { .. } | ClientError::Failed(_)) => 1,
            Self::Config(_)
            | Self::Expectations(_)
            | Self::Import(_)
            | Self::Usage(_)
            | Self::Target(_)
            | Self::Ask(_)
            | Self::Patch(_)
            | Self::Bench(BenchError::File { .. })
            | Self::Client(_) => 2,
            Self::Exec(ExecError::Start { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                127
            }
            Self::Exec(ExecError::Start { .. }) => 126,
            Self::Stopped => AT_ONCE,
            Self::NotImported(_)
            | Self::Lab(_)
            | Self::State(_)
            | Self::Store(_)
            | Self::Networks(_)
            | Self::PluginSocket(_)
            | Self::Exec(_)
            | Self::NotApplied(_)
            | Self::Edit(_)
            | Self::Demo(_)
            | Self::Bench(_)
            | Self::Io(_) => 1,
        }
    }
}

/// Describes a failure in a sentence, with what to do about it.
pub(super) fn way_out(failure: &ImportFailure) -> String {
    match failure {
        ImportFailure::Source(errors) => format!("the source cannot be imported\n{errors}"),
        ImportFailure::NotUnderstood(_) => {
            format!("{failure}; with --lenient the lab does what the table says instead")
        }
        ImportFailure::Lab(_) => {
            format!("{failure}: fix the source, or leave the object out of it")
        }
    }
}
