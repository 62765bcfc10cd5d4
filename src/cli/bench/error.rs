//! The errors of a measurement.

use super::load::LoadError;
use super::peer::PeerError;
use crate::cli::program::Tool;
use crate::linux::NetnsError;
use std::io;
use std::path::PathBuf;

/// The reason why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A required program is not installed.
    #[error(
        "the measurement needs {}, which is not installed: run scripts/setup, or \
         `apt-get install {}`",
        .0.program, .0.package
    )]
    Missing(Tool),
    /// A path could not be set up.
    #[error("{path}: {source}")]
    Path {
        /// The path.
        path: &'static str,
        /// The error.
        source: PeerError,
    },
    /// The server of small packets failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A namespace of the lab could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// No path could be measured.
    #[error("{0}")]
    Nothing(String),
    /// A file of earlier figures could not be read, or one for these not written.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A signal came.
    #[error("interrupted; what was started has been ended")]
    Interrupted,
}
