//! Protocols with destination ports, on one axis: TCP's ports, UDP's, the ICMP echo request, all
//! other protocols by their numbers. A rule matches one range of it.

use super::ranges::{Ranges, cut_around, sorted};
use crate::packet::Protocol;
use crate::vpc::{ProtocolMatch, TrafficMatch};

const UDP: u32 = 1 << 16;
const ECHO: u32 = 2 << 16;
const OTHERS: u32 = ECHO + 1;
const LAST: u32 = OTHERS + 255;

/// The ICMP type and code of an echo request.
const ECHO_REQUEST: (u8, u8) = (8, 0);

/// The positions at which another kind of protocol begins: no cell has two kinds.
pub(super) const KINDS: [u32; 3] = [UDP, ECHO, OTHERS];

/// A set of protocols with destination ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ports(pub(super) Ranges);

/// Neighbouring protocols and ports of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRange {
    /// Destination ports of TCP or UDP, both ends included.
    Of(Protocol, u16, u16),
    /// The ICMP echo request.
    Echo,
    /// Other protocols, by their numbers, both ends included. ICMP, TCP and UDP are not among them.
    Protocols(u8, u8),
}

impl Ports {
    /// Makes the set of all protocols, and all ports from 1 on.
    pub fn all() -> Self {
        Self::new([
            PortRange::Of(Protocol::Tcp, 1, u16::MAX),
            PortRange::Of(Protocol::Udp, 1, u16::MAX),
            PortRange::Echo,
            PortRange::Protocols(0, u8::MAX),
        ])
    }

    /// Makes the set of these ranges.
    pub fn new(ranges: impl IntoIterator<Item = PortRange>) -> Self {
        let named = [Protocol::Icmp, Protocol::Tcp, Protocol::Udp];
        let named = named.map(|protocol| OTHERS + u32::from(protocol.number()));
        let named = Ranges::new(named.map(|position| (position, position)));
        Self(Ranges::new(ranges.into_iter().map(positions)).difference(&named))
    }

    /// Lists the ranges.
    pub fn iter(&self) -> impl Iterator<Item = PortRange> + '_ {
        self.0.cells(&KINDS).map(|(first, last)| match (at(first), at(last)) {
            ((Protocol::Icmp, _), _) => PortRange::Echo,
            ((protocol @ (Protocol::Tcp | Protocol::Udp), from), (_, to)) => {
                PortRange::Of(protocol, from, to)
            }
            ((Protocol::Other(from), _), (to, _)) => PortRange::Protocols(from, to.number()),
        })
    }

    /// Returns the union of both sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0))
    }

    /// Returns the intersection of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0))
    }

    /// Decides whether a protocol with a destination port is in the set; an ICMP message counts as
    /// an echo request.
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.0.contains(position(protocol, port))
    }

    /// Returns the number of elements: each port of TCP and UDP, the echo request, each other
    /// protocol.
    pub fn count(&self) -> u64 {
        self.0.count()
    }
}

fn positions(range: PortRange) -> (u32, u32) {
    match range {
        PortRange::Of(protocol, first, last) => {
            (position(protocol, first), position(protocol, last))
        }
        PortRange::Echo => (ECHO, ECHO),
        PortRange::Protocols(first, last) => (OTHERS + u32::from(first), OTHERS + u32::from(last)),
    }
}

/// Returns the position of a protocol with a destination port.
pub(super) fn position(protocol: Protocol, port: u16) -> u32 {
    match protocol {
        Protocol::Tcp => u32::from(port),
        Protocol::Udp => UDP + u32::from(port),
        Protocol::Icmp => ECHO,
        Protocol::Other(number) => OTHERS + u32::from(number),
    }
}

/// Returns the protocol with its destination port at a position.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the ports of a kind are 16 bits, the other protocols 8"
)]
pub(super) fn at(position: u32) -> (Protocol, u16) {
    match position {
        0..UDP => (Protocol::Tcp, position as u16),
        UDP..ECHO => (Protocol::Udp, (position - UDP) as u16),
        ECHO => (Protocol::Icmp, 0),
        OTHERS.. => (Protocol::Other((position.min(LAST) - OTHERS) as u8), 0),
    }
}

/// Returns the ICMP type and code of the first packet at a position; zero for other protocols.
pub(super) fn icmp(protocol: Protocol) -> (u8, u8) {
    if protocol == Protocol::Icmp { ECHO_REQUEST } else { (0, 0) }
}

/// Returns the positions of the requests that a rule matches; `None` if it does not tell requests
/// apart.
pub(super) fn of_requests(rule: &TrafficMatch) -> Option<(u32, u32)> {
    match rule.protocol {
        ProtocolMatch::All => None,
        ProtocolMatch::Is(protocol @ (Protocol::Tcp | Protocol::Udp)) => {
            Some((position(protocol, rule.ports.from), position(protocol, rule.ports.to)))
        }
        ProtocolMatch::Is(protocol @ (Protocol::Icmp | Protocol::Other(_))) => {
            Some((position(protocol, 0), position(protocol, 0)))
        }
    }
}

/// Returns the positions of the requests to whose replies a rule applies, whatever their ports;
/// `None` if it does not tell replies apart.
pub(super) fn of_replies(rule: &TrafficMatch) -> Option<(u32, u32)> {
    match rule.protocol {
        ProtocolMatch::All => None,
        ProtocolMatch::Is(protocol) => Some((position(protocol, 0), position(protocol, u16::MAX))),
    }
}

/// Lists the cuts around these ranges and between the kinds of protocols, ascending.
pub(super) fn cuts_of_kinds(ranges: impl Iterator<Item = (u32, u32)>) -> Vec<u32> {
    let mut cuts = KINDS.to_vec();
    for range in ranges {
        cut_around(&mut cuts, range);
    }
    sorted(cuts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_protocols_have_one_place_each() {
        let all = Ports::all();
        assert_eq!(all.count(), 65_535 * 2 + 1 + 253);
        let ranges: Vec<PortRange> = all.iter().collect();
        assert_eq!(
            ranges,
            [
                PortRange::Of(Protocol::Tcp, 1, 65_535),
                PortRange::Of(Protocol::Udp, 1, 65_535),
                PortRange::Echo,
                PortRange::Protocols(0, 0),
                PortRange::Protocols(2, 5),
                PortRange::Protocols(7, 16),
                PortRange::Protocols(18, 255),
            ]
        );
        assert_eq!(Ports::new(ranges), all);
    }

    #[test]
    fn position_and_protocol_are_inverse() {
        for (protocol, port) in [
            (Protocol::Tcp, 0),
            (Protocol::Tcp, 65_535),
            (Protocol::Udp, 0),
            (Protocol::Udp, 53),
            (Protocol::Icmp, 0),
            (Protocol::Other(0), 0),
            (Protocol::Other(255), 0),
        ] {
            assert_eq!(at(position(protocol, port)), (protocol, port));
        }
    }
}
