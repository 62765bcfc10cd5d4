//! iperf3 through each ENI: a server in the VPC, a client in a task, both directions, one and four TCP streams.

use super::DemoError;
use super::progress::Progress;
use super::report::ThroughputRow;
use super::stage::{Sender, Stage};
use super::tools::{last_words, start, start_limited};
use crate::linux::Netns;
use serde::Deserialize;
use std::net::SocketAddrV4;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

/// iperf3's own port; the lab's security groups let it through.
const PORT: u16 = 5201;
/// What a run may take beyond the time it measures: connecting, the exchange of results.
const MARGIN: Duration = Duration::from_secs(10);
/// Milliseconds without progress after which iperf3 gives up, even if nobody is left to end it.
const STALLED: &str = "8000";
/// How each ENI is measured: direction, iperf3's word for it, streams.
const RUNS: [(&str, Option<&str>, u8); 4] = [
    ("egress", None, 1),
    ("egress", None, 4),
    ("return", Some("-R"), 1),
    ("return", Some("-R"), 4),
];

/// Measures every ENI of service `web`, one run after the other. What was measured before a failure is in `rows`.
pub(super) async fn measure(
    stage: &Stage,
    seconds: u16,
    progress: &Progress,
    rows: &mut Vec<ThroughputRow>,
) -> Result<(), DemoError> {
    let place = stage.endpoint("tools", PORT)?;
    for task in stage.one_task_per_eni("web")? {
        for (direction, flag, streams) in RUNS {
            let eni = task.row.eni.clone().unwrap_or_default();
            progress.say(&format!("iperf3 through {eni}: {direction}, {streams} TCP"));
            let server = Server::start(&stage.vpc, place).await?;
            let gbps = client(&task, place, flag, streams, seconds).await?;
            server.ended().await;
            rows.push(ThroughputRow { eni, direction, streams, gbps });
        }
    }
    Ok(())
}

/// A server for one client: it ends by itself, even if nobody is left to end it.
struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Returns when it listens.
    async fn start(netns: &Netns, place: SocketAddrV4) -> Result<Self, DemoError> {
        let (address, port) = (place.ip().to_string(), place.port().to_string());
        let mut arguments = vec!["-s", "-1", "-B", &address, "-p", &port, "--forceflush"];
        arguments.extend(["--rcv-timeout", STALLED, "--snd-timeout", STALLED]);
        let mut child = start(netns, "iperf3", &arguments)?;
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

    /// What a server said that has ended.
    async fn last_words(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            // Whatever could be read is what there is to show.
            let _ = timeout(MARGIN, stderr.read_to_string(&mut text)).await;
        }
        if text.trim().is_empty() { "ended".to_owned() } else { text.trim().to_owned() }
    }

    /// Waits until its port is free for the next one. A server that does not end is killed when it is dropped.
    async fn ended(mut self) {
        let drained = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        let _ = timeout(MARGIN, drained).await;
        let _ = timeout(MARGIN, self.child.wait()).await;
    }
}

async fn client(
    task: &Sender,
    place: SocketAddrV4,
    flag: Option<&str>,
    streams: u8,
    seconds: u16,
) -> Result<f64, DemoError> {
    let (address, port) = (place.ip().to_string(), place.port().to_string());
    let (time, parallel) = (seconds.to_string(), streams.to_string());
    let mut arguments = vec!["-c", &address, "-p", &port, "-t", &time, "-P", &parallel, "-J"];
    match flag {
        // Each side's limit is an error on the other.
        Some(flag) => arguments.extend([flag, "--rcv-timeout", STALLED]),
        None => arguments.extend(["--snd-timeout", STALLED]),
    }
    let what = format!("{} in {}", arguments.join(" "), task.name());
    let limit = Duration::from_secs(seconds.into()) + MARGIN;
    // Its own limit for the case that this process is killed: without a server it would wait for results for ever.
    let (child, leash) = start_limited(&task.netns, limit + MARGIN, "iperf3", &arguments)?;
    let ended = timeout(limit, child.wait_with_output()).await;
    if ended.is_ok() {
        leash.let_go();
    }
    match ended {
        Err(_) => Err(failed(&what, format!("did not end within {limit:?}"))),
        Ok(Err(error)) => Err(failed(&what, error.to_string())),
        Ok(Ok(output)) => gbps(&output.stdout)
            .map_err(|said| failed(&what, said.unwrap_or_else(|| last_words(&output)))),
    }
}

fn failed(what: &str, said: String) -> DemoError {
    DemoError::Iperf { what: what.to_owned(), said }
}

/// The part of iperf3's JSON that is read.
#[derive(Deserialize)]
struct Answer {
    error: Option<String>,
    end: Option<End>,
}

#[derive(Deserialize)]
struct End {
    sum_received: Option<Sum>,
}

#[derive(Deserialize)]
struct Sum {
    bits_per_second: f64,
}

/// What the receiver counted; or else iperf3's own error, if it gave one.
fn gbps(json: &[u8]) -> Result<f64, Option<String>> {
    let answer: Answer = serde_json::from_slice(json).map_err(|_| None)?;
    if answer.error.is_some() {
        return Err(answer.error);
    }
    let sum = answer.end.and_then(|end| end.sum_received).ok_or(None)?;
    Ok(sum.bits_per_second / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receivers_sum_is_what_counts() {
        let json = br#"{"start": {}, "end": {"sum_sent": {"bits_per_second": 9e9},
                        "sum_received": {"bits_per_second": 8500000000.0}}}"#;
        assert_eq!(gbps(json), Ok(8.5));
    }

    #[test]
    fn an_error_is_passed_on_in_iperf3s_words() {
        let json = br#"{"start": {}, "end": {}, "error": "unable to connect to server"}"#;
        assert_eq!(gbps(json), Err(Some("unable to connect to server".to_owned())));
        assert_eq!(gbps(b"not json"), Err(None));
        assert_eq!(gbps(br#"{"end": {}}"#), Err(None));
    }
}
