//! Writes sets of addresses, ports and protocols as text, shortened for people and whole for
//! programs.

use super::packet::protocol_word;
use crate::packet::Protocol;
use crate::pipeline::reach::{PortRange, Ports, Range, Ranges};
use ipnetwork::Ipv4Network;
use serde::Serialize;
use std::net::Ipv4Addr;

/// Neighbouring numbers or addresses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span<T> {
    /// The first number or address.
    pub from: T,
    /// The last number or address.
    pub to: T,
}

/// Neighbouring ports of a protocol, or protocols without ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortSpan {
    /// `tcp`, `udp`, `icmp` (the echo request), or protocol numbers such as `47` or `18-255`.
    pub protocol: String,
    /// The first port, if the protocol has ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u16>,
    /// The last port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u16>,
}

/// Returns the ranges of a set of addresses.
pub(super) fn address_spans(ranges: &Ranges) -> Vec<Span<Ipv4Addr>> {
    ranges.iter().map(|(from, to)| Span { from: from.into(), to: to.into() }).collect()
}

/// Returns the ranges of a set of ports or identifiers.
pub(super) fn number_spans(ranges: &Ranges) -> Vec<Span<u32>> {
    ranges.iter().map(|(from, to)| Span { from, to }).collect()
}

/// Returns the ranges of a set of protocols with ports.
pub(super) fn port_spans(ports: &Ports) -> Vec<PortSpan> {
    let span = |range| match range {
        PortRange::Of(protocol, from, to) => {
            PortSpan { protocol: protocol_word(protocol), from: Some(from), to: Some(to) }
        }
        PortRange::Echo => {
            PortSpan { protocol: protocol_word(Protocol::Icmp), from: None, to: None }
        }
        PortRange::Protocols(from, to) => {
            PortSpan { protocol: numbers((from.into(), to.into())), from: None, to: None }
        }
    };
    ports.iter().map(span).collect()
}

/// Lists the ranges of a set of addresses: `10.0.1.10`, `10.0.0.0/24`, `10.0.1.4-10.0.1.9`.
pub(super) fn addresses(ranges: &Ranges) -> Vec<String> {
    let shown = |(from, to): Range| match block(from, to) {
        Some(block) if block.prefix() == 32 => block.ip().to_string(),
        Some(block) => block.to_string(),
        None => format!("{}-{}", Ipv4Addr::from(from), Ipv4Addr::from(to)),
    };
    ranges.iter().map(shown).collect()
}

/// Returns the block that equals a range, if there is one.
fn block(from: u32, to: u32) -> Option<Ipv4Network> {
    let host_bits = (from ^ to).count_ones();
    let prefix = u8::try_from(32 - host_bits).ok()?;
    let block = Ipv4Network::new(from.into(), prefix).ok()?;
    let ends = (block.network().to_bits(), block.broadcast().to_bits());
    (ends == (from, to)).then_some(block)
}

/// Lists the ranges of a set of ports: `1024-32767`.
pub(super) fn port_numbers(ranges: &Ranges) -> Vec<String> {
    ranges.iter().map(numbers).collect()
}

/// Lists protocols with ports: `tcp 443`, `udp 1-65535`, `icmp`, `protocols 2-5`. A protocol is
/// named once.
pub(super) fn protocols(ports: &Ports) -> Vec<String> {
    let mut before = None;
    let mut listed = Vec::new();
    for range in ports.iter() {
        let (kind, text) = match range {
            PortRange::Of(protocol, from, to) => {
                (protocol_word(protocol), numbers((from.into(), to.into())))
            }
            PortRange::Echo => (protocol_word(Protocol::Icmp), String::new()),
            PortRange::Protocols(from, to) => {
                ("protocol".to_owned(), numbers((from.into(), to.into())))
            }
        };
        listed.push(match before.replace(kind.clone()) {
            Some(before) if before == kind => text,
            Some(_) | None => format!("{kind} {text}").trim_end().to_owned(),
        });
    }
    listed
}

/// Joins the first items, and counts the others.
pub(super) fn joined(items: &[String], most: usize) -> String {
    if items.len() <= most {
        return items.join(", ");
    }
    let (shown, others) = items.split_at(most);
    format!("{}, … and {} more", shown.join(", "), others.len())
}

pub(super) use crate::edge::thousands;

/// Writes a number of things: `1 subnet`, `65,536 addresses`.
pub(super) fn counted(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { several })
}

fn numbers((from, to): Range) -> String {
    if from == to { from.to_string() } else { format!("{from}-{to}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_blocks_where_they_can_be() {
        let shown = |from: [u8; 4], to: [u8; 4]| {
            addresses(&Ranges::of(u32::from_be_bytes(from), u32::from_be_bytes(to)))
        };
        assert_eq!(shown([10, 0, 1, 10], [10, 0, 1, 10]), ["10.0.1.10"]);
        assert_eq!(shown([10, 0, 0, 0], [10, 0, 255, 255]), ["10.0.0.0/16"]);
        assert_eq!(shown([10, 0, 1, 4], [10, 0, 1, 9]), ["10.0.1.4-10.0.1.9"]);
        assert_eq!(shown([0; 4], [255; 4]), ["0.0.0.0/0"]);
        // They differ in one bit, but not in the lowest one.
        assert_eq!(shown([10, 0, 0, 0], [10, 0, 0, 2]), ["10.0.0.0-10.0.0.2"]);
    }

    #[test]
    fn a_protocol_is_named_once() {
        let two = [80, 443].map(|port| PortRange::Of(Protocol::Tcp, port, port));
        let ports = Ports::new(two.into_iter().chain([
            PortRange::Of(Protocol::Udp, 1, 65_535),
            PortRange::Echo,
            PortRange::Protocols(47, 50),
        ]));
        assert_eq!(protocols(&ports), ["tcp 80", "443", "udp 1-65535", "icmp", "protocol 47-50"]);
        let spans = serde_json::to_value(port_spans(&ports)).unwrap_or_default();
        assert_eq!(spans[1], serde_json::json!({ "protocol": "tcp", "from": 443, "to": 443 }));
        assert_eq!(spans[3], serde_json::json!({ "protocol": "icmp" }));
        assert_eq!(spans[4], serde_json::json!({ "protocol": "47-50" }));
    }

    #[test]
    fn long_lists_end_in_a_count() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(joined(&items, 3), "a, b, c");
        assert_eq!(joined(&items, 1), "a, … and 2 more");
        assert_eq!(
            [1, 999, 1_000, 64_512, 4_294_967_296].map(thousands),
            ["1", "999", "1,000", "64,512", "4,294,967,296"]
        );
    }
}
