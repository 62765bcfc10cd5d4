//! Tests ICMP errors about flows: found by their quote, and shown to each side as that side knows
//! the flow (RFC 5508).

use super::world::*;
use crate::packet::field::{icmp as icmp_field, ipv4, put_u16, tcp as tcp_field};
use crate::packet::{Tuple, builder};
use crate::pipeline::{Device, Link, Reason};
use crate::vpc::{NatGatewayIx, VpcIx};
use std::net::Ipv4Addr;
use std::time::Duration;

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
/// Offsets of the ICMP header and of the quote in an ICMP error.
const ICMP: usize = ipv4::MIN_LEN;
const QUOTE: usize = ICMP + icmp_field::HEADER_LEN;
/// Offset in an ICMP header of the quote's length (RFC 4884 4).
const QUOTE_WORDS: usize = 5;

/// Returns the quote of an error: the packet as it left egret, cut to `l4` bytes after its header.
fn quote(packet: &[u8], l4: usize) -> Vec<u8> {
    packet[..packet.len().min(ipv4::MIN_LEN + l4)].to_vec()
}

/// Checklist I4, I9, I10, T9, T10.
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

/// Returns the ones' complement sum of the quoted header.
fn quoted_checksum(error: &[u8]) -> u16 {
    crate::packet::checksum::Sum::default().bytes(&error[QUOTE..QUOTE + ipv4::MIN_LEN]).fold()
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

/// Checklist I5: the source becomes the NAT's address, the quote becomes the packet that the server
/// had sent.
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

/// A task may know, or guess, the ports of another task's flow, and an error is found by its quote.
/// Checklist I4.
#[test]
fn regression_no_task_sends_errors_into_anothers_flow() {
    let mut world = World::new(LAB);
    let (web, other) = (world.task("web", 1), world.task("web", 3));
    for to in [(DB, 5432), (EXAMPLE, 443)] {
        let (out, _) = world.connects(web, 40_000, to);
        let error = builder::icmp_error(other, out.src, 3, 4, &quote(&segment(out, ACK, 1, 1), 8));
        let device = world.owner(Link::Vpc(VpcIx(0)), out.src);
        for device in device.into_iter().chain([world.device_of(other)]) {
            let seen = world.step(device, &error, 0);
            assert!(matches!(seen.verdict, crate::pipeline::Verdict::Drop { .. }), "{seen:?}");
        }
    }
    let public = world.task("public", 1);
    let (out, _) = world.connects(public, 1, OUT);
    let error = builder::icmp_error(public, out.src, 3, 4, &quote(&segment(out, ACK, 1, 1), 8));
    let seen = world.step(Device::AppRunner, &error, 0);
    assert_eq!(seen.reason(), Some(Reason::IcmpErrorNoFlow));
}

/// Routes and gateways apply at once, to an error as to any other packet (spec 4.4). Checklist I5.
#[test]
fn regression_an_error_meets_the_present_configuration() {
    let route = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&udp(web, 5353, (EXAMPLE, 53)));
    let reply = world.arrive(link, &answer(out), 0).bytes;
    let error = builder::icmp_error(web, EXAMPLE, 3, 3, &quote(&reply, 8));
    world.reload(&with(LAB, route, ""));
    assert_eq!(world.refuses(&error), Reason::NoRoute);
    world.reload(LAB);
    assert_eq!(world.step(world.device_of(web), &error, 0).forwarded().1, link);
    let two = format!(
        "{LAB}\n[[nat_gateway]]\nid = \"nat-2\"\nsubnet = \"subnet-public\"\npublic_ip = \"198.51.100.8\"\n"
    );
    world.reload(&with(&two, route, r#"{ destination = "0.0.0.0/0", target = "nat-2" },"#));
    assert_eq!(world.refuses(&error), Reason::IcmpErrorNoFlow);
    let about = builder::icmp_error(EXAMPLE, NAT_PUBLIC, 3, 3, &quote(&datagram(out, b"query"), 8));
    assert_eq!(world.stays_out(link, &about), Reason::IcmpErrorNoFlow);
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

/// Checklist I10, I11.
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

/// A message without an identifier looks to the flow table like an echo with identifier 0. It must
/// not leave by that echo's flow: a redirect would carry untranslated addresses across.
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

/// An error is not answered with an error; it does not pass with an expired TTL either.
#[test]
fn regression_an_error_whose_ttl_ends_at_the_nat_is_dropped() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let error = builder::icmp_error(ROUTER, NAT_PUBLIC, 3, 4, &quote(&segment(out, ACK, 1, 1), 8));
    assert_eq!(world.stays_out(link, &with_ttl(error.clone(), 1)), Reason::TtlExpiredNoAnswer);
    let seen = world.arrive(link, &with_ttl(error, 2), 0);
    assert_eq!(seen.bytes[ipv4::TTL], 1);
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

/// Checklist I2, 7857-10: a query lives for 350 s, or as long as the lab file says, and its
/// identifier ends with it.
#[test]
fn a_query_lives_as_long_as_the_setting_says() {
    for (settings, seconds) in [("", 350), ("[timeouts]\nicmp_idle = \"61s\"\n", 61)] {
        let mut world = World::new(&format!("{LAB}\n{settings}"));
        let web = world.task("web", 1);
        let (out, link) = world.opens(&ping(web, EXAMPLE, 7));
        world.advance(Duration::from_secs(seconds));
        world.sweep_ends(0);
        world.comes_back(link, &answer(out));
        world.advance(Duration::from_secs(seconds + 1));
        world.sweep_ends(1);
        assert_eq!(world.stays_out(link, &answer(out)), Reason::FlowExpired);
        assert_eq!(world.leased(crate::flow::Space::INTERNET, NAT_PUBLIC), 0);
    }
}

/// Checklist I6: an error about a ping at 349 s, and its reply at 351 s, which is too late.
#[test]
fn an_error_does_not_refresh_a_query() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&ping(web, EXAMPLE, 7));
    world.advance(Duration::from_secs(349));
    let quoted = quote(&ping(out.src, out.dst, out.sport), 8);
    world.comes_back(link, &builder::icmp_error(ROUTER, NAT_PUBLIC, 11, 0, &quoted));
    world.advance(Duration::from_secs(2));
    let seen = world.arrive(link, &answer(out), -1);
    assert_eq!(seen.reason(), Some(Reason::FlowExpired));
}

/// Builds an error with a changed quote and a right checksum of its own.
fn error_about(quoted: &[u8]) -> Vec<u8> {
    builder::icmp_error(ROUTER, NAT_PUBLIC, 3, 4, quoted)
}

/// Checklist I3: a wrong checksum, of the message or of the quoted header, drops the error.
#[test]
fn errors_with_a_wrong_checksum_are_dropped() {
    let mut world = World::new(LAB);
    let (out, link) = world.connects(world.task("web", 1), 40_000, OUT);
    let sent = segment(out, ACK, 101, 501);
    let mut message = error_about(&quote(&sent, 8));
    message[ICMP + icmp_field::CHECKSUM] ^= 1;
    assert_eq!(world.stays_out(link, &message), Reason::MalformedIcmpChecksum);
    let mut header = quote(&sent, 8);
    header[ipv4::CHECKSUM] ^= 1;
    assert_eq!(world.stays_out(link, &error_about(&header)), Reason::MalformedQuote);
}

/// Checklist I3: options in the quoted header are skipped; a wrong L4 checksum in the quote is not
/// verified, and stays wrong.
#[test]
fn quoted_options_are_skipped_and_a_quoted_checksum_may_be_wrong() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let sent = segment(out, ACK, 101, 501);
    let mut with_options = [&sent[..ipv4::MIN_LEN], &[1, 1, 1, 0], &sent[ipv4::MIN_LEN..]].concat();
    with_options[0] = 0x46;
    with_options[ipv4::TOTAL_LEN + 1] += 4;
    fix_ip_checksum(&mut with_options);
    let mut wrong = sent.clone();
    wrong[ipv4::MIN_LEN + tcp_field::CHECKSUM] ^= 0x55;
    for (quoted, l4) in [(with_options, 24), (wrong, 20)] {
        let seen = world.arrive(link, &error_about(&quoted), 0);
        let own = Tuple { src: web, sport: 40_000, ..out };
        assert_eq!(icmp_error_of(&seen.bytes).2, own);
        let quoted = &seen.bytes[QUOTE..];
        let pseudo = crate::packet::checksum::pseudo_header(web, EXAMPLE, 6, 20);
        let right = pseudo.bytes(&quoted[l4..l4 + 20]).fold() == 0xffff;
        assert_eq!(right, l4 == 24, "right or wrong, as it came");
    }
}

/// Checklist I3: bytes after the quote (RFC 4884) are not touched.
#[test]
fn extensions_of_an_error_are_left_alone() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let mut quoted = segment(out, ACK, 101, 501);
    quoted.resize(128, 0);
    let extension = [0x20, 0, 0xdd, 0xee, 0, 8, 1, 1, 0xab, 0xcd, 0xef, 0x01];
    quoted.extend_from_slice(&extension);
    let mut error = error_about(&quoted);
    // The length of the quote, in words.
    error[ICMP + QUOTE_WORDS] = 32;
    put_u16(&mut error, ICMP + icmp_field::CHECKSUM, 0);
    let sum = crate::packet::checksum::checksum(&error[ICMP..]);
    put_u16(&mut error, ICMP + icmp_field::CHECKSUM, sum);
    let device = world.device_toward(link, NAT_PUBLIC);
    let seen = world.push(device, &error, crate::packet::VnetHeader::default());
    assert_eq!(icmp_error_of(&seen.bytes).2.src, web);
    assert_eq!(crate::packet::checksum::checksum(&seen.bytes[ICMP..]), 0);
    assert_eq!(seen.bytes[QUOTE + 128..], extension);
    assert_eq!(seen.bytes[ICMP + QUOTE_WORDS], 32);
}

/// Checklist I8: AWS sends no ICMP 3/13 if there is no room for a session: no answer, whatever the
/// protocol.
#[test]
fn exhaustion_is_silent() {
    let mut world = World::new(&format!("{LAB}\n[limits]\nnat_connections_per_destination = 1\n"));
    let web = world.task("web", 1);
    let places: [fn(Ipv4Addr, u16) -> Vec<u8>; 3] = [
        |web, id| ping(web, EXAMPLE, id),
        |web, port| udp(web, port, (EXAMPLE, 53)),
        |web, port| syn(web, port, OUT),
    ];
    for packet in places {
        world.opens(&packet(web, 1));
        assert_eq!(world.refuses(&packet(web, 2)), Reason::NatPortsExhausted);
    }
}

/// Checklist U12: no error ends a datagram's mapping, whatever its type and sender.
#[test]
fn no_error_ends_a_datagrams_mapping() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&udp(web, 5353, (EXAMPLE, 53)));
    let sent = datagram(out, b"query");
    let codes = (0..16).map(|code| (3, code)).chain([(4, 0), (11, 0), (11, 1), (12, 0), (12, 1)]);
    for (icmp_type, code) in codes {
        for from in [ROUTER, EXAMPLE, Ipv4Addr::new(8, 8, 8, 8)] {
            let error = builder::icmp_error(from, NAT_PUBLIC, icmp_type, code, &quote(&sent, 8));
            assert_eq!(world.comes_back(link, &error).src, from, "{icmp_type}/{code}");
        }
    }
    world.comes_back(link, &answer(out));
}
