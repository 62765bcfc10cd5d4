//! Makes the packets that a wire carries: the segments of a super-packet, with complete checksums.
//! The kernel does this after egret; this file does it for captures and traces. Allocates.

use super::checksum::{pseudo_header, write_ipv4};
use super::field::{address_at, ipv4, l4_checksum, put_u16, put_u32, tcp, u16_at, u32_at, udp};
use super::{Packet, Protocol, TcpFlags, VnetHeader};

/// Flags that only the last segment has.
const LAST_ONLY: u8 = TcpFlags::FIN.0 | TcpFlags::PSH.0;
/// Congestion window reduced, which only the first segment has (RFC 3168 6.1.2).
const CWR: u8 = 0x80;

/// Calls `each` with the packets that `bytes` becomes on a wire, in order. Bytes that are no packet
/// are passed on unchanged.
///
/// Every segment repeats the headers, with its own lengths, identification, sequence number and
/// checksums; FIN and PSH are the last one's, CWR the first one's. A UDP checksum of zero, which
/// means that there is none, stays.
pub fn on_the_wire(bytes: &[u8], vnet: VnetHeader, mut each: impl FnMut(&[u8])) {
    let mut copy = bytes.to_vec();
    let Ok(packet) = Packet::parse(&mut copy, vnet) else { return each(bytes) };
    if !vnet.is_partial() && !vnet.is_super_packet() {
        return each(packet.bytes());
    }
    let size = match vnet.is_super_packet() {
        true => usize::from(vnet.gso_size),
        false => packet.payload().len(),
    };
    let headers = packet.bytes().get(..packet.header_len()).unwrap_or_default();
    let protocol = packet.protocol();
    let ip_len = packet.ip_header_len();
    let parts: Vec<&[u8]> = match packet.payload() {
        [] => vec![&[]],
        payload => payload.chunks(size.max(1)).collect(),
    };
    let last = parts.len() - 1;
    let mut segment = Vec::with_capacity(headers.len() + size);
    for (position, part) in parts.into_iter().enumerate() {
        segment.clear();
        segment.extend_from_slice(headers);
        segment.extend_from_slice(part);
        let at = SegmentPosition { position, last: position == last, offset: position * size };
        finish(&mut segment, protocol, ip_len, at);
        each(&segment);
    }
}

/// The position of a segment in its super-packet.
#[derive(Clone, Copy)]
struct SegmentPosition {
    position: usize,
    last: bool,
    /// Bytes of payload before it.
    offset: usize,
}

fn finish(segment: &mut [u8], protocol: Protocol, ip_len: usize, at: SegmentPosition) {
    // No segment is longer than the IPv4 packet that it was in.
    let total = segment.len() as u16;
    put_u16(segment, ipv4::TOTAL_LEN, total);
    let identification = u16_at(segment, ipv4::IDENTIFICATION).wrapping_add(at.position as u16);
    put_u16(segment, ipv4::IDENTIFICATION, identification);
    let (header, l4) = segment.split_at_mut(ip_len);
    write_ipv4(header);
    match protocol {
        Protocol::Tcp => {
            let sequence = u32_at(l4, tcp::SEQ).wrapping_add(at.offset as u32);
            put_u32(l4, tcp::SEQ, sequence);
            if !at.last {
                l4[tcp::FLAGS] &= !LAST_ONLY;
            }
            if at.position > 0 {
                l4[tcp::FLAGS] &= !CWR;
            }
        }
        Protocol::Udp => put_u16(l4, udp::LEN, total - ip_len as u16),
        Protocol::Icmp | Protocol::Other(_) => {}
    }
    let Some(field) = l4_checksum(protocol) else { return };
    let none = protocol == Protocol::Udp && u16_at(l4, field) == 0;
    if none {
        return;
    }
    put_u16(l4, field, 0);
    let [src, dst] = [ipv4::SRC, ipv4::DST].map(|at| address_at(header, at));
    let pseudo = pseudo_header(src, dst, protocol.number(), total - ip_len as u16);
    let sum = match pseudo.bytes(l4).checksum() {
        0 if protocol == Protocol::Udp => 0xffff,
        sum => sum,
    };
    put_u16(l4, field, sum);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::builder;
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const SRC: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 10), 40_000);
    const DST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 20), 5432);

    fn wire(bytes: &[u8], vnet: VnetHeader) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        on_the_wire(bytes, vnet, |packet| packets.push(packet.to_vec()));
        packets
    }

    fn with_id(mut bytes: Vec<u8>, id: u16) -> Vec<u8> {
        put_u16(&mut bytes, ipv4::IDENTIFICATION, id);
        builder::update_header_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn segments_are_the_packets_that_their_sender_would_have_built() {
        let payload: Vec<u8> = (0..250).map(|n| n as u8).collect();
        let flags = TcpFlags::ACK.with(TcpFlags::PSH).with(TcpFlags::FIN).with(TcpFlags(CWR));
        let mut whole = with_id(builder::tcp(SRC, DST, flags, u32::MAX - 99, 7, &payload), 65_535);
        let vnet = builder::to_super_packet(&mut whole, 100);
        let (ack, first) = (TcpFlags::ACK, TcpFlags::ACK.with(TcpFlags(CWR)));
        let last = TcpFlags::ACK.with(TcpFlags::PSH).with(TcpFlags::FIN);
        let expected = [
            with_id(builder::tcp(SRC, DST, first, u32::MAX - 99, 7, &payload[..100]), 65_535),
            with_id(builder::tcp(SRC, DST, ack, 0, 7, &payload[100..200]), 0),
            with_id(builder::tcp(SRC, DST, last, 100, 7, &payload[200..]), 1),
        ];
        assert_eq!(wire(&whole, vnet), expected);
    }

    #[test]
    fn datagrams_are_those_that_their_sender_gave() {
        let mut whole = builder::udp(SRC, DST, &[7; 250]);
        let vnet = builder::to_super_packet(&mut whole, 100);
        let expected: Vec<_> = [(0, 100), (1, 100), (2, 50)]
            .map(|(id, len)| with_id(builder::udp(SRC, DST, &vec![7; len]), id))
            .into();
        assert_eq!(wire(&whole, vnet), expected);
    }

    #[test]
    fn a_partial_checksum_is_completed_and_a_complete_packet_left_alone() {
        for payload in [&b""[..], b"odd"] {
            let original = builder::tcp(SRC, DST, TcpFlags::ACK, 1, 2, payload);
            assert_eq!(wire(&original, VnetHeader::default()), std::slice::from_ref(&original));
            let mut partial = original.clone();
            let vnet = builder::to_partial(&mut partial);
            assert_eq!(wire(&partial, vnet), [original]);
        }
        let mut wrong = builder::udp(SRC, DST, b"data");
        put_u16(&mut wrong, ipv4::MIN_LEN + udp::CHECKSUM, 0x0102);
        assert_eq!(
            wire(&wrong, VnetHeader::default()),
            std::slice::from_ref(&wrong),
            "what is wrong is shown"
        );
    }

    #[test]
    fn bytes_that_are_no_packet_are_handed_on() {
        assert_eq!(wire(&[0x60; 40], VnetHeader::default()), [vec![0x60; 40]]);
        assert_eq!(wire(&[], VnetHeader::default()), [Vec::<u8>::new()]);
    }

    proptest! {
        #[test]
        fn any_bytes_become_what_was_counted(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            gso in any::<(u8, u8, u16)>(),
        ) {
            let (flags, gso_type, gso_size) = gso;
            let vnet = VnetHeader { flags, gso_type, gso_size, ..VnetHeader::default() };
            prop_assert!(!wire(&bytes, vnet).is_empty());
        }

        #[test]
        fn segments_are_as_many_and_as_long_as_the_counters_say(
            len in 0_usize..5000, size in 1_u16..1500, is_tcp in any::<bool>(),
        ) {
            let payload = vec![9; len];
            let mut bytes = match is_tcp {
                true => builder::tcp(SRC, DST, TcpFlags::ACK, 1, 1, &payload),
                false => builder::udp(SRC, DST, &payload),
            };
            let vnet = builder::to_super_packet(&mut bytes, size);
            let packets = wire(&bytes, vnet);
            let packet = Packet::parse(&mut bytes, vnet).unwrap();
            prop_assert_eq!(packets.len(), packet.wire_segments() as usize);
            let total: usize = packets.iter().map(Vec::len).sum();
            prop_assert_eq!(total as u64, packet.wire_bytes());
        }
    }
}
