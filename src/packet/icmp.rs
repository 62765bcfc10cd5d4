//! The messages that egret itself sends: ICMP errors (RFC 792, 1122, 1812) and TCP resets (RFC 9293). They are written
//! into the caller's buffer, with complete checksums, and need no virtio-net header but an empty one.

use super::checksum::{self, Sum};
use super::octets::{address_at, put_u16, put_u32, u16_at};
use super::tcp::TcpFlags;
use super::view::ICMP_HEADER;
use super::{Fragment, Packet, Protocol};
use std::net::Ipv4Addr;

/// Octets of an IPv4 header without options.
const IP_HEADER: usize = 20;
/// Octets of a TCP header without options.
const TCP_HEADER: usize = 20;
/// The largest ICMP error, in octets (RFC 1812 4.3.2.3).
pub const MAX_ERROR: usize = 576;
/// Internetwork control, which RFC 1812 4.3.2.5 asks for in ICMP errors.
const PRECEDENCE: u8 = 0xc0;
const TTL: u8 = 64;

/// Writes "time exceeded in transit" (type 11, code 0) about `original`, an IPv4 packet, and returns its length.
///
/// `None` where RFC 1122 3.2.2 forbids an answer, and where `out` is too small; [`MAX_ERROR`] is always enough. If the
/// original's L4 checksum is partial, the quote has it so: it is the folded pseudo-header sum, which nobody verifies.
pub fn time_exceeded(original: &[u8], from: Ipv4Addr, out: &mut [u8]) -> Option<usize> {
    write_error(original, from, (11, 0), 0, out)
}

/// Writes "fragmentation needed and DF set" (type 3, code 4, RFC 1191) about `original`; `mtu` is the next hop's, in
/// octets. Returns as [`time_exceeded`] does, whose note about partial checksums holds here too.
pub fn fragmentation_needed(
    original: &[u8],
    from: Ipv4Addr,
    mtu: u16,
    out: &mut [u8],
) -> Option<usize> {
    write_error(original, from, (3, 4), mtu, out)
}

/// Writes the reset that answers `original`, from its destination to its source (RFC 9293 3.10.7.1, CLOSED state),
/// and returns its length.
///
/// `None` if the original is no unfragmented TCP segment, is a reset itself, has a source or destination that is not a
/// single host, or if `out` is shorter than 40 octets.
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
    put_u16(tcp, 0, tuple.sport);
    put_u16(tcp, 2, tuple.dport);
    put_u32(tcp, 4, seq);
    put_u32(tcp, 8, ack);
    tcp[12] = (TCP_HEADER as u8 / 4) << 4;
    tcp[13] = flags.0;
    let pseudo = checksum::pseudo_header(tuple.src, tuple.dst, 6, TCP_HEADER as u16);
    put_u16(tcp, 16, pseudo.bytes(tcp).checksum());
    write_ip_header(header, len, Protocol::Tcp, tuple.src, tuple.dst);
    Some(len)
}

/// `low_half` is the second half of the ICMP header's last word: the MTU, or unused.
fn write_error(
    original: &[u8],
    from: Ipv4Addr,
    (icmp_type, code): (u8, u8),
    low_half: u16,
    out: &mut [u8],
) -> Option<usize> {
    if !may_answer(original)? {
        return None;
    }
    let total_len = usize::from(u16_at(original, 2)).min(original.len());
    let quote = &original[..total_len.min(MAX_ERROR - IP_HEADER - ICMP_HEADER)];
    let len = IP_HEADER + ICMP_HEADER + quote.len();
    let (header, icmp) = out.get_mut(..len)?.split_at_mut(IP_HEADER);
    icmp[..ICMP_HEADER].fill(0);
    icmp[0] = icmp_type;
    icmp[1] = code;
    put_u16(icmp, 6, low_half);
    icmp[ICMP_HEADER..].copy_from_slice(quote);
    let sum = checksum::checksum(icmp);
    put_u16(icmp, 2, sum);
    header.fill(0);
    header[1] = PRECEDENCE;
    write_ip_header(header, len, Protocol::Icmp, from, address_at(original, 12));
    Some(len)
}

/// Whether an ICMP error may be sent about `original` (RFC 1122 3.2.2); `None` if it is no IPv4 packet.
fn may_answer(original: &[u8]) -> Option<bool> {
    let first = *original.first()?;
    let header_len = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || header_len < IP_HEADER || header_len > original.len() {
        return None;
    }
    let later_fragment = u16_at(original, 6) & 0x1fff != 0;
    let (src, dst) = (address_at(original, 12), address_at(original, 16));
    let total_len = usize::from(u16_at(original, 2));
    if later_fragment || total_len < header_len || !is_host(src) || is_group(dst) {
        return Some(false);
    }
    let icmp = Protocol::from(original[9]) == Protocol::Icmp;
    Some(!icmp || original.get(header_len).is_some_and(|icmp_type| is_query(*icmp_type)))
}

/// Whether an ICMP type is known to be no error: only then may it be answered by one.
const fn is_query(icmp_type: u8) -> bool {
    matches!(icmp_type, 0 | 8 | 9 | 10 | 13..=18)
}

/// Whether a source address can be a single host that an answer reaches.
const fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && !address.is_loopback() && first < 224
}

/// Whether a destination is multicast or the limited broadcast; egret's links have no directed one.
const fn is_group(address: Ipv4Addr) -> bool {
    address.is_multicast() || address.is_broadcast()
}

/// Fills in a header of zeros, its type of service aside.
fn write_ip_header(
    header: &mut [u8],
    total_len: usize,
    protocol: Protocol,
    src: Ipv4Addr,
    dst: Ipv4Addr,
) {
    header[0] = 0x45;
    put_u16(header, 2, total_len as u16);
    header[8] = TTL;
    header[9] = protocol.number();
    put_u32(header, 12, src.to_bits());
    put_u32(header, 16, dst.to_bits());
    let sum = Sum::default().bytes(header).checksum();
    put_u16(header, IP_CHECKSUM, sum);
}

/// Where the header checksum is in an IPv4 header.
const IP_CHECKSUM: usize = 10;
