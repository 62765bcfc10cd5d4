//! The errors of steering.

use super::{NetnsError, PinsError};
use aya::maps::MapError;
use aya::programs::ProgramError;

/// The reason why steering failed.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel refused the programs.
    #[error(
        "loading the tc programs: {0} (egret needs root and Linux 5.10 or later with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF)"
    )]
    Load(#[from] Box<aya::EbpfError>),
    /// A program was refused, or could not be attached.
    #[error("{what} tc program `{program}`{}: {source}", on(link))]
    Program {
        /// The operation.
        what: &'static str,
        /// The program.
        program: &'static str,
        /// The interface; empty before the program is attached.
        link: String,
        /// The kernel's error.
        source: Box<ProgramError>,
    },
    /// A map was full, or the kernel refused.
    #[error(
        "writing to BPF map `{map}`: {source} (its size is bounded, see src/steer/steer.bpf.c)"
    )]
    Map {
        /// The map.
        map: &'static str,
        /// The kernel's error.
        source: Box<MapError>,
    },
    /// The counters of the flow cache cannot be mapped.
    #[error("mapping the counters of the flow cache: {source}")]
    Counters {
        /// The kernel's error.
        source: std::io::Error,
    },
    /// The embedded object lacks a program or map that this file knows.
    #[error(
        "the embedded tc programs have no `{0}`: egret was built from files that do not belong together"
    )]
    Foreign(&'static str),
    /// Nothing can outlive the process.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// Programs would outlive the process on their links, and forward flows whose verdicts no
    /// process renews.
    #[error(
        "the flow cache needs Linux 6.6 or later, where tc programs end with the process: set offload = \"off\""
    )]
    NoCache,
    /// Programs cannot outlive the process on their links.
    #[error(
        "offload_grace needs Linux 6.6 or later, where tc programs can outlive the process: set offload_grace = \"0s\""
    )]
    NoGrace,
    /// The program of a link cannot be left to the next process.
    #[error("keeping the tc program of `{link}`: {trouble}")]
    Keep {
        /// The interface.
        link: String,
        /// The error.
        trouble: String,
    },
    /// The interface does not exist.
    #[error("there is no interface `{link}` in network namespace `{netns}`")]
    Missing {
        /// The interface.
        link: String,
        /// The namespace.
        netns: String,
    },
}

fn on(link: &str) -> String {
    if link.is_empty() { String::new() } else { format!(" on `{link}`") }
}

/// Names the map of an error.
pub(super) fn trouble(map: &'static str) -> impl FnOnce(MapError) -> SteerError {
    move |source| SteerError::Map { map, source: Box::new(source) }
}

/// Treats the removal of a missing entry as done.
pub(super) fn ignore_missing(
    map: &'static str,
    removed: Result<(), MapError>,
) -> Result<(), SteerError> {
    match removed {
        Ok(()) | Err(MapError::KeyNotFound | MapError::ElementNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        Err(source) => Err(trouble(map)(source)),
    }
}
