//! Tests packets that are too big or too old for the next link, and the answers of egret.

use super::fragments::{joined, split};
use super::world::*;
use crate::packet::field::{icmp as icmp_field, ipv4, tcp as tcp_field, u16_at, udp as udp_field};
use crate::packet::{Fragmenter, TcpFlags, VnetHeader, builder};
use crate::pipeline::{Link, Reason, Verdict};
use crate::vpc::VpcIx;
use etherparse::PacketBuilder;
use std::net::{Ipv4Addr, SocketAddrV4};

const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const DNS: (Ipv4Addr, u16) = (EXAMPLE, 53);
/// Offset of the payload of a datagram or an echo.
const PAYLOAD: usize = ipv4::MIN_LEN + udp_field::HEADER_LEN;

fn jumbo() -> String {
    format!("mtu = 9001\n{LAB}")
}

fn big(task: Ipv4Addr, to: (Ipv4Addr, u16), length: usize) -> Vec<u8> {
    builder::udp(
        SocketAddrV4::new(task, 5353),
        SocketAddrV4::new(to.0, to.1),
        &vec![7; length - 28],
    )
}

/// Traceroute shows the gateway's private address (spec 6, checklist I9).
#[test]
fn a_ttl_that_ends_at_the_gateway_is_answered_from_its_private_address() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let probe = with_ttl(udp(web, 5353, DNS), 1);
    let seen = world.step(world.device_of(web), &probe, 0);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::TtlExpired, .. }), "{seen:?}");
    assert_eq!((source(&seen.bytes), destination(&seen.bytes)), (NAT_PRIVATE, web));
    let (icmp_type, code, quoted) = icmp_error_of(&seen.bytes);
    assert_eq!((icmp_type, code), (11, 0));
    assert_eq!((quoted.src, quoted.sport, quoted.dst), (web, 5353, EXAMPLE));
    let seen = world.step(world.device_of(web), &with_ttl(udp(web, 5353, DNS), 2), 1);
    seen.forwarded();
    assert_eq!(seen.bytes[ipv4::TTL], 1, "one hop");
}

#[test]
fn a_reply_whose_ttl_ends_is_answered_from_the_address_that_the_outside_knows() {
    let mut world = World::new(LAB);
    let (out, link) = world.opens(&udp(world.task("web", 1), 5353, DNS));
    let seen = world.arrive(link, &with_ttl(answer(out), 1), 0);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::TtlExpired, .. }), "{seen:?}");
    assert_eq!((source(&seen.bytes), destination(&seen.bytes)), (NAT_PUBLIC, EXAMPLE));
    assert_eq!(icmp_error_of(&seen.bytes).2, out.reversed());
}

/// Inside a VPC no hop decrements the TTL.
#[test]
fn local_packets_keep_their_ttl() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let seen = world.step(world.device_of(web), &with_ttl(syn(web, 1, (DB, 5432)), 1), 1);
    assert_eq!(seen.bytes[ipv4::TTL], 1);
}

/// A query message is answered with an error; only errors are not.
#[test]
fn an_echo_reply_whose_ttl_ends_is_answered() {
    let mut world = World::new(LAB);
    let (out, link) = world.opens(&ping(world.task("web", 1), EXAMPLE, 1));
    let seen = world.arrive(link, &with_ttl(answer(out), 1), 0);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::TtlExpired, .. }), "{seen:?}");
}

/// Checklist U13.
#[test]
fn a_packet_too_big_for_the_internet_is_answered_with_the_mtu() {
    let mut world = World::new(&jumbo());
    let web = world.task("web", 1);
    let seen = world.step(world.device_of(web), &big(web, DNS, 1501), 0);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::MtuExceeded, .. }), "{seen:?}");
    assert_eq!(source(&seen.bytes), NAT_PRIVATE);
    assert_eq!(icmp_error_of(&seen.bytes).0, 3);
    assert_eq!(u16_at(&seen.bytes, ipv4::MIN_LEN + icmp_field::NEXT_HOP_MTU), 1500);
    world.opens(&big(web, DNS, 1500));
    // Inside the VPC there is room.
    world.opens(&big(web, (DB, 53), 9001));
}

/// Checklist U13: a reply that is too big for the task's link, with DF, is answered to the server
/// from the address that it knows.
#[test]
fn a_reply_too_big_is_answered_with_the_mtu() {
    for (to, public) in [((DB, 53), ENI_A), (DNS, NAT_PUBLIC)] {
        let mut world = World::new(LAB);
        let (out, link) = world.opens(&udp(world.task("web", 1), 5353, to));
        let seen = world.arrive(link, &datagram(out.reversed(), &[3; 3000]), 0);
        assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::MtuExceeded, .. }));
        assert_eq!((source(&seen.bytes), destination(&seen.bytes)), (public, to.0));
        assert_eq!(icmp_error_of(&seen.bytes), (3, 4, out.reversed()));
        assert_eq!(u16_at(&seen.bytes, ipv4::MIN_LEN + icmp_field::NEXT_HOP_MTU), 1500);
    }
}

/// Returns the fragments in which a packet leaves, and the packet that they make.
#[track_caller]
fn pieces(seen: &Seen) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut bytes = seen.bytes.clone();
    let mut fragmenter = Fragmenter::new(&bytes, seen.fragments_to.unwrap()).unwrap();
    let mut pieces = Vec::new();
    while let Some(range) = fragmenter.next(&mut bytes) {
        pieces.push(bytes[range].to_vec());
    }
    let whole = joined(&pieces);
    (pieces, whole)
}

/// Checklist U13: without DF, a datagram that is too big leaves in fragments, in order, toward the
/// task as well.
#[test]
fn without_dont_fragment_a_packet_too_big_leaves_in_fragments() {
    let far = (Ipv4Addr::new(203, 0, 113, 11), 53);
    let mut world = World::new(&with_hosts(&jumbo(), &[far.0]));
    let web = world.task("web", 1);
    let echo = builder::icmp_echo_request(web, EXAMPLE, 7, 1, &[5; 4000]);
    for packet in [big(web, DNS, 1501), big(web, far, 8000), echo] {
        let packet = with_byte(packet, 6, 0);
        let seen = world.step(world.device_of(web), &packet, 1);
        assert_eq!((seen.fragments_to, seen.forwarded().1), (Some(1500), Link::Internet));
        let (pieces, whole) = pieces(&seen);
        assert!(pieces.iter().all(|piece| piece.len() <= 1500 && source(piece) == NAT_PUBLIC));
        let offsets: Vec<u16> = pieces.iter().map(|p| u16_at(p, ipv4::FLAGS_AND_OFFSET)).collect();
        assert!(
            offsets.is_sorted_by_key(|offset| offset & ipv4::FRAGMENT_OFFSET),
            "in order: {offsets:?}"
        );
        assert_checksums(&whole);
        assert_eq!(whole[PAYLOAD..], packet[PAYLOAD..]);
    }
    let mut sent = 0;
    world.engine.flows().for_each(|e| sent += e.flow.sent.segments());
    assert_eq!(sent, 2 + 6 + 3, "as many packets as there are on the wire");
    // The other direction: a reply from a larger VPC to a task with a smaller link.
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&udp(web, 5353, (DB, 53)));
    let reply = with_byte(datagram(out.reversed(), &[3; 3000]), 6, 0);
    let seen = world.arrive(link, &reply, 0);
    let (pieces, whole) = pieces(&seen);
    assert_eq!((pieces.len(), destination(&whole), &whole[PAYLOAD..]), (3, web, &reply[PAYLOAD..]));
    assert_checksums(&whole);
}

/// Checklist U13, 7857-9: fragments that egret makes have an identification that no other task's
/// have.
#[test]
fn packets_that_egret_fragments_have_an_identification_of_their_own() {
    let mut world = World::new(&jumbo());
    let mut seen = |number| {
        let task = world.task("web", number);
        world.step(world.device_of(task), &with_byte(big(task, DNS, 2000), 6, 0), 1).bytes
    };
    let (one, three) = (seen(1), seen(3));
    assert_eq!(source(&one), source(&three));
    assert_ne!(u16_at(&one, ipv4::IDENTIFICATION), u16_at(&three, ipv4::IDENTIFICATION));
}

/// Checklist U13: a fragment that is too big itself is split again, and keeps its offset in the
/// datagram.
#[test]
fn fragments_that_are_too_big_are_cut_again() {
    let world = World::new(&jumbo());
    let web = world.task("web", 1);
    let packet = with_byte(big(web, DNS, 8000), 6, 0);
    let mut all = Vec::new();
    for fragment in split(&packet, 7, 4000) {
        let seen = world.push(world.device_of(web), &fragment, VnetHeader::default());
        assert_eq!(seen.fragments_to, Some(1500));
        all.extend(pieces(&seen).0);
    }
    let whole = joined(&all);
    assert_checksums(&whole);
    assert_eq!((whole.len(), &whole[PAYLOAD..]), (8000, &packet[PAYLOAD..]));
}

/// The kernel cannot complete a partial checksum after a packet is fragmented, so egret completes
/// it (checklist U13).
#[test]
fn the_checksum_of_what_egret_fragments_is_complete() {
    let world = World::new(&jumbo());
    let web = world.task("web", 1);
    let mut packet = with_byte(big(web, DNS, 3000), 6, 0);
    let vnet = builder::to_partial(&mut packet);
    let seen = world.push(world.device_of(web), &packet, vnet);
    assert_checksums(&pieces(&seen).1);
}

/// The sender of segments cuts them. One without DF that is too big nevertheless is dropped without
/// an answer.
#[test]
fn a_segment_too_big_is_not_fragmented() {
    let mut world = World::new(&jumbo());
    let web = world.task("web", 1);
    let (src, dst) = (SocketAddrV4::new(web, 1), SocketAddrV4::new(EXAMPLE, 443));
    let packet = with_byte(builder::tcp(src, dst, SYN, 1, 0, &[0; 2000]), 6, 0);
    assert_eq!(world.refuses(&packet), Reason::MtuExceededNoAnswer);
}

/// The kernel cuts a UDP super-packet at its sender's segment size, and nowhere else.
#[test]
fn a_super_packet_with_segments_too_big_is_not_fragmented() {
    let world = World::new(&jumbo());
    let web = world.task("web", 1);
    let mut bytes = with_byte(big(web, DNS, 8000), 6, 0);
    let vnet = builder::to_super_packet(&mut bytes, 2000);
    let seen = world.push(world.device_of(web), &bytes, vnet);
    assert_eq!(seen.reason(), Some(Reason::MtuExceededNoAnswer));
}

#[test]
fn a_super_packet_counts_by_its_segments() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, _) = world.connects(web, 40_000, OUT);
    let payload = vec![1; 30_000];
    let (src, dst) = (SocketAddrV4::new(web, 40_000), SocketAddrV4::new(EXAMPLE, 443));
    for (size, fits) in [(1460, true), (1461, false)] {
        let mut bytes = builder::tcp(src, dst, TcpFlags::ACK, 101, 501, &payload);
        let vnet = builder::to_super_packet(&mut bytes, size);
        let seen = world.push(world.device_of(web), &bytes, vnet);
        match (fits, seen.verdict) {
            (true, Verdict::Forward { .. }) => {
                let mut bytes = seen.bytes.clone();
                builder::complete(&mut bytes, vnet);
                assert_checksums(&bytes);
                assert_eq!(source(&bytes), out.src);
            }
            (false, Verdict::Reply { reason: Reason::MtuExceeded, .. }) => {}
            other => panic!("{size}: {other:?}"),
        }
    }
    let mut sent = 0;
    world.engine.flows().for_each(|e| sent = e.flow.sent.segments());
    assert_eq!(sent, 2 + 30_000_u64.div_ceil(1460));
}

fn with_mss(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), mss: u16, ack: Option<u32>) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from.0.octets(), to.0.octets(), 64)
        .tcp(from.1, to.1, 100, 65_000)
        .syn();
    let builder = match ack {
        Some(ack) => builder.ack(ack),
        None => builder,
    };
    let builder =
        builder.options(&[etherparse::TcpOptionElement::MaximumSegmentSize(mss)]).unwrap();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &[]).unwrap();
    bytes
}

fn mss_of(bytes: &[u8]) -> u16 {
    // The option is the first, and its value follows its kind and length.
    u16_at(bytes, ipv4::MIN_LEN + tcp_field::MIN_LEN + 2)
}

/// Surprise 17: a NAT gateway clamps the MSS of both SYNs to the narrower of its links; nothing
/// else does. Checklist T+.
#[test]
fn the_mss_is_clamped_at_a_nat_gateway_only_and_never_raised() {
    let mut world = World::new(&jumbo());
    let web = world.task("web", 1);
    for (port, mss, seen_mss) in [(1, 8961, 1460), (2, 1460, 1460), (3, 536, 536)] {
        let seen = world.step(world.device_of(web), &with_mss((web, port), OUT, mss, None), 1);
        assert_eq!(mss_of(&seen.bytes), seen_mss);
        let out = seen.forwarded().0;
        let back = with_mss((EXAMPLE, 443), (out.src, out.sport), mss, Some(101));
        let seen = world.arrive(Link::Internet, &back, 0);
        assert_eq!(mss_of(&seen.bytes), seen_mss, "the answer's");
    }
    let seen = world.step(world.device_of(web), &with_mss((web, 9), (DB, 5432), 8961, None), 1);
    assert_eq!((mss_of(&seen.bytes), seen.forwarded().1), (8961, Link::Vpc(VpcIx(0))));
}

#[test]
fn a_partial_checksum_stays_partial_and_right() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    for (index, to) in [OUT, (DB, 5432)].into_iter().enumerate() {
        let mut bytes = syn(web, 41_000 + index as u16, to);
        let vnet = builder::to_partial(&mut bytes);
        assert_ne!(vnet, VnetHeader::default());
        let seen = world.push(world.device_of(web), &bytes, vnet);
        let mut out = seen.bytes.clone();
        builder::complete(&mut out, vnet);
        assert_checksums(&out);
        assert_ne!(source(&out), web);
    }
}
