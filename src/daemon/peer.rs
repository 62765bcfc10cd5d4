//! The client of a call. A client that has closed its connection before its turn has withdrawn its
//! request.

use super::passing::{Passed, PassingStream};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
/// The client at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// A duplicate of the connection's descriptor, which hyper keeps to itself; `None` if it could
    /// not be duplicated.
    socket: Option<Arc<OwnedFd>>,
    passed: Passed,
    /// The user who has connected (`SO_PEERCRED`); `None` if the kernel does not say.
    user: Option<u32>,
}

impl Peer {
    /// Returns the client of a connection.
    pub(super) fn of(stream: &PassingStream) -> Self {
        let socket = stream.stream().as_fd().try_clone_to_owned().ok().map(Arc::new);
        let user = stream.stream().peer_cred().ok().map(|credentials| credentials.uid());
        Self { socket, passed: stream.passed(), user }
    }

    /// Takes the descriptor that the client has passed with its request.
    pub(super) fn take_descriptor(&self) -> Option<OwnedFd> {
        self.passed.take()
    }

    /// Returns whether it is root.
    pub(super) fn is_root(&self) -> bool {
        self.user == Some(0)
    }

    /// Returns the user.
    pub(super) fn user(&self) -> Option<u32> {
        self.user
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
impl Peer {
    /// Makes a client of a user.
    pub(super) fn known(user: u32) -> Self {
        Self { socket: None, passed: Passed::default(), user: Some(user) }
    }

    /// Makes a client of which the kernel does not say the user.
    pub(super) fn unknown() -> Self {
        Self { socket: None, passed: Passed::default(), user: None }
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
        let socket = Some(Arc::new(own.into()));
        let peer = Peer { socket, passed: Passed::default(), user: None };
        assert!(!peer.has_left());
        other.write_all(b"POST /v1/tasks").unwrap();
        assert!(!peer.has_left());
        drop(other);
        assert!(peer.has_left());
    }
}
