//! The two 16-bit numbers by which flows between the same hosts differ, and the fields that carry
//! them.

use super::Protocol;
use super::checksum::Sum;
use super::field::icmp::{self, ECHO_ID};
use super::field::{ports, put_u16, u16_at};

/// The fields of an L4 header that carry the numbers of a [`super::Tuple`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// Ports of TCP and UDP.
    Ports,
    /// The identifier of an echo request: `sport`.
    Request,
    /// The identifier of an echo reply: `dport`.
    Reply,
    None,
}

impl Ids {
    /// Returns the fields that an L4 header has, which is at least 8 bytes for TCP, UDP and ICMP.
    #[inline]
    pub(super) fn of(protocol: Protocol, l4: &[u8]) -> Self {
        match protocol {
            Protocol::Tcp | Protocol::Udp => Self::Ports,
            Protocol::Icmp if l4[icmp::TYPE] == icmp::ECHO_REQUEST => Self::Request,
            Protocol::Icmp if l4[icmp::TYPE] == icmp::ECHO_REPLY => Self::Reply,
            Protocol::Icmp | Protocol::Other(_) => Self::None,
        }
    }

    /// Returns the given numbers that the packet carries, and 0 for the others.
    #[inline]
    pub(super) const fn keep(self, sport: u16, dport: u16) -> (u16, u16) {
        match self {
            Self::Ports => (sport, dport),
            Self::Request => (sport, 0),
            Self::Reply => (0, dport),
            Self::None => (0, 0),
        }
    }

    /// Reads `(sport, dport)`.
    #[inline]
    pub(super) fn read(self, l4: &[u8]) -> (u16, u16) {
        match self {
            Self::Ports => (u16_at(l4, ports::SRC), u16_at(l4, ports::DST)),
            Self::Request => (u16_at(l4, ECHO_ID), 0),
            Self::Reply => (0, u16_at(l4, ECHO_ID)),
            Self::None => (0, 0),
        }
    }

    /// Writes the numbers and returns the change in the sum of the bytes.
    #[inline]
    pub(super) fn write(self, l4: &mut [u8], sport: u16, dport: u16) -> Sum {
        match self {
            Self::Ports => {
                replace_word(l4, ports::SRC, sport).plus(replace_word(l4, ports::DST, dport))
            }
            Self::Request => replace_word(l4, ECHO_ID, sport),
            Self::Reply => replace_word(l4, ECHO_ID, dport),
            Self::None => Sum::default(),
        }
    }
}

/// Writes a word and returns the change in the sum of the bytes.
#[inline]
pub(super) fn replace_word(bytes: &mut [u8], at: usize, new: u16) -> Sum {
    let old = u16_at(bytes, at);
    put_u16(bytes, at, new);
    Sum::default().replace(old, new)
}
