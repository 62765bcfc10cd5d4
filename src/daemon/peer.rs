//! The client of a call. A client that has closed its connection before its turn has withdrawn its
//! request.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use tokio::net::UnixStream;

/// The client at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// A duplicate of the connection's descriptor, which hyper keeps to itself; `None` if it could
    /// not be duplicated.
    socket: Option<Arc<OwnedFd>>,
}

impl Peer {
    /// Returns the client of a connection.
    pub(super) fn of(stream: &UnixStream) -> Self {
        Self { socket: stream.as_fd().try_clone_to_owned().ok().map(Arc::new) }
    }

    /// Returns whether the client has closed its end.
    pub(super) fn has_left(&self) -> bool {
        let Some(socket) = &self.socket else { return false };
        let closed = PollFlags::POLLHUP;
        let mut ends = [PollFd::new(socket.as_fd(), closed)];
        // If the socket cannot be asked, the client counts as present: at worst its answer is lost.
        let asked = poll(&mut ends, PollTimeout::ZERO);
        asked.is_ok() && ends[0].revents().is_some_and(|events| events.intersects(closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn client_that_has_closed_its_end_has_left_whatever_it_has_sent() {
        let (own, mut other) = UnixStream::pair().unwrap();
        let peer = Peer { socket: Some(Arc::new(own.into())) };
        assert!(!peer.has_left());
        other.write_all(b"POST /v1/tasks").unwrap();
        assert!(!peer.has_left());
        drop(other);
        assert!(peer.has_left());
    }
}
