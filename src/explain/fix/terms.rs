//! Writes sets of ports and addresses as rules have them: protocols with port ranges, and CIDR
//! blocks.

use crate::packet::Protocol;
use crate::pipeline::reach::{PortRange, Ports, Ranges};
use crate::vpc::{IcmpMatch, PortMatch, ProtocolMatch, TrafficMatch};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// The most rules that a change adds.
pub(super) const MOST_RULES: usize = 4;

/// Lists the traffic that admits a set of ports: exactly, if a few rules suffice, otherwise a
/// little more.
pub(super) fn traffic(ports: &Ports) -> Vec<TrafficMatch> {
    let ranges: Vec<PortRange> = ports.iter().collect();
    if *ports == Ports::all() || ranges.len() > 2 * MOST_RULES {
        return vec![TrafficMatch::ALL];
    }
    if ranges.len() <= MOST_RULES {
        return ranges.into_iter().map(of_range).collect();
    }
    let mut spans: Vec<TrafficMatch> = Vec::new();
    for range in ranges.into_iter().map(of_range) {
        match spans.last_mut() {
            Some(last) if last.protocol == range.protocol => last.ports.to = range.ports.to,
            Some(_) | None => spans.push(range),
        }
    }
    spans
}

/// Lists the traffic of replies to these ports of an ENI or a NAT gateway.
pub(super) fn replies(ports: &Ports, to: PortMatch) -> Vec<TrafficMatch> {
    let mut all: Vec<TrafficMatch> = Vec::new();
    for mut one in traffic(ports) {
        if matches!(one.protocol, ProtocolMatch::Is(Protocol::Tcp | Protocol::Udp)) {
            one.ports = to;
        }
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

fn of_range(range: PortRange) -> TrafficMatch {
    let of = |protocol, ports| TrafficMatch {
        protocol: ProtocolMatch::Is(protocol),
        ports,
        icmp: IcmpMatch::ALL,
    };
    match range {
        PortRange::Of(protocol, from, to) => of(protocol, PortMatch { from, to }),
        PortRange::Echo => of(Protocol::Icmp, PortMatch::ALL),
        PortRange::Protocols(first, last) if first == last => {
            of(Protocol::Other(first), PortMatch::ALL)
        }
        PortRange::Protocols(..) => TrafficMatch::ALL,
    }
}

/// Lists the blocks with exactly these addresses; `None` if a change may not have as many rules.
pub(super) fn blocks(addresses: &Ranges) -> Option<Vec<Ipv4Network>> {
    blocks_up_to(MOST_RULES, addresses)
}

/// Lists the blocks with exactly these addresses; `None` if there are more of them than `most`.
pub(super) fn blocks_up_to(most: usize, addresses: &Ranges) -> Option<Vec<Ipv4Network>> {
    let mut blocks = Vec::new();
    for (first, last) in addresses.iter() {
        let mut next = u64::from(first);
        while next <= u64::from(last) {
            let left = u64::from(last) - next + 1;
            let aligned = if next == 0 { 32 } else { next.trailing_zeros().min(32) };
            let size = aligned.min(left.ilog2());
            if blocks.len() == most {
                return None;
            }
            let base = Ipv4Addr::from(u32::try_from(next).ok()?);
            blocks.push(Ipv4Network::new(base, u8::try_from(32 - size).ok()?).ok()?);
            next += 1 << size;
        }
    }
    Some(blocks)
}

/// Returns the addresses of a block.
pub(super) fn addresses(block: Ipv4Network) -> Ranges {
    Ranges::of(block.network().to_bits(), block.broadcast().to_bits())
}

/// Returns the addresses of several blocks.
pub(super) fn all_addresses(blocks: &[Ipv4Network]) -> Ranges {
    Ranges::new(blocks.iter().map(|block| (block.network().to_bits(), block.broadcast().to_bits())))
}

/// Decides whether a set contains all of another one.
pub(super) fn holds(set: &Ranges, others: &Ranges) -> bool {
    others.difference(set).is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn block(cidr: &str) -> Ipv4Network {
        cidr.parse().unwrap()
    }

    #[test]
    fn blocks_are_exactly_the_addresses_or_none_if_they_are_many() {
        for cidrs in [&["0.0.0.0/0"][..], &["10.0.0.0/16", "10.1.0.10/32"], &["10.0.0.2/31"]] {
            let cidrs: Vec<Ipv4Network> = cidrs.iter().map(|cidr| block(cidr)).collect();
            assert_eq!(blocks(&all_addresses(&cidrs)), Some(cidrs));
        }
        let odd = Ranges::of(u32::MAX - 2, u32::MAX);
        let expected = vec![block("255.255.255.253/32"), block("255.255.255.254/31")];
        assert_eq!(blocks(&odd), Some(expected));
        assert_eq!(blocks(&Ranges::of(1, 1 << 20)), None);
    }

    #[test]
    fn a_few_ports_are_a_rule_each_and_many_are_a_span() {
        let ports = |list: &[u16]| {
            Ports::new(list.iter().map(|port| PortRange::Of(Protocol::Tcp, *port, *port)))
        };
        let spans = |list: &[u16]| -> Vec<(u16, u16)> {
            traffic(&ports(list)).iter().map(|one| (one.ports.from, one.ports.to)).collect()
        };
        assert_eq!(spans(&[443, 8443]), [(443, 443), (8443, 8443)]);
        assert_eq!(spans(&[1, 3, 5, 7, 9]), [(1, 9)]);
        assert_eq!(traffic(&Ports::all()), [TrafficMatch::ALL]);
    }
}
