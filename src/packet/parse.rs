//! The checks that a string of octets passes to become a [`super::Packet`]: every offset used later is proven here.

use super::ids::{ECHO_REPLY, ECHO_REQUEST};
use super::octets::{u16_at, u32_at};
use super::quote::Quote;
use super::view::{Fragment, IcmpKind, L4, Malformed};
use super::vnet::{GSO_ECN, GSO_TCPV4, GSO_UDP_L4};
use super::{Protocol, TcpFacts, TcpFlags, VnetHeader, checksum};

/// Octets of the ICMP header, whatever the type (RFC 792).
pub(super) const ICMP_HEADER: usize = 8;

/// `(header length, total length)`, in octets.
#[inline]
pub(super) fn check_ip_header(bytes: &[u8]) -> Result<(usize, usize), Malformed> {
    match bytes.first().map(|first| first >> 4) {
        None => return Err(Malformed::Truncated),
        Some(4) => {}
        Some(6) => return Err(Malformed::Ipv6),
        Some(_) => return Err(Malformed::Version),
    }
    if bytes.len() < 20 {
        return Err(Malformed::Truncated);
    }
    let header_len = usize::from(bytes[0] & 0xf) * 4;
    if header_len < 20 || header_len > bytes.len() {
        return Err(Malformed::HeaderLength);
    }
    let total_len = usize::from(u16_at(bytes, 2));
    if total_len < header_len || total_len > bytes.len() {
        return Err(Malformed::TotalLength);
    }
    if !checksum::is_valid(&bytes[..header_len]) {
        return Err(Malformed::HeaderChecksum);
    }
    Ok((header_len, total_len))
}

#[inline]
pub(super) fn fragment_of(flags_and_offset: u16) -> Fragment {
    match (flags_and_offset & 0x1fff, flags_and_offset & 0x2000) {
        (0, 0) => Fragment::Whole,
        (0, _) => Fragment::First,
        _ => Fragment::Later,
    }
}

/// Whether what the kernel left to be done can be done to this packet. `hdr_len` is a guess, and not looked at.
///
/// A super-packet may come without a partial checksum: the kernel computes the segments' checksums anyhow.
#[inline]
pub(super) fn vnet_agrees(
    vnet: VnetHeader,
    protocol: Protocol,
    fragment: Fragment,
    ip_header_len: usize,
) -> bool {
    if !vnet.is_partial() && vnet.gso_type == 0 {
        return true;
    }
    let Some(field) = checksum_field(protocol) else { return false };
    let checksum_agrees = !vnet.is_partial()
        || usize::from(vnet.csum_start) == ip_header_len && usize::from(vnet.csum_offset) == field;
    let segmentation_agrees = match vnet.gso_type {
        0 => true,
        GSO_UDP_L4 => vnet.gso_size > 0 && protocol == Protocol::Udp,
        other => vnet.gso_size > 0 && protocol == Protocol::Tcp && other & !GSO_ECN == GSO_TCPV4,
    };
    fragment == Fragment::Whole && checksum_agrees && segmentation_agrees
}

/// Where the checksum over the pseudo-header is in the L4 header, for the protocols that can leave it partial.
#[inline]
pub(super) const fn checksum_field(protocol: Protocol) -> Option<usize> {
    match protocol {
        Protocol::Tcp => Some(16),
        Protocol::Udp => Some(6),
        Protocol::Icmp | Protocol::Other(_) => None,
    }
}

/// `(header length, facts)` of an L4 header that must be there.
#[inline]
pub(super) fn read_l4(
    protocol: Protocol,
    fragment: Fragment,
    octets: &[u8],
) -> Result<(usize, L4), Malformed> {
    match protocol {
        Protocol::Tcp => read_tcp(octets),
        Protocol::Udp => read_udp(fragment, octets),
        Protocol::Icmp => read_icmp(fragment, octets),
        Protocol::Other(_) => Ok((0, L4::Opaque)),
    }
}

#[inline]
fn read_tcp(octets: &[u8]) -> Result<(usize, L4), Malformed> {
    if octets.len() < 20 {
        return Err(Malformed::L4Truncated);
    }
    let header_len = usize::from(octets[12] >> 4) * 4;
    if header_len < 20 || header_len > octets.len() {
        return Err(Malformed::L4Truncated);
    }
    let facts = TcpFacts {
        flags: TcpFlags(octets[13]),
        seq: u32_at(octets, 4),
        ack: u32_at(octets, 8),
        window: u16_at(octets, 14),
        payload_len: (octets.len() - header_len) as u32,
    };
    Ok((header_len, L4::Tcp(facts)))
}

/// The length field of a first fragment counts octets that are still to come.
#[inline]
fn read_udp(fragment: Fragment, octets: &[u8]) -> Result<(usize, L4), Malformed> {
    if octets.len() < 8 {
        return Err(Malformed::L4Truncated);
    }
    let length = usize::from(u16_at(octets, 4));
    if length < 8 || fragment == Fragment::Whole && length > octets.len() {
        return Err(Malformed::L4Truncated);
    }
    Ok((8, L4::Udp))
}

/// The checksum of a first fragment covers octets that are still to come, so it cannot be verified.
#[inline]
fn read_icmp(fragment: Fragment, octets: &[u8]) -> Result<(usize, L4), Malformed> {
    if octets.len() < ICMP_HEADER {
        return Err(Malformed::L4Truncated);
    }
    if fragment == Fragment::Whole && !checksum::is_valid(octets) {
        return Err(Malformed::IcmpChecksum);
    }
    let (icmp_type, code) = (octets[0], octets[1]);
    let kind = match icmp_type {
        ECHO_REPLY => IcmpKind::EchoReply,
        ECHO_REQUEST => IcmpKind::EchoRequest,
        3 | 4 | 11 | 12 => {
            let quote = Quote::parse(&octets[ICMP_HEADER..]).ok_or(Malformed::Quote)?;
            IcmpKind::Error { icmp_type, code, quoted: quote.tuple }
        }
        _ => IcmpKind::Other { icmp_type, code },
    };
    Ok((ICMP_HEADER, L4::Icmp(kind)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::octets::put_u16;
    use super::super::vnet::NEEDS_CSUM;
    use super::super::{Packet, builder};
    use super::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const SRC: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 2), 40_000);
    const DST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 53);
    const PLAIN: VnetHeader = VnetHeader {
        flags: 0,
        gso_type: 0,
        hdr_len: 0,
        gso_size: 0,
        csum_start: 0,
        csum_offset: 0,
    };

    fn tcp() -> Vec<u8> {
        builder::tcp(SRC, DST, TcpFlags::ACK, 1, 2, b"data")
    }

    fn udp() -> Vec<u8> {
        builder::udp(SRC, DST, b"data")
    }

    fn error_of(mut bytes: Vec<u8>, vnet: VnetHeader) -> Option<Malformed> {
        Packet::parse(&mut bytes, vnet).err()
    }

    /// Writes an octet and mends the header checksum, so that only the octet is wrong.
    fn with(mut bytes: Vec<u8>, at: usize, octet: u8) -> Vec<u8> {
        bytes[at] = octet;
        put_u16(&mut bytes, 10, 0);
        let sum = checksum::checksum(&bytes[..20]);
        put_u16(&mut bytes, 10, sum);
        bytes
    }

    #[test]
    fn each_fault_of_the_ip_header_has_its_name() {
        assert_eq!(error_of(vec![], PLAIN), Some(Malformed::Truncated));
        assert_eq!(error_of(tcp()[..19].to_vec(), PLAIN), Some(Malformed::Truncated));
        assert_eq!(error_of(vec![0x60; 48], PLAIN), Some(Malformed::Ipv6));
        assert_eq!(error_of(vec![0x50; 48], PLAIN), Some(Malformed::Version));
        assert_eq!(error_of(with(tcp(), 0, 0x44), PLAIN), Some(Malformed::HeaderLength));
        assert_eq!(error_of(with(udp(), 0, 0x4f), PLAIN), Some(Malformed::HeaderLength));
        assert_eq!(error_of(with(tcp(), 3, 19), PLAIN), Some(Malformed::TotalLength));
        assert_eq!(error_of(with(tcp(), 3, 45), PLAIN), Some(Malformed::TotalLength));
        let mut bytes = tcp();
        bytes[10] ^= 1;
        assert_eq!(error_of(bytes, PLAIN), Some(Malformed::HeaderChecksum));
    }

    #[test]
    fn each_l4_header_must_fit() {
        assert_eq!(error_of(with(tcp(), 3, 39), PLAIN), Some(Malformed::L4Truncated));
        assert_eq!(error_of(with(tcp(), 32, 0x40), PLAIN), Some(Malformed::L4Truncated));
        assert_eq!(error_of(with(tcp(), 32, 0x70), PLAIN), Some(Malformed::L4Truncated));
        assert_eq!(error_of(with(udp(), 3, 27), PLAIN), Some(Malformed::L4Truncated));
        assert_eq!(error_of(with(udp(), 25, 7), PLAIN), Some(Malformed::L4Truncated));
        assert_eq!(error_of(with(udp(), 25, 13), PLAIN), Some(Malformed::L4Truncated));
        let echo = builder::icmp_echo_request(*SRC.ip(), *DST.ip(), 1, 1, &[]);
        assert_eq!(error_of(with(echo, 3, 27), PLAIN), Some(Malformed::L4Truncated));
    }

    #[test]
    fn octets_beyond_the_total_length_are_cut() {
        let mut bytes = udp();
        bytes.extend_from_slice(&[0xee; 14]);
        let packet = Packet::parse(&mut bytes, PLAIN).unwrap();
        assert_eq!((packet.len(), packet.payload()), (32, &b"data"[..]));
    }

    #[test]
    fn length_of_a_first_fragment_counts_what_is_to_come() {
        let mut bytes = with(with(udp(), 6, 0x20), 25, 200);
        let packet = Packet::parse(&mut bytes, PLAIN).unwrap();
        assert_eq!((packet.fragment(), packet.tuple().dport), (Fragment::First, 53));
    }

    #[test]
    fn later_fragment_has_no_l4_header() {
        let mut bytes = with(with(tcp(), 6, 0x20), 7, 1);
        let packet = Packet::parse(&mut bytes, PLAIN).unwrap();
        assert_eq!((packet.fragment(), packet.tcp()), (Fragment::Later, None));
        assert_eq!((packet.tuple().sport, packet.tuple().dport, packet.header_len()), (0, 0, 20));
    }

    #[test]
    fn icmp_checksum_is_verified_unless_octets_are_still_to_come() {
        let mut echo = builder::icmp_echo_request(*SRC.ip(), *DST.ip(), 1, 1, b"abc");
        echo[30] ^= 1;
        assert_eq!(error_of(echo.clone(), PLAIN), Some(Malformed::IcmpChecksum));
        assert_eq!(error_of(with(echo, 6, 0x20), PLAIN), None);
    }

    #[test]
    fn error_that_quotes_no_flow_is_malformed_and_a_redirect_is_other() {
        let icmp = |icmp_type, quote: &[u8]| {
            builder::icmp_error(*DST.ip(), *SRC.ip(), icmp_type, 1, quote)
        };
        assert_eq!(error_of(icmp(3, &udp()[..28]), PLAIN), None);
        assert_eq!(error_of(icmp(3, &udp()[..27]), PLAIN), Some(Malformed::Quote));
        let mut damaged = udp();
        damaged[12] ^= 1;
        assert_eq!(error_of(icmp(11, &damaged), PLAIN), Some(Malformed::Quote));
        let mut redirect = icmp(5, &[]);
        let packet = Packet::parse(&mut redirect, PLAIN).unwrap();
        assert_eq!(packet.icmp(), Some(IcmpKind::Other { icmp_type: 5, code: 1 }));
    }

    #[test]
    fn vnet_header_must_fit_the_packet() {
        let partial = VnetHeader { flags: NEEDS_CSUM, csum_start: 20, csum_offset: 16, ..PLAIN };
        let gso = VnetHeader { gso_type: GSO_TCPV4, gso_size: 1448, ..partial };
        let udp_partial = VnetHeader { csum_offset: 6, ..partial };
        let uso = VnetHeader { gso_type: GSO_UDP_L4, gso_size: 1448, ..udp_partial };
        let ecn = VnetHeader { gso_type: GSO_TCPV4 | GSO_ECN, ..gso };
        for (bytes, vnet) in
            [(tcp(), partial), (tcp(), gso), (tcp(), ecn), (udp(), udp_partial), (udp(), uso)]
        {
            assert_eq!(error_of(bytes, vnet), None, "{vnet:?}");
        }
        let echo = builder::icmp_echo_request(*SRC.ip(), *DST.ip(), 1, 1, b"0123456789");
        let ecn_alone = VnetHeader { gso_type: GSO_ECN, ..gso };
        for (bytes, vnet) in [
            (tcp(), VnetHeader { csum_start: 24, ..partial }),
            (tcp(), VnetHeader { csum_start: u16::MAX, ..partial }),
            (tcp(), udp_partial),
            (udp(), partial),
            (echo, VnetHeader { csum_offset: 2, ..partial }),
            (with(tcp(), 6, 0x20), partial),
            (tcp(), VnetHeader { gso_size: 0, ..gso }),
            (tcp(), VnetHeader { gso_type: GSO_UDP_L4, ..gso }),
            (tcp(), VnetHeader { gso_type: 4, ..gso }),
            (udp(), VnetHeader { gso_type: 3, ..uso }),
            (tcp(), ecn_alone),
        ] {
            assert_eq!(error_of(bytes, vnet), Some(Malformed::VnetHeader), "{vnet:?}");
        }
    }
}
