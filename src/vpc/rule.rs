//! The common part of security-group rules and network-ACL rules: protocol, ports, ICMP type and
//! code (spec 4.1, 5).

use crate::packet::Protocol;
use std::fmt;

/// The protocol field of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolMatch {
    /// `-1`: every protocol, whatever ports are given.
    All,
    /// One protocol.
    Is(Protocol),
}

/// The port field of a TCP or UDP rule: destination ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMatch {
    /// Lowest port.
    pub from: u16,
    /// Highest port.
    pub to: u16,
}

impl PortMatch {
    /// Every port.
    pub const ALL: Self = Self { from: 0, to: u16::MAX };

    /// Decides whether `port` is in the range.
    #[inline]
    pub const fn contains(self, port: u16) -> bool {
        self.from <= port && port <= self.to
    }
}

/// The ICMP field of a rule; `None` is AWS's -1, any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpMatch {
    /// ICMP type.
    pub icmp_type: Option<u8>,
    /// ICMP code.
    pub code: Option<u8>,
}

impl IcmpMatch {
    /// Every type and code.
    pub const ALL: Self = Self { icmp_type: None, code: None };

    /// Decides whether a message of this type and code matches.
    #[inline]
    pub fn contains(self, icmp_type: u8, code: u8) -> bool {
        self.icmp_type.is_none_or(|t| t == icmp_type) && self.code.is_none_or(|c| c == code)
    }
}

/// The protocol, ports and ICMP fields together. Ports count for TCP and UDP only, the ICMP fields
/// for ICMP only: with any other protocol number a rule matches whatever ports are given (spec 4.1,
/// 5; surprise 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficMatch {
    /// Protocol.
    pub protocol: ProtocolMatch,
    /// Destination ports, for TCP and UDP.
    pub ports: PortMatch,
    /// Type and code, for ICMP.
    pub icmp: IcmpMatch,
}

/// The fields of a packet that a rule compares, besides addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Protocol.
    pub protocol: Protocol,
    /// Destination port of TCP and UDP; 0 otherwise.
    pub port: u16,
    /// Type and code of ICMP; zero otherwise.
    pub icmp: (u8, u8),
}

impl TrafficMatch {
    /// Every packet.
    pub const ALL: Self =
        Self { protocol: ProtocolMatch::All, ports: PortMatch::ALL, icmp: IcmpMatch::ALL };

    /// Decides whether the protocol field matches.
    #[inline]
    pub fn protocol_matches(&self, traffic: Traffic) -> bool {
        match self.protocol {
            ProtocolMatch::All => true,
            ProtocolMatch::Is(protocol) => protocol == traffic.protocol,
        }
    }

    /// Decides whether the port or ICMP field matches, given that the protocol does.
    #[inline]
    pub fn ports_match(&self, traffic: Traffic) -> bool {
        match self.protocol {
            ProtocolMatch::Is(Protocol::Tcp | Protocol::Udp) => self.ports.contains(traffic.port),
            ProtocolMatch::Is(Protocol::Icmp) => self.icmp.contains(traffic.icmp.0, traffic.icmp.1),
            ProtocolMatch::All | ProtocolMatch::Is(Protocol::Other(_)) => true,
        }
    }

    /// Decides whether everything of a protocol matches, to any port.
    pub fn matches_all_of(&self, protocol: Protocol) -> bool {
        let ports = !protocol.has_ports() || self.ports == PortMatch::ALL;
        let icmp = protocol != Protocol::Icmp || self.icmp == IcmpMatch::ALL;
        match self.protocol {
            ProtocolMatch::All => true,
            ProtocolMatch::Is(own) => own == protocol && ports && icmp,
        }
    }

    /// Decides whether everything but the address matches.
    #[inline]
    pub fn matches(&self, traffic: Traffic) -> bool {
        self.protocol_matches(traffic) && self.ports_match(traffic)
    }
}

impl fmt::Display for TrafficMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            ProtocolMatch::All => f.write_str("all traffic"),
            ProtocolMatch::Is(Protocol::Icmp) => match (self.icmp.icmp_type, self.icmp.code) {
                (None, _) => f.write_str("icmp"),
                (Some(t), None) => write!(f, "icmp type {t}"),
                (Some(t), Some(c)) => write!(f, "icmp type {t} code {c}"),
            },
            ProtocolMatch::Is(protocol @ (Protocol::Tcp | Protocol::Udp)) => match self.ports {
                PortMatch::ALL => write!(f, "{protocol} all ports"),
                PortMatch { from, to } if from == to => write!(f, "{protocol} {from}"),
                PortMatch { from, to } => write!(f, "{protocol} {from}-{to}"),
            },
            ProtocolMatch::Is(protocol @ Protocol::Other(_)) => write!(f, "{protocol}"),
        }
    }
}
