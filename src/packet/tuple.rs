//! The five-tuple that names one direction of a flow.

use std::fmt;
use std::net::Ipv4Addr;

/// An IP protocol number, with names for the three that a NAT translates (RFC 3022).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// 1
    Icmp,
    /// 6
    Tcp,
    /// 17
    Udp,
    /// Any other protocol number.
    Other(u8),
}

impl Protocol {
    /// The IANA protocol number.
    #[inline]
    pub const fn number(self) -> u8 {
        match self {
            Self::Icmp => 1,
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Other(number) => number,
        }
    }

    /// Whether the protocol carries 16-bit ports in its first four octets.
    #[inline]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }
}

impl From<u8> for Protocol {
    #[inline]
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Icmp,
            6 => Self::Tcp,
            17 => Self::Udp,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp => f.write_str("icmp"),
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Other(number) => write!(f, "protocol {number}"),
        }
    }
}

/// One direction of a flow.
///
/// For an ICMP echo request `sport` is the query identifier and `dport` is 0; for an echo reply it is the other way
/// round, so that [`Tuple::reversed`] of a request is its reply. Protocols without ports have 0 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The IP protocol.
    pub protocol: Protocol,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Source port, or the identifier of an ICMP echo request.
    pub sport: u16,
    /// Destination port, or the identifier of an ICMP echo reply.
    pub dport: u16,
}

impl Tuple {
    /// The tuple of a packet going the other way.
    #[inline]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            protocol: self.protocol,
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
        }
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, src, dst, sport, dport } = self;
        match protocol {
            Protocol::Tcp | Protocol::Udp => write!(f, "{protocol} {src}:{sport} -> {dst}:{dport}"),
            Protocol::Icmp => write!(f, "icmp {src} -> {dst} id {}", sport | dport),
            Protocol::Other(_) => write!(f, "{protocol} {src} -> {dst}"),
        }
    }
}
