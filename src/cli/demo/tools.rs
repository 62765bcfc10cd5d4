//! Probes by the real ping and traceroute.

use super::net::Seen;
use super::{DemoError, stage::Sender};
use crate::cli::iperf::IPERF;
use crate::cli::program::{TIMEOUT, Tool, last_words, start};
use crate::linux::Netns;
use std::net::Ipv4Addr;
use std::process::Output;
use std::time::Duration;
use tokio::time::timeout;

/// Limits a run: longer than any of these programs takes with the arguments given here.
const PATIENCE: Duration = Duration::from_secs(12);
/// The number of echo requests.
pub(super) const PINGS: u16 = 3;

const PING: Tool = Tool { program: "ping", package: "iputils-ping" };
const TRACEROUTE: Tool = Tool { program: "traceroute", package: "traceroute" };

/// Requires that everything is installed.
pub(super) fn require(throughput: bool) -> Result<(), DemoError> {
    let needed =
        [PING, TRACEROUTE].into_iter().chain([IPERF, TIMEOUT].into_iter().filter(|_| throughput));
    let missing: Vec<Tool> = needed.filter(|tool| !tool.is_installed()).collect();
    if missing.is_empty() { Ok(()) } else { Err(DemoError::Missing(missing)) }
}

/// Pings; the answer reads `3 of 3 replies`.
pub(super) async fn ping(from: &Sender, to: Ipv4Addr) -> Seen {
    let arguments = ["-n", "-c", &PINGS.to_string(), "-i", "0.2", "-W", "2", &to.to_string()]
        .map(str::to_owned);
    match run(&from.netns, PING.program, &arguments).await {
        Err(seen) => seen,
        Ok(output) => match replies(&String::from_utf8_lossy(&output.stdout)) {
            Some(0) => Seen::Silence,
            Some(replies) => Seen::Answer(format!("{replies} of {PINGS} replies")),
            None => Seen::Fault(last_words(&output)),
        },
    }
}

/// Finds the hops, as `10.0.0.4 > 203.0.113.10`, with TCP SYNs to `port`.
pub(super) async fn traceroute(from: &Sender, to: Ipv4Addr, port: u16) -> Seen {
    let arguments =
        ["-n", "-T", "-p", &port.to_string(), "-q", "1", "-w", "2", "-m", "5", &to.to_string()]
            .map(str::to_owned);
    match run(&from.netns, TRACEROUTE.program, &arguments).await {
        Err(seen) => seen,
        Ok(output) => {
            let hops = hops(&String::from_utf8_lossy(&output.stdout));
            if hops.is_empty() {
                Seen::Fault(last_words(&output))
            } else if hops.iter().all(|hop| hop == "*") {
                Seen::Silence
            } else {
                Seen::Answer(hops.join(" > "))
            }
        }
    }
}

async fn run(netns: &Netns, program: &str, arguments: &[String]) -> Result<Output, Seen> {
    let child = start(netns, program, arguments).map_err(|error| Seen::Fault(error.to_string()))?;
    match timeout(PATIENCE, child.wait_with_output()).await {
        Err(_) => Err(Seen::Fault(format!("{program} did not end within {PATIENCE:?}"))),
        Ok(Err(error)) => Err(Seen::Fault(format!("{program}: {error}"))),
        Ok(Ok(output)) => Ok(output),
    }
}

/// Reads `3 packets transmitted, 3 received, 0% packet loss`.
fn replies(text: &str) -> Option<u16> {
    let summary = text.lines().find(|line| line.contains(" packets transmitted"))?;
    let received = summary.split(", ").find_map(|part| part.strip_suffix(" received"))?;
    received.parse().ok()
}

/// Reads lines such as ` 1  10.0.0.4  0.312 ms`: each hop's address, or `*`.
fn hops(text: &str) -> Vec<String> {
    let hop = |line: &str| {
        let mut words = line.split_whitespace();
        words.next()?.parse::<u8>().ok()?;
        words.next().map(str::to_owned)
    };
    text.lines().filter_map(hop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_from_the_summary() {
        let text = "64 bytes from 10.0.48.10: icmp_seq=1 ttl=64 time=0.1 ms\n\n--- 10.0.48.10 ping statistics ---\n\
                    3 packets transmitted, 2 received, 33.3333% packet loss, time 403ms\n";
        assert_eq!(replies(text), Some(2));
        assert_eq!(replies("ping: connect: Network is unreachable\n"), None);
    }

    #[test]
    fn hops_are_read_in_order_and_silence_is_a_star() {
        let text = "traceroute to 203.0.113.10 (203.0.113.10), 5 hops max, 60 byte packets\n \
                    1  10.0.0.4  0.312 ms\n 2  *\n 3  203.0.113.10  0.4 ms\n";
        assert_eq!(hops(text), ["10.0.0.4", "*", "203.0.113.10"]);
    }
}
