//! Properties of the layer as a whole: nothing panics, rewrites are reversible, checksums stay
//! valid.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::field::{icmp as icmp_field, ipv4, put_u16, u16_at, udp};
use super::ip_options::have_source_route;
use super::*;
use etherparse::{Icmpv4Slice, Ipv4HeaderSlice, TcpSlice, UdpSlice};
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Verifies every checksum of an unfragmented packet with etherparse's arithmetic, not with ours.
fn assert_checksums_valid(bytes: &[u8]) {
    let header = Ipv4HeaderSlice::from_slice(bytes).unwrap();
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum(), "IPv4");
    let (src, dst) = (header.source(), header.destination());
    let l4 = &bytes[header.slice().len()..];
    match header.protocol().0 {
        6 => {
            let tcp = TcpSlice::from_slice(l4).unwrap();
            assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv4(src, dst).unwrap(), "TCP");
        }
        17 => {
            let udp = UdpSlice::from_slice(l4).unwrap();
            let header = udp.to_header();
            let sum = header.calc_checksum_ipv4_raw(src, dst, udp.payload()).unwrap();
            assert!(udp.checksum() == 0 || udp.checksum() == sum, "UDP");
        }
        1 => {
            let icmp = Icmpv4Slice::from_slice(l4).unwrap();
            let header = icmp.header();
            assert_eq!(icmp.checksum(), header.icmp_type.calc_checksum(icmp.payload()), "ICMP");
        }
        other => panic!("no checksum known for protocol {other}"),
    }
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from)
}

fn socket() -> impl Strategy<Value = SocketAddrV4> {
    (address(), any::<u16>()).prop_map(|(address, port)| SocketAddrV4::new(address, port))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..200)
}

/// Inserts IPv4 options. They are opaque to egret, except source routes: any words will do, if the
/// header length counts them.
fn with_ip_options(packet: &[u8], options: &[[u8; 4]]) -> Vec<u8> {
    let (header, rest) = packet.split_at(ipv4::MIN_LEN);
    let options = options.as_flattened();
    let mut bytes = [header, options, rest].concat();
    bytes[ipv4::VERSION_AND_LENGTH] = ipv4::first_byte(ipv4::MIN_LEN + options.len());
    let total_len = bytes.len() as u16;
    put_u16(&mut bytes, ipv4::TOTAL_LEN, total_len);
    builder::update_header_checksum(&mut bytes);
    bytes
}

fn options() -> impl Strategy<Value = Vec<[u8; 4]>> {
    let words = proptest::collection::vec(any::<[u8; 4]>(), 0..=10);
    words.prop_filter("no source route", |words| !have_source_route(words.as_flattened()))
}

/// Generates TCP, UDP with and without checksum, echo request and reply: whole, with valid
/// checksums.
fn translatable() -> impl Strategy<Value = Vec<u8>> {
    let numbers = (any::<u8>(), any::<u32>(), any::<u32>());
    let packet = (0..5_u8, socket(), socket(), numbers, payload()).prop_map(
        |(kind, src, dst, (flags, seq, ack), payload)| match kind {
            0 => builder::tcp(src, dst, TcpFlags(flags), seq, ack, &payload),
            1 => builder::udp(src, dst, &payload),
            2 => {
                let mut bytes = builder::udp(src, dst, &payload);
                put_u16(&mut bytes, ipv4::MIN_LEN + udp::CHECKSUM, 0);
                bytes
            }
            3 => builder::icmp_echo_request(*src.ip(), *dst.ip(), src.port(), 1, &payload),
            _ => builder::icmp_echo_reply(*src.ip(), *dst.ip(), src.port(), 1, &payload),
        },
    );
    (packet, options()).prop_map(|(packet, options)| with_ip_options(&packet, &options))
}

fn rewrite() -> impl Strategy<Value = Rewrite> {
    (socket(), socket(), any::<bool>()).prop_map(|(src, dst, decrement_ttl)| Rewrite {
        src: *src.ip(),
        dst: *dst.ip(),
        sport: src.port(),
        dport: dst.port(),
        decrement_ttl,
    })
}

fn back_to(tuple: Tuple) -> Rewrite {
    let Tuple { src, dst, sport, dport, .. } = tuple;
    Rewrite { src, dst, sport, dport, decrement_ttl: false }
}

fn parse(bytes: &mut [u8], vnet: VnetHeader) -> Packet<'_> {
    Packet::parse(bytes, vnet).unwrap()
}

/// Checks that accessors do not depend on what happened to the packet since it was parsed.
fn assert_facts_are_fresh(packet: &Packet<'_>) {
    let mut bytes = packet.bytes().to_vec();
    let fresh = parse(&mut bytes, packet.vnet());
    assert_eq!(packet.tuple(), fresh.tuple());
    assert_eq!(packet.icmp(), fresh.icmp());
    assert_eq!(packet.tcp(), fresh.tcp());
    assert_eq!(packet.header_len(), fresh.header_len());
}

fn touch_everything(packet: &mut Packet<'_>, rewrite: Rewrite) {
    let mut out = [0; icmp::MAX_ERROR];
    icmp::time_exceeded(packet.bytes(), packet.vnet(), rewrite.src, &mut out);
    icmp::fragmentation_needed(packet.bytes(), packet.vnet(), rewrite.src, 1500, &mut out);
    icmp::tcp_reset(packet, &mut out);
    clamp_mss(packet, 536);
    rewrite_icmp_error(packet, rewrite.src, rewrite.dst, packet.tuple(), true);
    rewrite.apply(packet);
    assert!(packet.wire_segments() >= 1);
    assert!(packet.wire_bytes() >= packet.len() as u64);
    assert!(packet.max_segment_len() <= packet.len());
    assert_eq!(packet.header_len() + packet.payload().len(), packet.len());
    assert_eq!(packet.src(), rewrite.src);
    assert_facts_are_fresh(packet);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_bytes_get_a_verdict(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
        vnet in any::<[u8; vnet::LEN]>(),
    ) {
        let mut out = [0; icmp::MAX_ERROR];
        let vnet = VnetHeader::from_bytes(&vnet);
        icmp::time_exceeded(&bytes, vnet, Ipv4Addr::LOCALHOST, &mut out);
        let parsed = Packet::parse(&mut bytes, vnet);
        prop_assert!(parsed.is_err() || bytes.len() >= ipv4::MIN_LEN);
    }

    /// Random bytes seldom have a valid header, so these get one: everything after it is random.
    #[test]
    fn any_bytes_behind_a_valid_header_can_be_handled(
        protocol in prop_oneof![Just(1_u8), Just(6), Just(17), any::<u8>()],
        fragment in prop_oneof![3 => Just(0_u16), 1 => any::<u16>()],
        rest in proptest::collection::vec(any::<u8>(), 0..120),
        options in options(),
        vnet in prop_oneof![Just([0; vnet::LEN]), any::<[u8; vnet::LEN]>()],
        valid_icmp in any::<bool>(),
        rewrite in rewrite(),
    ) {
        let mut bytes = builder::udp(SocketAddrV4::new(rewrite.dst, 1), SocketAddrV4::new(rewrite.src, 2), &[]);
        bytes.truncate(ipv4::MIN_LEN);
        put_u16(&mut bytes, ipv4::FLAGS_AND_OFFSET, fragment);
        bytes[ipv4::PROTOCOL] = protocol;
        let mut rest = rest;
        if valid_icmp && protocol == 1 && rest.len() >= icmp_field::HEADER_LEN {
            put_u16(&mut rest, icmp_field::CHECKSUM, 0);
            let sum = checksum::checksum(&rest);
            put_u16(&mut rest, icmp_field::CHECKSUM, sum);
        }
        bytes.extend_from_slice(&rest);
        let mut bytes = with_ip_options(&bytes, &options);
        if let Ok(mut packet) = Packet::parse(&mut bytes, VnetHeader::from_bytes(&vnet)) {
            touch_everything(&mut packet, rewrite);
        }
    }

    #[test]
    fn every_damaged_packet_gets_a_verdict(
        mut bytes in translatable(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        rewrite in rewrite(),
    ) {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        builder::update_header_checksum(&mut bytes);
        let len = bytes.len() - cut.index(bytes.len()) / 4;
        if let Ok(mut packet) = Packet::parse(&mut bytes[..len], VnetHeader::default()) {
            touch_everything(&mut packet, rewrite);
        }
    }

    #[test]
    fn rewrite_keeps_checksums_valid_and_facts_true(original in translatable(), rewrite in rewrite()) {
        assert_checksums_valid(&original);
        let mut bytes = original.clone();
        let mut packet = parse(&mut bytes, VnetHeader::default());
        rewrite.apply(&mut packet);
        assert_facts_are_fresh(&packet);
        prop_assert_eq!((packet.src(), packet.dst()), (rewrite.src, rewrite.dst));
        prop_assert_eq!(packet.ttl(), 64 - u8::from(rewrite.decrement_ttl));
        assert_checksums_valid(&bytes);
        let no_checksum = |bytes: &[u8]| {
            let l4 = ipv4::header_len(bytes[ipv4::VERSION_AND_LENGTH]);
            bytes[ipv4::PROTOCOL] == 17 && u16_at(bytes, l4 + udp::CHECKSUM) == 0
        };
        prop_assert_eq!(no_checksum(&original), no_checksum(&bytes));
    }

    #[test]
    fn rewrite_back_is_the_identity(
        original in translatable(),
        rewrite in rewrite(),
        partial in any::<bool>(),
    ) {
        let mut original = original;
        let vnet = if partial { builder::to_partial(&mut original) } else { VnetHeader::default() };
        let mut bytes = original.clone();
        let mut packet = parse(&mut bytes, vnet);
        let tuple = packet.tuple();
        Rewrite { decrement_ttl: false, ..rewrite }.apply(&mut packet);
        back_to(tuple).apply(&mut packet);
        prop_assert_eq!(packet.tuple(), tuple);
        prop_assert_eq!(bytes, original);
    }

    #[test]
    fn partial_checksum_stays_the_pseudo_header_sum(
        mut bytes in translatable().prop_filter("TCP or UDP", |bytes| bytes[ipv4::PROTOCOL] != 1),
        rewrite in rewrite(),
    ) {
        let vnet = builder::to_partial(&mut bytes);
        let mut packet = parse(&mut bytes, vnet);
        rewrite.apply(&mut packet);
        let start = packet.ip_header_len();
        let l4_len = (packet.len() - start) as u16;
        let number = packet.protocol().number();
        let expected = checksum::pseudo_header(rewrite.src, rewrite.dst, number, l4_len).fold();
        let field = start + usize::from(vnet.csum_offset);
        prop_assert_eq!(u16_at(&bytes, field), expected);
        builder::complete(&mut bytes, vnet);
        assert_checksums_valid(&bytes);
    }

    /// A NAT's outside tuple becomes the inside one, in errors that quote 8 bytes of L4 as in those
    /// that quote all.
    #[test]
    fn icmp_error_is_translated_with_valid_checksums(
        quoted in translatable(),
        short in any::<bool>(),
        odd_tail in any::<bool>(),
        icmp_type in prop_oneof![Just(3_u8), Just(4), Just(11), Just(12)],
        router in address(),
        inside in rewrite(),
    ) {
        let header_len = ipv4::header_len(quoted[ipv4::VERSION_AND_LENGTH]);
        let len = if short { header_len + 8 + usize::from(odd_tail) } else { quoted.len() };
        let quote = &quoted[..len.min(quoted.len())];
        let original = builder::icmp_error(router, inside.src, icmp_type, 1, quote);
        let mut bytes = original.clone();
        let mut packet = parse(&mut bytes, VnetHeader::default());
        let Some(IcmpKind::Error { quoted: seen, .. }) = packet.icmp() else { panic!("no error") };
        let Rewrite { src, dst, sport, dport, .. } = inside;
        let new = Tuple { src, dst, sport, dport, protocol: seen.protocol };
        rewrite_icmp_error(&mut packet, router, dst, new, false);
        assert_facts_are_fresh(&packet);
        let outer = packet.tuple();
        let inner = packet.payload().to_vec();
        assert_checksums_valid(&bytes);
        let inner_header = Ipv4HeaderSlice::from_slice(&inner).unwrap();
        prop_assert_eq!(inner_header.source_addr(), src);
        prop_assert_eq!(
            inner_header.header_checksum(),
            inner_header.to_header().calc_header_checksum()
        );
        if inner.len() == quoted.len() {
            assert_checksums_valid(&inner);
        }
        prop_assert_eq!((outer.src, outer.dst, outer.sport, outer.dport), (router, dst, 0, 0));

        let mut packet = parse(&mut bytes, VnetHeader::default());
        rewrite_icmp_error(&mut packet, router, inside.src, seen, false);
        prop_assert_eq!(bytes, original);
    }

    #[test]
    fn own_icmp_errors_are_valid(original in translatable(), from in address(), mtu in any::<u16>()) {
        let mut out = [0; icmp::MAX_ERROR];
        if let Some(len) = icmp::fragmentation_needed(&original, VnetHeader::default(), from, mtu, &mut out) {
            prop_assert!(len <= icmp::MAX_ERROR);
            assert_checksums_valid(&out[..len]);
            let packet = parse(&mut out[..len], VnetHeader::default());
            let Some(IcmpKind::Error { icmp_type: 3, code: 4, quoted }) = packet.icmp() else {
                panic!("not type 3 code 4: {:?}", packet.icmp());
            };
            let mut original = original;
            prop_assert_eq!(quoted, parse(&mut original, VnetHeader::default()).tuple());
            prop_assert_eq!(u16_at(packet.bytes(), ipv4::MIN_LEN + icmp_field::NEXT_HOP_MTU), mtu);
        }
    }
}
