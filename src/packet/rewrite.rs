//! The one file that edits headers of packets passing through: addresses, ports, identifiers, TTL,
//! MSS, and the checksums over them (RFC 3022 4.1 to 4.3, RFC 1624).

use super::checksum::{self, Sum};
use super::field::{
    address_at, icmp, ipv4, l4_checksum, put_u16, put_u32, tcp, tcp_option as option, u16_at, udp,
};
use super::headers::{Fragment, IcmpKind, L4};
use super::ids::replace_word;
use super::quote::Quote;
use super::{Packet, Protocol, Tuple, VnetHeader, builder};
use std::net::Ipv4Addr;

/// The new values of a packet's headers. A flow stores it and applies it to each of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Source port, or the identifier of an echo request.
    pub sport: u16,
    /// Destination port, or the identifier of an echo reply.
    pub dport: u16,
    /// Set if the packet passes a hop. The caller has checked that the TTL is above 1; a TTL of 0
    /// stays.
    pub decrement_ttl: bool,
}

impl Rewrite {
    /// Edits the packet, whose accessors return the new values afterwards.
    ///
    /// Ports and identifiers are written if the packet has them: not in later fragments, other
    /// protocols, and ICMP messages other than echo. A partial L4 checksum is the folded
    /// pseudo-header sum, which does not cover ports.
    #[inline]
    pub fn apply(self, packet: &mut Packet<'_>) {
        let addresses = rewrite_ip_header(packet, self.src, self.dst, self.decrement_ttl);
        if packet.fragment == Fragment::Later {
            return;
        }
        let partial = packet.vnet.is_partial();
        let l4 = &mut packet.bytes[packet.ip_header_len..];
        let ids = packet.ids.write(l4, self.sport, self.dport);
        (packet.tuple.sport, packet.tuple.dport) = packet.ids.keep(self.sport, self.dport);
        if partial {
            adjust_partial_checksum(l4, packet.tuple.protocol, addresses);
        } else {
            adjust_l4_checksum(l4, packet.tuple.protocol, addresses, ids);
        }
    }
}

/// Translates an ICMP error (RFC 5508 4.2, 4.3): the outer addresses, and the quoted packet's
/// tuple, so that its sender sees the packet as it sent it. A packet that is no [`IcmpKind::Error`]
/// is not changed.
///
/// `quoted` is the tuple to show, its protocol aside. The quoted header checksum, the quoted L4
/// checksum if the quote reaches that far, and the ICMP checksum are changed incrementally;
/// extensions (RFC 4884) are not touched. A quoted L4 checksum that was wrong stays wrong, for
/// instance if the quoted packet had left the kernel with a partial one.
pub fn rewrite_icmp_error(
    packet: &mut Packet<'_>,
    outer_src: Ipv4Addr,
    outer_dst: Ipv4Addr,
    quoted: Tuple,
    decrement_ttl: bool,
) {
    let L4::Icmp(IcmpKind::Error { icmp_type, code, .. }) = packet.l4 else { return };
    let message = &mut packet.bytes[packet.ip_header_len..];
    let Some(quote) = Quote::parse(&message[icmp::HEADER_LEN..]) else { return };
    let change = rewrite_quote(&mut message[icmp::HEADER_LEN..], quote, quoted);
    adjust_at(message, icmp::CHECKSUM, change, checksum::adjust);
    let (sport, dport) = quote.ids.keep(quoted.sport, quoted.dport);
    let quoted = Tuple { protocol: quote.tuple.protocol, sport, dport, ..quoted };
    packet.l4 = L4::Icmp(IcmpKind::Error { icmp_type, code, quoted });
    rewrite_ip_header(packet, outer_src, outer_dst, decrement_ttl);
}

/// Gives a packet another identification, which the fragments of one datagram share (RFC 6864).
pub fn set_identification(packet: &mut Packet<'_>, identification: u16) {
    let change = replace_word(packet.bytes, ipv4::IDENTIFICATION, identification);
    adjust_at(packet.bytes, ipv4::CHECKSUM, change, checksum::adjust);
}

/// Completes a partial L4 checksum, which the kernel does not do for fragments. Changes nothing
/// else.
pub fn complete_checksum(packet: &mut Packet<'_>) {
    builder::complete(packet.bytes, packet.vnet);
    packet.vnet = VnetHeader::default();
}

/// Lowers the MSS option of a SYN to `max_mss`, and returns whether it did. A SYN without the
/// option is not changed.
///
/// The pseudo-header does not cover the option, so a partial checksum does not change.
pub fn clamp_mss(packet: &mut Packet<'_>, max_mss: u16) -> bool {
    let L4::Tcp(facts) = packet.l4 else { return false };
    if !facts.flags.syn() {
        return false;
    }
    let segment = &mut packet.bytes[packet.ip_header_len..];
    let Some(at) = find_mss(&segment[..packet.l4_header_len]) else { return false };
    let old = u16_at(segment, at);
    if old <= max_mss {
        return false;
    }
    put_u16(segment, at, max_mss);
    if !packet.vnet.is_partial() {
        // An option may start at any offset: at an odd one its bytes count in swapped places.
        let (old, new) = match at % 2 {
            0 => (old, max_mss),
            _ => (old.swap_bytes(), max_mss.swap_bytes()),
        };
        let change = Sum::default().replace(old, new);
        adjust_l4_checksum(segment, Protocol::Tcp, Sum::default(), change);
    }
    true
}

/// Returns the offset of the MSS option's value in a TCP header (RFC 9293 3.2).
fn find_mss(header: &[u8]) -> Option<usize> {
    let mut at = tcp::MIN_LEN;
    loop {
        match *header.get(at)? {
            option::END => return None,
            option::NO_OPERATION => at += 1,
            kind => {
                let length = usize::from(*header.get(at + 1)?);
                if length < option::HEADER_LEN || at + length > header.len() {
                    return None;
                }
                if kind == option::MSS && length == option::MSS_LEN {
                    return Some(at + option::HEADER_LEN);
                }
                at += length;
            }
        }
    }
}

/// Edits the packet's own IPv4 header and returns the difference that the addresses make to a sum.
#[inline]
fn rewrite_ip_header(
    packet: &mut Packet<'_>,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    decrement_ttl: bool,
) -> Sum {
    let addresses = replace_addresses(packet.bytes, src, dst);
    let ttl = if decrement_ttl { replace_ttl(packet.bytes) } else { Sum::default() };
    adjust_at(packet.bytes, ipv4::CHECKSUM, addresses.plus(ttl), checksum::adjust);
    packet.tuple.src = src;
    packet.tuple.dst = dst;
    addresses
}

#[inline]
fn replace_addresses(header: &mut [u8], src: Ipv4Addr, dst: Ipv4Addr) -> Sum {
    let change = Sum::default()
        .replace_address(address_at(header, ipv4::SRC), src)
        .replace_address(address_at(header, ipv4::DST), dst);
    put_u32(header, ipv4::SRC, src.to_bits());
    put_u32(header, ipv4::DST, dst.to_bits());
    change
}

#[inline]
fn replace_ttl(header: &mut [u8]) -> Sum {
    let old = u16_at(header, ipv4::TTL);
    header[ipv4::TTL] = header[ipv4::TTL].saturating_sub(1);
    Sum::default().replace(old, u16_at(header, ipv4::TTL))
}

/// Edits a quoted packet and returns the change in the sum of its bytes.
fn rewrite_quote(bytes: &mut [u8], quote: Quote, new: Tuple) -> Sum {
    let addresses = replace_addresses(bytes, new.src, new.dst);
    let header = adjust_at(bytes, ipv4::CHECKSUM, addresses, checksum::adjust);
    let change = addresses.plus(header);
    if !quote.has_l4 {
        return change;
    }
    let l4 = &mut bytes[quote.header_len..];
    let ids = quote.ids.write(l4, new.sport, new.dport);
    let checksum = adjust_l4_checksum(l4, quote.tuple.protocol, addresses, ids);
    change.plus(ids).plus(checksum)
}

/// Changes a complete L4 checksum, if the bytes reach it, and returns the change in the sum of the
/// bytes.
#[inline]
fn adjust_l4_checksum(l4: &mut [u8], protocol: Protocol, addresses: Sum, other: Sum) -> Sum {
    match protocol {
        Protocol::Tcp => adjust_at(l4, tcp::CHECKSUM, addresses.plus(other), checksum::adjust),
        Protocol::Udp => adjust_at(l4, udp::CHECKSUM, addresses.plus(other), checksum::adjust_udp),
        Protocol::Icmp => adjust_at(l4, icmp::CHECKSUM, other, checksum::adjust),
        Protocol::Other(_) => Sum::default(),
    }
}

#[inline]
fn adjust_partial_checksum(l4: &mut [u8], protocol: Protocol, addresses: Sum) {
    if let Some(at) = l4_checksum(protocol) {
        adjust_at(l4, at, addresses, checksum::adjust_partial);
    }
}

/// Changes the checksum at an offset, if the bytes reach it, and returns the change in their sum.
#[inline]
fn adjust_at(bytes: &mut [u8], at: usize, change: Sum, adjust: fn(u16, Sum) -> u16) -> Sum {
    if at + 2 > bytes.len() {
        return Sum::default();
    }
    let adjusted = adjust(u16_at(bytes, at), change);
    replace_word(bytes, at, adjusted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::TcpFlags;
    use super::*;
    use std::net::SocketAddrV4;

    const TASK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 2), 40_000);
    const HOST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);
    /// Offset of the L4 header of these packets, and of the value of an MSS option that comes
    /// first.
    const L4: usize = ipv4::MIN_LEN;
    const MSS: usize = L4 + tcp::MIN_LEN + option::HEADER_LEN;
    const OUTSIDE: Rewrite = Rewrite {
        src: Ipv4Addr::new(198, 51, 100, 7),
        dst: *HOST.ip(),
        sport: 1024,
        dport: 443,
        decrement_ttl: true,
    };

    fn parse(bytes: &mut [u8]) -> Packet<'_> {
        Packet::parse(bytes, VnetHeader::default()).unwrap()
    }

    /// Returns whether a TCP or UDP checksum is right: complete and folded, together with its
    /// pseudo-header it sums up to all ones.
    fn l4_is_valid(packet: &Packet<'_>, l4: &[u8]) -> bool {
        let Tuple { src, dst, protocol, .. } = packet.tuple();
        checksum::pseudo_header(src, dst, protocol.number(), l4.len() as u16).bytes(l4).fold()
            == 0xffff
    }

    #[test]
    fn outside_packet_is_the_one_built_outside() {
        let mut bytes = builder::tcp(TASK, HOST, TcpFlags::ACK, 5, 6, b"odd");
        OUTSIDE.apply(&mut parse(&mut bytes));
        let outside = SocketAddrV4::new(OUTSIDE.src, OUTSIDE.sport);
        let mut expected = builder::tcp(outside, HOST, TcpFlags::ACK, 5, 6, b"odd");
        expected[ipv4::TTL] = 63;
        builder::update_header_checksum(&mut expected);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn fragments_of_a_datagram_fit_together_after_translation() {
        let whole = builder::udp(TASK, HOST, &[7; 45]);
        let mut first = fragment(&whole, 20..44, ipv4::MORE_FRAGMENTS);
        let mut later = fragment(&whole, 44..73, 3);
        let mut later = parse(&mut later);
        OUTSIDE.apply(&mut later);
        let mut first = parse(&mut first);
        OUTSIDE.apply(&mut first);
        assert_eq!((first.tuple().sport, later.tuple().sport), (1024, 0));
        assert_eq!((first.src(), later.src()), (OUTSIDE.src, OUTSIDE.src));
        let l4 = [&first.bytes()[L4..], &later.bytes()[L4..]].concat();
        assert!(l4_is_valid(&first, &l4));
        assert_eq!(&l4[udp::HEADER_LEN..], &whole[L4 + udp::HEADER_LEN..]);
    }

    fn fragment(whole: &[u8], part: std::ops::Range<usize>, flags_and_offset: u16) -> Vec<u8> {
        let mut bytes = whole[..L4].to_vec();
        bytes.extend_from_slice(&whole[part]);
        let total_len = bytes.len() as u16;
        put_u16(&mut bytes, ipv4::TOTAL_LEN, total_len);
        put_u16(&mut bytes, ipv4::FLAGS_AND_OFFSET, flags_and_offset);
        builder::update_header_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn other_protocols_change_their_addresses_only() {
        let mut bytes = builder::udp(TASK, HOST, b"data");
        bytes[ipv4::PROTOCOL] = 47;
        builder::update_header_checksum(&mut bytes);
        let before = bytes.clone();
        let mut packet = parse(&mut bytes);
        OUTSIDE.apply(&mut packet);
        assert_eq!((packet.src(), packet.tuple().sport), (OUTSIDE.src, 0));
        assert_eq!(bytes[L4..], before[L4..]);
        assert!(checksum::is_valid(&bytes[..L4]));
    }

    #[test]
    fn ttl_of_zero_does_not_wrap() {
        let mut bytes = builder::udp(TASK, HOST, &[]);
        bytes[ipv4::TTL] = 0;
        builder::update_header_checksum(&mut bytes);
        let mut packet = parse(&mut bytes);
        OUTSIDE.apply(&mut packet);
        assert_eq!(packet.ttl(), 0);
        assert!(checksum::is_valid(&bytes[..L4]));
    }

    #[test]
    fn only_errors_are_translated_as_errors() {
        let mut bytes = builder::icmp_echo_request(*TASK.ip(), *HOST.ip(), 1, 1, b"abc");
        let before = bytes.clone();
        let mut packet = parse(&mut bytes);
        let tuple = packet.tuple();
        rewrite_icmp_error(&mut packet, OUTSIDE.src, OUTSIDE.dst, tuple.reversed(), true);
        assert_eq!(packet.icmp(), Some(IcmpKind::EchoRequest));
        assert_eq!(bytes, before);
    }

    /// Builds a SYN with the given options, then MSS 8961, padded with NOPs to 8 bytes of options.
    fn syn(first_options: &[u8]) -> Vec<u8> {
        let mut options = first_options.to_vec();
        options.extend_from_slice(&[2, 4, 0x23, 0x01]);
        options.resize(8, 1);
        let mut bytes = builder::tcp(TASK, HOST, TcpFlags::SYN, 1, 0, &options);
        bytes[L4 + tcp::DATA_OFFSET] = tcp::data_offset(28);
        put_u16(&mut bytes, L4 + tcp::CHECKSUM, 0);
        let pseudo = checksum::pseudo_header(*TASK.ip(), *HOST.ip(), 6, 28);
        let sum = pseudo.bytes(&bytes[L4..]).checksum();
        put_u16(&mut bytes, L4 + tcp::CHECKSUM, sum);
        bytes
    }

    #[test]
    fn mss_is_lowered_at_even_and_odd_offsets() {
        for first_options in [&[][..], &[1], &[1, 1], &[3, 3, 7]] {
            let mut bytes = syn(first_options);
            let mut packet = parse(&mut bytes);
            assert!(l4_is_valid(&packet, &packet.bytes()[L4..]));
            assert!(clamp_mss(&mut packet, 1379));
            assert!(l4_is_valid(&packet, &packet.bytes()[L4..]), "{first_options:?}");
            assert_eq!(u16_at(packet.bytes(), MSS + first_options.len()), 1379);
            assert!(!clamp_mss(&mut packet, 1379));
        }
    }

    #[test]
    fn mss_of_a_partial_packet_leaves_the_checksum_field() {
        let mut bytes = syn(&[]);
        let vnet = builder::to_partial(&mut bytes);
        let field = u16_at(&bytes, L4 + tcp::CHECKSUM);
        let mut packet = Packet::parse(&mut bytes, vnet).unwrap();
        assert!(clamp_mss(&mut packet, 536));
        assert_eq!((u16_at(&bytes, L4 + tcp::CHECKSUM), u16_at(&bytes, MSS)), (field, 536));
    }

    #[test]
    fn nothing_to_clamp_without_a_syn_or_a_sound_option() {
        let mut established = builder::tcp(TASK, HOST, TcpFlags::ACK, 1, 1, &[2, 4, 9, 9]);
        assert!(!clamp_mss(&mut parse(&mut established), 536));
        let mut bare = builder::tcp(TASK, HOST, TcpFlags::SYN, 1, 0, &[]);
        assert!(!clamp_mss(&mut parse(&mut bare), 536));
        for options in [&[0, 0, 0][..], &[9, 0], &[9, 200]] {
            let mut bytes = syn(options);
            assert!(!clamp_mss(&mut parse(&mut bytes), 536), "{options:?}");
        }
    }
}
