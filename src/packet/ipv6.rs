//! Reads IPv6 packets, which egret does not carry, to find their task and destination, and writes
//! the ICMPv6 error that answers them (RFC 4443). A task's IPv6 address contains its IPv4 address,
//! so that each can be computed from the other.
//!
//! The prefix is a unique local one (RFC 4193): clients that sort addresses (RFC 6724) then try
//! IPv4 first.

use super::field::{ipv6, ports, put_u16, u16_at};
use super::icmp::complete_quote;
use super::{Protocol, VnetHeader, checksum};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The first 96 bits of a task's address; mirrored in `src/steer/steer.bpf.c`.
const PREFIX: [u16; 6] = [0xfd65, 0x6772, 0x6574, 0, 0, 0];
/// Bytes of the largest answer, far below the smallest MTU of an IPv6 link.
const MAX_ANSWER: usize = 576;
/// The gateway of every task's default route, and the source of egret's answers.
pub const GATEWAY: Ipv6Addr = of_task(Ipv4Addr::new(169, 254, 1, 1));
const HOP_LIMIT: u8 = 64;
const ICMP_HEADER: usize = 8;
const UNREACHABLE: u8 = 1;
/// "No route to destination", which ends a TCP connection attempt with `ENETUNREACH`.
const NO_ROUTE: u8 = 0;
/// "Reject route to destination". Linux reports it to a connected UDP socket, to which it does not
/// report [`NO_ROUTE`].
const REJECT_ROUTE: u8 = 6;
/// ICMPv6 types below this are errors, which no error answers (RFC 4443 2.4).
const FIRST_QUERY: u8 = 128;

/// Returns the IPv6 address of the task, or gateway, that has an IPv4 address.
pub const fn of_task(address: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = PREFIX;
    let [g, h, i, j] = address.octets();
    Ipv6Addr::new(a, b, c, d, e, f, u16::from_be_bytes([g, h]), u16::from_be_bytes([i, j]))
}

/// Returns the IPv4 address that an address of [`of_task`] holds; `None` for any other.
pub fn task_of(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let task = Ipv4Addr::from_bits(address.to_bits() as u32);
    (of_task(task) == address).then_some(task)
}

/// The header's fields that egret reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The source.
    pub src: Ipv6Addr,
    /// The destination.
    pub dst: Ipv6Addr,
    /// The next header, which may be an extension.
    pub protocol: Protocol,
    /// The destination's port; 0 if the protocol has no ports, or if an extension comes first.
    pub port: u16,
}

impl Header {
    /// Reads the header of an IPv6 packet; `None` if it is cut off or of another version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..ipv6::HEADER_LEN)?;
        if header[0] >> 4 != ipv6::VERSION {
            return None;
        }
        let protocol = Protocol::from(header[ipv6::NEXT_HEADER]);
        let port = match (protocol.has_ports(), bytes.get(ipv6::HEADER_LEN..ipv6::HEADER_LEN + 4)) {
            (true, Some(words)) => u16_at(words, ports::DST),
            (true, None) | (false, _) => 0,
        };
        let (src, dst) = (address_at(header, ipv6::SRC), address_at(header, ipv6::DST));
        Some(Self { src, dst, protocol, port })
    }
}

/// Writes "destination unreachable" about `original` from [`GATEWAY`] and returns its length. The
/// code is "no route", as from a host without IPv6; for UDP it is "reject route".
///
/// Returns `None` where RFC 4443 2.4 forbids an answer, and where `out` is too small for it. A
/// partial checksum is completed in the quote, unless `vnet` announces a super-packet.
pub fn unreachable(original: &[u8], vnet: VnetHeader, out: &mut [u8]) -> Option<usize> {
    let Header { src, dst, protocol, .. } = Header::parse(original)?;
    let is_error = protocol.number() == ipv6::ICMP
        && original.get(ipv6::HEADER_LEN).is_none_or(|icmp_type| *icmp_type < FIRST_QUERY);
    if is_error || dst.is_multicast() || src.is_multicast() || src.is_unspecified() {
        return None;
    }
    let whole = ipv6::HEADER_LEN + usize::from(u16_at(original, ipv6::PAYLOAD_LEN));
    let original = original.get(..whole).unwrap_or(original);
    let quote = &original[..original.len().min(MAX_ANSWER - ipv6::HEADER_LEN - ICMP_HEADER)];
    let len = ipv6::HEADER_LEN + ICMP_HEADER + quote.len();
    let (header, icmp) = out.get_mut(..len)?.split_at_mut(ipv6::HEADER_LEN);
    icmp[..ICMP_HEADER].fill(0);
    icmp[0] = UNREACHABLE;
    icmp[1] = if protocol == Protocol::Udp { REJECT_ROUTE } else { NO_ROUTE };
    icmp[ICMP_HEADER..].copy_from_slice(quote);
    complete_quote(&mut icmp[ICMP_HEADER..], original, vnet);
    write_header(header, icmp.len() as u16, GATEWAY, src);
    // The pseudo-header has the fields of the header in another order (RFC 8200 8.1).
    let pseudo = checksum::Sum::default().bytes(&header[ipv6::SRC..]).word(icmp.len() as u16);
    let sum = pseudo.word(u16::from(ipv6::ICMP)).bytes(icmp).checksum();
    put_u16(icmp, 2, sum);
    Some(len)
}

fn write_header(header: &mut [u8], payload: u16, src: Ipv6Addr, dst: Ipv6Addr) {
    header.fill(0);
    header[0] = ipv6::VERSION << 4;
    put_u16(header, ipv6::PAYLOAD_LEN, payload);
    header[ipv6::NEXT_HEADER] = ipv6::ICMP;
    header[ipv6::HOP_LIMIT] = HOP_LIMIT;
    header[ipv6::SRC..ipv6::DST].copy_from_slice(&src.octets());
    header[ipv6::DST..].copy_from_slice(&dst.octets());
}

/// Reads an address of a complete header.
fn address_at(header: &[u8], at: usize) -> Ipv6Addr {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&header[at..at + 16]);
    Ipv6Addr::from(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use etherparse::{Icmpv6Slice, Icmpv6Type, Ipv6HeaderSlice, PacketBuilder};

    const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
    const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const PLAIN: VnetHeader = VnetHeader {
        flags: 0,
        gso_type: 0,
        hdr_len: 0,
        gso_size: 0,
        csum_start: 0,
        csum_offset: 0,
    };

    fn builder(
        src: Ipv6Addr,
        dst: Ipv6Addr,
    ) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
        PacketBuilder::ipv6(src.octets(), dst.octets(), 64)
    }

    fn udp(src: Ipv6Addr, dst: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        builder(src, dst).udp(5000, 53).write(&mut packet, payload).unwrap();
        packet
    }

    fn syn() -> Vec<u8> {
        let mut packet = Vec::new();
        builder(of_task(TASK), HOST)
            .tcp(40_000, 443, 1, 100)
            .syn()
            .write(&mut packet, &[])
            .unwrap();
        packet
    }

    fn icmp(icmp_type: u8) -> Vec<u8> {
        let kind = Icmpv6Type::Unknown { type_u8: icmp_type, code_u8: 0, bytes5to8: [0; 4] };
        let mut packet = Vec::new();
        builder(of_task(TASK), HOST).icmpv6(kind).write(&mut packet, &[]).unwrap();
        packet
    }

    /// Returns the code and the quote of the answer to a packet of the task, and checks the
    /// answer's addresses and checksum.
    #[track_caller]
    fn answer(original: &[u8], vnet: VnetHeader) -> (u8, Vec<u8>) {
        let mut out = [0xaa; MAX_ANSWER];
        let len = unreachable(original, vnet, &mut out).unwrap();
        let header = Ipv6HeaderSlice::from_slice(&out[..len]).unwrap();
        assert_eq!(usize::from(header.payload_length()), len - ipv6::HEADER_LEN);
        assert_eq!(header.source_addr(), GATEWAY);
        assert_eq!(header.destination_addr(), of_task(TASK));
        let icmp = Icmpv6Slice::from_slice(&out[ipv6::HEADER_LEN..len]).unwrap();
        assert!(icmp.is_checksum_valid(header.source(), header.destination()));
        assert_eq!(icmp.type_u8(), UNREACHABLE);
        (icmp.code_u8(), icmp.payload().to_vec())
    }

    #[test]
    fn address_of_a_task_holds_its_ipv4_address() {
        assert_eq!(of_task(TASK).to_string(), "fd65:6772:6574::6440:2");
        assert_eq!(task_of(of_task(TASK)), Some(TASK));
        for other in [HOST, Ipv6Addr::UNSPECIFIED, TASK.to_ipv6_mapped()] {
            assert_eq!(task_of(other), None, "{other}");
        }
    }

    #[test]
    fn header_has_the_port_of_tcp_and_udp_as_far_as_it_is_there() {
        let src = of_task(TASK);
        let of = |protocol, port| Some(Header { src, dst: HOST, protocol, port });
        assert_eq!(Header::parse(&syn()), of(Protocol::Tcp, 443));
        assert_eq!(Header::parse(&udp(src, HOST, &[])), of(Protocol::Udp, 53));
        assert_eq!(Header::parse(&syn()[..ipv6::HEADER_LEN + 3]), of(Protocol::Tcp, 0));
        assert_eq!(Header::parse(&icmp(128)), of(Protocol::Other(58), 0));
        assert_eq!(Header::parse(&syn()[..ipv6::HEADER_LEN - 1]), None);
        assert_eq!(Header::parse(&[0x45; 60]), None);
    }

    #[test]
    fn tcp_and_echo_hear_of_no_route_and_udp_of_a_rejecting_one() {
        for (original, code) in [
            (syn(), NO_ROUTE),
            (icmp(128), NO_ROUTE),
            (udp(of_task(TASK), HOST, b"hello"), REJECT_ROUTE),
        ] {
            assert_eq!(answer(&original, PLAIN), (code, original));
        }
    }

    #[test]
    fn long_original_is_quoted_up_to_576_bytes_and_padding_is_not() {
        let original = udp(of_task(TASK), HOST, &[7; 1000]);
        let (_, quote) = answer(&original, PLAIN);
        assert_eq!(quote, original[..MAX_ANSWER - ipv6::HEADER_LEN - ICMP_HEADER]);
        let padded = [&syn()[..], &[0; 9]].concat();
        assert_eq!(answer(&padded, PLAIN).1, syn());
    }

    #[test]
    fn partial_checksum_is_complete_in_the_quote() {
        let sent = udp(of_task(TASK), HOST, b"hello");
        let mut partial = sent.clone();
        let place = ipv6::HEADER_LEN + 6;
        let length = sent.len() - ipv6::HEADER_LEN;
        let pseudo = checksum::Sum::default().bytes(&sent[ipv6::SRC..ipv6::HEADER_LEN]);
        put_u16(&mut partial, place, pseudo.word(length as u16).word(17).fold());
        let (flags, csum_start) = (super::super::vnet::NEEDS_CSUM, ipv6::HEADER_LEN as u16);
        let vnet = VnetHeader { flags, csum_start, csum_offset: 6, ..PLAIN };
        assert_ne!(partial, sent);
        assert_eq!(answer(&partial, vnet).1, sent);
    }

    #[test]
    fn errors_multicast_and_unspecified_senders_are_not_answered() {
        let (task, all) = (of_task(TASK), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        let mut out = [0; MAX_ANSWER];
        for original in [
            icmp(1),
            icmp(127),
            icmp(128)[..ipv6::HEADER_LEN].to_vec(),
            udp(task, all, &[]),
            udp(all, HOST, &[]),
            udp(Ipv6Addr::UNSPECIFIED, HOST, &[]),
            vec![0x60; 12],
        ] {
            assert_eq!(unreachable(&original, PLAIN, &mut out), None, "{original:x?}");
        }
        assert_eq!(unreachable(&syn(), PLAIN, &mut [0; 107]), None);
        assert_eq!(unreachable(&syn(), PLAIN, &mut [0; 108]), Some(108));
    }
}
