//! The errors of small packets.

use crate::linux::NetnsError;
use crate::linux::exec::ExecError;
use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

/// The reason why small packets gave no figure.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A system call on a socket failed.
    #[error("{what} {place}: {source}{}", way_out(source))]
    Socket {
        /// The operation.
        what: &'static str,
        /// The address and port.
        place: SocketAddrV4,
        /// The kernel's error.
        source: io::Error,
    },
    /// The server did not start.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The server failed.
    #[error("{0}")]
    Server(String),
    /// Nothing arrived.
    #[error("{what} {place}: nothing came through within {within:?}")]
    Silence {
        /// The operation.
        what: &'static str,
        /// The address and port.
        place: SocketAddrV4,
        /// The time for which it was tried.
        within: Duration,
    },
}

fn way_out(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        " (something listens there already: name a free port that the rules let through)"
    } else {
        ""
    }
}
