//! Sockets on which every wait has a limit.

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use std::io;
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// The time after which a packet counts as lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// The interval at which a waiting server checks that it is still needed.
pub(super) const GLANCE: Duration = Duration::from_millis(20);

/// Connects, from the namespace that the calling thread is in.
pub(super) fn connect(place: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&place.into(), PATIENCE)?;
    bound(&stream)?;
    Ok(stream)
}

/// Limits every call on a connection to a wait of [`PATIENCE`].
pub(super) fn bound(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// Sets a receive timeout, which `accept` obeys as well.
pub(super) fn wait_at_most(socket: &impl AsFd, time: Duration) -> io::Result<()> {
    let microseconds = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let time = TimeVal::new(microseconds / 1_000_000, microseconds % 1_000_000);
    Ok(setsockopt(socket, sockopt::ReceiveTimeout, &time)?)
}
