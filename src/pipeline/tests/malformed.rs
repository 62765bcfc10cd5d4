//! Tests bytes that are no packet, and the counts of drops.

use super::world::*;
use crate::packet::field::{icmp as icmp_field, ipv4, tcp as tcp_field};
use crate::packet::ipv6::of_task;
use crate::packet::{Tuple, VnetHeader, builder};
use crate::pipeline::{Device, Reason, Verdict};
use crate::vpc::{RuleRef, ServiceIx};
use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::time::Duration;

#[test]
fn every_kind_of_damage_has_its_reason() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    let good = syn(web, 1, (EXAMPLE, 443));
    let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        edit(&mut bytes);
        bytes
    };
    let mut echo = ping(web, EXAMPLE, 1);
    echo[ipv4::MIN_LEN + icmp_field::CHECKSUM] ^= 1;
    let device = world.device_of(web);
    for (bytes, reason) in [
        (Vec::new(), Reason::MalformedTruncated),
        (good[..ipv4::MIN_LEN - 1].to_vec(), Reason::MalformedTruncated),
        (edited(&|b| b[0] = 0x65), Reason::Ipv6),
        (edited(&|b| b[0] = 0x75), Reason::MalformedVersion),
        (edited(&|b| b[0] = 0x44), Reason::MalformedHeaderLength),
        (edited(&|b| b[ipv4::TOTAL_LEN + 1] += 1), Reason::MalformedTotalLength),
        (edited(&|b| b[ipv4::CHECKSUM] ^= 1), Reason::MalformedHeaderChecksum),
        (edited(&|b| b[ipv4::MIN_LEN + tcp_field::DATA_OFFSET] = 0x40), Reason::MalformedL4),
        (echo, Reason::MalformedIcmpChecksum),
        (builder::icmp_error(web, EXAMPLE, 3, 3, &good[..27]), Reason::MalformedQuote),
    ] {
        let before = world.engine.drops().packets(reason);
        let seen = world.push(device, &bytes, VnetHeader::default());
        assert_eq!(seen.reason(), Some(reason));
        assert!(matches!(seen.verdict, Verdict::Drop { .. }));
        assert_eq!(world.engine.drops().packets(reason), before + 1);
    }
    let vnet = VnetHeader { flags: 1, csum_start: 20, csum_offset: 6, ..VnetHeader::default() };
    assert_eq!(world.push(device, &good, vnet).reason(), Some(Reason::MalformedVnetHeader));
}

/// A row for each destination, and an answer; a packet that another task could have sent, or none,
/// belongs to neither.
#[test]
fn ipv6_of_a_task_is_its_own_drop_and_is_answered() {
    const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let world = World::new(LAB);
    let web = world.task("web", 1);
    let device = world.device_of(web);
    let datagram = |source: Ipv6Addr, to: Ipv6Addr| {
        let mut packet = Vec::new();
        let builder = etherparse::PacketBuilder::ipv6(source.octets(), to.octets(), 64);
        builder.udp(5000, 53).write(&mut packet, b"hello").unwrap();
        packet
    };
    let own = of_task(web);
    let seen = world.push(device, &datagram(own, HOST), VnetHeader::default());
    let (len, reason) = (48 + 53, Reason::Ipv6);
    assert_eq!(seen.verdict, Verdict::Reply { len, reason, decided_by: RuleRef::Packet });
    let [(key, count)] = world.engine.drops().rows()[..] else { panic!("not one row") };
    assert_eq!((key.source, key.destination, key.port), (web, HOST.into(), 53));
    assert_eq!((key.protocol, count.packets), (17, 1));
    assert_eq!(key.service, Some(world.snapshot.task(web).unwrap().service));
    // A packet to a group is not answered, although its sender is known.
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let seen = world.push(device, &datagram(own, all), VnetHeader::default());
    assert!(matches!(seen.verdict, Verdict::Drop { reason: Reason::Ipv6, .. }));
    let whose = |service: &Option<ServiceIx>| {
        world.engine.drops().rows().iter().filter(|(key, _)| key.service == *service).count()
    };
    assert_eq!((whose(&key.service), whose(&None)), (2, 0));
    for (device, source) in [(device, HOST), (Device::AppRunner, own)] {
        let seen = world.push(device, &datagram(source, HOST), VnetHeader::default());
        assert!(matches!(seen.verdict, Verdict::Drop { reason: Reason::Ipv6, .. }));
    }
    assert_eq!((whose(&key.service), whose(&None)), (2, 2));
}

/// Drops are counted by reason and told apart by rule, service and destination; the rows are
/// bounded.
#[test]
fn drops_are_counted_in_rows() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    for _ in 0..3 {
        assert_eq!(world.refuses(&syn(web, 1, (EXAMPLE, 80))), Reason::SgEgressImplicitDeny);
    }
    let rows = world.engine.drops().rows();
    let [(key, count)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(
        (count.packets, key.port, key.destination, key.source),
        (3, 80, EXAMPLE.into(), web)
    );
    assert_eq!(key.service, Some(world.snapshot.task(web).unwrap().service));
    for port in 1000..6000 {
        world.push(world.device_of(web), &syn(web, 1, (EXAMPLE, port)), VnetHeader::default());
    }
    assert_eq!(world.engine.drops().rows().len(), 4096);
    assert_eq!(world.engine.drops().packets(Reason::SgEgressImplicitDeny), 5003);
    let listed: u64 = world.engine.drops().rows().iter().map(|(_, count)| count.packets).sum();
    assert_eq!(world.engine.drops().beyond_rows(), 5003 - listed);
}

/// A port scan must not hide later drops, nor those that continue.
#[test]
fn regression_the_row_that_was_seen_last_the_longest_ago_makes_room() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let ports = |world: &World| -> HashSet<u16> {
        world.engine.drops().rows().iter().map(|(key, _)| key.port).collect()
    };
    let denied = |world: &mut World, port| {
        world.advance(Duration::from_millis(1));
        world.push(world.device_of(web), &syn(web, 1, (EXAMPLE, port)), VnetHeader::default());
    };
    for port in 1000..1000 + 3 * 4096 {
        denied(&mut world, port);
        denied(&mut world, 80);
    }
    let left = ports(&world);
    assert_eq!(left.len(), 4096);
    assert!(left.contains(&80), "it goes on happening");
    assert!(left.contains(&(999 + 3 * 4096)), "the newest");
    assert!(!left.contains(&1000), "the oldest");
}

/// A row of replies is told apart by the two ends, as the task sees them: not by the port that a
/// NAT took.
#[test]
fn regression_replies_of_many_flows_to_one_server_share_a_row() {
    let lab = with(LAB, "cidr = \"10.0.1.0/24\"", "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl\"")
        + "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\negress = [{ rule = 1, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]\n";
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    for port in 1..=20 {
        let (out, link) = world.opens(&syn(web, port, (EXAMPLE, 443)));
        assert_eq!(world.stays_out(link, &answer(out)), Reason::NaclReturnImplicitDeny);
        let never = Tuple { dport: 80, ..out };
        assert_eq!(world.stays_out(link, &answer(never)), Reason::Unsolicited);
    }
    let rows = world.engine.drops().rows();
    assert_eq!(rows.len(), 2, "{rows:?}");
    let row = |reason| rows.iter().find(|(key, _)| key.reason == reason).unwrap();
    let (key, count) = row(Reason::NaclReturnImplicitDeny);
    assert_eq!((key.source, key.destination, key.port), (EXAMPLE, web.into(), 443));
    assert_eq!(key.service, Some(world.snapshot.task(web).unwrap().service));
    assert_eq!(count.packets, 20);
    let (key, count) = row(Reason::Unsolicited);
    assert_eq!((key.source, key.destination, key.port), (EXAMPLE, NAT_PUBLIC.into(), 0));
    assert_eq!((key.service, count.packets), (None, 20));
}
