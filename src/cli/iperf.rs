//! iperf3 between two namespaces: a server for one client, TCP, and the figures of the receiver.

use super::program::{Tool, last_words, start, start_limited};
use crate::linux::Netns;
use crate::linux::exec::ExecError;
use serde::Deserialize;
use std::net::SocketAddrV4;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

/// The program.
pub(super) const IPERF: Tool = Tool { program: "iperf3", package: "iperf3" };
/// iperf3's own port.
pub(super) const PORT: u16 = 5201;
/// The time that a run may take beyond the time that it measures: connecting, the exchange of
/// results.
const MARGIN: Duration = Duration::from_secs(10);
/// Milliseconds without progress after which iperf3 gives up, even if no process is left to end it.
const STALLED: &str = "8000";

/// The reason why iperf3 gave no number.
#[derive(Debug, thiserror::Error)]
pub enum IperfError {
    /// It did not start.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// It failed.
    #[error("iperf3 {what}: {said}")]
    Failed {
        /// The command.
        what: String,
        /// Its output, or the lack of it.
        said: String,
    },
}

/// The direction of the data, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
    Both,
}

/// A run of iperf3.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) direction: Direction,
    /// Parallel connections, in each direction.
    pub(super) streams: u8,
    pub(super) seconds: u16,
    /// TCP's congestion control; without it, the machine's default.
    pub(super) congestion: Option<&'a str>,
}

/// The result of a run. With both directions, figures are sums.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// 10^9 bits a second of payload, as the receiver counts.
    pub(super) gbps: f64,
    /// Bytes of payload that arrived.
    pub(super) bytes: f64,
    /// The address that the server saw for the client.
    pub(super) seen_as: Option<String>,
}

/// Runs a client in one namespace against a server in another.
pub(super) async fn measure(
    client: &Netns,
    server: &Netns,
    place: SocketAddrV4,
    run: Run<'_>,
) -> Result<Outcome, IperfError> {
    let listening = Server::start(server, place).await?;
    let totals = self::client(client, place, run).await?;
    let seen_as = listening.ended().await;
    Ok(Outcome { gbps: totals.bits_per_second / 1e9, bytes: totals.bytes, seen_as })
}

/// A server for one client: it ends by itself, even if no process is left to end it.
struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts the server, and returns when it listens.
    async fn start(netns: &Netns, place: SocketAddrV4) -> Result<Self, IperfError> {
        let (address, port) = (place.ip().to_string(), place.port().to_string());
        let mut arguments = vec!["-s", "-1", "-B", &address, "-p", &port, "--forceflush"];
        arguments.extend(["--rcv-timeout", STALLED, "--snd-timeout", STALLED]);
        let mut child = start(netns, IPERF.program, &arguments)?;
        let stdout = child.stdout.take().ok_or_else(|| failed("-s", "has no output".to_owned()))?;
        let mut server = Self { child, lines: BufReader::new(stdout).lines() };
        match timeout(MARGIN, server.listens()).await {
            Ok(true) => Ok(server),
            Ok(false) => Err(failed("-s", server.last_words().await)),
            Err(_) => Err(failed("-s", format!("did not listen within {MARGIN:?}"))),
        }
    }

    async fn listens(&mut self) -> bool {
        while let Ok(Some(line)) = self.lines.next_line().await {
            if line.starts_with("Server listening") {
                return true;
            }
        }
        false
    }

    /// Returns the output of a server that has ended.
    async fn last_words(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            // The part that could be read is the explanation.
            let _ = timeout(MARGIN, stderr.read_to_string(&mut text)).await;
        }
        if text.trim().is_empty() { "ended".to_owned() } else { text.trim().to_owned() }
    }

    /// Waits until its port is free for the next one, and returns the address that it saw for its
    /// client. A server that does not end is killed when it is dropped.
    async fn ended(mut self) -> Option<String> {
        let mut seen_as = None;
        let drained = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                seen_as = seen_as.take().or_else(|| accepted_from(&line));
            }
        };
        let _ = timeout(MARGIN, drained).await;
        let _ = timeout(MARGIN, self.child.wait()).await;
        seen_as
    }
}

/// Reads `Accepted connection from 10.0.1.4, port 40212`.
fn accepted_from(line: &str) -> Option<String> {
    let (address, _) = line.strip_prefix("Accepted connection from ")?.split_once(',')?;
    Some(address.to_owned())
}

async fn client(netns: &Netns, place: SocketAddrV4, run: Run<'_>) -> Result<Totals, IperfError> {
    let (address, port) = (place.ip().to_string(), place.port().to_string());
    let (time, parallel) = (run.seconds.to_string(), run.streams.to_string());
    let mut arguments = vec!["-c", &address, "-p", &port, "-t", &time, "-P", &parallel, "-J"];
    arguments.extend(["--connect-timeout", "5000"]);
    // Each side's limit is an error on the other.
    arguments.extend_from_slice(match run.direction {
        Direction::Up => &["--snd-timeout", STALLED],
        Direction::Down => &["-R", "--rcv-timeout", STALLED],
        Direction::Both => &["--bidir"],
    });
    arguments.extend(run.congestion.iter().flat_map(|name| ["-C", name]));
    let what = format!("{} in {}", arguments.join(" "), netns.name());
    let limit = Duration::from_secs(run.seconds.into()) + MARGIN;
    // A limit of its own, in case this process is killed: without a server it would wait for
    // results for ever.
    let (child, leash) = start_limited(netns, limit + MARGIN, IPERF.program, &arguments)?;
    let ended = timeout(limit, child.wait_with_output()).await;
    if ended.is_ok() {
        leash.let_go();
    }
    match ended {
        Err(_) => Err(failed(&what, format!("did not end within {limit:?}"))),
        Ok(Err(error)) => Err(failed(&what, error.to_string())),
        Ok(Ok(output)) => totals(&output.stdout)
            .map_err(|said| failed(&what, said.unwrap_or_else(|| last_words(&output)))),
    }
}

fn failed(what: &str, said: String) -> IperfError {
    IperfError::Failed { what: what.to_owned(), said }
}

/// The part of iperf3's JSON that is read.
#[derive(Deserialize)]
struct Answer {
    error: Option<String>,
    end: Option<End>,
}

#[derive(Deserialize)]
struct End {
    sum_received: Option<Totals>,
    sum_received_bidir_reverse: Option<Totals>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct Totals {
    bits_per_second: f64,
    #[serde(default)]
    bytes: f64,
}

/// Returns the figures of the receivers; or else iperf3's own error, if it gave one.
fn totals(json: &[u8]) -> Result<Totals, Option<String>> {
    let answer: Answer = serde_json::from_slice(json).map_err(|_| None)?;
    if answer.error.is_some() {
        return Err(answer.error);
    }
    let end = answer.end.ok_or(None)?;
    let forth = end.sum_received.ok_or(None)?;
    let back = end.sum_received_bidir_reverse.unwrap_or_default();
    Ok(Totals {
        bits_per_second: forth.bits_per_second + back.bits_per_second,
        bytes: forth.bytes + back.bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receivers_sum_is_what_counts() {
        let json = br#"{"start": {}, "end": {"sum_sent": {"bits_per_second": 9e9},
                        "sum_received": {"bits_per_second": 8500000000.0, "bytes": 1000}}}"#;
        assert_eq!(totals(json), Ok(Totals { bits_per_second: 8.5e9, bytes: 1000.0 }));
    }

    #[test]
    fn both_directions_are_added() {
        let json = br#"{"end": {"sum_received": {"bits_per_second": 2e9, "bytes": 3},
                        "sum_received_bidir_reverse": {"bits_per_second": 1e9, "bytes": 4}}}"#;
        assert_eq!(totals(json), Ok(Totals { bits_per_second: 3e9, bytes: 7.0 }));
    }

    #[test]
    fn an_error_is_passed_on_in_iperf3s_words() {
        let json = br#"{"start": {}, "end": {}, "error": "unable to connect to server"}"#;
        assert_eq!(totals(json), Err(Some("unable to connect to server".to_owned())));
        assert_eq!(totals(b"not json"), Err(None));
        assert_eq!(totals(br#"{"end": {}}"#), Err(None));
    }

    #[test]
    fn the_server_says_who_came() {
        let line = "Accepted connection from 10.0.1.4, port 40212";
        assert_eq!(accepted_from(line), Some("10.0.1.4".to_owned()));
        assert_eq!(accepted_from("[  5] local 10.0.1.10 port 5201"), None);
    }
}
