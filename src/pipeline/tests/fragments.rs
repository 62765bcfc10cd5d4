//! Tests fragments: the first is judged like a packet, the others follow it; a NAT gateway passes
//! only UDP's (surprise 17).

use super::world::*;
use crate::packet::field::{ipv4, put_u16, u16_at, udp};
use crate::packet::{VnetHeader, builder};
use crate::pipeline::{Device, Link, Reason, Verdict};
use crate::vpc::VpcIx;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

const VPC: Link = Link::Vpc(VpcIx(0));
/// Offset of the payload of a datagram.
const PAYLOAD: usize = ipv4::MIN_LEN + udp::HEADER_LEN;

/// Splits a packet into fragments with this many bytes of payload; the identification tells
/// datagrams apart.
pub(in crate::pipeline::tests) fn split(
    packet: &[u8],
    identification: u16,
    size: usize,
) -> Vec<Vec<u8>> {
    assert_eq!(size % ipv4::FRAGMENT_UNIT, 0);
    let chunks: Vec<&[u8]> = packet[ipv4::MIN_LEN..].chunks(size).collect();
    let last = chunks.len() - 1;
    let fragment = |(number, chunk): (usize, &&[u8])| {
        let mut bytes = [&packet[..ipv4::MIN_LEN], chunk].concat();
        let length = bytes.len() as u16;
        let more = if number == last { 0 } else { ipv4::MORE_FRAGMENTS };
        let offset = (number * size / ipv4::FRAGMENT_UNIT) as u16;
        put_u16(&mut bytes, ipv4::TOTAL_LEN, length);
        put_u16(&mut bytes, ipv4::IDENTIFICATION, identification);
        put_u16(&mut bytes, ipv4::FLAGS_AND_OFFSET, more | offset);
        fix_ip_checksum(&mut bytes);
        bytes
    };
    chunks.iter().enumerate().map(fragment).collect()
}

/// Joins fragments to their datagram, as far as they have one identification.
#[track_caller]
pub(super) fn joined(fragments: &[Vec<u8>]) -> Vec<u8> {
    let mut sorted: Vec<&Vec<u8>> = fragments.iter().collect();
    sorted.sort_by_key(|f| offset_of(f));
    let identifications: HashSet<u16> = sorted.iter().map(|f| identification_of(f)).collect();
    assert_eq!(identifications.len(), 1);
    let mut bytes = sorted[0][..ipv4::MIN_LEN].to_vec();
    for fragment in sorted {
        assert_ip_checksum(fragment);
        bytes.extend_from_slice(&fragment[ipv4::MIN_LEN..]);
    }
    let length = bytes.len() as u16;
    put_u16(&mut bytes, ipv4::TOTAL_LEN, length);
    put_u16(&mut bytes, ipv4::FLAGS_AND_OFFSET, 0);
    fix_ip_checksum(&mut bytes);
    bytes
}

fn offset_of(fragment: &[u8]) -> u16 {
    u16_at(fragment, ipv4::FLAGS_AND_OFFSET) & ipv4::FRAGMENT_OFFSET
}

fn identification_of(packet: &[u8]) -> u16 {
    u16_at(packet, ipv4::IDENTIFICATION)
}

#[track_caller]
fn assert_ip_checksum(bytes: &[u8]) {
    assert_eq!(
        crate::packet::checksum::Sum::default().bytes(&bytes[..ipv4::MIN_LEN]).fold(),
        0xffff
    );
}

fn large_udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    let payload: Vec<u8> = (0..4000_u16).map(|n| n as u8).collect();
    builder::udp(SocketAddrV4::new(from.0, from.1), SocketAddrV4::new(to.0, to.1), &payload)
}

/// Sends fragments that all pass, and returns their bytes and their link.
#[track_caller]
fn pass(world: &World, device: Device, fragments: &[Vec<u8>]) -> (Vec<u8>, Link) {
    let mut links = HashSet::new();
    let out: Vec<Vec<u8>> = fragments
        .iter()
        .map(|fragment| {
            let seen = world.push(device, fragment, VnetHeader::default());
            let Verdict::Forward { link, .. } = seen.verdict else { panic!("{seen:?}") };
            links.insert(link);
            seen.bytes
        })
        .collect();
    assert_eq!(links.len(), 1);
    let whole = joined(&out);
    assert_checksums(&whole);
    (whole, links.into_iter().next().unwrap())
}

fn reason(world: &World, device: Device, bytes: &[u8]) -> Option<Reason> {
    world.push(device, bytes, VnetHeader::default()).reason()
}

fn tuple_of(packet: &[u8]) -> crate::packet::Tuple {
    let mut bytes = packet.to_vec();
    crate::packet::Packet::parse(&mut bytes, VnetHeader::default()).unwrap().tuple()
}

/// Surprise 17: UDP's fragments pass.
#[test]
fn a_large_datagram_and_its_answer_pass_inside_the_vpc_and_a_nat_gateway() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    for (to, link, from) in [((DB, 53), VPC, ENI_A), ((EXAMPLE, 53), Link::Internet, NAT_PUBLIC)] {
        let sent = large_udp((web, 5353), to);
        let (out, by) = pass(&world, world.device_of(web), &split(&sent, 7, 1480));
        let tuple = tuple_of(&out);
        assert_eq!((tuple.src, tuple.dst, tuple.dport, by), (from, to.0, to.1, link));
        assert_eq!(out[PAYLOAD..], sent[PAYLOAD..], "the payload");
        let answer = large_udp(to, (tuple.src, tuple.sport));
        let device = world.device_toward(link, tuple.src);
        let (back, by) = pass(&world, device, &split(&answer, 9, 1480));
        let tuple = tuple_of(&back);
        assert_eq!((tuple.src, tuple.dst, tuple.dport), (to.0, web, 5353));
        assert_eq!((by, identification_of(&back)), (Link::Task(web), 9));
    }
    assert_eq!(world.engine.flows().len(), 2);
}

/// `ping -s 4000 db`.
#[test]
fn a_large_echo_and_its_reply_pass_inside_the_vpc() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    let request = builder::icmp_echo_request(web, DB, 77, 1, &[5; 4000]);
    let (out, link) = pass(&world, world.device_of(web), &split(&request, 7, 1480));
    let tuple = tuple_of(&out);
    let reply = builder::icmp_echo_reply(DB, tuple.src, tuple.sport, 1, &[5; 4000]);
    let device = world.device_toward(link, tuple.src);
    let (back, _) = pass(&world, device, &split(&reply, 8, 1480));
    assert_eq!((tuple_of(&back).dst, tuple_of(&back).dport), (web, 77));
}

/// Checklist U14: AWS deviates from it. Surprise 17.
#[test]
fn a_nat_gateway_drops_every_fragment_of_tcp_and_icmp() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    let device = world.device_of(web);
    let request = builder::icmp_echo_request(web, EXAMPLE, 77, 1, &[5; 4000]);
    let (from, to) = (SocketAddrV4::new(web, 40_000), SocketAddrV4::new(EXAMPLE, 443));
    let opening = builder::tcp(from, to, SYN, 100, 0, &[5; 4000]);
    for packet in [&request, &opening] {
        for fragment in split(packet, 7, 1480) {
            assert_eq!(reason(&world, device, &fragment), Some(Reason::NatFragment));
        }
    }
    assert!(world.engine.flows().is_empty(), "and no flow begins");
    // Nor does a flow that whole packets have made pass one, in either direction.
    let (_, link) = world.push(device, &ping(web, EXAMPLE, 77), VnetHeader::default()).forwarded();
    for fragment in split(&request, 8, 1480) {
        assert_eq!(reason(&world, device, &fragment), Some(Reason::NatFragment));
    }
    let mut out = None;
    world.engine.flows().for_each(|entry| out = Some(entry.flow.returned.tuple()));
    let back = out.unwrap();
    let reply = builder::icmp_echo_reply(EXAMPLE, back.dst, back.dport, 1, &[5; 4000]);
    for fragment in split(&reply, 9, 1480) {
        let device = world.device_toward(link, NAT_PUBLIC);
        assert_eq!(reason(&world, device, &fragment), Some(Reason::NatFragment));
    }
}

/// Pushes a fragment, and those that waited for it, and returns the results, as the worker does.
fn push_all(world: &World, device: Device, fragment: &[u8]) -> Vec<Seen> {
    let mut seen = vec![world.push(device, fragment, VnetHeader::default())];
    if let Some(datagram) = seen[0].releases {
        let mut next = vec![0; 65_536];
        while let Some(len) = world.engine.next_held(&datagram, &mut next) {
            seen.push(world.push(device, &next[..len], VnetHeader::default()));
        }
    }
    seen
}

/// Checklist U14: 1-2-3, 3-2-1 and the rest, out and back, through a NAT gateway and inside the
/// VPC.
#[test]
fn fragments_pass_in_any_order() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let world = World::new(LAB);
        let web = world.task("web", 1);
        for (to, link) in [((DB, 53), VPC), ((EXAMPLE, 53), Link::Internet)] {
            let through = |device, packet: &[u8]| {
                let fragments = split(packet, 7, 1480);
                let seen: Vec<Seen> =
                    order.iter().flat_map(|&n| push_all(&world, device, &fragments[n])).collect();
                let passed: Vec<Vec<u8>> = seen
                    .into_iter()
                    .filter(|seen| seen.verdict != Verdict::Hold)
                    .map(|seen| {
                        seen.forwarded();
                        seen.bytes
                    })
                    .collect();
                // Released fragments follow the first in the order of the datagram.
                let released = order.iter().position(|&n| n == 0).unwrap();
                let of = |bytes: &Vec<u8>| offset_of(bytes);
                assert!(passed[..=released].is_sorted_by_key(of), "{order:?}");
                let whole = joined(&passed);
                assert_checksums(&whole);
                whole
            };
            let sent = large_udp((web, 5353), to);
            let out = through(world.device_of(web), &sent);
            assert_eq!(out[PAYLOAD..], sent[PAYLOAD..], "{order:?}");
            let tuple = tuple_of(&out);
            let answer = large_udp(to, (tuple.src, tuple.sport));
            let back = through(world.device_toward(link, tuple.src), &answer);
            assert_eq!(
                (destination(&back), &back[PAYLOAD..]),
                (web, &answer[PAYLOAD..]),
                "{order:?}"
            );
        }
    }
}

/// Checklist U14: fragments that overlap pass unchanged; the receiver decides about them.
#[test]
fn fragments_that_overlap_pass() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    let packet = large_udp((web, 5353), (EXAMPLE, 53));
    let (coarse, fine) = (split(&packet, 7, 2000), split(&packet, 7, 1480));
    let mut passed = 0;
    for fragment in [&coarse[1], &fine[1], &fine[0], &fine[2], &fine[1]] {
        for seen in push_all(&world, world.device_of(web), fragment) {
            if seen.verdict != Verdict::Hold {
                seen.forwarded();
                passed += 1;
            }
        }
    }
    assert_eq!(passed, 5);
}

/// Checklist U14: waiting fragments share the denial of their first one, whenever it comes.
#[test]
fn fragments_that_wait_share_the_denial_of_their_first() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    let device = world.device_of(web);
    let echo = builder::icmp_echo_request(web, EXAMPLE, 77, 1, &[5; 4000]);
    for (packet, reason) in [
        (large_udp((web, 5353), (DB, 54)), Reason::SgEgressImplicitDeny),
        (echo, Reason::NatFragment),
    ] {
        let fragments = split(&packet, 9, 1480);
        assert_eq!(world.push(device, &fragments[2], VnetHeader::default()).verdict, Verdict::Hold);
        let seen = push_all(&world, device, &fragments[0]);
        let reasons: Vec<_> = seen.iter().map(Seen::reason).collect();
        assert_eq!(reasons, [Some(reason), Some(reason)]);
    }
}

/// Checklist U14: a later fragment waits for 30 s, and is then counted as a drop with its own
/// reason.
#[test]
fn a_later_fragment_without_its_first_one_is_dropped_in_the_end() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let fragments = split(&large_udp((web, 5353), (DB, 53)), 7, 1480);
    let seen = world.step(world.device_of(web), &fragments[1], 0);
    assert_eq!(seen.verdict, Verdict::Hold);
    world.advance(Duration::from_secs(30));
    world.sweep_ends(0);
    world.advance(Duration::from_secs(1));
    world.engine.sweep(world.now, &world.snapshot);
    world.were_dropped(Reason::FragmentUnclaimed, 1);
    let row = world.engine.drops().rows()[0].0;
    assert_eq!((row.source, row.destination, row.port), (web, DB.into(), 0));
    assert_eq!(row.service, world.snapshot.task(web).map(|task| task.service));
    // Too late: the first passes, and releases nothing.
    assert_eq!(world.step(world.device_of(web), &fragments[0], 1).releases, None);
    // The datagram is tracked for as long, counted from its first fragment.
    world.advance(Duration::from_secs(31));
    assert_eq!(world.step(world.device_of(web), &fragments[1], 0).verdict, Verdict::Hold);
}

/// Checklist U14: 10,000 datagrams without a first fragment keep 1,024 fragments, and count the
/// others as drops.
#[test]
fn ten_thousand_datagrams_without_a_first_fragment_do_not_stop_the_next_one() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    let device = world.device_of(web);
    for n in 0..10_000_u16 {
        let later = split(&large_udp((web, 5353), (DB, 53)), n, 1480).remove(2);
        assert_eq!(world.push(device, &later, VnetHeader::default()).verdict, Verdict::Hold);
    }
    assert_eq!(world.engine.drops().packets(Reason::FragmentUnclaimed), 10_000 - 1024);
    let next = split(&large_udp((web, 5353), (EXAMPLE, 53)), 10_000, 1480);
    let seen: Vec<Seen> = next.iter().rev().flat_map(|f| push_all(&world, device, f)).collect();
    let passed: Vec<Vec<u8>> =
        seen.into_iter().filter(|s| s.verdict != Verdict::Hold).map(|s| s.bytes).collect();
    assert_checksums(&joined(&passed));
}

#[test]
fn later_fragments_share_the_denial_of_their_first() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let fragments = split(&large_udp((web, 5353), (DB, 54)), 7, 1480);
    for fragment in &fragments {
        assert_eq!(world.refuses(fragment), Reason::SgEgressImplicitDeny);
    }
    // The same identification again, by an admitted datagram.
    pass(&world, world.device_of(web), &split(&large_udp((web, 5353), (DB, 53)), 7, 1480));
}

/// Checklist 7857-9.
#[test]
fn datagrams_of_two_tasks_with_one_identification_do_not_mix_outside() {
    let world = World::new(LAB);
    let (one, three) = (world.task("web", 1), world.task("web", 3));
    for to in [(DB, 53), (EXAMPLE, 53)] {
        let send = |task| split(&large_udp((task, 5353), to), 7, 1480);
        let (first, second) = (send(one), send(three));
        let (mut one_out, mut three_out) = (Vec::new(), Vec::new());
        for (a, b) in first.iter().zip(&second) {
            one_out.push(world.push(world.device_of(one), a, VnetHeader::default()).bytes);
            three_out.push(world.push(world.device_of(three), b, VnetHeader::default()).bytes);
        }
        let (a, b) = (joined(&one_out), joined(&three_out));
        assert_checksums(&a);
        assert_checksums(&b);
        assert_eq!(source(&a), source(&b));
        assert_ne!(identification_of(&a), identification_of(&b), "the identification");
    }
}

#[test]
fn fragments_follow_their_flow_through_a_reload() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let fragments = split(&large_udp((web, 5353), (DB, 53)), 7, 1480);
    world.step(world.device_of(web), &fragments[0], 1).forwarded();
    world.reload(&with(LAB, r#"{ protocol = "udp", ports = "53", from = "sg-app" },"#, ""));
    world.step(world.device_of(web), &fragments[1], 0).forwarded();
    let deny = "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\n";
    let home = "cidr = \"10.0.1.0/24\"";
    world.reload(&(with(LAB, home, &format!("{home}\nnetwork_acl = \"acl\"")) + deny));
    assert_eq!(world.refuses(&fragments[2]), Reason::NaclEgressImplicitDeny);
}

#[test]
fn errors_in_fragments_are_dropped() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&udp(web, 5353, (DB, 53)));
    let error = builder::icmp_error(DB, ENI_A, 3, 3, &[datagram(out, &[]), vec![0; 100]].concat());
    for fragment in split(&error, 7, 64) {
        assert_eq!(world.stays_out(link, &fragment), Reason::Fragment);
    }
}

/// Checklist U14: incomplete datagrams must neither fill the memory nor stop complete ones.
#[test]
fn ten_thousand_unfinished_datagrams_do_not_stop_the_next_one() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    for n in 0..10_000_u16 {
        let first = split(&large_udp((web, 5353), (DB, 53)), n, 1480).remove(0);
        let seen = world.push(world.device_of(web), &first, VnetHeader::default());
        assert!(matches!(seen.verdict, Verdict::Forward { .. }), "{seen:?}");
    }
    assert_eq!(world.engine.flows().len(), 1);
    let next = split(&large_udp((web, 5353), (DB, 53)), 10_000, 1480);
    pass(&world, world.device_of(web), &next);
}
