//! Tests port pools under stress: nearly full, full, in churn, and the counts of them (checklist
//! section 5, 7857-3, 7857-8).

use super::world::*;
use crate::flow::Space;
use crate::packet::{Tuple, VnetHeader};
use crate::pipeline::{Device, Link, NatMetrics, Reason, Verdict};
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Returns a lab with limits of its own; the ENIs' do not matter unless `eni` sets one.
fn lab(per_destination: u32, eni: u32) -> String {
    let lab = with_hosts(LAB, &[OTHER]);
    format!(
        "{lab}\n[limits]\nnat_connections_per_destination = {per_destination}\neni_connections = {eni}\n"
    )
}

/// Begins the `n`th flow to a server, of task 1 or 3, which share an ENI. The ledger does not check
/// it: there are many of them.
fn nth(world: &World, n: u32, to: (Ipv4Addr, u16)) -> Result<Tuple, Reason> {
    let task = world.task("web", if n.is_multiple_of(2) { 1 } else { 3 });
    let sport = 1024 + u16::try_from(n / 2).unwrap();
    let seen = world.push(world.device_of(task), &syn(task, sport, to), VnetHeader::default());
    match seen.verdict {
        Verdict::Forward { .. } => Ok(seen.tuple.unwrap()),
        Verdict::Reply { reason, .. } | Verdict::Drop { reason, .. } => Err(reason),
        Verdict::Hold => panic!("no fragment"),
    }
}

/// Ends the flow with this tuple, by a reset from outside.
fn reset(world: &World, out: Tuple) {
    let rst = segment(out.reversed(), RST.with(ACK), 0, 101);
    let gateway = world.device_toward(Link::Internet, out.src);
    let seen = world.push(gateway, &rst, VnetHeader::default());
    assert!(matches!(seen.verdict, Verdict::Forward { .. }), "{seen:?}");
}

fn metrics(world: &World) -> NatMetrics {
    world.engine.nat_metrics(world.now, &world.snapshot)[0]
}

/// Sections 5.3 and 5.4: all but 1 % of AWS's 55,000 taken. Every port that is left is given, each
/// at the first attempt.
#[test]
fn inv_5_3_a_destination_that_is_99_percent_full_fails_never_while_a_port_is_free() {
    let world = World::new(&lab(55_000, 10_000_000));
    let mut ports = HashSet::new();
    for n in 0..55_000 {
        let out = nth(&world, n, (EXAMPLE, 443)).unwrap();
        assert!(ports.insert(out.sport), "{} twice", out.sport);
    }
    assert_eq!(nth(&world, 55_000, (EXAMPLE, 443)), Err(Reason::NatPortsExhausted));
    // 5.4: another destination, another port and another protocol have ports of their own.
    let web = world.task("web", 1);
    for packet in [syn(web, 1, (OTHER, 443)), udp(web, 1, (EXAMPLE, 53)), ping(web, EXAMPLE, 1)] {
        let seen = world.push(world.device_of(web), &packet, VnetHeader::default());
        assert!(matches!(seen.verdict, Verdict::Forward { .. }), "{seen:?}");
    }
}

/// Checklist 5.2: ten times as many flows as the limit, each begun as another ends.
#[test]
fn inv_5_2_ten_times_the_limit_in_churn_works_and_leaks_nothing() {
    let mut world = World::new(&lab(100, 100));
    let mut live = std::collections::VecDeque::new();
    for n in 0..1_000 {
        if live.len() == 100 {
            reset(&world, live.pop_front().unwrap());
            // The closing timer is 2 s, and the quarantine 1 s.
            world.advance(Duration::from_secs(3));
            world.engine.sweep(world.now, &world.snapshot);
            keep(&world, &live);
        }
        live.push_back(nth(&world, n, (EXAMPLE, 443)).unwrap_or_else(|e| panic!("{n}: {e:?}")));
    }
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 100);
    world.advance(Duration::from_secs(1_000));
    world.engine.sweep(world.now, &world.snapshot);
    world.advance(Duration::from_secs(1_000));
    world.engine.sweep(world.now, &world.snapshot);
    let left = world.engine.census();
    let ports: Vec<_> = left
        .0
        .keys()
        .filter(|name| {
            ["ports", "pooled", "resting", "taken", "destinations"]
                .iter()
                .any(|w| name.starts_with(w))
        })
        .collect();
    assert!(ports.is_empty(), "{ports:?}");
}

/// Keeps every flow from its idle timeout: each passes a packet of its own.
fn keep(world: &World, live: &std::collections::VecDeque<Tuple>) {
    for out in live {
        let data = segment(out.reversed(), ACK, 501, 101);
        let gateway = world.device_toward(Link::Internet, out.src);
        let seen = world.push(gateway, &data, VnetHeader::default());
        assert!(matches!(seen.verdict, Verdict::Forward { .. }), "{seen:?}");
    }
}

/// Every way in which a flow may end gives its ports back: expiry, reset, a task that is removed, a
/// configuration that moves it, a packet that is refused after the ENI gave it a port.
#[test]
fn nothing_leaks_whichever_way_a_flow_ends() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let eni = world.snapshot.space(crate::vpc::VpcIx(0));
    let leased =
        |world: &World| (world.leased(eni, ENI_A), world.leased(Space::INTERNET, NAT_PUBLIC));
    // Refused by the internet gateway, after both NATs.
    assert_eq!(world.refuses(&syn(web, 1, (NAT_PUBLIC, 443))), Reason::NatHairpin);
    assert_eq!(leased(&world), (0, 0));
    // Expired.
    world.opens(&syn(web, 1, (EXAMPLE, 443)));
    assert_eq!(leased(&world), (1, 1));
    world.advance(Duration::from_secs(61));
    world.sweep_ends(1);
    assert_eq!(leased(&world), (0, 0));
    // Reset.
    let out = world.opens(&syn(web, 2, (EXAMPLE, 443))).0;
    world.comes_back(Link::Internet, &segment(out.reversed(), RST.with(ACK), 0, 101));
    world.advance(Duration::from_secs(3));
    world.sweep_ends(1);
    assert_eq!(leased(&world), (0, 0));
    // Walked again: kept, and then moved.
    world.connects(web, 3, (EXAMPLE, 443));
    world.reload(LAB);
    world.passes(&tcp(web, 3, (EXAMPLE, 443), ACK, 101, 501));
    assert_eq!(leased(&world), (1, 1));
    world.reload(&with(LAB, "public_ip = \"198.51.100.7\"", "public_ip = \"198.51.100.8\""));
    assert_eq!(
        world.drops_with(&tcp(web, 3, (EXAMPLE, 443), ACK, 101, 501), -1),
        Reason::FlowMoved
    );
    assert_eq!(leased(&world), (0, 0));
    // The task is removed.
    world.opens(&syn(web, 4, (EXAMPLE, 443)));
    assert_eq!(world.engine.forget_task(world.now, &world.snapshot, web), 1);
    world.flows_end(1);
    assert_eq!(leased(&world), (0, 0));
}

/// A port that was on the wire rests for the quarantine, so that a late packet of the old flow does
/// not reach the new one.
#[test]
fn a_port_rests_before_another_flow_to_the_same_destination_has_it() {
    let lab =
        lab(55_000, 65_000).replace("[limits]", "[timeouts]\nport_quarantine = \"10s\"\n[limits]");
    let mut world = World::new(&lab);
    let mut removed = HashSet::new();
    for n in 0..200 {
        let out = nth(&world, n, (EXAMPLE, 443)).unwrap();
        removed.insert(out.sport);
        reset(&world, out);
    }
    world.advance(Duration::from_secs(3));
    assert_eq!(world.engine.sweep(world.now, &world.snapshot), 200);
    for n in 200..2_200 {
        let out = nth(&world, n, (EXAMPLE, 443)).unwrap();
        assert!(!removed.contains(&out.sport), "{}", out.sport);
    }
}

/// 7857-3, and AWS's documentation: 55,000 for each destination. One Elastic IP, two destinations.
#[test]
fn rfc_7857_3_sixty_thousand_flows_over_two_destinations_with_one_address() {
    let world = World::new(&lab(55_000, 10_000_000));
    let mut seen = HashSet::new();
    for n in 0..60_000 {
        let to = if n < 30_000 { (EXAMPLE, 443) } else { (OTHER, 443) };
        let out = nth(&world, n, to).unwrap_or_else(|e| panic!("{n}: {e:?}"));
        assert_eq!(out.src, NAT_PUBLIC);
        assert!(seen.insert((out.dst, out.sport)));
    }
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 60_000);
    let shared =
        (1024..=u16::MAX).filter(|p| seen.contains(&(EXAMPLE, *p)) && seen.contains(&(OTHER, *p)));
    assert!(shared.count() > 0, "one port serves both");
}

/// Returns the ports of 5,000 flows to one destination, in order.
fn drawn(seed: u64) -> Vec<u16> {
    let world = World::seeded(&lab(55_000, 65_000), seed);
    (0..5_000).map(|n| nth(&world, n, (EXAMPLE, 443)).unwrap().sport).collect()
}

/// 7857-8 and RFC 6056: a runs test and the entropy of the high byte show that the next port cannot
/// be guessed from the last.
#[test]
fn rfc_7857_8_ports_are_random_and_another_seed_gives_others() {
    for seed in [1, 2, 3] {
        let ports = drawn(seed);
        assert_eq!(ports, drawn(seed), "one seed, one order");
        let (z, bits) = (runs_test(&ports), entropy(&ports));
        assert!(z.abs() < 4.0, "seed {seed}: {z} standard deviations from random order");
        assert!(bits > 7.8, "seed {seed}: {bits} bits of 7.98 in the high byte");
    }
    let (one, two) = (drawn(1), drawn(2));
    let equal = one.iter().zip(&two).filter(|(a, b)| a == b).count();
    assert!(equal < 10, "{equal} of 5,000 ports are equal at the same place");
}

/// Returns, by Wald and Wolfowitz, how far the number of runs above and below the middle is from
/// that of random order, in standard deviations.
fn runs_test(ports: &[u16]) -> f64 {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    let middle = sorted[sorted.len() / 2];
    let above: Vec<bool> = ports.iter().map(|p| *p >= middle).collect();
    let runs = 1.0 + above.windows(2).filter(|w| w[0] != w[1]).count() as f64;
    let high = above.iter().filter(|a| **a).count() as f64;
    let low = above.len() as f64 - high;
    let all = high + low;
    let expected = 2.0 * high * low / all + 1.0;
    let variance = (expected - 1.0) * (expected - 2.0) / (all - 1.0);
    (runs - expected) / variance.sqrt()
}

fn entropy(ports: &[u16]) -> f64 {
    let mut counts: HashMap<u16, f64> = HashMap::new();
    ports.iter().for_each(|p| *counts.entry(p / 256).or_default() += 1.0);
    counts.values().map(|n| n / ports.len() as f64).map(|p| -p * p.log2()).sum()
}

/// Checklist 5.8: unsolicited packets change nothing.
#[test]
fn inv_5_8_unsolicited_packets_do_not_influence_later_ports() {
    let draw = |disturbed: bool| {
        let world = World::new(LAB);
        (0..50)
            .map(|n| {
                if disturbed {
                    let stray = Tuple {
                        src: EXAMPLE,
                        dst: NAT_PUBLIC,
                        sport: 443,
                        dport: 2000 + n as u16,
                        protocol: crate::packet::Protocol::Tcp,
                    };
                    let gateway = world.device_toward(Link::Internet, NAT_PUBLIC);
                    world.push(gateway, &segment(stray, SYN, 1, 0), VnetHeader::default());
                }
                nth(&world, n, (EXAMPLE, 443)).unwrap().sport
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(draw(true), draw(false));
}

/// Both limits are settings that apply from the packet after the reload on.
#[test]
fn limits_are_applied_at_once_on_a_reload() {
    let mut world = World::new(&lab(2, 65_000));
    let web = world.task("web", 1);
    world.opens(&syn(web, 1, (EXAMPLE, 443)));
    world.opens(&syn(web, 2, (EXAMPLE, 443)));
    assert_eq!(world.refuses(&syn(web, 3, (EXAMPLE, 443))), Reason::NatPortsExhausted);
    world.reload(&lab(3, 65_000));
    world.opens(&syn(web, 3, (EXAMPLE, 443)));
    world.reload(&lab(3, 3));
    assert_eq!(world.refuses(&syn(web, 4, (OTHER, 443))), Reason::EniPortsExhausted);
    world.reload(&lab(1, 65_000));
    assert_eq!(world.refuses(&syn(web, 4, (EXAMPLE, 443))), Reason::NatPortsExhausted);
    // Flows over the new limit stay.
    for sport in 1..=3 {
        world.passes(&tcp(web, sport, (EXAMPLE, 443), SYN, 100, 0));
    }
}

#[test]
fn exhaustion_is_counted_for_the_gateway_and_its_holders_are_listed() {
    let mut world = World::new(&lab(3, 65_000));
    let (one, three) = (world.task("web", 1), world.task("web", 3));
    world.opens(&syn(one, 1, (EXAMPLE, 443)));
    world.opens(&syn(three, 1, (EXAMPLE, 443)));
    world.opens(&syn(three, 2, (EXAMPLE, 443)));
    world.opens(&udp(one, 1, (EXAMPLE, 53)));
    for sport in 3..=6 {
        assert_eq!(world.refuses(&syn(three, sport, (EXAMPLE, 443))), Reason::NatPortsExhausted);
    }
    let seen = metrics(&world);
    assert_eq!((seen.error_port_allocation, seen.packets_drop_count), (4, 4));
    let fullest = &world.engine.port_holders(&world.snapshot)[0];
    assert!(matches!(fullest.pool.device, Device::NatGateway(_)));
    assert_eq!(fullest.pool.destination, Some((6, EXAMPLE, 443)));
    assert_eq!((fullest.taken, fullest.limit), (3, 3));
    assert_eq!(fullest.holders, [(three, 2), (one, 1)]);
    let eni = world.engine.port_holders(&world.snapshot);
    let eni = eni.iter().find(|p| p.pool.destination.is_none()).unwrap();
    assert_eq!((eni.taken, eni.limit), (4, 65_000));
}

/// The counts of connections are those of CloudWatch (spec 6).
#[test]
fn connections_are_counted_as_cloudwatch_does() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let out = world.connects(web, 1, (EXAMPLE, 443)).0;
    world.opens(&syn(web, 2, (EXAMPLE, 443)));
    world.opens(&udp(web, 1, (EXAMPLE, 53)));
    // This one does not pass the gateway.
    world.connects(web, 1, (DB, 5432));
    let began = NatMetrics {
        active_connection_count: 2,
        connection_attempt_count: 2,
        connection_established_count: 1,
        // Three segments, and a datagram with five bytes.
        packets_out_to_destination: 4,
        bytes_out_to_destination: 3 * 40 + 33,
        packets_out_to_source: 1,
        bytes_out_to_source: 40,
        ..NatMetrics::default()
    };
    assert_eq!(metrics(&world), began);
    world.comes_back(Link::Internet, &segment(out.reversed(), RST.with(ACK), 501, 101));
    let began = NatMetrics { packets_out_to_source: 2, bytes_out_to_source: 80, ..began };
    assert_eq!(metrics(&world), NatMetrics { active_connection_count: 1, ..began });
    world.advance(Duration::from_secs(351));
    world.sweep_ends(4);
    let over = NatMetrics { active_connection_count: 0, idle_timeout_count: 2, ..began };
    assert_eq!(metrics(&world), over, "the reset one was not idle, the others were");
}
