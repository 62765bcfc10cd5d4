//! What is too big or too old for the next link, and what egret answers.

use super::world::*;
use crate::packet::{TcpFlags, VnetHeader, builder};
use crate::pipeline::{Link, Reason, Verdict};
use crate::vpc::VpcIx;
use etherparse::PacketBuilder;
use std::net::{Ipv4Addr, SocketAddrV4};

const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const DNS: (Ipv4Addr, u16) = (EXAMPLE, 53);

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

/// Traceroute shows the gateway's private address (spec 6).
#[test]
fn a_ttl_that_ends_at_the_gateway_is_answered_from_its_private_address() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let probe = with_ttl(udp(web, 5353, DNS), 1);
    let seen = world.step(world.device_of(web), &probe, 1);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::TtlExpired, .. }), "{seen:?}");
    assert_eq!((source(&seen.bytes), destination(&seen.bytes)), (NAT_PRIVATE, web));
    let (icmp_type, code, quoted) = icmp_error_of(&seen.bytes);
    assert_eq!((icmp_type, code), (11, 0));
    assert_eq!((quoted.src, quoted.sport, quoted.dst), (web, 5353, EXAMPLE));
    let seen = world.step(world.device_of(web), &with_ttl(udp(web, 5353, DNS), 2), 0);
    seen.forwarded();
    assert_eq!(seen.bytes[8], 1, "one hop");
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

/// Inside a VPC no hop counts.
#[test]
fn local_packets_keep_their_ttl() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let seen = world.step(world.device_of(web), &with_ttl(syn(web, 1, (DB, 5432)), 1), 1);
    assert_eq!(seen.bytes[8], 1);
}

/// A query message is answered with an error; only errors are not.
#[test]
fn an_echo_reply_whose_ttl_ends_is_answered() {
    let mut world = World::new(LAB);
    let (out, link) = world.opens(&ping(world.task("web", 1), EXAMPLE, 1));
    let seen = world.arrive(link, &with_ttl(answer(out), 1), 0);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::TtlExpired, .. }), "{seen:?}");
}

#[test]
fn a_packet_too_big_for_the_internet_is_answered_with_the_mtu() {
    let mut world = World::new(&jumbo());
    let web = world.task("web", 1);
    let seen = world.step(world.device_of(web), &big(web, DNS, 1501), 1);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::MtuExceeded, .. }), "{seen:?}");
    assert_eq!(source(&seen.bytes), NAT_PRIVATE);
    assert_eq!(icmp_error_of(&seen.bytes).0, 3);
    assert_eq!(u16::from_be_bytes([seen.bytes[26], seen.bytes[27]]), 1500);
    world.passes(&big(web, DNS, 1500));
    // Inside the VPC there is room.
    world.opens(&big(web, (DB, 53), 9001));
}

#[test]
fn without_dont_fragment_a_packet_too_big_is_dropped_in_silence() {
    let mut world = World::new(&jumbo());
    let web = world.task("web", 1);
    let packet = with_octet(big(web, DNS, 1501), 6, 0);
    assert_eq!(world.drops_with(&packet, 1), Reason::MtuExceededNoAnswer);
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
    u16::from_be_bytes([bytes[42], bytes[43]])
}

/// Surprise 17: a NAT gateway clamps the MSS of both SYNs to the narrower of its links; nothing else does.
/// Checklist T+.
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
