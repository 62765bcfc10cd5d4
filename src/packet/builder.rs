//! Builds packets with complete checksums, for tests, benches and probes. Allocates.
//!
//! A payload that does not fit an IPv4 packet is cut.

use super::field::tcp as tcp_field;
use super::field::{icmp, ipv4, l4_checksum, put_u16, u16_at};
use super::vnet::{GSO_TCPV4, GSO_UDP_L4, NEEDS_CSUM};
use super::{Packet, TcpFlags, VnetHeader, checksum};
use etherparse::{IpHeaders, Ipv4Header, PacketBuilder, PacketBuilderStep, TcpHeader};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of the largest headers built here.
const MAX_HEADERS: usize = ipv4::MIN_LEN + tcp_field::MIN_LEN;
/// Bytes of the largest payload that fits after them.
const MAX_PAYLOAD: usize = 65_535 - MAX_HEADERS;
const TTL: u8 = 64;
const WINDOW: u16 = 65_535;

/// Builds a UDP datagram.
pub fn udp(src: SocketAddrV4, dst: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let builder = ip(*src.ip(), *dst.ip()).udp(src.port(), dst.port());
    written(payload, |out, payload| builder.write(out, payload).is_ok())
}

/// Builds a TCP segment without options, with a window of 65,535.
pub fn tcp(
    src: SocketAddrV4,
    dst: SocketAddrV4,
    flags: TcpFlags,
    seq: u32,
    ack: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut header = TcpHeader::new(src.port(), dst.port(), seq, WINDOW);
    header.acknowledgment_number = ack;
    header.fin = flags.fin();
    header.syn = flags.syn();
    header.rst = flags.rst();
    header.psh = flags.0 & TcpFlags::PSH.0 != 0;
    header.ack = flags.ack();
    header.urg = flags.0 & 0x20 != 0;
    header.ece = flags.0 & 0x40 != 0;
    header.cwr = flags.0 & 0x80 != 0;
    let builder = ip(*src.ip(), *dst.ip()).tcp_header(header);
    written(payload, |out, payload| builder.write(out, payload).is_ok())
}

/// Builds an ICMP echo request.
pub fn icmp_echo_request(
    src: Ipv4Addr,
    dst: Ipv4Addr,
    id: u16,
    seq: u16,
    payload: &[u8],
) -> Vec<u8> {
    let builder = ip(src, dst).icmpv4_echo_request(id, seq);
    written(payload, |out, payload| builder.write(out, payload).is_ok())
}

/// Builds an ICMP echo reply.
pub fn icmp_echo_reply(src: Ipv4Addr, dst: Ipv4Addr, id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
    let builder = ip(src, dst).icmpv4_echo_reply(id, seq);
    written(payload, |out, payload| builder.write(out, payload).is_ok())
}

/// Builds an ICMP message whose last header word is zero, followed by `quoted` unchanged: an error,
/// if the type is one.
pub fn icmp_error(src: Ipv4Addr, dst: Ipv4Addr, icmp_type: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![0; icmp::HEADER_LEN];
    message[icmp::TYPE] = icmp_type;
    message[icmp::CODE] = code;
    message.extend_from_slice(&quoted[..quoted.len().min(MAX_PAYLOAD - message.len())]);
    let sum = checksum::checksum(&message);
    put_u16(&mut message, icmp::CHECKSUM, sum);
    let builder = ip(src, dst);
    written(&message, |out, payload| {
        builder.write(out, etherparse::IpNumber::ICMP, payload).is_ok()
    })
}

/// Turns a TCP or UDP packet with a complete checksum into one whose checksum the kernel must
/// complete, as a task's kernel sends it. Another packet is not changed and gets an empty header.
pub fn to_partial(bytes: &mut [u8]) -> VnetHeader {
    let Ok(packet) = Packet::parse(bytes, VnetHeader::default()) else {
        return VnetHeader::default();
    };
    let (tuple, start) = (packet.tuple(), packet.ip_header_len());
    let (header_len, l4_len) = (packet.header_len(), packet.len() - start);
    let Some(csum_offset) = l4_checksum(tuple.protocol) else { return VnetHeader::default() };
    let sum = checksum::pseudo_header(tuple.src, tuple.dst, tuple.protocol.number(), l4_len as u16);
    put_u16(bytes, start + csum_offset, sum.fold());
    VnetHeader {
        flags: NEEDS_CSUM,
        hdr_len: header_len as u16,
        csum_start: start as u16,
        csum_offset: csum_offset as u16,
        ..VnetHeader::default()
    }
}

/// Turns a TCP or UDP packet into a super-packet, of segments with `gso_size` bytes of payload each
/// and a last one with the rest. Another packet is not changed and gets an empty header.
pub fn to_super_packet(bytes: &mut [u8], gso_size: u16) -> VnetHeader {
    let partial = to_partial(bytes);
    if !partial.is_partial() {
        return partial;
    }
    let gso_type = if usize::from(partial.csum_offset) == tcp_field::CHECKSUM {
        GSO_TCPV4
    } else {
        GSO_UDP_L4
    };
    VnetHeader { gso_type, gso_size, ..partial }
}

/// Completes a partial checksum, as the kernel does before it gives a packet to hardware without
/// offload.
pub fn complete(bytes: &mut [u8], vnet: VnetHeader) {
    if !vnet.is_partial() {
        return;
    }
    let (start, field) = vnet.checksum_place();
    let end = usize::from(u16_at(bytes, ipv4::TOTAL_LEN));
    let sum = vnet.completed(&bytes[start..end]);
    put_u16(bytes, field, sum);
}

/// Writes the header checksum of an IPv4 packet after its header was edited. A header length that
/// is too small, or beyond the packet, counts as the nearest valid one.
pub fn update_header_checksum(bytes: &mut [u8]) {
    let named = ipv4::header_len(bytes.first().copied().unwrap_or(0));
    let header_len = named.max(ipv4::MIN_LEN).min(bytes.len());
    if let Some(header) = bytes.get_mut(..header_len).filter(|h| h.len() >= ipv4::MIN_LEN) {
        checksum::write_ipv4(header);
    }
}

fn ip(src: Ipv4Addr, dst: Ipv4Addr) -> PacketBuilderStep<IpHeaders> {
    let header = Ipv4Header {
        time_to_live: TTL,
        source: src.octets(),
        destination: dst.octets(),
        dont_fragment: true,
        ..Ipv4Header::default()
    };
    PacketBuilder::ip(IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default()))
}

/// Cuts the payload and writes the packet. `write` cannot fail after that; if it did, the packet
/// would be empty.
fn written(payload: &[u8], write: impl FnOnce(&mut Vec<u8>, &[u8]) -> bool) -> Vec<u8> {
    let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
    let mut out = Vec::with_capacity(payload.len() + MAX_HEADERS);
    if !write(&mut out, payload) {
        out.clear();
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SRC: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 10), 40_000);
    const DST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 20), 5432);

    #[test]
    fn completing_a_partial_packet_gives_the_original() {
        for original in
            [builder_tcp(b"odd"), builder_tcp(b"even"), udp(SRC, DST, b"odd"), udp(SRC, DST, &[])]
        {
            let mut bytes = original.clone();
            let vnet = to_partial(&mut bytes);
            assert!(vnet.is_partial());
            assert_ne!(bytes, original);
            complete(&mut bytes, vnet);
            assert_eq!(bytes, original);
        }
    }

    fn builder_tcp(payload: &[u8]) -> Vec<u8> {
        tcp(SRC, DST, TcpFlags::ACK, 1, 2, payload)
    }

    #[test]
    fn icmp_is_never_partial() {
        let mut bytes = icmp_echo_request(*SRC.ip(), *DST.ip(), 1, 1, b"abc");
        let before = bytes.clone();
        assert_eq!(to_super_packet(&mut bytes, 1000), VnetHeader::default());
        assert_eq!(bytes, before);
    }

    #[test]
    fn every_flag_is_written() {
        for bits in 0..=u8::MAX {
            let mut bytes = tcp(SRC, DST, TcpFlags(bits), 0, 0, &[]);
            let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
            assert_eq!(packet.tcp().unwrap().flags, TcpFlags(bits));
        }
    }

    #[test]
    fn payload_is_cut_to_what_fits() {
        let mut bytes = udp(SRC, DST, &[1; 70_000]);
        let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
        assert_eq!(packet.payload().len(), MAX_PAYLOAD);
        assert_eq!(builder_tcp(&[1; 70_000]).len(), 65_535);
        let error = icmp_error(*SRC.ip(), *DST.ip(), 3, 3, &[1; 70_000]);
        assert!(error.len() <= 65_535 && error.len() > 65_000);
    }
}
