//! Tests properties of every packet and every history.

use super::generator::{self, Tape};
use super::world::*;
use crate::flow::Space;
use crate::packet::field::ipv4;
use crate::packet::{Protocol, TcpFlags, VnetHeader, builder};
use crate::pipeline::{Device, Link, Verdict};
use crate::vpc::{EniIx, NatGatewayIx};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Returns a lab with three ENIs, two gateways, a service without a connector: room for collisions.
fn crowded() -> String {
    let lab = with(
        LAB,
        "[[nat_gateway]]\nid = \"nat\"",
        "[[nat_gateway]]\nid = \"nat-2\"\nsubnet = \"subnet-public\"\npublic_ip = \"198.51.100.8\"\n[[nat_gateway]]\nid = \"nat\"",
    );
    let lab = with(
        &lab,
        r#"{ destination = "0.0.0.0/0", target = "nat" },"#,
        r#"{ destination = "0.0.0.0/0", target = "nat" }, { destination = "192.0.2.0/24", target = "nat-2" },"#,
    );
    lab + "[[vpc_connector]]\nname = \"second\"\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-app\", \"sg-db\"]\n[[service]]\nname = \"api\"\negress = \"vpc\"\nvpc_connector = \"second\"\ntasks = 2\n"
}

fn destination_of_flow() -> impl Strategy<Value = (Ipv4Addr, Protocol)> {
    let places = [EXAMPLE, Ipv4Addr::new(192, 0, 2, 9), DB, Ipv4Addr::new(10, 0, 1, 10)];
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Icmp];
    (proptest::sample::select(places.to_vec()), proptest::sample::select(protocols.to_vec()))
}

fn first_packet(task: Ipv4Addr, sport: u16, to: Ipv4Addr, protocol: Protocol) -> Vec<u8> {
    let inside = to.is_private();
    match protocol {
        Protocol::Tcp => syn(task, sport, (to, if inside { 5432 } else { 443 })),
        Protocol::Udp => udp(task, sport, (to, 53)),
        Protocol::Icmp | Protocol::Other(_) => ping(task, to, sport),
    }
}

fn device() -> impl Strategy<Value = Device> {
    proptest::sample::select(vec![
        Device::Eni(EniIx(0)),
        Device::Eni(EniIx(1)),
        Device::NatGateway(NatGatewayIx(0)),
        Device::AppRunner,
    ])
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    let known = [
        EXAMPLE,
        DB,
        ENI_A,
        NAT_PRIVATE,
        NAT_PUBLIC,
        APP_RUNNER,
        Ipv4Addr::new(100, 64, 0, 1),
        Ipv4Addr::new(100, 64, 0, 2),
        Ipv4Addr::new(100, 64, 0, 5),
        Ipv4Addr::new(10, 0, 2, 4),
    ];
    prop_oneof![4 => proptest::sample::select(known.to_vec()), 1 => any::<u32>().prop_map(Ipv4Addr::from)]
}

/// Generates bytes similar to a packet: whole, edited, cut, quoted in an error, or noise.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let socket = || (address(), prop_oneof![Just(443), Just(53), Just(5432), any::<u16>()]);
    let whole = (0..5u8, socket(), socket(), any::<u8>(), any::<[u8; 12]>())
        .prop_map(|(kind, src, dst, flags, noise)| {
            let (from, to) = (SocketAddrV4::new(src.0, src.1), SocketAddrV4::new(dst.0, dst.1));
            match kind {
                0 => builder::tcp(from, to, TcpFlags(flags), 1, 1, &noise),
                1 => builder::udp(from, to, &noise),
                2 => builder::icmp_echo_request(src.0, dst.0, src.1, 1, &noise),
                3 => builder::icmp_echo_reply(src.0, dst.0, dst.1, 1, &noise),
                _ => other(flags, src.0, dst.0),
            }
        })
        .boxed();
    let quoted = (whole.clone(), address(), address(), 0..14u8, 0..40usize).prop_map(
        |(inner, from, to, icmp_type, cut)| {
            builder::icmp_error(from, to, icmp_type, 0, &inner[..inner.len().min(cut)])
        },
    );
    let any_packet = prop_oneof![4 => whole, 2 => quoted].boxed();
    let edited = (any_packet.clone(), any::<(u8, u8)>(), any::<bool>()).prop_map(
        |(mut bytes, (at, byte), valid)| {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
            if valid && bytes[ipv4::VERSION_AND_LENGTH] == ipv4::first_byte(ipv4::MIN_LEN) {
                fix_ip_checksum(&mut bytes);
            }
            bytes
        },
    );
    prop_oneof![4 => any_packet, 4 => edited, 1 => proptest::collection::vec(any::<u8>(), 0..100)]
}

fn vnet() -> impl Strategy<Value = VnetHeader> {
    prop_oneof![8 => Just(VnetHeader::default()), 1 => any::<[u8; 10]>().prop_map(|b| VnetHeader::from_bytes(&b))]
}

fn is_task(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [100, 64..=127, ..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// And nothing leaves with the address of a task, nor comes to a task that does not exist.
    /// Checklist 5.1.
    #[test]
    fn any_bytes_from_any_device_get_a_verdict(packets in proptest::collection::vec((device(), bytes(), vnet()), 1..60)) {
        let world = World::new(LAB);
        let tasks: HashSet<Ipv4Addr> = world.tasks().collect();
        for (device, bytes, vnet) in packets {
            let dropped = |world: &World| -> u64 {
                crate::pipeline::Reason::ALL.iter().map(|r| world.engine.drops().packets(*r)).sum()
            };
            let before = dropped(&world);
            let seen = world.push(device, &bytes, vnet);
            match seen.verdict {
                Verdict::Forward { link: Link::Task(task), .. } => {
                    prop_assert!(tasks.contains(&task) && destination(&seen.bytes) == task);
                }
                Verdict::Forward { link: Link::Services, .. } => {
                    prop_assert!(tasks.contains(&source(&seen.bytes)) && seen.bytes == bytes);
                }
                Verdict::Forward { link: Link::Vpc(_) | Link::Endpoint(_) | Link::PublicEndpoint(_) | Link::Internet, .. } => {
                    prop_assert!(!is_task(source(&seen.bytes)), "un-translated: {:?}", seen);
                    prop_assert!(device != Device::NatGateway(NatGatewayIx(0)));
                }
                Verdict::Reply { .. } | Verdict::Drop { .. } => {
                    prop_assert_eq!(dropped(&world), before + 1);
                }
                // Fragments that had to make room were dropped.
                Verdict::Hold => prop_assert!(dropped(&world) >= before),
            }
        }
    }

    #[test]
    fn out_and_back_is_the_identity_for_the_task(
        flows in proptest::collection::vec((0..7usize, 1..u16::MAX, destination_of_flow()), 1..60),
    ) {
        let world = World::new(&crowded());
        let tasks: Vec<Ipv4Addr> = world.tasks().collect();
        for (task, sport, (to, protocol)) in flows {
            let task = tasks[task];
            let bytes = first_packet(task, sport, to, protocol);
            let seen = world.push(world.device_of(task), &bytes, VnetHeader::default());
            let Verdict::Forward { link, .. } = seen.verdict else { continue };
            assert_checksums(&seen.bytes);
            let out = seen.tuple.unwrap();
            prop_assert!(!is_task(out.src) && out.dst == to);
            let device = world.device_toward(link, out.src);
            let back = world.push(device, &answer(out), VnetHeader::default());
            assert_checksums(&back.bytes);
            let (inside, delivered) = back.forwarded();
            prop_assert_eq!(delivered, Link::Task(task));
            let mut sent = bytes.clone();
            let sent = crate::packet::Packet::parse(&mut sent, VnetHeader::default()).unwrap().tuple();
            prop_assert_eq!(inside, sent.reversed());
        }
    }

    /// Neither the key of the replies nor the packet's tuple outside is shared. Checklist U3, T7.
    #[test]
    fn no_two_live_flows_look_the_same_from_outside(
        flows in proptest::collection::vec((0..7usize, 1..40u16, destination_of_flow()), 1..250),
        seed in any::<u64>(),
    ) {
        let world = World::seeded(&crowded(), seed);
        let tasks: Vec<Ipv4Addr> = world.tasks().collect();
        for (task, sport, (to, protocol)) in flows {
            let bytes = first_packet(tasks[task], sport, to, protocol);
            let _ = world.push(world.device_of(tasks[task]), &bytes, VnetHeader::default());
        }
        let (mut keys, mut outside, mut flows) = (HashSet::new(), HashSet::new(), 0);
        world.engine.flows().for_each(|entry| {
            let back = entry.flow.returned;
            keys.insert(format!("{back:?}"));
            outside.insert((back.space, back.tuple()));
            flows += 1;
        });
        prop_assert_eq!((keys.len(), outside.len()), (flows, flows));
        prop_assert_eq!(world.engine.flows().len(), flows);
    }

    #[test]
    fn the_recorder_changes_no_verdict(tape in proptest::collection::vec(any::<u8>(), 0..500), packets in proptest::collection::vec(bytes(), 1..30)) {
        let text = generator::lab(&mut Tape::new(&tape));
        let (off, on) = (World::new(&text), World::new(&text));
        let tasks: Vec<Ipv4Addr> = off.tasks().collect();
        for (number, mut bytes) in packets.into_iter().enumerate() {
            let task = tasks[number % tasks.len()];
            if bytes.len() >= ipv4::MIN_LEN
                && bytes[ipv4::VERSION_AND_LENGTH] == ipv4::first_byte(ipv4::MIN_LEN) {
                bytes[ipv4::SRC..ipv4::DST].copy_from_slice(&task.octets());
                fix_ip_checksum(&mut bytes);
            }
            let device = off.device_of(task);
            prop_assert_eq!(off.push_quietly(device, &bytes), on.push_recorded(device, &bytes));
        }
        prop_assert_eq!(off.engine.flows().len(), on.engine.flows().len());
    }

    #[test]
    fn checksums_are_right_after_a_rewrite_complete_and_partial(
        sport in 1..u16::MAX, payload in proptest::collection::vec(any::<u8>(), 0..1400), is_tcp in any::<bool>(), local in any::<bool>(),
    ) {
        let world = World::new(LAB);
        let web = world.task("web", 1);
        let to = if local { DB } else { EXAMPLE };
        let src = SocketAddrV4::new(web, sport);
        let complete = match (is_tcp, local) {
            (true, true) => builder::tcp(src, SocketAddrV4::new(to, 5432), SYN, 7, 0, &payload),
            (true, false) => builder::tcp(src, SocketAddrV4::new(to, 443), SYN, 7, 0, &payload),
            (false, _) => builder::udp(src, SocketAddrV4::new(to, 53), &payload),
        };
        let mut partial = complete.clone();
        let vnet = builder::to_partial(&mut partial);
        let device = world.device_of(web);
        let whole = world.push(device, &complete, VnetHeader::default());
        whole.forwarded();
        assert_checksums(&whole.bytes);
        let mut half = world.push(device, &partial, vnet).bytes;
        builder::complete(&mut half, vnet);
        prop_assert_eq!(half, whole.bytes);
    }

    /// Whatever opens, closes, is reset, expires or is reloaded: the leases are those of the live
    /// flows.
    #[test]
    fn ports_come_back(history in proptest::collection::vec((0..9u8, 0..7usize, 1..12u16, destination_of_flow()), 1..120)) {
        let (lab, changed) = (crowded(), with(&crowded(), r#"{ destination = "0.0.0.0/0", target = "nat" },"#, r#"{ destination = "0.0.0.0/0", target = "nat-2" },"#));
        let mut world = World::new(&lab);
        let tasks: Vec<Ipv4Addr> = world.tasks().collect();
        for (step, task, sport, (to, protocol)) in history {
            let task = tasks[task];
            let device = world.device_of(task);
            let port = if to.is_private() { 5432 } else { 443 };
            match step {
                0..=3 => drop(world.push(device, &first_packet(task, sport, to, protocol), VnetHeader::default())),
                4 => drop(world.push(device, &tcp(task, sport, (to, port), FIN.with(ACK), 101, 501), VnetHeader::default())),
                5 => drop(world.push(device, &tcp(task, sport, (to, port), RST, 101, 0), VnetHeader::default())),
                6 => world.advance(Duration::from_secs(u64::from(sport) * 20)),
                7 => world.reload(if sport % 2 == 0 { &lab } else { &changed }),
                _ => drop(world.engine.sweep(world.now, &world.snapshot)),
            }
            let mut live: BTreeMap<(Space, Ipv4Addr), u32> = BTreeMap::new();
            world.engine.flows().for_each(|entry| {
                let leases = entry.flow.eni.iter().map(|(_, l)| l).chain(entry.flow.nat.iter().map(|(_, l)| l));
                for lease in leases {
                    *live.entry((lease.key().space, lease.key().address)).or_default() += 1;
                }
            });
            let parts = world.snapshot.parts();
            let addresses = parts.enis.iter().map(|e| (world.snapshot.space(world.snapshot.subnet(e.subnet).vpc), e.address));
            let addresses = addresses.chain(parts.nat_gateways.iter().flat_map(|n| &n.addresses).filter_map(|own| Some((Space::INTERNET, own.public?))));
            for at in addresses.chain([(Space::INTERNET, APP_RUNNER)]) {
                prop_assert_eq!(world.leased(at.0, at.1), live.get(&at).copied().unwrap_or(0), "{:?}", at);
            }
        }
        world.advance(Duration::from_secs(10_000));
        world.engine.sweep(world.now, &world.snapshot);
        prop_assert!(world.engine.flows().is_empty());
        prop_assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 0);
    }
}
