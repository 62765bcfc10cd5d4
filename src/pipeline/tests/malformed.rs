//! Octets that are no packet, fragments, and the list of reasons with who covers each.

use super::world::*;
use crate::packet::{VnetHeader, builder};
use crate::pipeline::{Reason, Verdict};

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
    echo[22] ^= 1;
    let device = world.device_of(web);
    for (bytes, reason) in [
        (Vec::new(), Reason::MalformedTruncated),
        (good[..19].to_vec(), Reason::MalformedTruncated),
        (edited(&|b| b[0] = 0x65), Reason::Ipv6),
        (edited(&|b| b[0] = 0x75), Reason::MalformedVersion),
        (edited(&|b| b[0] = 0x44), Reason::MalformedHeaderLength),
        (edited(&|b| b[3] += 1), Reason::MalformedTotalLength),
        (edited(&|b| b[10] ^= 1), Reason::MalformedHeaderChecksum),
        (edited(&|b| b[32] = 0x40), Reason::MalformedL4),
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

/// Surprise 17: TCP and ICMP fragments die at a NAT gateway. This version follows no fragments at all, and says so.
#[test]
fn fragments_are_not_followed() {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    for packet in [syn(web, 1, (EXAMPLE, 443)), udp(web, 1, (EXAMPLE, 53)), ping(web, EXAMPLE, 1)] {
        for flags in [0x20, 0x00] {
            let mut packet = with_octet(packet.clone(), 6, flags);
            if flags == 0 {
                packet = with_octet(packet, 7, 10);
            }
            let seen = world.push(world.device_of(web), &packet, VnetHeader::default());
            assert_eq!(seen.reason(), Some(Reason::Fragment));
        }
    }
}

/// Drops are counted by reason and told apart by rule, service and destination; there is an end to the rows.
#[test]
fn drops_are_counted_in_rows() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    for _ in 0..3 {
        assert_eq!(world.refuses(&syn(web, 1, (EXAMPLE, 80))), Reason::SgEgressImplicitDeny);
    }
    let rows = world.engine.drops().rows();
    let [(key, count)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((count.packets, key.port, key.destination, key.source), (3, 80, EXAMPLE, web));
    assert_eq!(key.service, Some(world.snapshot.task(web).unwrap().service));
    for port in 1000..6000 {
        world.push(world.device_of(web), &syn(web, 1, (EXAMPLE, port)), VnetHeader::default());
    }
    assert_eq!(world.engine.drops().rows().len(), 4096);
    assert_eq!(world.engine.drops().beyond_rows(), 5003 - 3 - 4095);
    assert_eq!(world.engine.drops().packets(Reason::SgEgressImplicitDeny), 5003);
}
