//! Sockets on which every wait has a limit.

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use std::io;
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// How long a packet may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a waiting server looks whether it is still wanted.
pub(super) const GLANCE: Duration = Duration::from_millis(20);

/// Connects, from the namespace that the calling thread is in.
pub(super) fn connect(place: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&place.into(), PATIENCE)?;
    bound(&stream)?;
    Ok(stream)
}

/// Sees that no call on a connection waits for longer than [`PATIENCE`].
pub(super) fn bound(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// A receive timeout, which `accept` has as well.
pub(super) fn wait_at_most(socket: &impl AsFd, time: Duration) -> io::Result<()> {
    let microseconds = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let time = TimeVal::new(microseconds / 1_000_000, microseconds % 1_000_000);
    Ok(setsockopt(socket, sockopt::ReceiveTimeout, &time)?)
}
