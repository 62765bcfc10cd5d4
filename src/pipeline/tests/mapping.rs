//! Tests the mappings of a NAT, their lifetimes, and the senders that may answer: the checklist's
//! rows on mapping and filtering.

use super::world::*;
use crate::packet::field::{ipv4, tcp as tcp_field, udp as udp_field};
use crate::packet::{Tuple, builder};
use crate::pipeline::{Link, Reason};
use crate::vpc::{RuleRef, Target};
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);
const DNS: (Ipv4Addr, u16) = (EXAMPLE, 53);

/// Returns a lab whose group lets everything out, with a limit of flows to one destination.
fn open(limit: u32) -> String {
    let open = with(
        LAB,
        r#"{ protocol = "udp", ports = "53", to = "0.0.0.0/0" },"#,
        r#"{ protocol = "all", to = "0.0.0.0/0" },"#,
    );
    let open = with_hosts(&open, &[OTHER]);
    format!("{open}\n[limits]\nnat_connections_per_destination = {limit}\n")
}

/// Returns the outside port of the flow that a packet begins.
#[track_caller]
fn outside(world: &mut World, packet: &[u8]) -> u16 {
    let (out, link) = world.opens(packet);
    assert_eq!((out.src, link), (NAT_PUBLIC, Link::Internet));
    out.sport
}

/// Checklist U1, T1, U3a, U4: a mapping is for one destination's address and port; its port does
/// not depend on the inside one, neither on its class nor on its parity.
#[test]
fn one_inside_port_has_another_outside_port_for_each_destination() {
    let mut world = World::new(&open(55_000));
    let web = world.task("web", 1);
    let places = [(EXAMPLE, 1000), (EXAMPLE, 1001), (OTHER, 1000), (OTHER, 1001)];
    for inside in [500, 5000, 5001] {
        let udp: Vec<u16> = places.map(|to| outside(&mut world, &udp(web, inside, to))).to_vec();
        let tcp: Vec<u16> = places.map(|to| outside(&mut world, &syn(web, inside, to))).to_vec();
        for ports in [udp, tcp] {
            assert!(ports.iter().all(|port| *port >= 1024), "{ports:?}");
            assert!(ports.iter().collect::<HashSet<_>>().len() > 1, "{ports:?}");
        }
    }
    let parities: HashSet<bool> = (6000..6020)
        .map(|inside| (inside ^ outside(&mut world, &udp(web, inside, DNS))).is_multiple_of(2))
        .collect();
    assert_eq!(parities.len(), 2, "kept and not kept");
}

/// Checklist U3, T7: as many flows as one destination may have, of two tasks with the same ports,
/// have as many ports.
#[test]
fn no_outside_port_serves_two_flows_with_one_destination() {
    let mut world = World::new(&open(400));
    let tasks = [world.task("web", 1), world.task("web", 3)];
    let mut ports = HashSet::new();
    for inside in 1..=200 {
        for task in tasks {
            assert!(ports.insert(outside(&mut world, &udp(task, inside, DNS))), "{inside}");
        }
    }
    assert_eq!(world.refuses(&udp(tasks[0], 201, DNS)), Reason::NatPortsExhausted);
}

/// Checklist 7857-3: ports are counted for each destination, so that two destinations allow twice
/// as many flows by one address.
#[test]
fn one_outside_port_may_serve_two_destinations() {
    let mut world = World::new(&open(2000));
    let web = world.task("web", 1);
    let mut ports = [HashSet::new(), HashSet::new()];
    for inside in 1..=2000 {
        for (to, ports) in [EXAMPLE, OTHER].iter().zip(&mut ports) {
            ports.insert(outside(&mut world, &udp(web, inside, (*to, 53))));
        }
    }
    assert_eq!((ports[0].len(), ports[1].len()), (2000, 2000));
    assert!(ports[0].intersection(&ports[1]).count() > 0);
}

/// Checklist 7857-8 (RFC 6056): the ports of 5,000 flows rise and fall as often as random ones, and
/// cover the whole range; the seed alone decides them.
#[test]
fn ports_are_random_and_depend_on_the_seed_alone() {
    let drawn = |seed| -> Vec<u16> {
        let world = World::seeded(LAB, seed);
        let web = world.task("web", 1);
        (1..=5000)
            .map(|inside| {
                let device = world.device_of(web);
                let packet = udp(web, inside, DNS);
                world
                    .push(device, &packet, crate::packet::VnetHeader::default())
                    .forwarded()
                    .0
                    .sport
            })
            .collect()
    };
    let ports = drawn(1);
    assert_eq!(ports, drawn(1));
    assert_ne!(ports, drawn(2));
    // Wald and Wolfowitz's runs test around the middle: 2,500 runs expected, with a deviation of
    // 35.
    let above: Vec<bool> = ports.iter().map(|port| *port > 33_279).collect();
    let runs = 1 + above.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((2360..=2640).contains(&runs), "{runs}");
    let sixteenths: HashSet<u16> = ports.iter().map(|port| port >> 12).collect();
    assert_eq!(sixteenths.len(), 16);
    let deltas: HashMap<u16, u32> = ports.windows(2).fold(HashMap::new(), |mut counts, pair| {
        *counts.entry(pair[1].wrapping_sub(pair[0])).or_default() += 1;
        counts
    });
    assert!(deltas.values().all(|count| *count < 10), "no step is usual");
}

/// Checklist 5.8: unsolicited packets do not change which ports are drawn.
#[test]
fn unsolicited_packets_do_not_influence_the_choice_of_ports() {
    let drawn = |unasked: bool| -> Vec<u16> {
        let mut world = World::new(LAB);
        let web = world.task("web", 1);
        (1..=100)
            .map(|inside| {
                if unasked {
                    let stranger = Tuple {
                        protocol: crate::packet::Protocol::Udp,
                        src: EXAMPLE,
                        dst: NAT_PUBLIC,
                        sport: 53,
                        dport: 1024 + inside * 600,
                    };
                    world.stays_out(Link::Internet, &datagram(stranger, b"unasked"));
                }
                outside(&mut world, &udp(web, inside, DNS))
            })
            .collect()
    };
    assert_eq!(drawn(false), drawn(true));
}

/// Checklist U8, T3, U11: only the peer may answer, and a mapping is for one destination, with
/// none, half and nearly all of the ports in use.
#[test]
fn load_changes_neither_mapping_nor_filtering() {
    let mut world = World::new(&open(200));
    let web = world.task("web", 1);
    let mut inside = 1;
    for until in [1, 100, 200] {
        while inside < until {
            outside(&mut world, &udp(web, inside, DNS));
            outside(&mut world, &syn(web, inside, (EXAMPLE, 53)));
            inside += 1;
        }
        for packet in [udp(web, inside, DNS), syn(web, inside, (EXAMPLE, 53))] {
            let (out, link) = world.opens(&packet);
            for stranger in [
                Tuple { dst: OTHER, ..out },
                Tuple { dport: 54, ..out },
                Tuple { dst: OTHER, dport: 54, ..out },
            ] {
                assert_eq!(world.stays_out(link, &answer(stranger)), Reason::Unsolicited);
            }
            let inbound = segment(Tuple { dst: OTHER, ..out }.reversed(), SYN, 1, 0);
            if out.protocol == crate::packet::Protocol::Tcp {
                assert_eq!(world.stays_out(link, &inbound), Reason::Unsolicited);
            }
            assert_eq!(world.comes_back(link, &answer(out)).dport, inside);
        }
        inside += 1;
    }
    assert_eq!(world.refuses(&udp(web, 201, DNS)), Reason::NatPortsExhausted);
    let elsewhere = outside(&mut world, &udp(web, 201, (OTHER, 53)));
    assert!(elsewhere >= 1024);
}

/// Checklist U5, U5a: a mapping lives for 350 s, also that of a well-known port, and for as long as
/// the lab file says.
#[test]
fn a_datagrams_mapping_lives_as_long_as_the_setting_says() {
    for (settings, seconds) in [("", 350), ("[timeouts]\nudp_idle = \"10s\"\n", 10)] {
        let mut world = World::new(&(open(100) + settings));
        let web = world.task("web", 1);
        let mappings = [DNS, (EXAMPLE, 40_000)].map(|to| world.opens(&udp(web, 5353, to)));
        world.advance(Duration::from_secs(seconds));
        world.sweep_ends(0);
        for (out, link) in mappings {
            world.comes_back(link, &answer(out));
        }
        world.advance(Duration::from_secs(seconds + 1));
        world.sweep_ends(2);
        for (out, link) in mappings {
            assert_eq!(world.stays_out(link, &answer(out)), Reason::FlowExpired);
        }
    }
}

/// Checklist U6: packets from inside refresh a mapping, and so do replies: it is idle if neither
/// side uses it.
#[test]
fn datagrams_in_either_direction_refresh_their_mapping() {
    for from_inside in [true, false] {
        let mut world = World::new(LAB);
        let web = world.task("web", 1);
        let (out, link) = world.opens(&udp(web, 5353, DNS));
        for _ in 0..3 {
            world.advance(Duration::from_secs(300));
            world.sweep_ends(0);
            if from_inside {
                assert_eq!(world.passes(&udp(web, 5353, DNS)).0, out, "the same mapping");
            } else {
                world.comes_back(link, &answer(out));
            }
        }
        // A refused packet from outside refreshes nothing.
        world.advance(Duration::from_secs(340));
        world.stays_out(link, &answer(Tuple { dst: OTHER, ..out }));
        world.advance(Duration::from_secs(11));
        world.sweep_ends(1);
    }
}

/// Spec 4.4, 15: a datagram that an ENI alone tracks has timers of its own: one applies until there
/// is a second request and reply.
#[test]
fn inside_the_vpc_a_stream_of_datagrams_has_its_own_timer() {
    let timeouts = "[timeouts]\neni_udp = \"30s\"\neni_udp_stream = \"180s\"\n";
    let mut world = World::new(&format!("{LAB}\n{timeouts}"));
    let web = world.task("web", 1);
    let packet = udp(web, 5353, (DB, 53));
    let (out, link) = world.opens(&packet);
    world.comes_back(link, &answer(out));
    world.advance(Duration::from_secs(30));
    world.sweep_ends(0);
    world.passes(&packet);
    world.comes_back(link, &answer(out));
    world.advance(Duration::from_secs(180));
    world.sweep_ends(0);
    world.advance(Duration::from_secs(1));
    world.sweep_ends(1);
    world.opens(&packet);
    world.advance(Duration::from_secs(31));
    world.sweep_ends(1);
    let mut world = World::new(LAB);
    world.opens(&udp(web, 5353, (DB, 53)));
    world.advance(Duration::from_secs(120));
    world.sweep_ends(0);
    world.advance(Duration::from_secs(1));
    world.sweep_ends(1);
}

/// Checklist U7: if the VPC has the addresses of an outside network, the local route wins, and the
/// evidence says so.
#[test]
fn an_outside_network_with_addresses_of_the_vpc_is_not_reached() {
    let overlapping =
        with(LAB, "cidr = \"10.0.0.0/16\"", "cidr = [\"10.0.0.0/16\", \"203.0.113.0/24\"]");
    let overlapping = with(
        &overlapping,
        "[[internet_host]]\nname = \"example\"\naddress = \"203.0.113.10\"\n",
        "",
    );
    let mut world = World::new(&overlapping);
    let packet = syn(world.task("web", 1), 1, (EXAMPLE, 443));
    let evidence = world.explain(&packet);
    let local = evidence.steps.iter().filter_map(|step| match step.rule {
        Some(RuleRef::Route(table, route)) => {
            let route = &world.snapshot.route_table(table).routes[usize::from(route)];
            Some((format!("{:?}", route.destination), route.target == Target::Local))
        }
        _ => None,
    });
    let [(destination, true)] = &local.collect::<Vec<_>>()[..] else { panic!("{evidence:?}") };
    assert!(destination.contains("203.0.113.0"), "{destination}");
    assert_eq!(world.refuses(&packet), Reason::NoInterface);
}

/// Checklist U9, T8, I7: nothing is reflected back inside: no datagram, no segment, no error about
/// either.
#[test]
fn a_nat_gateway_reflects_nothing() {
    let mut world = World::new(&open(100));
    let (one, three) = (world.task("web", 1), world.task("web", 3));
    for packet in [udp(three, 5000, DNS), syn(three, 5000, (EXAMPLE, 443))] {
        let (out, _) = world.opens(&packet);
        let to = (NAT_PUBLIC, out.sport);
        assert_eq!(world.refuses(&udp(one, 5000, to)), Reason::NatHairpin);
        assert_eq!(world.refuses(&syn(one, 5000, to)), Reason::NatHairpin);
        let quoted = match out.protocol {
            crate::packet::Protocol::Tcp => segment(out, SYN, 1, 0),
            _ => datagram(out, b"query"),
        };
        let error = builder::icmp_error(one, NAT_PUBLIC, 3, 3, &quoted);
        assert_eq!(world.refuses(&error), Reason::IcmpErrorNoFlow);
    }
}

/// Checklist U10, T6: the NAT does not change addresses and ports in a payload: SIP and FTP pass
/// unchanged.
#[test]
fn payloads_pass_untouched() {
    let mut world = World::new(&open(100));
    let web = world.task("web", 1);
    let from = SocketAddrV4::new(web, 5060);
    let invite = format!(
        "INVITE sip:b@example SIP/2.0\r\nVia: SIP/2.0/UDP {web}:5060\r\nContact: <sip:a@{web}:5060>\r\n"
    );
    let sip = builder::udp(from, SocketAddrV4::new(EXAMPLE, 5060), invite.as_bytes());
    let seen = world.step(world.device_of(web), &sip, 1);
    assert_eq!(&seen.bytes[ipv4::MIN_LEN + udp_field::HEADER_LEN..], invite.as_bytes());
    let (_, link) = world.connects(web, 2121, (EXAMPLE, 21));
    let port = "PORT 100,64,0,1,8,73\r\n";
    let (from, to) = (SocketAddrV4::new(web, 2121), SocketAddrV4::new(EXAMPLE, 21));
    let ftp = builder::tcp(from, to, ACK, 101, 501, port.as_bytes());
    let seen = world.step(world.device_of(web), &ftp, 0);
    assert_eq!(
        (seen.forwarded().1, &seen.bytes[ipv4::MIN_LEN + tcp_field::MIN_LEN..]),
        (link, port.as_bytes())
    );
    // Nor does the connection that the payload announces come in.
    let data = Tuple {
        protocol: crate::packet::Protocol::Tcp,
        src: EXAMPLE,
        dst: NAT_PUBLIC,
        sport: 20,
        dport: 2121,
    };
    assert_eq!(world.stays_out(link, &segment(data, SYN, 1, 0)), Reason::Unsolicited);
}
