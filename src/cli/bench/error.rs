//! The errors of a measurement.

use super::load::LoadError;
use super::peer::PeerError;
use crate::cli::program::Tool;
use crate::linux::NetnsError;
use std::io;
use std::path::PathBuf;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A program that it cannot do without.
    #[error("{}, which is not installed, is what it measures with: run scripts/setup, or `apt-get install {}`", .0.program, .0.package)]
    Missing(Tool),
    /// A path could not be set up.
    #[error("{path}: {source}")]
    Path {
        /// Which path.
        path: &'static str,
        /// Why.
        source: PeerError,
    },
    /// The server of small packets.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A namespace of the lab.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Nobody could be measured.
    #[error("{0}")]
    Nothing(String),
    /// A file of earlier figures, or for these.
    #[error("{}: {source}", file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A signal came.
    #[error("interrupted; what was started has been ended")]
    Interrupted,
}
