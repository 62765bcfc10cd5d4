//! Facts that a packet's headers state.

use super::field::ipv4;
use super::{TcpFacts, Tuple};

/// The position of a packet in a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Not fragmented.
    Whole,
    /// First fragment: offset 0, more follow; it has the L4 header.
    First,
    /// A later fragment: no L4 header, hence no ports.
    Later,
}

impl Fragment {
    /// Returns the position that the flags and the offset of an IPv4 header give.
    #[inline]
    pub(super) fn of(flags_and_offset: u16) -> Self {
        match (flags_and_offset & ipv4::FRAGMENT_OFFSET, flags_and_offset & ipv4::MORE_FRAGMENTS) {
            (0, 0) => Self::Whole,
            (0, _) => Self::First,
            _ => Self::Later,
        }
    }
}

/// The kind of an ICMP message to a NAT (RFC 5508).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// Type 8.
    EchoRequest,
    /// Type 0.
    EchoReply,
    /// Types 3, 4, 11 and 12: an error about the quoted packet.
    Error {
        /// ICMP type.
        icmp_type: u8,
        /// ICMP code.
        code: u8,
        /// The tuple of the quoted packet, by the conventions of [`Tuple`].
        quoted: Tuple,
    },
    /// Any other, redirects among them.
    Other {
        /// ICMP type.
        icmp_type: u8,
        /// ICMP code.
        code: u8,
    },
}

/// The L4 header's facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum L4 {
    Tcp(TcpFacts),
    Udp,
    Icmp(IcmpKind),
    /// No L4 header that egret reads: a later fragment or another protocol.
    Opaque,
}
