//! The checked view: a packet whose offsets have been proven once.

use super::{Protocol, Tuple, VnetHeader};
use std::net::Ipv4Addr;

/// Why a string of octets is not a packet that egret can judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer octets than an IPv4 header has, or none.
    Truncated,
    /// Version 6: AWS filters it apart from IPv4, and egret carries IPv4 only.
    Ipv6,
    /// A version that is neither 4 nor 6.
    Version,
    /// The header length field is below 20 or beyond the packet.
    HeaderLength,
    /// The total length field disagrees with the octets that arrived.
    TotalLength,
    /// The IPv4 header checksum is wrong.
    HeaderChecksum,
    /// The L4 header does not fit.
    L4Truncated,
    /// The ICMP checksum is wrong (RFC 5508, REQ-1 and REQ-3).
    IcmpChecksum,
    /// The virtio-net header contradicts the packet.
    VnetHeader,
}

/// Where a packet stands in a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Not fragmented.
    Whole,
    /// First fragment: offset 0, more follow; it has the L4 header.
    First,
    /// A later one: no L4 header, hence no ports.
    Later,
}
