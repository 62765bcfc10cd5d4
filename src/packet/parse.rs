//! Checks bytes before they become a [`super::Packet`]: every offset used later is proven here.

use super::field::{icmp, ipv4, l4_checksum, tcp, u16_at, u32_at, udp};
use super::headers::{Fragment, IcmpKind, L4};
use super::ip_options::have_source_route;
use super::quote::Quote;
use super::vnet::{GSO_ECN, GSO_TCPV4, GSO_UDP_L4};
use super::{Protocol, TcpFacts, TcpFlags, Tuple, VnetHeader, checksum};
use std::net::Ipv4Addr;

/// The reason why bytes are not a packet that egret can judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than an IPv4 header has, or none.
    #[error("shorter than an IPv4 header")]
    Truncated,
    /// Version 6: AWS filters it apart from IPv4, and egret carries IPv4 only.
    #[error("IPv6, which egret does not carry")]
    Ipv6,
    /// A version that is neither 4 nor 6.
    #[error("the IP version is neither 4 nor 6")]
    Version,
    /// The header length field is below 20 or beyond the packet.
    #[error("the IPv4 header length is below 20 bytes or beyond the packet")]
    HeaderLength,
    /// The total length field disagrees with the bytes that arrived.
    #[error("the IPv4 total length is below the header's or beyond the bytes that arrived")]
    TotalLength,
    /// The IPv4 header checksum is wrong.
    #[error("the IPv4 header checksum is wrong")]
    HeaderChecksum,
    /// The sender has put a source route into the packet: routers of the internet have long dropped
    /// such packets (RFC 7126 4.3, 4.4).
    #[error("a source route is among the IPv4 options")]
    SourceRoute,
    /// The L4 header does not fit.
    #[error("the TCP, UDP or ICMP header does not fit in the packet")]
    L4Truncated,
    /// The virtio-net header contradicts the packet.
    #[error("the virtio-net header contradicts the packet")]
    VnetHeader,
    /// The checksum of an unfragmented ICMP message is wrong (RFC 5508 REQ-3).
    #[error("the ICMP checksum is wrong")]
    IcmpChecksum,
    /// An ICMP error quotes nothing that names a flow: no IPv4 header, one with a wrong checksum
    /// (RFC 5508 REQ-3), or less than 8 bytes of L4. Passing it on would carry untranslated
    /// addresses across the NAT.
    #[error("the packet quoted in an ICMP error is damaged or too short")]
    Quote,
}

impl Malformed {
    /// Decides whether the IPv4 header itself is sound, so that its addresses are those that the
    /// sender wrote.
    fn is_behind_header(self) -> bool {
        match self {
            Self::SourceRoute
            | Self::L4Truncated
            | Self::VnetHeader
            | Self::IcmpChecksum
            | Self::Quote => true,
            Self::Truncated
            | Self::Ipv6
            | Self::Version
            | Self::HeaderLength
            | Self::TotalLength
            | Self::HeaderChecksum => false,
        }
    }

    /// Returns the addresses and the protocol of a packet that is malformed in this way; `None` if
    /// its IPv4 header is not sound. The ports are 0.
    pub fn tuple(self, bytes: &[u8]) -> Option<Tuple> {
        let header = bytes.get(..ipv4::MIN_LEN).filter(|_| self.is_behind_header())?;
        let address = |at: usize| Ipv4Addr::from(u32_at(header, at));
        let (src, dst) = (address(ipv4::SRC), address(ipv4::DST));
        Some(Tuple { src, dst, protocol: header[ipv4::PROTOCOL].into(), sport: 0, dport: 0 })
    }
}

/// Checks the IPv4 header and returns `(header length, total length)`, in bytes.
#[inline]
pub(super) fn check_ip_header(bytes: &[u8]) -> Result<(usize, usize), Malformed> {
    match bytes.first().map(|first| ipv4::version(*first)) {
        None => return Err(Malformed::Truncated),
        Some(ipv4::VERSION) => {}
        Some(6) => return Err(Malformed::Ipv6),
        Some(_) => return Err(Malformed::Version),
    }
    if bytes.len() < ipv4::MIN_LEN {
        return Err(Malformed::Truncated);
    }
    let header_len = ipv4::header_len(bytes[ipv4::VERSION_AND_LENGTH]);
    if header_len < ipv4::MIN_LEN || header_len > bytes.len() {
        return Err(Malformed::HeaderLength);
    }
    let total_len = usize::from(u16_at(bytes, ipv4::TOTAL_LEN));
    if total_len < header_len || total_len > bytes.len() {
        return Err(Malformed::TotalLength);
    }
    if !checksum::is_valid(&bytes[..header_len]) {
        return Err(Malformed::HeaderChecksum);
    }
    if header_len > ipv4::MIN_LEN && have_source_route(&bytes[ipv4::MIN_LEN..header_len]) {
        return Err(Malformed::SourceRoute);
    }
    Ok((header_len, total_len))
}

/// Returns whether the packet allows the work that the kernel has left to do. `hdr_len` is a guess,
/// and ignored.
///
/// A super-packet may come without a partial checksum: the kernel computes the segments' checksums
/// in either case.
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
    let Some(field) = l4_checksum(protocol) else { return false };
    let checksum_agrees = !vnet.is_partial()
        || usize::from(vnet.csum_start) == ip_header_len && usize::from(vnet.csum_offset) == field;
    let segmentation_agrees = match vnet.gso_type {
        0 => true,
        GSO_UDP_L4 => vnet.gso_size > 0 && protocol == Protocol::Udp,
        other => vnet.gso_size > 0 && protocol == Protocol::Tcp && other & !GSO_ECN == GSO_TCPV4,
    };
    fragment == Fragment::Whole && checksum_agrees && segmentation_agrees
}

/// Reads an L4 header, which must be complete, and returns `(header length, facts)`.
#[inline]
pub(super) fn read_l4(
    protocol: Protocol,
    fragment: Fragment,
    l4: &[u8],
) -> Result<(usize, L4), Malformed> {
    match protocol {
        Protocol::Tcp => read_tcp(l4),
        Protocol::Udp => read_udp(fragment, l4),
        Protocol::Icmp => read_icmp(fragment, l4),
        Protocol::Other(_) => Ok((0, L4::Opaque)),
    }
}

#[inline]
fn read_tcp(l4: &[u8]) -> Result<(usize, L4), Malformed> {
    if l4.len() < tcp::MIN_LEN {
        return Err(Malformed::L4Truncated);
    }
    let header_len = tcp::header_len(l4[tcp::DATA_OFFSET]);
    if header_len < tcp::MIN_LEN || header_len > l4.len() {
        return Err(Malformed::L4Truncated);
    }
    let facts = TcpFacts {
        flags: TcpFlags(l4[tcp::FLAGS]),
        seq: u32_at(l4, tcp::SEQ),
        ack: u32_at(l4, tcp::ACK),
        window: u16_at(l4, tcp::WINDOW),
        payload_len: (l4.len() - header_len) as u32,
    };
    Ok((header_len, L4::Tcp(facts)))
}

/// Reads a UDP header. The length field of a first fragment counts bytes that are still to come.
#[inline]
fn read_udp(fragment: Fragment, l4: &[u8]) -> Result<(usize, L4), Malformed> {
    if l4.len() < udp::HEADER_LEN {
        return Err(Malformed::L4Truncated);
    }
    let length = usize::from(u16_at(l4, udp::LEN));
    if length < udp::HEADER_LEN || fragment == Fragment::Whole && length > l4.len() {
        return Err(Malformed::L4Truncated);
    }
    Ok((udp::HEADER_LEN, L4::Udp))
}

/// Reads an ICMP header. The checksum of a first fragment covers bytes that are still to come, so
/// it is not verified.
#[inline]
fn read_icmp(fragment: Fragment, l4: &[u8]) -> Result<(usize, L4), Malformed> {
    if l4.len() < icmp::HEADER_LEN {
        return Err(Malformed::L4Truncated);
    }
    if fragment == Fragment::Whole && !checksum::is_valid(l4) {
        return Err(Malformed::IcmpChecksum);
    }
    let (icmp_type, code) = (l4[icmp::TYPE], l4[icmp::CODE]);
    let kind = match icmp_type {
        icmp::ECHO_REPLY => IcmpKind::EchoReply,
        icmp::ECHO_REQUEST => IcmpKind::EchoRequest,
        icmp::UNREACHABLE | icmp::SOURCE_QUENCH | icmp::TIME_EXCEEDED | icmp::PARAMETER_PROBLEM => {
            let quote = Quote::parse(&l4[icmp::HEADER_LEN..]).ok_or(Malformed::Quote)?;
            IcmpKind::Error { icmp_type, code, quoted: quote.tuple }
        }
        _ => IcmpKind::Other { icmp_type, code },
    };
    Ok((icmp::HEADER_LEN, L4::Icmp(kind)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

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

    fn segment() -> Vec<u8> {
        builder::tcp(SRC, DST, TcpFlags::ACK, 1, 2, b"data")
    }

    fn datagram() -> Vec<u8> {
        builder::udp(SRC, DST, b"data")
    }

    fn error_of(mut bytes: Vec<u8>, vnet: VnetHeader) -> Option<Malformed> {
        Packet::parse(&mut bytes, vnet).err()
    }

    /// Writes a byte and updates the header checksum, so that only the byte is wrong.
    fn with(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
        bytes[at] = byte;
        checksum::write_ipv4(&mut bytes[..ipv4::MIN_LEN]);
        bytes
    }

    /// Offset of the TCP or UDP header of these packets.
    const L4: usize = ipv4::MIN_LEN;
    const TOTAL_LEN_LOW: usize = ipv4::TOTAL_LEN + 1;
    const UDP_LEN_LOW: usize = L4 + udp::LEN + 1;
    const MORE_FRAGMENTS: u8 = (ipv4::MORE_FRAGMENTS >> 8) as u8;

    #[test]
    fn each_fault_of_the_ip_header_has_its_name() {
        assert_eq!(error_of(vec![], PLAIN), Some(Malformed::Truncated));
        assert_eq!(
            error_of(segment()[..ipv4::MIN_LEN - 1].to_vec(), PLAIN),
            Some(Malformed::Truncated)
        );
        assert_eq!(error_of(vec![0x60; 48], PLAIN), Some(Malformed::Ipv6));
        assert_eq!(error_of(vec![0x50; 48], PLAIN), Some(Malformed::Version));
        assert_eq!(
            error_of(with(segment(), ipv4::VERSION_AND_LENGTH, 0x44), PLAIN),
            Some(Malformed::HeaderLength)
        );
        assert_eq!(
            error_of(with(datagram(), ipv4::VERSION_AND_LENGTH, 0x4f), PLAIN),
            Some(Malformed::HeaderLength)
        );
        assert_eq!(
            error_of(with(segment(), TOTAL_LEN_LOW, 19), PLAIN),
            Some(Malformed::TotalLength)
        );
        assert_eq!(
            error_of(with(segment(), TOTAL_LEN_LOW, 45), PLAIN),
            Some(Malformed::TotalLength)
        );
        let mut bytes = segment();
        bytes[ipv4::CHECKSUM] ^= 1;
        assert_eq!(error_of(bytes, PLAIN), Some(Malformed::HeaderChecksum));
    }

    #[test]
    fn each_l4_header_must_fit() {
        assert_eq!(
            error_of(with(segment(), TOTAL_LEN_LOW, 39), PLAIN),
            Some(Malformed::L4Truncated)
        );
        assert_eq!(
            error_of(with(segment(), L4 + tcp::DATA_OFFSET, 0x40), PLAIN),
            Some(Malformed::L4Truncated)
        );
        assert_eq!(
            error_of(with(segment(), L4 + tcp::DATA_OFFSET, 0x70), PLAIN),
            Some(Malformed::L4Truncated)
        );
        assert_eq!(
            error_of(with(datagram(), TOTAL_LEN_LOW, 27), PLAIN),
            Some(Malformed::L4Truncated)
        );
        assert_eq!(error_of(with(datagram(), UDP_LEN_LOW, 7), PLAIN), Some(Malformed::L4Truncated));
        assert_eq!(
            error_of(with(datagram(), UDP_LEN_LOW, 13), PLAIN),
            Some(Malformed::L4Truncated)
        );
        let echo = builder::icmp_echo_request(*SRC.ip(), *DST.ip(), 1, 1, &[]);
        assert_eq!(error_of(with(echo, TOTAL_LEN_LOW, 27), PLAIN), Some(Malformed::L4Truncated));
    }

    #[test]
    fn bytes_beyond_the_total_length_are_cut() {
        let mut bytes = datagram();
        bytes.extend_from_slice(&[0xee; 14]);
        let packet = Packet::parse(&mut bytes, PLAIN).unwrap();
        assert_eq!((packet.len(), packet.payload()), (32, &b"data"[..]));
    }

    #[test]
    fn length_of_a_first_fragment_counts_bytes_to_come() {
        let mut bytes =
            with(with(datagram(), ipv4::FLAGS_AND_OFFSET, MORE_FRAGMENTS), UDP_LEN_LOW, 200);
        let packet = Packet::parse(&mut bytes, PLAIN).unwrap();
        assert_eq!((packet.fragment(), packet.tuple().dport), (Fragment::First, 53));
    }

    #[test]
    fn later_fragment_has_no_l4_header() {
        let mut bytes = with(
            with(segment(), ipv4::FLAGS_AND_OFFSET, MORE_FRAGMENTS),
            ipv4::FLAGS_AND_OFFSET + 1,
            1,
        );
        let packet = Packet::parse(&mut bytes, PLAIN).unwrap();
        assert_eq!((packet.fragment(), packet.tcp()), (Fragment::Later, None));
        assert_eq!((packet.tuple().sport, packet.tuple().dport, packet.header_len()), (0, 0, L4));
    }

    #[test]
    fn icmp_checksum_is_verified_unless_bytes_are_still_to_come() {
        let mut echo = builder::icmp_echo_request(*SRC.ip(), *DST.ip(), 1, 1, b"abc");
        echo[L4 + icmp::HEADER_LEN + 2] ^= 1;
        assert_eq!(error_of(echo.clone(), PLAIN), Some(Malformed::IcmpChecksum));
        assert_eq!(error_of(with(echo, ipv4::FLAGS_AND_OFFSET, MORE_FRAGMENTS), PLAIN), None);
    }

    #[test]
    fn error_that_quotes_no_flow_is_malformed_and_a_redirect_is_other() {
        let icmp = |icmp_type, quote: &[u8]| {
            builder::icmp_error(*DST.ip(), *SRC.ip(), icmp_type, 1, quote)
        };
        assert_eq!(error_of(icmp(3, &datagram()[..L4 + udp::HEADER_LEN]), PLAIN), None);
        assert_eq!(
            error_of(icmp(3, &datagram()[..L4 + udp::HEADER_LEN - 1]), PLAIN),
            Some(Malformed::Quote)
        );
        let mut damaged = datagram();
        damaged[ipv4::SRC] ^= 1;
        assert_eq!(error_of(icmp(11, &damaged), PLAIN), Some(Malformed::Quote));
        let mut redirect = icmp(5, &[]);
        let packet = Packet::parse(&mut redirect, PLAIN).unwrap();
        assert_eq!(packet.icmp(), Some(IcmpKind::Other { icmp_type: 5, code: 1 }));
    }

    #[test]
    fn vnet_header_must_fit_the_packet() {
        let partial = VnetHeader {
            flags: NEEDS_CSUM,
            csum_start: L4 as u16,
            csum_offset: tcp::CHECKSUM as u16,
            ..PLAIN
        };
        let gso = VnetHeader { gso_type: GSO_TCPV4, gso_size: 1448, ..partial };
        let udp_partial = VnetHeader { csum_offset: udp::CHECKSUM as u16, ..partial };
        let uso = VnetHeader { gso_type: GSO_UDP_L4, gso_size: 1448, ..udp_partial };
        let ecn = VnetHeader { gso_type: GSO_TCPV4 | GSO_ECN, ..gso };
        for (bytes, vnet) in [
            (segment(), partial),
            (segment(), gso),
            (segment(), ecn),
            (datagram(), udp_partial),
            (datagram(), uso),
        ] {
            assert_eq!(error_of(bytes, vnet), None, "{vnet:?}");
        }
        let echo = builder::icmp_echo_request(*SRC.ip(), *DST.ip(), 1, 1, b"0123456789");
        let ecn_alone = VnetHeader { gso_type: GSO_ECN, ..gso };
        for (bytes, vnet) in [
            (segment(), VnetHeader { csum_start: L4 as u16 + 4, ..partial }),
            (segment(), VnetHeader { csum_start: u16::MAX, ..partial }),
            (segment(), udp_partial),
            (datagram(), partial),
            (echo, VnetHeader { csum_offset: icmp::CHECKSUM as u16, ..partial }),
            (with(segment(), ipv4::FLAGS_AND_OFFSET, MORE_FRAGMENTS), partial),
            (segment(), VnetHeader { gso_size: 0, ..gso }),
            (segment(), VnetHeader { gso_type: GSO_UDP_L4, ..gso }),
            (segment(), VnetHeader { gso_type: 4, ..gso }),
            (datagram(), VnetHeader { gso_type: 3, ..uso }),
            (segment(), ecn_alone),
        ] {
            assert_eq!(error_of(bytes, vnet), Some(Malformed::VnetHeader), "{vnet:?}");
        }
    }
}
