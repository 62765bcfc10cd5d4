//! The results of real packets for an expectation, for people and programs.

use super::probe::Probe;
use super::sight::Wire;
use crate::explain::coverage::counted;
use crate::explain::packet::{end, protocol_word};
use crate::packet::Protocol;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The results of real packets for an expectation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Live {
    /// The number of packets whose result is that of the verdict.
    pub agreed: usize,
    /// The packets with another result.
    pub contradictions: Vec<Contradiction>,
    /// The classes and packets without a result.
    pub not_tried: Vec<NotTried>,
}

/// A packet whose result contradicts the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// The task that sent it.
    pub task: String,
    /// The destination, as written in the expectation.
    pub to: String,
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// The destination address.
    pub destination: Ipv4Addr,
    /// The destination port; `None` for a ping.
    pub port: Option<u16>,
    /// The result of the packet, in words.
    pub wire: String,
    /// The verdict, in words.
    pub verdict: String,
    /// The destination in short.
    #[serde(skip)]
    end: String,
}

/// A class for which no packet was sent, or a packet whose result shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotTried {
    /// The service.
    pub service: String,
    /// The destination, as written in the expectation.
    pub to: String,
    /// The reason.
    pub why: String,
}

impl Contradiction {
    pub(super) fn new(probe: &Probe, to: &str, wire: &Wire, verdict: String) -> Self {
        let Probe { service, task, protocol, destination, port, .. } = probe;
        let is_ping = *protocol == Protocol::Icmp;
        let end = match is_ping {
            true => format!("ping {destination}"),
            false => {
                format!("{}/{}", end(*protocol, *destination, *port), protocol_word(*protocol))
            }
        };
        Self {
            task: format!("{service}/{task}"),
            to: to.to_owned(),
            protocol: protocol_word(*protocol),
            destination: *destination,
            port: (!is_ping).then_some(*port),
            wire: wire.to_string(),
            verdict,
            end,
        }
    }

    /// Returns the results in one line.
    pub(in crate::explain::expect) fn line(&self) -> String {
        self.parts().join(": ")
    }

    /// Returns the number of packets sent, and their results.
    pub(in crate::explain::expect) fn parts(&self) -> [String; 2] {
        let Self { task, to, end, wire, verdict, .. } = self;
        [format!("{task} -> {to} ({end})"), format!("wire: {wire}; verdict: {verdict}")]
    }
}

impl NotTried {
    pub(super) fn new(service: String, to: String, why: String) -> Self {
        Self { service, to, why }
    }
}

impl Live {
    /// Decides whether the results of all packets are those of the verdicts.
    pub fn agrees(&self) -> bool {
        self.contradictions.is_empty()
    }

    /// Counts the packets whose results show something.
    pub fn sent(&self) -> usize {
        self.agreed + self.contradictions.len()
    }

    /// Returns the number of packets sent, in a few words.
    pub(in crate::explain::expect) fn in_short(&self) -> String {
        match (self.agreed, self.sent()) {
            (_, 0) => "wire: nothing sent".to_owned(),
            (agreed, sent) => format!("wire: {agreed} of {sent} agree"),
        }
    }

    /// Returns the packets sent, and those not tried, in words.
    pub(in crate::explain::expect) fn words(&self) -> String {
        let all = [self.in_short()].into_iter().chain(self.not_tried());
        all.collect::<Vec<_>>().join("; ")
    }

    /// Returns what was not tried, in words; `None` if everything was.
    pub(in crate::explain::expect) fn not_tried(&self) -> Option<String> {
        not_tried(self.not_tried.iter())
    }
}

/// Counts the classes and packets not tried, by reason.
fn not_tried<'l>(all: impl Iterator<Item = &'l NotTried>) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in all {
        *counts.entry(&one.why).or_default() += 1;
    }
    let word = |(why, count): (&&str, &usize)| format!("{why} ({count})");
    let words: Vec<String> = counts.iter().map(word).collect();
    (!words.is_empty()).then(|| format!("not tried: {}", words.join(", ")))
}

/// Counts the packets sent for all expectations, and those not tried: a line each.
pub fn live_summary(packets: usize, all: &[&Live]) -> Vec<String> {
    let contradictions: usize = all.iter().map(|live| live.contradictions.len()).sum();
    let counted = match packets {
        0 => "wire: nothing was sent".to_owned(),
        _ => format!("wire: sent {}", counted(packets as u64, "packet", "packets")),
    };
    let said = match (packets, contradictions) {
        (0, _) => String::new(),
        (_, 0) => ", all as the verdicts say".to_owned(),
        (_, 1) => ", 1 contradicts a verdict".to_owned(),
        (_, several) => format!(", {several} contradict verdicts"),
    };
    let untried = not_tried(all.iter().flat_map(|live| &live.not_tried));
    [counted + &said].into_iter().chain(untried).collect()
}
