//! Decides what a rule covers, bit by bit.

use crate::packet::Protocol;
use crate::vpc::{ProtocolMatch, TrafficMatch};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// Decides whether a rule matches (spec 4.1, 5; surprise 8).
pub(super) fn matches(
    rule: &TrafficMatch,
    protocol: Protocol,
    port: u16,
    (icmp_type, code): (u8, u8),
) -> bool {
    match (rule.protocol, protocol) {
        (ProtocolMatch::All, _) => true,
        (ProtocolMatch::Is(wanted), given) if wanted.number() != given.number() => false,
        (_, Protocol::Tcp | Protocol::Udp) => (rule.ports.from..=rule.ports.to).contains(&port),
        (_, Protocol::Icmp) => [(rule.icmp.icmp_type, icmp_type), (rule.icmp.code, code)]
            .iter()
            .all(|(wanted, given)| wanted.is_none() || *wanted == Some(*given)),
        (_, Protocol::Other(_)) => true,
    }
}

pub(super) fn covers(network: Ipv4Network, address: Ipv4Addr) -> bool {
    let shift = 32 - u32::from(network.prefix());
    let high = |address: Ipv4Addr| u64::from(u32::from(address)) >> shift;
    high(network.ip()) == high(address)
}

pub(super) fn is_rfc1918(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [10, ..] | [192, 168, ..] | [172, 16..=31, ..])
}

pub(super) fn is_rfc6598(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [100, 64..=127, ..])
}
