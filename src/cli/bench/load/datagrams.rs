//! A flood of datagrams, as fast as one sender can send, and the number that arrive. They are of
//! one flow, or each is the first of its own.

use super::server::{Received, Server, ServerKind};
use super::socket::{GLANCE, wait_at_most};
use super::{Between, LoadError};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Datagrams that the server takes in with one call, and bytes of room for those that it has not
/// taken yet: the path is measured, and not the server.
const BATCH: usize = 64;
const ROOM: usize = 4 << 20;
/// Bytes of the largest datagram that fits a packet of 1,500 bytes.
const LARGEST: usize = 1472;
/// Datagrams between two looks at the clock.
const BETWEEN_GLANCES: u64 = 32;
/// The source ports of flows that begin.
const SOURCES: std::ops::Range<u16> = 1024..64_024;
/// Flows that this process has begun: none begins twice before all have.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// The datagrams that arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli::bench) struct Datagrams {
    pub(in crate::cli::bench) per_second: f64,
    /// Percent of those sent.
    pub(in crate::cli::bench) lost_percent: f64,
}

/// The result of the sender.
struct Sent {
    datagrams: u64,
    took: Duration,
}

impl Between {
    /// Sends datagrams of so many bytes of payload, for so long and at most so many.
    pub(in crate::cli::bench) fn datagrams(
        &self,
        bytes: usize,
        time: Duration,
        most: u64,
    ) -> Result<Datagrams, LoadError> {
        let place = self.place();
        self.flood(time, || send(place, bytes.min(LARGEST), time, most))
    }

    /// Sends datagrams of which each begins a flow, for so long and at most so many.
    pub(in crate::cli::bench) fn first_datagrams(
        &self,
        time: Duration,
        most: u64,
    ) -> Result<Datagrams, LoadError> {
        self.flood(time, || Ok(self.begin_flows(time, most)))
    }

    fn flood(
        &self,
        time: Duration,
        send: impl FnOnce() -> io::Result<Sent> + Send,
    ) -> Result<Datagrams, LoadError> {
        let place = self.place();
        let server = Server::start(self, ServerKind::Datagrams)?;
        let sent = self.client.run(send)?;
        let received = server.end()?;
        let sent =
            sent.map_err(|source| LoadError::Socket { what: "sending to", place, source })?;
        summary(&sent, &received).ok_or(LoadError::Silence {
            what: "sending datagrams to",
            place,
            within: time,
        })
    }
}

impl Between {
    /// Begins flows. A source port that is taken begins none, and is skipped.
    fn begin_flows(&self, time: Duration, most: u64) -> Sent {
        let begun = Instant::now();
        let mut datagrams = 0;
        while datagrams < most && begun.elapsed() < time {
            for _ in 0..BETWEEN_GLANCES {
                datagrams += u64::from(self.begin_flow().is_ok());
            }
        }
        Sent { datagrams, took: begun.elapsed() }
    }

    fn begin_flow(&self) -> io::Result<()> {
        let number = BEGUN.fetch_add(1, Ordering::Relaxed);
        let (round, at) = (number / SOURCES.len() as u64, number % SOURCES.len() as u64);
        let place = self.nth_place((round % u64::from(self.ports.max(1))) as u16);
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SOURCES.start + at as u16))?;
        // A datagram that this machine has no room for is lost like any other.
        let _ = socket.send_to(&[7], place);
        Ok(())
    }
}

pub(super) fn listen(place: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(place)?;
    setsockopt(&socket, sockopt::RcvBufForce, &ROOM)?;
    wait_at_most(&socket, GLANCE)?;
    Ok(socket)
}

/// Sends datagrams. One that this machine has no room for is lost like any other.
fn send(place: SocketAddrV4, bytes: usize, time: Duration, most: u64) -> io::Result<Sent> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(place)?;
    let payload = vec![7; bytes];
    let begun = Instant::now();
    let mut datagrams = 0;
    while datagrams < most && begun.elapsed() < time {
        for _ in 0..BETWEEN_GLANCES {
            let _ = socket.send(&payload);
        }
        datagrams += BETWEEN_GLANCES;
    }
    Ok(Sent { datagrams, took: begun.elapsed() })
}

/// Receives until the sender has ended and nothing more arrives.
pub(super) fn receive(socket: &UdpSocket, over: &AtomicBool) -> Received {
    let mut received = Received::default();
    let mut buffers = vec![[0_u8; LARGEST]; BATCH];
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    loop {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        match recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None) {
            Ok(batch) if over.load(Ordering::Relaxed) => received.late += batch.count() as u64,
            Ok(batch) => received.in_time += batch.count() as u64,
            Err(Errno::EINTR) => {}
            Err(_) if over.load(Ordering::Relaxed) => return received,
            // Nothing has arrived for a while.
            Err(_) => {}
        }
    }
}

fn summary(sent: &Sent, received: &Received) -> Option<Datagrams> {
    let arrived = received.in_time + received.late;
    let lost = sent.datagrams.saturating_sub(arrived);
    (arrived > 0).then(|| Datagrams {
        per_second: received.in_time as f64 / sent.took.as_secs_f64(),
        lost_percent: 100.0 * lost as f64 / sent.datagrams.max(1) as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_datagrams_are_not_in_the_rate_but_not_lost_either() {
        let sent = Sent { datagrams: 1000, took: Duration::from_millis(500) };
        let seen = summary(&sent, &Received { in_time: 600, late: 150 });
        assert_eq!(seen, Some(Datagrams { per_second: 1200.0, lost_percent: 25.0 }));
        assert_eq!(summary(&sent, &Received::default()), None);
    }
}
