//! Compares tc's deliveries with the engine's links.

use super::generator::{self, Tape};
use super::world::*;
use crate::packet::VnetHeader;
use crate::pipeline::delivery::deliveries;
use crate::pipeline::{Device, Link, Verdict};
use ipnetwork::Ipv4Network;
use proptest::prelude::*;
use std::net::Ipv4Addr;

/// Finds the link as the kernel does: the longest prefix that contains the destination wins.
fn delivered(table: &[(Ipv4Network, Link)], to: Ipv4Addr) -> Option<Link> {
    let holding = table.iter().filter(|(prefix, _)| prefix.contains(to));
    holding.max_by_key(|(prefix, _)| prefix.prefix()).map(|(_, link)| *link)
}

fn destination_in(world: &World) -> Vec<Ipv4Addr> {
    let spec = &world.lab.spec;
    let resources = spec.resources.iter().map(|r| r.address.value);
    let public = spec.resources.iter().filter_map(|r| r.public_ip.as_ref()).map(|at| at.value);
    let resources = resources.chain(public);
    let prefixes = world.snapshot.parts().route_tables.iter().flat_map(|table| table.prefixes());
    let edges = prefixes.flat_map(|p| [p.network(), p.broadcast(), p.nth(p.size() / 2).unwrap()]);
    let exempt = [[169, 254, 169, 253], [169, 254, 169, 123], [169, 254, 170, 2], [10, 0, 0, 2]];
    let others = [EXAMPLE, Ipv4Addr::new(8, 8, 8, 8)];
    resources.chain(edges).chain(others).chain(exempt.map(Ipv4Addr::from)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_is_delivered_by_the_link_that_the_engine_says(
        tape in proptest::collection::vec(any::<u8>(), 0..900),
        ports in proptest::collection::vec(1..u16::MAX, 1..4),
    ) {
        let world = World::new(&generator::lab(&mut Tape::new(&tape)));
        for task in world.tasks().collect::<Vec<_>>() {
            let device = world.device_of(task);
            let table = deliveries(&world.snapshot, device);
            for to in destination_in(&world) {
                for &port in &ports {
                    for bytes in [syn(task, port, (to, 443)), udp(task, port, (to, 53)), ping(task, to, port)] {
                        let seen = world.push(device, &bytes, VnetHeader::default());
                        let Verdict::Forward { link, .. } = seen.verdict else { continue };
                        prop_assert_eq!(delivered(&table, destination(&seen.bytes)), Some(link), "{} of {:?}", to, table);
                        // Its answer to the other side leaves by the device to which the other
                        // side's packets come.
                        let out = seen.tuple.unwrap();
                        let back = deliveries(&world.snapshot, world.device_toward(link, out.src));
                        prop_assert_eq!(delivered(&back, to), Some(link), "{:?} back to {}", out.protocol, to);
                    }
                }
            }
        }
    }
}

#[test]
fn the_lab_of_these_tests() {
    let world = World::new(LAB);
    let vpc = Link::Vpc(crate::vpc::VpcIx(0));
    let table = |device| deliveries(&world.snapshot, device);
    for eni in
        [world.device_of(world.task("web", 1)), Device::NatGateway(crate::vpc::NatGatewayIx(0))]
    {
        assert_eq!(delivered(&table(eni), DB), Some(vpc));
        assert_eq!(delivered(&table(eni), EXAMPLE), Some(Link::Internet));
    }
    let mut apprunner = table(Device::AppRunner);
    apprunner.retain(|(prefix, _)| prefix.prefix() < 32);
    assert_eq!(apprunner, [("0.0.0.0/0".parse().unwrap(), Link::Internet)]);
    let [metadata, resolver] = [[169, 254, 170, 2], [10, 0, 0, 2]].map(Ipv4Addr::from);
    let web = world.device_of(world.task("web", 1));
    assert_eq!(delivered(&table(web), metadata), Some(Link::Services));
    assert_eq!(delivered(&table(web), resolver), Some(Link::Services));
    assert_eq!(delivered(&table(Device::AppRunner), metadata), Some(Link::Services));
    assert_eq!(delivered(&table(Device::AppRunner), resolver), Some(Link::Internet));
    let nat = Device::NatGateway(crate::vpc::NatGatewayIx(0));
    assert_eq!(delivered(&table(nat), metadata), Some(Link::Internet), "no task is behind it");
    let without = World::new(&with(LAB, r#"{ destination = "0.0.0.0/0", target = "igw" }"#, ""));
    let web = without.device_of(without.task("web", 1));
    let table = deliveries(&without.snapshot, web);
    assert_eq!(
        delivered(&table, EXAMPLE),
        None,
        "the NAT gateway behind it has no way out: {table:?}"
    );
}
