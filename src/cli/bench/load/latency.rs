//! Requests and responses over one TCP connection, one at a time.

use super::server::{Server, ServerKind};
use super::socket::{bound, connect};
use super::{Between, LoadError};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of a request, and of a response.
const BYTES: usize = 64;
/// Requests before the measured ones: the flow is established by then.
const WARM_UP: u32 = 100;

/// The time from sending a request to having the response, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli::bench) struct Latency {
    pub(in crate::cli::bench) p50: f64,
    pub(in crate::cli::bench) p99: f64,
}

impl Between {
    /// Measures for so long, and at most so many requests.
    pub(in crate::cli::bench) fn latency(
        &self,
        time: Duration,
        most: usize,
    ) -> Result<Latency, LoadError> {
        let place = self.place();
        let server = Server::start(self, ServerKind::Latency)?;
        let times = self.client.run(|| request_often(place, time, most))?;
        server.end()?;
        let times = times.map_err(|source| LoadError::Socket { what: "asking", place, source })?;
        summary(times).ok_or(LoadError::Silence { what: "asking", place, within: time })
    }
}

fn request_often(place: SocketAddrV4, time: Duration, most: usize) -> io::Result<Vec<Duration>> {
    let mut stream = connect(place)?;
    for _ in 0..WARM_UP {
        request(&mut stream)?;
    }
    let mut times = Vec::with_capacity(most);
    let end = Instant::now() + time;
    while times.len() < most {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        request(&mut stream)?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn request(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&[7; BYTES])?;
    stream.read_exact(&mut [0; BYTES])
}

/// Responds until the client closes, or nothing arrives for too long.
pub(super) fn respond_often(mut stream: TcpStream) -> io::Result<()> {
    bound(&stream)?;
    let mut bytes = [0; BYTES];
    loop {
        stream.read_exact(&mut bytes)?;
        stream.write_all(&bytes)?;
    }
}

fn summary(mut times: Vec<Duration>) -> Option<Latency> {
    times.sort_unstable();
    let at = |percent: usize| {
        let time = times.get((times.len() * percent / 100).min(times.len().checked_sub(1)?))?;
        Some(time.as_nanos() as f64 / 1e3)
    };
    Some(Latency { p50: at(50)?, p99: at(99)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times = (1..=1000).rev().map(Duration::from_micros).collect();
        assert_eq!(summary(times), Some(Latency { p50: 501.0, p99: 991.0 }));
        assert_eq!(summary(vec![Duration::from_micros(3)]), Some(Latency { p50: 3.0, p99: 3.0 }));
        assert_eq!(summary(Vec::new()), None);
    }
}
