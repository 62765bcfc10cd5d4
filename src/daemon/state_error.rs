//! The errors of a lab's state directory.

use crate::linux::netns::NetnsError;
use crate::linux::{PinsError, remedy};
use std::io;
use std::path::{Path, PathBuf};

/// The reason why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has the lab.
    #[error(
        "lab `{lab}` is up already (process {pid}): end it with `egret down --lab {lab}`, or give this one another name with `--lab NAME`"
    )]
    Busy {
        /// The lab.
        lab: String,
        /// Its process, `unknown` if it has not written it yet.
        pid: String,
    },
    /// The kernel refused.
    #[error("{what} {path}: {source}{}", remedy(source))]
    Io {
        /// The operation.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// A namespace could not be made or removed.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The pins that outlive the process could not be removed.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// Files exist for a namespace that this lab is about to make, and they are not its own.
    #[error(
        "{path} exists already, and is not this lab's: remove it with `rm -r {path}`, or choose another lab name"
    )]
    Overlay {
        /// The directory.
        path: PathBuf,
    },
    /// The lab's process does not end.
    #[error(
        "lab `{lab}` (process {pid}) neither gets ready nor ends: end it with `kill {pid}`, then `egret down --lab {lab}` again"
    )]
    Stuck {
        /// The lab.
        lab: String,
        /// Its process.
        pid: String,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    remedy::remedy(error, " (labs need root: run it with sudo)")
}

/// Makes the error of an operation on a path.
pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { what, path, source }
}
