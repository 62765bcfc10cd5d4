//! The packet quoted in an ICMP error: an IPv4 header, its options, and at least 8 bytes of L4
//! (RFC 792).

use super::field::{address_at, ipv4, u16_at};
use super::ids::Ids;
use super::{Protocol, Tuple, checksum};

/// Bytes of L4 that every quote has (RFC 792), enough for ports and identifiers.
const L4_BYTES: usize = 8;

/// The facts of a quote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    /// The direction of the flow that the error is about, by the conventions of [`Tuple`].
    pub(super) tuple: Tuple,
    /// Bytes of the quoted IPv4 header, options included.
    pub(super) header_len: usize,
    /// The fields that carry the numbers; [`Ids::None`] for a later fragment.
    pub(super) ids: Ids,
    /// Set if an L4 header follows; a later fragment has none.
    pub(super) has_l4: bool,
}

impl Quote {
    /// Reads the bytes behind the header of an ICMP error.
    ///
    /// Returns `None` if they name no flow: not IPv4, a header that does not fit or whose checksum
    /// is wrong (RFC 5508 REQ-3), or less than 8 bytes of TCP, UDP or ICMP. The quoted total length
    /// and the quoted L4 checksum are not checked: the quote is cut short, so they need not be
    /// right.
    pub(super) fn parse(quoted: &[u8]) -> Option<Self> {
        if quoted.len() < ipv4::MIN_LEN {
            return None;
        }
        let first = quoted[ipv4::VERSION_AND_LENGTH];
        let header_len = ipv4::header_len(first);
        if ipv4::version(first) != ipv4::VERSION || header_len < ipv4::MIN_LEN {
            return None;
        }
        if !checksum::is_valid(quoted.get(..header_len)?) {
            return None;
        }
        let protocol = Protocol::from(quoted[ipv4::PROTOCOL]);
        let l4 = &quoted[header_len..];
        let has_l4 = u16_at(quoted, ipv4::FLAGS_AND_OFFSET) & ipv4::FRAGMENT_OFFSET == 0;
        let ids = match protocol {
            Protocol::Other(_) => Ids::None,
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp if !has_l4 => Ids::None,
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp if l4.len() < L4_BYTES => return None,
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp => Ids::of(protocol, l4),
        };
        let (sport, dport) = ids.read(l4);
        let (src, dst) = (address_at(quoted, ipv4::SRC), address_at(quoted, ipv4::DST));
        Some(Self { tuple: Tuple { protocol, src, dst, sport, dport }, header_len, ids, has_l4 })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::builder;
    use super::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const SRC: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), 1024);
    const DST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);

    fn with_valid_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
        builder::update_header_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn eight_bytes_behind_options_are_enough() {
        let datagram = builder::udp(SRC, DST, b"data");
        let mut bytes = datagram[..ipv4::MIN_LEN].to_vec();
        bytes.extend_from_slice(&[0x94, 4, 0, 0]);
        bytes.extend_from_slice(&datagram[ipv4::MIN_LEN..ipv4::MIN_LEN + L4_BYTES]);
        bytes[ipv4::VERSION_AND_LENGTH] = ipv4::first_byte(24);
        let quote = Quote::parse(&with_valid_checksum(bytes)).unwrap();
        assert_eq!((quote.tuple.sport, quote.tuple.dport, quote.header_len), (1024, 443, 24));
    }

    #[test]
    fn quoted_echoes_follow_the_tuple_conventions() {
        let request = builder::icmp_echo_request(*SRC.ip(), *DST.ip(), 7, 1, &[]);
        let reply = builder::icmp_echo_reply(*SRC.ip(), *DST.ip(), 7, 1, &[]);
        let ids = |bytes: &[u8]| {
            let tuple = Quote::parse(bytes).unwrap().tuple;
            (tuple.sport, tuple.dport)
        };
        assert_eq!((ids(&request), ids(&reply)), ((7, 0), (0, 7)));
    }

    #[test]
    fn quoted_later_fragment_has_no_ports() {
        let mut bytes = builder::udp(SRC, DST, b"data");
        bytes[ipv4::FLAGS_AND_OFFSET + 1] = 1;
        let quote = Quote::parse(&with_valid_checksum(bytes)).unwrap();
        assert_eq!((quote.tuple.sport, quote.tuple.dport, quote.has_l4), (0, 0, false));
    }

    #[test]
    fn quotes_that_name_no_flow_are_refused() {
        let bytes = builder::udp(SRC, DST, b"data");
        for len in [0, 1, 19, 20, 27] {
            assert!(Quote::parse(&bytes[..len]).is_none(), "{len} bytes");
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            bytes
        };
        assert!(Quote::parse(&with(ipv4::VERSION_AND_LENGTH, 0x65)).is_none());
        assert!(Quote::parse(&with(ipv4::VERSION_AND_LENGTH, 0x44)).is_none());
        assert!(Quote::parse(&with(ipv4::VERSION_AND_LENGTH, 0x4f)).is_none());
        assert!(Quote::parse(&with(ipv4::TTL, 1)).is_none());
    }
}
