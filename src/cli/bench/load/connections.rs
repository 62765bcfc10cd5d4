//! New connections: connect, a byte each way, close.

use super::server::{Server, ServerKind};
use super::socket::{bound, connect};
use super::{Between, LoadError};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that are open at once.
pub(super) const AT_ONCE: u16 = 8;

/// The result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli::bench) struct Connections {
    pub(in crate::cli::bench) per_second: f64,
    /// Percent of those tried.
    pub(in crate::cli::bench) failed_percent: f64,
}

/// The result of one client.
#[derive(Clone, Copy, Debug, Default)]
struct ClientResult {
    made: u32,
    failed: u32,
    /// The end of the last one that it made.
    last: Option<Instant>,
}

impl Between {
    /// Runs [`AT_ONCE`] clients, for so long or until so many connections have been tried.
    pub(in crate::cli::bench) fn connections(
        &self,
        time: Duration,
        most: u32,
    ) -> Result<Connections, LoadError> {
        let server = Server::start(self, ServerKind::Connections)?;
        let begun = Instant::now();
        let tallies = self.client.run(|| self.clients(begun + time, most))?;
        server.end()?;
        summary(begun, &tallies).ok_or(LoadError::Silence {
            what: "connecting to",
            place: self.place(),
            within: time,
        })
    }

    /// Runs the clients. Called inside the client's namespace, which the threads inherit.
    fn clients(&self, end: Instant, most: u32) -> Vec<ClientResult> {
        thread::scope(|scope| {
            let start = |n| {
                let place = self.nth_place(n);
                scope.spawn(move || connect_often(place, end, most / u32::from(AT_ONCE)))
            };
            let clients: Vec<_> = (0..AT_ONCE).map(start).collect();
            clients.into_iter().filter_map(|client| client.join().ok()).collect()
        })
    }
}

/// Sums the clients' results; `None` if there was no connection at all.
fn summary(begun: Instant, tallies: &[ClientResult]) -> Option<Connections> {
    let made: u32 = tallies.iter().map(|tally| tally.made).sum();
    let failed: u32 = tallies.iter().map(|tally| tally.failed).sum();
    let took = tallies.iter().filter_map(|tally| tally.last).max()?.duration_since(begun);
    Some(Connections {
        per_second: f64::from(made) / took.as_secs_f64(),
        failed_percent: 100.0 * f64::from(failed) / f64::from(made + failed),
    })
}

fn connect_often(place: SocketAddrV4, end: Instant, most: u32) -> ClientResult {
    let mut tally = ClientResult::default();
    for _ in 0..most {
        match connect_once(place) {
            Ok(()) => {
                tally.made += 1;
                tally.last = Some(Instant::now());
            }
            Err(_) => tally.failed += 1,
        }
        if Instant::now() >= end {
            break;
        }
    }
    tally
}

fn connect_once(place: SocketAddrV4) -> io::Result<()> {
    let mut stream = connect(place)?;
    stream.write_all(b"?")?;
    stream.read_exact(&mut [0])
}

/// Answers, and leaves it to the client to close first, as clients do.
pub(super) fn answer_once(mut stream: TcpStream) -> io::Result<()> {
    bound(&stream)?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    stream.write_all(&byte)?;
    stream.read(&mut byte).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_over_the_time_until_the_last_connection() {
        let begun = Instant::now();
        let at = |milliseconds| Some(begun + Duration::from_millis(milliseconds));
        let tallies = [
            ClientResult { made: 30, failed: 10, last: at(400) },
            ClientResult { made: 60, failed: 0, last: at(500) },
            ClientResult { made: 0, failed: 0, last: None },
        ];
        let summary = summary(begun, &tallies);
        assert_eq!(summary, Some(Connections { per_second: 180.0, failed_percent: 10.0 }));
    }

    #[test]
    fn without_a_connection_there_is_no_rate() {
        let tallies = [ClientResult { made: 0, failed: 4, last: None }];
        assert_eq!(summary(Instant::now(), &tallies), None);
    }
}
