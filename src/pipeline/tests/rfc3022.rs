//! What a translation does to a packet besides addresses and ports: checksums, TTL, options (RFC 3022 4.1).

use super::world::*;
use crate::packet::VnetHeader;
use crate::pipeline::Link;
use std::time::Duration;

/// RFC 3022 4.1: a datagram without a checksum has none afterwards, in either direction; one with a checksum never gets
/// the zero that would say it has none.
#[test]
fn a_datagram_without_a_checksum_has_none_afterwards() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let mut bare = udp(web, 5353, (EXAMPLE, 53));
    bare[26..28].fill(0);
    let seen = world.step(world.device_of(web), &bare, 1);
    assert_eq!(seen.bytes[26..28], [0, 0]);
    let mut reply = answer(seen.forwarded().0);
    reply[26..28].fill(0);
    let back = world.arrive(Link::Internet, &reply, 0);
    assert_eq!(back.bytes[26..28], [0, 0]);
    // Of so many payloads, some sum up to zero under the NAT's address.
    for word in 0..=u16::MAX {
        let mut packet = udp(web, 5353, (EXAMPLE, 53));
        packet[28..30].copy_from_slice(&word.to_be_bytes());
        packet[26..28].fill(0);
        let pseudo = crate::packet::checksum::pseudo_header(web, EXAMPLE, 17, 13);
        let sum = match pseudo.bytes(&packet[20..]).checksum() {
            0 => 0xffff,
            sum => sum,
        };
        packet[26..28].copy_from_slice(&sum.to_be_bytes());
        let seen = world.push(world.device_of(web), &packet, VnetHeader::default());
        assert_ne!(seen.bytes[26..28], [0, 0], "{word:#x}");
    }
}

/// RFC 3022: a packet with options is translated behind them, and they stay.
#[test]
fn options_stay_where_they_are() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    for (flows, packet) in [
        (1, udp(web, 5353, (EXAMPLE, 53))),
        (1, syn(web, 40_000, (EXAMPLE, 443))),
        (1, ping(web, EXAMPLE, 7)),
    ] {
        let options = [0x94, 4, 0, 0, 1, 1, 1, 0];
        let mut packet = [&packet[..20], &options, &packet[20..]].concat();
        packet[0] = 0x47;
        packet[3] += 8;
        fix_ip_checksum(&mut packet);
        let seen = world.step(world.device_of(web), &packet, flows);
        assert_eq!((source(&seen.bytes), &seen.bytes[20..28]), (NAT_PUBLIC, &options[..]));
        assert_checksums(&seen.bytes);
        world.comes_back(Link::Internet, &answer(seen.forwarded().0));
    }
}

/// RFC 3022: the NAT is a router, so the TTL goes down by one, each way.
#[test]
fn the_ttl_goes_down_by_one_each_way() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let seen = world.step(world.device_of(web), &with_ttl(udp(web, 5353, (EXAMPLE, 53)), 64), 1);
    assert_eq!(seen.bytes[8], 63);
    world.advance(Duration::from_secs(1));
    let reply = with_ttl(answer(seen.forwarded().0), 33);
    assert_eq!(world.arrive(Link::Internet, &reply, 0).bytes[8], 32);
}
