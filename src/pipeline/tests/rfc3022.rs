//! Tests the changes of a translation besides addresses and ports: checksums, TTL, options
//! (RFC 3022 4.1).

use super::world::*;
use crate::packet::VnetHeader;
use crate::packet::field::{ipv4, put_u16, u16_at, udp as udp_field};
use crate::pipeline::Link;
use std::time::Duration;

/// Offset of the checksum of a datagram.
const CHECKSUM: usize = ipv4::MIN_LEN + udp_field::CHECKSUM;

/// RFC 3022 4.1: a datagram without a checksum has none afterwards, in either direction; one with a
/// checksum never gets the zero that means none.
#[test]
fn a_datagram_without_a_checksum_has_none_afterwards() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let mut bare = udp(web, 5353, (EXAMPLE, 53));
    put_u16(&mut bare, CHECKSUM, 0);
    let seen = world.step(world.device_of(web), &bare, 1);
    assert_eq!(u16_at(&seen.bytes, CHECKSUM), 0);
    let mut reply = answer(seen.forwarded().0);
    put_u16(&mut reply, CHECKSUM, 0);
    let back = world.arrive(Link::Internet, &reply, 0);
    assert_eq!(u16_at(&back.bytes, CHECKSUM), 0);
    // With this many payloads, some sum up to zero under the NAT's address.
    for word in 0..=u16::MAX {
        let mut packet = udp(web, 5353, (EXAMPLE, 53));
        put_u16(&mut packet, ipv4::MIN_LEN + udp_field::HEADER_LEN, word);
        put_u16(&mut packet, CHECKSUM, 0);
        let pseudo = crate::packet::checksum::pseudo_header(web, EXAMPLE, 17, 13);
        let sum = match pseudo.bytes(&packet[ipv4::MIN_LEN..]).checksum() {
            0 => 0xffff,
            sum => sum,
        };
        put_u16(&mut packet, CHECKSUM, sum);
        let seen = world.push(world.device_of(web), &packet, VnetHeader::default());
        assert_ne!(u16_at(&seen.bytes, CHECKSUM), 0, "{word:#x}");
    }
}

/// RFC 3022: a packet with options is translated after them, and they stay.
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
        let mut packet = [&packet[..ipv4::MIN_LEN], &options, &packet[ipv4::MIN_LEN..]].concat();
        packet[ipv4::VERSION_AND_LENGTH] = ipv4::first_byte(28);
        packet[ipv4::TOTAL_LEN + 1] += 8;
        fix_ip_checksum(&mut packet);
        let seen = world.step(world.device_of(web), &packet, flows);
        assert_eq!(
            (source(&seen.bytes), &seen.bytes[ipv4::MIN_LEN..28]),
            (NAT_PUBLIC, &options[..])
        );
        assert_checksums(&seen.bytes);
        world.comes_back(Link::Internet, &answer(seen.forwarded().0));
    }
}

/// RFC 3022: the NAT is a router, so it decrements the TTL by one, each way.
#[test]
fn the_ttl_goes_down_by_one_each_way() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let seen = world.step(world.device_of(web), &with_ttl(udp(web, 5353, (EXAMPLE, 53)), 64), 1);
    assert_eq!(seen.bytes[ipv4::TTL], 63);
    world.advance(Duration::from_secs(1));
    let reply = with_ttl(answer(seen.forwarded().0), 33);
    assert_eq!(world.arrive(Link::Internet, &reply, 0).bytes[ipv4::TTL], 32);
}
