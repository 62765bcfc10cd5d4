//! Tests a NAT gateway with several addresses: new flows take them in turn (checklist U2, 7857-4).

use super::world::*;
use crate::flow::Space;
use crate::packet::Outside;
use crate::pipeline::{Link, Reason};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const PUBLIC: &str = "public_ip = \"198.51.100.7\"";
const SECOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);
const THIRD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
/// A server besides the lab's own.
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn three_addresses() -> String {
    with(
        LAB,
        PUBLIC,
        "public_ip = \"198.51.100.7\"\nsecondary_public_ips = [\"198.51.100.8\", \"198.51.100.9\"]",
    )
}

fn limited(text: &str, per_destination: u32) -> String {
    format!("{text}\n[limits]\nnat_connections_per_destination = {per_destination}\n")
}

/// Returns the public address of a new flow.
#[track_caller]
fn shown(world: &mut World, sport: u16, to: (Ipv4Addr, u16)) -> Ipv4Addr {
    world.opens(&syn(world.task("web", 1), sport, to)).0.src
}

/// U2 and 7857-4: AWS does not document how its addresses are shared out; egret does not pair a
/// task with one.
#[test]
fn u2_and_7857_4_new_flows_take_the_addresses_in_turn_whatever_the_task_and_the_server() {
    let run = || {
        let mut world = World::new(&with_hosts(&three_addresses(), &[OTHER]));
        let other = world.task("web", 3);
        let mut seen =
            vec![shown(&mut world, 1, (EXAMPLE, 443)), shown(&mut world, 2, (EXAMPLE, 443))];
        seen.push(world.opens(&syn(other, 1, (EXAMPLE, 443))).0.src);
        seen.push(shown(&mut world, 3, (OTHER, 443)));
        seen
    };
    assert_eq!(run(), [NAT_PUBLIC, SECOND, THIRD, NAT_PUBLIC]);
    assert_eq!(run(), run(), "the same packets, the same addresses");
}

#[test]
fn every_address_takes_its_own_replies_and_a_flow_keeps_its_address() {
    let mut world = World::new(&three_addresses());
    let web = world.task("web", 1);
    for sport in 1..=3 {
        let (out, link) = world.connects(web, sport, (EXAMPLE, 443));
        let again = world.passes(&tcp(web, sport, (EXAMPLE, 443), ACK, 101, 501)).0;
        assert_eq!((again, link), (out, Link::Internet));
        let wrong =
            segment(crate::packet::Tuple { dst: APP_RUNNER, ..out.reversed() }, ACK, 501, 101);
        assert_eq!(world.stays_out(Link::Internet, &wrong), Reason::Unsolicited);
    }
    for address in [NAT_PUBLIC, SECOND, THIRD] {
        assert_eq!(world.leased(Space::INTERNET, address), 1, "{address}");
    }
}

#[test]
fn an_address_whose_ports_are_taken_is_passed_over_and_only_the_last_port_of_all_is_the_end() {
    let mut world = World::new(&limited(&with_hosts(&three_addresses(), &[OTHER]), 2));
    let mut seen: BTreeMap<Ipv4Addr, u32> = BTreeMap::new();
    for sport in 1..=6 {
        *seen.entry(shown(&mut world, sport, (EXAMPLE, 443))).or_default() += 1;
    }
    assert_eq!(seen, BTreeMap::from([(NAT_PUBLIC, 2), (SECOND, 2), (THIRD, 2)]));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 7, (EXAMPLE, 443))), Reason::NatPortsExhausted);
    world.opens(&syn(web, 7, (OTHER, 443)));
}

/// A free port of any address is found, whichever address is next.
#[test]
fn the_one_free_port_of_eight_addresses_is_found_in_every_turn() {
    let secondary: Vec<String> =
        (1..=7).map(|last| format!("\"203.0.113.{}\"", 200 + last)).collect();
    let lab = format!("{PUBLIC}\nsecondary_public_ips = [{}]", secondary.join(", "));
    let mut world = World::new(&limited(&with(LAB, PUBLIC, &lab), 1));
    let web = world.task("web", 1);
    let all: Vec<_> =
        (1..=8).map(|sport| world.opens(&syn(web, sport, (EXAMPLE, 443))).0).collect();
    for (sport, out) in (1..=8).zip(all) {
        world.passes(&tcp(web, sport, (EXAMPLE, 443), RST, 101, 0));
        world.advance(std::time::Duration::from_secs(3));
        world.sweep_ends(1);
        let next = world.opens(&syn(web, sport, (EXAMPLE, 443))).0;
        assert_eq!(next.src, out.src);
    }
}

#[test]
fn explain_says_whose_turn_it_is_and_does_not_end_it() {
    let mut world = World::new(&three_addresses());
    let web = world.task("web", 1);
    for sport in 1..=4 {
        let packet = syn(web, sport, (EXAMPLE, 443));
        let reported: Vec<_> = (0..3).map(|_| world.explain(&packet).outside).collect();
        let sent = world.opens(&packet).0;
        assert_eq!(reported, [Some(Outside::new(sent)); 3]);
    }
}

/// The counts belong to one gateway, whichever address a flow has.
#[test]
fn a_path_is_the_gateway_and_not_an_address() {
    let mut world = World::new(&three_addresses());
    let web = world.task("web", 1);
    (1..=3).for_each(|sport| {
        world.opens(&syn(web, sport, (EXAMPLE, 443)));
    });
    let tallies = world.engine.tallies(&world.snapshot);
    let sent: Vec<u64> = tallies.iter().map(|(_, tally)| tally.sent.packets()).collect();
    assert_eq!(sent, [3]);
    assert!(tallies.iter().all(|(path, _)| path.nat_gateway.is_some()));
}

#[test]
fn a_flow_whose_address_is_taken_away_ends_and_the_others_go_on() {
    let mut world = World::new(&three_addresses());
    let web = world.task("web", 1);
    let first = world.connects(web, 1, (EXAMPLE, 443)).0;
    world.connects(web, 2, (EXAMPLE, 443));
    world.reload(LAB);
    assert_eq!(world.passes(&tcp(web, 1, (EXAMPLE, 443), ACK, 101, 501)).0, first);
    assert_eq!(
        world.drops_with(&tcp(web, 2, (EXAMPLE, 443), ACK, 101, 501), -1),
        Reason::FlowMoved
    );
    assert_eq!(world.leased(Space::INTERNET, SECOND), 0);
}

#[test]
fn a_packet_to_any_of_the_addresses_from_inside_is_a_hairpin() {
    let mut world = World::new(&three_addresses());
    let web = world.task("web", 1);
    for address in [NAT_PUBLIC, SECOND, THIRD] {
        assert_eq!(world.refuses(&syn(web, 1, (address, 443))), Reason::NatHairpin, "{address}");
    }
    for private in ["10.0.0.4", "10.0.0.5", "10.0.0.6"] {
        let to = (private.parse().unwrap(), 443);
        assert_eq!(world.refuses(&syn(web, 1, to)), Reason::NatAddress, "{private}");
    }
}
