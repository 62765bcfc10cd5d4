//! ICMP errors about flows: found by their quote, shown to each side as that side knows the flow (RFC 5508).

use super::world::*;
use crate::packet::{Tuple, builder};
use crate::pipeline::{Device, Link, Reason};
use crate::vpc::{NatGatewayIx, VpcIx};
use std::net::Ipv4Addr;
use std::time::Duration;

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);

/// What the error quotes: the packet as it went out, cut to `l4` octets after its header.
fn quote(packet: &[u8], l4: usize) -> Vec<u8> {
    packet[..packet.len().min(20 + l4)].to_vec()
}

/// Checklist I4, T9, T10.
#[test]
fn an_error_from_outside_shows_the_task_its_own_packet() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let sent = segment(out, ACK, 101, 501);
    for (icmp_type, code, from, l4) in [
        (3, 4, ROUTER, 8),
        (3, 1, ROUTER, 20),
        (3, 3, EXAMPLE, 500),
        (11, 0, ROUTER, 8),
        (12, 0, ROUTER, 20),
    ] {
        let error = builder::icmp_error(from, NAT_PUBLIC, icmp_type, code, &quote(&sent, l4));
        let seen = world.arrive(link, &error, 0);
        let (tuple, to) = seen.forwarded();
        assert_eq!((tuple.src, tuple.dst, to), (from, web, Link::Task(web)));
        let (t, c, quoted) = icmp_error_of(&seen.bytes);
        assert_eq!((t, c), (icmp_type, code));
        let own = Tuple { src: web, sport: 40_000, ..out };
        assert_eq!(quoted, own);
        assert_eq!(quoted_checksum(&seen.bytes), 0xffff, "the quoted header's checksum");
    }
    world.passes(&tcp(web, 40_000, OUT, ACK, 101, 501));
}

/// The ones' complement sum of the quoted header.
fn quoted_checksum(error: &[u8]) -> u16 {
    crate::packet::checksum::Sum::default().bytes(&error[28..48]).fold()
}

/// Checklist I4.
#[test]
fn errors_about_pings_and_datagrams_are_found_too() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&ping(web, EXAMPLE, 77));
    let error = builder::icmp_error(
        ROUTER,
        NAT_PUBLIC,
        11,
        0,
        &quote(&ping(out.src, out.dst, out.sport), 8),
    );
    let seen = world.arrive(link, &error, 0);
    assert_eq!(icmp_error_of(&seen.bytes).2, Tuple { src: web, sport: 77, ..out });
    let (out, link) = world.opens(&udp(web, 5353, (EXAMPLE, 53)));
    let error = builder::icmp_error(EXAMPLE, NAT_PUBLIC, 3, 3, &quote(&datagram(out, b"query"), 8));
    let seen = world.arrive(link, &error, 0);
    assert_eq!(icmp_error_of(&seen.bytes).2, Tuple { src: web, sport: 5353, ..out });
}

#[test]
fn inside_the_vpc_errors_come_back_to_the_eni() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, (DB, 5432));
    assert_eq!(link, Link::Vpc(VpcIx(0)));
    let error = builder::icmp_error(DB, ENI_A, 3, 3, &quote(&segment(out, ACK, 101, 501), 8));
    let seen = world.arrive(link, &error, 0);
    assert_eq!(seen.forwarded().0.dst, web);
    assert_eq!(icmp_error_of(&seen.bytes).2.src, web);
}

/// Checklist I5: the source becomes the NAT's address, the quote what the server had sent.
#[test]
fn an_error_from_the_task_shows_the_server_its_own_packet() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    for (to, link, shown) in
        [((EXAMPLE, 53), Link::Internet, NAT_PUBLIC), ((DB, 53), Link::Vpc(VpcIx(0)), ENI_A)]
    {
        let (out, _) = world.opens(&udp(web, 5353, to));
        let seen = world.arrive(link, &answer(out), 0);
        let error = builder::icmp_error(web, to.0, 3, 3, &quote(&seen.bytes, 8));
        let seen = world.step(world.device_of(web), &error, 0);
        let (tuple, by) = seen.forwarded();
        assert_eq!((tuple.src, tuple.dst, by), (shown, to.0, link));
        assert_eq!(icmp_error_of(&seen.bytes).2, out.reversed());
    }
}

#[test]
fn an_error_from_the_task_in_anothers_name_is_dropped() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&udp(web, 5353, (EXAMPLE, 53)));
    let reply = world.arrive(link, &answer(out), 0).bytes;
    let elsewhere = builder::icmp_error(web, ROUTER, 3, 3, &quote(&reply, 8));
    assert_eq!(world.refuses(&elsewhere), Reason::IcmpErrorNoFlow);
}

/// Checklist I4.
#[test]
fn errors_about_nothing_are_dropped() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let wrong = Tuple { sport: out.sport ^ 1, ..out };
    let error =
        builder::icmp_error(ROUTER, NAT_PUBLIC, 3, 4, &quote(&segment(wrong, ACK, 1, 1), 8));
    assert_eq!(world.stays_out(link, &error), Reason::IcmpErrorNoFlow);
    // An error about a reply, from the side that sent the reply.
    let error = builder::icmp_error(
        EXAMPLE,
        NAT_PUBLIC,
        3,
        4,
        &quote(&segment(out.reversed(), ACK, 1, 1), 8),
    );
    assert_eq!(world.stays_out(link, &error), Reason::IcmpErrorNoFlow);
    world.advance(Duration::from_secs(351));
    let error = builder::icmp_error(ROUTER, NAT_PUBLIC, 3, 4, &quote(&segment(out, ACK, 1, 1), 8));
    assert_eq!(world.stays_out(link, &error), Reason::IcmpErrorNoFlow);
}

/// Checklist I6, U12.
#[test]
fn an_error_neither_refreshes_nor_ends_a_flow() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    world.advance(Duration::from_secs(349));
    let error = builder::icmp_error(ROUTER, NAT_PUBLIC, 3, 1, &quote(&segment(out, ACK, 1, 1), 8));
    world.comes_back(link, &error);
    world.advance(Duration::from_secs(2));
    world.sweep_ends(1);
}

/// Checklist I11.
#[test]
fn other_icmp_messages_do_not_pass() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let timestamp = builder::icmp_error(web, EXAMPLE, 13, 0, &[0; 12]);
    assert_eq!(world.refuses(&timestamp), Reason::IcmpUnsupported);
    let unasked = builder::icmp_echo_reply(web, EXAMPLE, 1, 1, b"");
    assert_eq!(world.refuses(&unasked), Reason::IcmpUnsupported);
    let redirect = builder::icmp_error(EXAMPLE, NAT_PUBLIC, 5, 0, &[0; 28]);
    let seen = world.step(Device::NatGateway(NatGatewayIx(0)), &redirect, 0);
    assert_eq!(seen.reason(), Some(Reason::IcmpUnsupported));
}

/// A message without an identifier looks to the flow table like an echo whose identifier is 0. It must not leave by that
/// echo's flow: a redirect would carry addresses across that nobody translated.
#[test]
fn regression_nothing_but_an_echo_uses_an_echos_flow() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (local, _) = world.opens(&ping(web, DB, 0));
    let (out, link) = world.opens(&ping(web, EXAMPLE, 0));
    let device = world.device_of(web);
    for to in [EXAMPLE, DB] {
        for icmp_type in [5, 9, 10, 13, 14, 15, 17, 40] {
            let message = builder::icmp_error(web, to, icmp_type, 0, &[0; 28]);
            let seen = world.step(device, &message, 0);
            assert_eq!(seen.reason(), Some(Reason::IcmpUnsupported), "type {icmp_type} to {to}");
        }
        let reply = builder::icmp_echo_reply(web, to, 0, 1, b"");
        assert_eq!(world.refuses(&reply), Reason::IcmpUnsupported);
    }
    for (from, to, link) in [(EXAMPLE, out.src, link), (DB, local.src, Link::Vpc(VpcIx(0)))] {
        let message = builder::icmp_error(from, to, 13, 0, &[0; 28]);
        assert_eq!(world.stays_out(link, &message), Reason::IcmpUnsupported);
        let request = builder::icmp_echo_request(from, to, 0, 1, b"");
        assert_eq!(world.stays_out(link, &request), Reason::Unsolicited);
    }
    assert_eq!(world.comes_back(link, &answer(out)).dst, web);
}

/// An error is not answered with an error; it does not pass with a TTL that is used up either.
#[test]
fn regression_an_error_whose_ttl_ends_at_the_nat_is_dropped() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let error = builder::icmp_error(ROUTER, NAT_PUBLIC, 3, 4, &quote(&segment(out, ACK, 1, 1), 8));
    assert_eq!(world.stays_out(link, &with_ttl(error.clone(), 1)), Reason::TtlExpiredNoAnswer);
    let seen = world.arrive(link, &with_ttl(error, 2), 0);
    assert_eq!(seen.bytes[8], 1);
    let (out, _) = world.opens(&udp(web, 5353, (EXAMPLE, 53)));
    let reply = world.arrive(link, &answer(out), 0).bytes;
    let error = with_ttl(builder::icmp_error(web, EXAMPLE, 3, 3, &quote(&reply, 8)), 1);
    assert_eq!(world.refuses(&error), Reason::TtlExpiredNoAnswer);
}

#[test]
fn an_acl_may_refuse_the_message_that_the_error_is() {
    let rules = "egress = [{ rule = 1, action = \"allow\", protocol = \"tcp\", ports = \"all\", cidr = \"0.0.0.0/0\" }, { rule = 2, action = \"allow\", protocol = \"udp\", ports = \"all\", cidr = \"0.0.0.0/0\" }]
ingress = [{ rule = 1, action = \"deny\", protocol = \"icmp\", icmp_type = 3, icmp_code = 4, cidr = \"0.0.0.0/0\" }, { rule = 2, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]\n";
    let lab = with(LAB, "cidr = \"10.0.1.0/24\"", "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl\"")
        + "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\n"
        + rules;
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let quoted = quote(&segment(out, ACK, 1, 1), 8);
    assert_eq!(
        world.stays_out(link, &builder::icmp_error(ROUTER, NAT_PUBLIC, 3, 4, &quoted)),
        Reason::NaclReturnDeny
    );
    world.comes_back(link, &builder::icmp_error(ROUTER, NAT_PUBLIC, 3, 3, &quoted));
    let (out, _) = world.opens(&udp(web, 5353, (EXAMPLE, 53)));
    let reply = world.arrive(link, &answer(out), 0).bytes;
    let error = builder::icmp_error(web, EXAMPLE, 3, 3, &quote(&reply, 8));
    assert_eq!(world.refuses(&error), Reason::NaclEgressImplicitDeny);
}
