//! The errors of the demo.

use crate::cli::iperf::IperfError;
use crate::cli::program::Tool;
use crate::linux::NetnsError;
use std::io;

/// The name of the demo's lab file, for the lines that drops are attributed to.
pub(super) const LAB_FILE: &str = "examples/three-az.toml";

/// The reason why there was no demo, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Programs that it runs are not installed.
    #[error(
        "the demo runs {}, which is not installed: run scripts/setup, or `apt-get install {}`",
        programs(.0, |tool| tool.program),
        programs(.0, |tool| tool.package).replace(", ", " ")
    )]
    Missing(Vec<Tool>),
    /// Another demo is running.
    #[error(
        "another demo is running (process {pid}): wait until it has ended, or end it with `kill {pid}`"
    )]
    Busy {
        /// Its process.
        pid: String,
    },
    /// The lab file and the demo do not fit each other.
    #[error("{LAB_FILE} has no {0}, which the demo needs")]
    NotInLab(String),
    /// A namespace of the lab could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// iperf3 gave no number.
    #[error(transparent)]
    Iperf(#[from] IperfError),
    /// A server of the demo's own did not start.
    #[error("listening on {place} inside the lab: {source}")]
    Listen {
        /// The address and port.
        place: std::net::SocketAddrV4,
        /// The kernel's error.
        source: io::Error,
    },
}

fn programs(tools: &[Tool], word: impl Fn(&Tool) -> &'static str) -> String {
    tools.iter().map(word).collect::<Vec<_>>().join(", ")
}
