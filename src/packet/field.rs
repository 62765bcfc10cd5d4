//! The layout of the headers: the offset of each field, in bytes from the beginning of its header,
//! and the functions that read and write it in network order. Every offset has its name here and
//! nowhere else.
//!
//! The parser proves that a header is complete before a field is read at its offset.

use super::Protocol;
use std::net::Ipv4Addr;

/// IPv4 (RFC 791 3.1).
pub(crate) mod ipv4 {
    /// Version in the upper half of the byte, header length in words of 4 bytes in the lower.
    pub(crate) const VERSION_AND_LENGTH: usize = 0;
    pub(crate) const TYPE_OF_SERVICE: usize = 1;
    pub(crate) const TOTAL_LEN: usize = 2;
    pub(crate) const IDENTIFICATION: usize = 4;
    /// [`DONT_FRAGMENT`], [`MORE_FRAGMENTS`] and the [`FRAGMENT_OFFSET`].
    pub(crate) const FLAGS_AND_OFFSET: usize = 6;
    pub(crate) const TTL: usize = 8;
    pub(crate) const PROTOCOL: usize = 9;
    pub(crate) const CHECKSUM: usize = 10;
    pub(crate) const SRC: usize = 12;
    pub(crate) const DST: usize = 16;
    /// Bytes of a header without options; the options begin here.
    pub(crate) const MIN_LEN: usize = 20;
    /// Bytes of the largest header.
    pub(crate) const MAX_LEN: usize = 60;

    pub(crate) const VERSION: u8 = 4;
    pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
    pub(crate) const MORE_FRAGMENTS: u16 = 0x2000;
    pub(crate) const FRAGMENT_OFFSET: u16 = 0x1fff;
    /// Bytes per unit of a fragment offset.
    pub(crate) const FRAGMENT_UNIT: usize = 8;

    /// Returns the version that the first byte of a header names.
    #[inline]
    pub(crate) const fn version(first: u8) -> u8 {
        first >> 4
    }

    /// Returns the header length that the first byte of a header names, in bytes: 0 to 60.
    #[inline]
    pub(crate) const fn header_len(first: u8) -> usize {
        (first & 0xf) as usize * 4
    }

    /// Returns the first byte of a header of `len` bytes.
    #[inline]
    pub(crate) const fn first_byte(len: usize) -> u8 {
        VERSION << 4 | (len / 4) as u8
    }
}

/// IPv6 (RFC 8200 3).
pub(crate) mod ipv6 {
    pub(crate) const PAYLOAD_LEN: usize = 4;
    pub(crate) const NEXT_HEADER: usize = 6;
    pub(crate) const HOP_LIMIT: usize = 7;
    pub(crate) const SRC: usize = 8;
    pub(crate) const DST: usize = 24;
    /// Bytes of the header, without extensions.
    pub(crate) const HEADER_LEN: usize = 40;

    pub(crate) const VERSION: u8 = 6;
    /// ICMPv6 as a next header.
    pub(crate) const ICMP: u8 = 58;
}

/// TCP (RFC 9293 3.1).
pub(crate) mod tcp {
    pub(crate) const SPORT: usize = super::ports::SRC;
    pub(crate) const DPORT: usize = super::ports::DST;
    pub(crate) const SEQ: usize = 4;
    pub(crate) const ACK: usize = 8;
    /// Header length in words of 4 bytes, in the upper half of the byte.
    pub(crate) const DATA_OFFSET: usize = 12;
    pub(crate) const FLAGS: usize = 13;
    pub(crate) const WINDOW: usize = 14;
    pub(crate) const CHECKSUM: usize = 16;
    /// Bytes of a header without options; the options begin here.
    pub(crate) const MIN_LEN: usize = 20;

    /// Returns the header length that the byte at [`DATA_OFFSET`] names, in bytes: 0 to 60.
    #[inline]
    pub(crate) const fn header_len(data_offset: u8) -> usize {
        (data_offset >> 4) as usize * 4
    }

    /// Returns the byte at [`DATA_OFFSET`] of a header of `len` bytes.
    #[inline]
    pub(crate) const fn data_offset(len: usize) -> u8 {
        ((len / 4) as u8) << 4
    }
}

/// UDP (RFC 768).
pub(crate) mod udp {
    pub(crate) const LEN: usize = 4;
    pub(crate) const CHECKSUM: usize = 6;
    /// Bytes of the header.
    pub(crate) const HEADER_LEN: usize = 8;
}

/// The ports, which TCP and UDP have at the same offsets.
pub(crate) mod ports {
    pub(crate) const SRC: usize = 0;
    pub(crate) const DST: usize = 2;
}

/// ICMP (RFC 792).
pub(crate) mod icmp {
    pub(crate) const TYPE: usize = 0;
    pub(crate) const CODE: usize = 1;
    pub(crate) const CHECKSUM: usize = 2;
    /// The identifier of an echo.
    pub(crate) const ECHO_ID: usize = 4;
    /// The next hop's MTU in "fragmentation needed" (RFC 1191 4).
    pub(crate) const NEXT_HOP_MTU: usize = 6;
    /// Bytes of the header, whatever the type; the packet that an error quotes begins here.
    pub(crate) const HEADER_LEN: usize = 8;

    pub(crate) const ECHO_REPLY: u8 = 0;
    pub(crate) const UNREACHABLE: u8 = 3;
    pub(crate) const SOURCE_QUENCH: u8 = 4;
    pub(crate) const ECHO_REQUEST: u8 = 8;
    pub(crate) const TIME_EXCEEDED: u8 = 11;
    pub(crate) const PARAMETER_PROBLEM: u8 = 12;
    /// The code of [`UNREACHABLE`] that says "fragmentation needed and DF set".
    pub(crate) const FRAGMENTATION_NEEDED: u8 = 4;
}

/// IPv4 options (RFC 791 3.1).
pub(super) mod ipv4_option {
    pub(in crate::packet) const END: u8 = 0;
    pub(in crate::packet) const NO_OPERATION: u8 = 1;
    pub(in crate::packet) const LOOSE_SOURCE_ROUTE: u8 = 131;
    pub(in crate::packet) const STRICT_SOURCE_ROUTE: u8 = 137;
    /// The bit of an option that every fragment carries, not only the first.
    pub(in crate::packet) const COPIED: u8 = 0x80;
}

/// TCP options (RFC 9293 3.1).
pub(super) mod tcp_option {
    pub(in crate::packet) const END: u8 = 0;
    pub(in crate::packet) const NO_OPERATION: u8 = 1;
    pub(in crate::packet) const MSS: u8 = 2;
    /// Bytes of an MSS option.
    pub(in crate::packet) const MSS_LEN: usize = 4;
    /// Bytes of kind and length, with which every option begins except the two of one byte.
    pub(in crate::packet) const HEADER_LEN: usize = 2;
}

/// The virtio-net header, `struct virtio_net_hdr`, whose words are in host order.
pub(crate) mod vnet {
    pub(crate) const FLAGS: usize = 0;
    pub(crate) const GSO_TYPE: usize = 1;
    pub(crate) const HDR_LEN: usize = 2;
    pub(crate) const GSO_SIZE: usize = 4;
    pub(crate) const CSUM_START: usize = 6;
    pub(crate) const CSUM_OFFSET: usize = 8;
    /// Bytes of the header.
    pub(crate) const LEN: usize = 10;
}

/// Returns the offset in the L4 header of a checksum that covers the pseudo-header, for the
/// protocols that can leave it partial.
#[inline]
pub(super) const fn l4_checksum(protocol: Protocol) -> Option<usize> {
    match protocol {
        Protocol::Tcp => Some(tcp::CHECKSUM),
        Protocol::Udp => Some(udp::CHECKSUM),
        Protocol::Icmp | Protocol::Other(_) => None,
    }
}

/// Reads two bytes.
#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Reads four bytes.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Reads an address.
#[inline]
pub(crate) fn address_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32_at(bytes, at))
}

/// Writes two bytes.
#[inline]
pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Writes four bytes.
#[inline]
pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}
