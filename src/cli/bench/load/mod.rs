//! Small packets between two namespaces: new connections, requests and responses, floods of datagrams, with nothing
//! installed. Clients are threads inside the client's namespace; the server is a process of its own, as servers are: between
//! threads of one process a switch costs less. All of it ends by itself: every wait has a limit, every loop a deadline, and
//! the server goes with whoever started it.

mod connections;
mod datagrams;
mod latency;
mod server;

pub(super) use server::{ServeArgs, serve};

use crate::linux::exec::ExecError;
use crate::linux::{Netns, NetnsError};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// How long a packet may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a waiting server looks whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(20);

/// Why small packets gave no figure.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A socket.
    #[error("{what} {place}: {source}{}", way_out(source))]
    Socket {
        /// What was tried.
        what: &'static str,
        /// Where.
        place: SocketAddrV4,
        /// What the kernel said.
        source: io::Error,
    },
    /// The server did not start.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The server failed.
    #[error("{0}")]
    Server(String),
    /// Nothing came through.
    #[error("{what} {place}: nothing came through within {within:?}")]
    Silence {
        /// What was tried.
        what: &'static str,
        /// Where.
        place: SocketAddrV4,
        /// How long it was tried.
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

/// Between whom.
#[derive(Clone, Debug)]
pub(super) struct Between {
    pub(super) client: Netns,
    pub(super) server: Netns,
    /// The server's address, as the client reaches it.
    pub(super) address: Ipv4Addr,
    /// The server's first port.
    pub(super) port: u16,
    /// How many ports the connections are spread over: a client's port that has closed a connection is not free for that
    /// server's port for a minute.
    pub(super) ports: u16,
}

impl Between {
    /// The server's first place.
    pub(super) fn place(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, self.port)
    }

    fn nth_place(&self, n: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, self.port.wrapping_add(n % self.ports.max(1)))
    }
}

/// Connects, from the namespace that the calling thread is in.
fn connect(place: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&place.into(), PATIENCE)?;
    bound(&stream)?;
    Ok(stream)
}

/// Sees that no call on a connection waits for longer than [`PATIENCE`].
fn bound(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// A receive timeout, which `accept` has as well.
fn wait_at_most(socket: &impl AsFd, time: Duration) -> io::Result<()> {
    let microseconds = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let time = TimeVal::new(microseconds / 1_000_000, microseconds % 1_000_000);
    Ok(setsockopt(socket, sockopt::ReceiveTimeout, &time)?)
}
