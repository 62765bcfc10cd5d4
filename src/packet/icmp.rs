//! Writes the messages that egret itself sends: ICMP errors (RFC 792, 1122, 1812) and TCP resets
//! (RFC 9293). They are written into the caller's buffer, with complete checksums, and need an
//! empty virtio-net header only.

use super::checksum;
use super::field::icmp::{CODE, HEADER_LEN as ICMP_HEADER, NEXT_HOP_MTU, TYPE};
use super::field::ipv4::MIN_LEN as IP_HEADER;
use super::field::tcp::MIN_LEN as TCP_HEADER;
use super::field::{
    address_at, icmp as icmp_field, ipv4, put_u16, put_u32, tcp as tcp_field, u16_at,
};
use super::{Fragment, Packet, Protocol, TcpFlags, VnetHeader};
use std::net::Ipv4Addr;

/// The largest ICMP error, in bytes (RFC 1812 4.3.2.3).
pub const MAX_ERROR: usize = 576;
/// Internetwork control, which RFC 1812 4.3.2.5 asks for in ICMP errors.
const PRECEDENCE: u8 = 0xc0;
const TTL: u8 = 64;

/// Writes "time exceeded in transit" (type 11, code 0) about `original`, an IPv4 packet, and
/// returns its length.
///
/// Returns `None` where RFC 1122 3.2.2 forbids an answer, and if `out` is too small; [`MAX_ERROR`]
/// is always enough. `vnet` names the work that the kernel has left to do. A partial L4 checksum is
/// completed in the quote, as the sender would have sent it; that of a super-packet is not, because
/// it is never sent as one packet.
pub fn time_exceeded(
    original: &[u8],
    vnet: VnetHeader,
    from: Ipv4Addr,
    out: &mut [u8],
) -> Option<usize> {
    write_error(original, vnet, from, (icmp_field::TIME_EXCEEDED, 0), 0, out)
}

/// Writes "fragmentation needed and DF set" (type 3, code 4, RFC 1191) about `original`; `mtu` is
/// the next hop's, in bytes. Returns the same as [`time_exceeded`].
pub fn fragmentation_needed(
    original: &[u8],
    vnet: VnetHeader,
    from: Ipv4Addr,
    mtu: u16,
    out: &mut [u8],
) -> Option<usize> {
    let kind = (icmp_field::UNREACHABLE, icmp_field::FRAGMENTATION_NEEDED);
    write_error(original, vnet, from, kind, mtu, out)
}

/// Writes the reset that answers `original`, from its destination to its source (RFC 9293 3.10.7.1,
/// CLOSED state), and returns its length.
///
/// Returns `None` if the original is no unfragmented TCP segment, is a reset itself, has a source
/// or destination that is not a single host, or if `out` is shorter than 40 bytes.
pub fn tcp_reset(original: &Packet<'_>, out: &mut [u8]) -> Option<usize> {
    let facts = original.tcp()?;
    let unanswerable = facts.flags.rst() || original.fragment() != Fragment::Whole;
    if unanswerable || !is_host(original.src()) || is_group(original.dst()) {
        return None;
    }
    let len = IP_HEADER + TCP_HEADER;
    let out = out.get_mut(..len)?;
    out.fill(0);
    let (seq, ack, flags) = if facts.flags.ack() {
        (facts.ack, 0, TcpFlags::RST)
    } else {
        let end = facts.seq.wrapping_add(facts.sequence_len());
        (0, end, TcpFlags::RST.with(TcpFlags::ACK))
    };
    let tuple = original.tuple().reversed();
    let (header, tcp) = out.split_at_mut(IP_HEADER);
    put_u16(tcp, tcp_field::SPORT, tuple.sport);
    put_u16(tcp, tcp_field::DPORT, tuple.dport);
    put_u32(tcp, tcp_field::SEQ, seq);
    put_u32(tcp, tcp_field::ACK, ack);
    tcp[tcp_field::DATA_OFFSET] = tcp_field::data_offset(TCP_HEADER);
    tcp[tcp_field::FLAGS] = flags.0;
    let number = Protocol::Tcp.number();
    let pseudo = checksum::pseudo_header(tuple.src, tuple.dst, number, TCP_HEADER as u16);
    put_u16(tcp, tcp_field::CHECKSUM, pseudo.bytes(tcp).checksum());
    write_ip_header(header, len, Protocol::Tcp, tuple.src, tuple.dst);
    Some(len)
}

/// Writes an ICMP error and returns its length. `low_half` is the second half of the header's last
/// word: the MTU, or unused.
fn write_error(
    original: &[u8],
    vnet: VnetHeader,
    from: Ipv4Addr,
    (icmp_type, code): (u8, u8),
    low_half: u16,
    out: &mut [u8],
) -> Option<usize> {
    if !may_answer(original)? {
        return None;
    }
    let total_len = usize::from(u16_at(original, ipv4::TOTAL_LEN)).min(original.len());
    let quote = &original[..total_len.min(MAX_ERROR - IP_HEADER - ICMP_HEADER)];
    let len = IP_HEADER + ICMP_HEADER + quote.len();
    let (header, icmp) = out.get_mut(..len)?.split_at_mut(IP_HEADER);
    icmp[..ICMP_HEADER].fill(0);
    icmp[TYPE] = icmp_type;
    icmp[CODE] = code;
    put_u16(icmp, NEXT_HOP_MTU, low_half);
    icmp[ICMP_HEADER..].copy_from_slice(quote);
    complete_quote(&mut icmp[ICMP_HEADER..], &original[..total_len], vnet);
    let sum = checksum::checksum(icmp);
    put_u16(icmp, icmp_field::CHECKSUM, sum);
    header.fill(0);
    header[ipv4::TYPE_OF_SERVICE] = PRECEDENCE;
    write_ip_header(header, len, Protocol::Icmp, from, address_at(original, ipv4::SRC));
    Some(len)
}

/// Completes a partial checksum in the quote of `original`, if the quote reaches as far as its
/// field.
pub(super) fn complete_quote(quote: &mut [u8], original: &[u8], vnet: VnetHeader) {
    if !vnet.is_partial() || vnet.is_super_packet() {
        return;
    }
    let (start, field) = vnet.checksum_place();
    let Some(segment) = original.get(start..) else { return };
    let Some(bytes) = quote.get_mut(field..field + 2) else { return };
    bytes.copy_from_slice(&vnet.completed(segment).to_be_bytes());
}

/// Returns whether an ICMP error may be sent about `original` (RFC 1122 3.2.2); `None` if it is no
/// IPv4 packet.
fn may_answer(original: &[u8]) -> Option<bool> {
    let first = *original.first()?;
    let header_len = ipv4::header_len(first);
    if ipv4::version(first) != ipv4::VERSION
        || header_len < IP_HEADER
        || header_len > original.len()
    {
        return None;
    }
    let later_fragment = u16_at(original, ipv4::FLAGS_AND_OFFSET) & ipv4::FRAGMENT_OFFSET != 0;
    let (src, dst) = (address_at(original, ipv4::SRC), address_at(original, ipv4::DST));
    let total_len = usize::from(u16_at(original, ipv4::TOTAL_LEN));
    if later_fragment || total_len < header_len || !is_host(src) || is_group(dst) {
        return Some(false);
    }
    let icmp = Protocol::from(original[ipv4::PROTOCOL]) == Protocol::Icmp;
    Some(!icmp || original.get(header_len).is_some_and(|icmp_type| is_query(*icmp_type)))
}

/// Returns whether an ICMP type is known not to be an error: only then may an error answer it.
const fn is_query(icmp_type: u8) -> bool {
    matches!(icmp_type, 0 | 8 | 9 | 10 | 13..=18)
}

/// Returns whether a source address can be a single host, which an answer reaches.
const fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && !address.is_loopback() && first < 224
}

/// Returns whether a destination is multicast or the limited broadcast; egret's links have no
/// directed one.
const fn is_group(address: Ipv4Addr) -> bool {
    address.is_multicast() || address.is_broadcast()
}

/// Fills in a header of zeros, except its type of service.
fn write_ip_header(
    header: &mut [u8],
    total_len: usize,
    protocol: Protocol,
    src: Ipv4Addr,
    dst: Ipv4Addr,
) {
    header[ipv4::VERSION_AND_LENGTH] = ipv4::first_byte(IP_HEADER);
    put_u16(header, ipv4::TOTAL_LEN, total_len as u16);
    header[ipv4::TTL] = TTL;
    header[ipv4::PROTOCOL] = protocol.number();
    put_u32(header, ipv4::SRC, src.to_bits());
    put_u32(header, ipv4::DST, dst.to_bits());
    checksum::write_ipv4(header);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::{IcmpKind, builder};
    use super::*;
    use std::net::SocketAddrV4;

    const TASK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 2), 40_000);
    const HOST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 20);
    /// Offset of the quote in an ICMP error.
    const QUOTE: usize = IP_HEADER + ICMP_HEADER;

    fn at(address: [u8; 4]) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from(address), 9)
    }

    fn answer(original: &[u8]) -> Option<usize> {
        time_exceeded(original, VnetHeader::default(), GATEWAY, &mut [0; MAX_ERROR])
    }

    fn reset(bytes: &mut [u8]) -> Option<(super::super::TcpFacts, super::super::Tuple)> {
        let mut out = [0xaa; 40];
        let original = Packet::parse(bytes, VnetHeader::default()).unwrap();
        let len = tcp_reset(&original, &mut out)?;
        let reset = Packet::parse(&mut out[..len], VnetHeader::default()).unwrap();
        let pseudo = checksum::pseudo_header(reset.src(), reset.dst(), 6, TCP_HEADER as u16);
        assert_eq!(pseudo.bytes(&reset.bytes()[IP_HEADER..]).fold(), 0xffff);
        Some((reset.tcp()?, reset.tuple()))
    }

    #[test]
    fn time_exceeded_quotes_the_original_up_to_576_bytes() {
        let original = builder::udp(TASK, HOST, &[9; 1000]);
        let mut out = [0xaa; MAX_ERROR];
        assert_eq!(
            time_exceeded(&original, VnetHeader::default(), GATEWAY, &mut out),
            Some(MAX_ERROR)
        );
        let packet = Packet::parse(&mut out, VnetHeader::default()).unwrap();
        assert_eq!((packet.src(), packet.dst()), (GATEWAY, *TASK.ip()));
        assert_eq!((packet.ttl(), packet.dont_fragment()), (64, false));
        assert_eq!(packet.icmp_type_code(), (11, 0));
        assert_eq!(packet.payload(), &original[..MAX_ERROR - QUOTE]);
    }

    /// RFC 792 quotes the packet as the sender sent it, and on a wire that has a checksum.
    #[test]
    fn a_partial_checksum_is_complete_in_the_quote() {
        for length in [0, 5, 1000] {
            let payload = vec![9; length];
            let tcp = builder::tcp(TASK, HOST, TcpFlags::ACK, 1, 2, &payload);
            for sent in [builder::udp(TASK, HOST, &payload), tcp] {
                let mut partial = sent.clone();
                let vnet = builder::to_partial(&mut partial);
                assert_ne!(partial, sent);
                let mut out = [0; MAX_ERROR];
                let len = time_exceeded(&partial, vnet, GATEWAY, &mut out).unwrap();
                assert!(sent.starts_with(&out[QUOTE..len]));
                assert!(checksum::is_valid(&out[IP_HEADER..len]));
                let len = fragmentation_needed(&partial, vnet, GATEWAY, 68, &mut out).unwrap();
                assert!(sent.starts_with(&out[QUOTE..len]));
            }
        }
    }

    #[test]
    fn a_partial_checksum_that_is_nowhere_is_left_alone() {
        let original = builder::udp(TASK, HOST, b"abc");
        let place = |csum_start, csum_offset| VnetHeader {
            flags: super::super::vnet::NEEDS_CSUM,
            csum_start,
            csum_offset,
            ..VnetHeader::default()
        };
        for vnet in [place(20, 1000), place(1000, 6), place(u16::MAX, u16::MAX), place(20, 10)] {
            let mut out = [0; MAX_ERROR];
            assert_eq!(time_exceeded(&original, vnet, GATEWAY, &mut out), Some(QUOTE + 31));
            assert_eq!(out[QUOTE..QUOTE + 31], original);
        }
    }

    #[test]
    fn short_original_is_quoted_whole_and_its_padding_is_not() {
        let mut original = builder::udp(TASK, HOST, b"abc");
        original.extend_from_slice(&[0; 15]);
        assert_eq!(answer(&original), Some(QUOTE + 31));
    }

    #[test]
    fn fragmentation_needed_tells_the_mtu() {
        let original = builder::udp(TASK, HOST, &[9; 1600]);
        let mut out = [0; MAX_ERROR];
        let len = fragmentation_needed(&original, VnetHeader::default(), GATEWAY, 1500, &mut out)
            .unwrap();
        let packet = Packet::parse(&mut out[..len], VnetHeader::default()).unwrap();
        assert!(matches!(packet.icmp(), Some(IcmpKind::Error { icmp_type: 3, code: 4, .. })));
        assert_eq!(u32::from(u16_at(packet.bytes(), IP_HEADER + NEXT_HOP_MTU)), 1500);
    }

    #[test]
    fn errors_are_answered_by_nothing_and_queries_are() {
        let (src, dst) = (*TASK.ip(), *HOST.ip());
        let quoted = builder::udp(HOST, TASK, &[]);
        for icmp_type in [3, 4, 5, 11, 12, 99] {
            let error = builder::icmp_error(src, dst, icmp_type, 0, &quoted);
            assert_eq!(answer(&error), None, "type {icmp_type}");
        }
        assert_eq!(answer(&builder::icmp_echo_request(src, dst, 1, 1, &[])), Some(56));
    }

    #[test]
    fn only_single_hosts_are_answered() {
        for nobody in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [240, 0, 0, 1], [255; 4]] {
            assert_eq!(answer(&builder::udp(at(nobody), HOST, &[])), None, "{nobody:?}");
        }
        for group in [[224, 0, 0, 251], [255; 4]] {
            assert_eq!(answer(&builder::udp(TASK, at(group), &[])), None, "{group:?}");
        }
    }

    #[test]
    fn first_fragment_is_answered_and_a_later_one_is_not() {
        let mut original = builder::udp(TASK, HOST, &[]);
        put_u16(&mut original, ipv4::FLAGS_AND_OFFSET, ipv4::MORE_FRAGMENTS);
        assert!(answer(&original).is_some());
        put_u16(&mut original, ipv4::FLAGS_AND_OFFSET, ipv4::MORE_FRAGMENTS | 1);
        assert_eq!(answer(&original), None);
    }

    #[test]
    fn too_small_a_buffer_is_refused() {
        let mut original = builder::tcp(TASK, HOST, TcpFlags::SYN, 1, 0, &[]);
        assert_eq!(time_exceeded(&original, VnetHeader::default(), GATEWAY, &mut [0; 67]), None);
        assert_eq!(
            time_exceeded(&original, VnetHeader::default(), GATEWAY, &mut [0; 68]),
            Some(68)
        );
        let packet = Packet::parse(&mut original, VnetHeader::default()).unwrap();
        assert_eq!(tcp_reset(&packet, &mut [0; 39]), None);
    }

    #[test]
    fn reset_of_a_segment_with_ack_takes_its_sequence_from_it() {
        let mut data = builder::tcp(TASK, HOST, TcpFlags::ACK, 100, 500, b"late");
        let (facts, tuple) = reset(&mut data).unwrap();
        assert_eq!((facts.flags, facts.seq), (TcpFlags::RST, 500));
        let original = Packet::parse(&mut data, VnetHeader::default()).unwrap();
        assert_eq!(tuple, original.tuple().reversed());
    }

    #[test]
    fn reset_of_a_segment_without_ack_acknowledges_all_of_it() {
        let mut syn = builder::tcp(TASK, HOST, TcpFlags::SYN, u32::MAX, 0, b"fast open");
        let (facts, _) = reset(&mut syn).unwrap();
        let flags = TcpFlags::RST.with(TcpFlags::ACK);
        assert_eq!((facts.flags, facts.seq, facts.ack), (flags, 0, 9));
    }

    #[test]
    fn resets_and_other_protocols_are_not_reset() {
        assert!(reset(&mut builder::tcp(TASK, HOST, TcpFlags::RST, 1, 0, &[])).is_none());
        assert!(reset(&mut builder::udp(TASK, HOST, &[])).is_none());
        assert!(reset(&mut builder::tcp(at([0; 4]), HOST, TcpFlags::SYN, 1, 0, &[])).is_none());
    }
}
