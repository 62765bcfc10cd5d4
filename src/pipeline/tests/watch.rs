//! Tests the records of watchers: each event once, to the watchers that it concerns, and never more
//! than they can take.

use super::world::*;
use crate::flow::Side;
use crate::packet::field::ipv4;
use crate::packet::ipv6::of_task;
use crate::packet::{Outside, VnetHeader, builder};
use crate::pipeline::watch::{
    Filter, FlowSeen, Only, PacketSeen, Seen, Sides, Watch, WatchRecord, Wish,
};
use crate::pipeline::{Device, Engine, Outcome, Reason, Received, Stage, Verdict};
use crate::vpc::RuleRef;
use std::net::Ipv4Addr;
use std::time::Duration;

const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const LOCAL: (Ipv4Addr, u16) = (DB, 5432);

fn wish() -> Wish {
    Wish { queue: 1000, queue_bytes: 1 << 20, ..Wish::default() }
}

fn watch(world: &World, filter: Filter) -> Watch {
    world.engine.watchers().watch(Wish { filter, ..wish() })
}

fn taken(watch: &Watch) -> Vec<WatchRecord> {
    std::iter::from_fn(|| watch.next()).collect()
}

/// Returns one word per record: of an event, a reason, or the destination of the packet.
fn words(watch: &Watch) -> Vec<&'static str> {
    taken(watch)
        .iter()
        .map(|record| match &record.seen {
            Seen::Flow(FlowSeen { event, .. }) => event.name(),
            Seen::PortsExhausted { .. } => "exhausted",
            Seen::Packet(packet) => match packet.verdict {
                Verdict::Forward { .. } => match packet.side {
                    Side::Egress => "out",
                    Side::Return => "in",
                },
                Verdict::Reply { reason, .. } | Verdict::Drop { reason, .. } => reason.name(),
                Verdict::Hold => "held",
            },
        })
        .collect()
}

fn packets(watch: &Watch) -> Vec<PacketSeen> {
    let packet = |record: WatchRecord| match record.seen {
        Seen::Packet(packet) => Some(*packet),
        Seen::Flow(_) | Seen::PortsExhausted { .. } => None,
    };
    taken(watch).into_iter().filter_map(packet).collect()
}

/// Returns whether a packet has its flow ask to be offloaded.
fn asks(world: &World, bytes: &[u8]) -> bool {
    let mut bytes = bytes.to_vec();
    let device = world.device_of(source(&bytes));
    let received = Received { device, bytes: &mut bytes, vnet: VnetHeader::default() };
    world.engine.judge(world.now, &world.snapshot, received, &mut [0; 2048]).offload.is_some()
}

/// Not after the next round of housekeeping: until then it would lose packets that user space
/// cannot handle.
#[test]
fn a_flow_that_was_watched_asks_for_offloading_with_its_first_packet_after_the_end() {
    let mut world = World::new(LAB);
    world.engine = Engine::new(1).offloading_at_once();
    let web = world.task("web", 1);
    world.connects(web, 40_000, OUT);
    let watch = world.engine.watch(&world.snapshot, wish());
    let data = tcp(web, 40_000, OUT, ACK, 101, 501);
    assert!(asks(&world, &data));
    let mut key = None;
    world.engine.flows().for_each(|entry| key = Some(entry.flow.egress));
    assert!(world.engine.candidate(&world.snapshot, &key.unwrap()).is_none());
    assert!(!asks(&world, &data), "once, as long as it is watched");
    drop(watch);
    assert!(asks(&world, &data));
    assert!(world.engine.candidate(&world.snapshot, &key.unwrap()).is_some());
}

#[test]
fn a_connection_is_reported_from_its_first_packet_to_its_last() {
    let mut world = World::new(LAB);
    let watch = watch(&world, Filter::default());
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    assert_eq!(words(&watch), ["created", "out", "in", "out"]);
    world.passes(&tcp(web, 40_000, OUT, FIN.with(ACK), 101, 501));
    world.comes_back(link, &segment(out.reversed(), FIN.with(ACK), 501, 102));
    world.passes(&tcp(web, 40_000, OUT, ACK, 102, 502));
    assert_eq!(words(&watch), ["out", "in", "closed", "out"]);
    assert_eq!(world.step(world.device_of(web), &syn(web, 40_000, OUT), 0).reason(), None);
    assert_eq!(words(&watch), ["created", "out"], "the closed flow was reported");
}

#[test]
fn a_reset_an_expiry_and_an_eviction_are_three_turns() {
    let mut world = World::new(LAB);
    let watch = watch(&world, Filter { only: Some(Only::Events), ..Filter::default() });
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    world.comes_back(link, &segment(out.reversed(), RST, 501, 0));
    world.connects(web, 40_001, OUT);
    world.connects(web, 40_002, OUT);
    assert_eq!(words(&watch), ["created", "reset", "created", "created"]);
    world.advance(Duration::from_secs(351));
    assert_eq!(world.step(world.device_of(web), &syn(web, 40_002, OUT), 0).reason(), None);
    assert_eq!(words(&watch), ["expired", "created"], "seen by a packet");
    world.sweep_ends(2);
    assert_eq!(words(&watch), ["expired"], "seen by the sweep; the reset one was reported");
    world.engine.forget_task(world.now, &world.snapshot, web);
    world.flows_end(1);
    assert_eq!(words(&watch), ["evicted"]);
}

/// A drop like any other, at the end of the wait, whole, and from any device.
#[test]
fn regression_a_fragment_that_waited_in_vain_is_reported() {
    use crate::pipeline::Denial;
    let mut world = World::new(LAB);
    let filter = Filter { only: Some(Only::Drops), ..Filter::default() };
    let bytes = Sides { inside: true, outside: true };
    let watch = world.engine.watchers().watch(Wish { filter, bytes, ..wish() });
    let web = world.task("web", 2);
    let (from, to) = (std::net::SocketAddrV4::new(web, 1), std::net::SocketAddrV4::new(DB, 53));
    let whole = with_byte(builder::udp(from, to, &[0; 2000]), 6, 0);
    let later = super::fragments::split(&whole, 1, 1480).remove(1);
    let device = world.device_of(web);
    assert_eq!(world.step(device, &later, 0).verdict, Verdict::Hold);
    let connector = "subnets = [\"subnet-a\", \"subnet-b\"]";
    world.reload(&with(LAB, connector, "subnets = [\"subnet-a\"]"));
    world.advance(Duration::from_secs(31));
    world.engine.sweep(world.now, &world.snapshot);
    world.were_dropped(Reason::FragmentUnclaimed, 1);
    let denial = Denial { reason: Reason::FragmentUnclaimed, decided_by: RuleRef::FlowTable };
    let reported = packets(&watch);
    assert_eq!(reported.iter().map(|packet| packet.verdict).collect::<Vec<_>>(), [denial.into()]);
    assert_eq!(reported[0].frames.inside.as_deref(), Some(&later[..]));
    assert_eq!(reported[0].inside.map(|inside| (inside.src(), inside.dst())), Some((web, DB)));
    let row = world.engine.drops().rows()[0].0;
    assert_eq!((row.device, row.generation.0), (device, world.snapshot.generation.0 - 1));
}

#[test]
fn a_flow_that_a_reload_leads_elsewhere_is_reported_as_moved() {
    let mut world = World::new(LAB);
    let watch = watch(&world, Filter { only: Some(Only::Events), ..Filter::default() });
    let web = world.task("web", 1);
    world.connects(web, 40_000, OUT);
    world.reload(&with(LAB, "public_ip = \"198.51.100.7\"", "public_ip = \"198.51.100.8\""));
    assert_eq!(world.drops_with(&tcp(web, 40_000, OUT, ACK, 101, 501), -1), Reason::FlowMoved);
    assert_eq!(words(&watch), ["created", "moved"]);
}

#[test]
fn a_packet_is_reported_on_both_sides_with_decided_by() {
    let mut world = World::new(LAB);
    let watch = watch(&world, Filter::default());
    let web = world.task("web", 1);
    let (out, _) = world.connects(web, 40_000, OUT);
    let seen = packets(&watch);
    let inside = |n: usize| seen[n].inside.map(|t| (t.src(), t.sport(), t.dst(), t.dport()));
    assert_eq!(inside(0), Some((web, 40_000, EXAMPLE, 443)));
    assert_eq!((seen[0].outside, seen[0].hit), (Some(Outside::new(out)), false));
    assert_eq!(inside(1), Some((EXAMPLE, 443, web, 40_000)));
    assert_eq!((seen[1].outside, seen[1].hit), (Some(Outside::new(out.reversed())), true));
    for packet in &seen {
        let Verdict::Forward { decided_by, .. } = packet.verdict else { panic!("{packet:?}") };
        assert!(matches!(decided_by, RuleRef::SecurityGroupRule(_, _, 1)), "{decided_by:?}");
    }
    assert_eq!((seen[0].segments, seen[0].bytes), (1, 40));
    assert!(seen.iter().all(|p| p.steps.is_empty() && p.frames.inside.is_none()), "not wished");
}

#[test]
fn the_steps_are_those_of_the_packets_own_walk() {
    let mut world = World::new(LAB);
    let watch = world.engine.watchers().watch(Wish { steps: true, ..wish() });
    let web = world.task("web", 1);
    let asked = world.explain(&syn(web, 40_000, OUT));
    world.connects(web, 40_000, OUT);
    world.refuses(&syn(web, 40_001, (EXAMPLE, 80)));
    let seen = packets(&watch);
    let stages = |steps: &[crate::pipeline::Step]| {
        steps.iter().map(|s| (s.stage, s.outcome)).collect::<Vec<_>>()
    };
    assert_eq!(stages(&seen[0].steps), stages(&asked.steps));
    assert_eq!(stages(&seen[1].steps), [(Stage::FlowTable, Outcome::Pass)], "a hit");
    let refused = seen.last().unwrap();
    assert_eq!(refused.steps.last().map(|s| s.outcome), Some(Outcome::Drop));
    assert_eq!((refused.inside.map(|t| t.dport()), refused.outside), (Some(80), None));
}

#[test]
fn filters_choose_by_task_interface_server_and_kind() {
    let mut world = World::new(LAB);
    let (one, two) = (world.task("web", 1), world.task("web", 2));
    let eni = match world.device_of(one) {
        Device::Eni(ix) => world.snapshot.eni(ix).id.clone(),
        other => panic!("{other:?}"),
    };
    let of = |filter| watch(&world, filter);
    let any = Filter::default;
    let watches = [
        of(Filter { service: Some("web".into()), task: Some(2), ..any() }),
        of(Filter { service: Some("public".into()), ..any() }),
        of(Filter { interface: Some(eni), ..any() }),
        of(Filter { interface: Some("nat".into()), ..any() }),
        of(Filter { interface: Some("app-runner".into()), ..any() }),
        of(Filter { destinations: vec!["10.0.0.0/16".parse().unwrap()], ..any() }),
        of(Filter { port: Some(80), ..any() }),
        of(Filter { only: Some(Only::Drops), ..any() }),
        of(Filter { only: Some(Only::Forwards), port: Some(443), ..any() }),
    ];
    world.connects(one, 40_000, LOCAL);
    world.connects(two, 40_000, OUT);
    let public = world.task("public", 1);
    world.connects(public, 40_000, OUT);
    world.refuses(&syn(one, 40_001, (EXAMPLE, 80)));
    let connection = ["created", "out", "in", "out"];
    let refused = Reason::SgEgressImplicitDeny.name();
    let seen = watches.each_ref().map(words);
    assert_eq!(seen[0], connection);
    assert_eq!(seen[1], connection);
    assert_eq!(seen[2], ["created", "out", "in", "out", refused]);
    assert_eq!(seen[3], connection);
    assert_eq!(seen[4], connection);
    assert_eq!(seen[5], connection);
    assert_eq!(seen[6], [refused]);
    assert_eq!(seen[7], [refused]);
    assert_eq!(seen[8], ["out", "in", "out", "out", "in", "out"]);
}

#[test]
fn records_without_room_are_counted_and_no_packet_waits() {
    let mut world = World::new(LAB);
    let watch = world.engine.watchers().watch(Wish { queue: 3, ..wish() });
    let web = world.task("web", 1);
    world.connects(web, 40_000, OUT);
    assert_eq!((words(&watch).len(), watch.left_out()), (3, 1));
    world.passes(&tcp(web, 40_000, OUT, ACK, 101, 501));
    assert_eq!((words(&watch).len(), watch.left_out()), (1, 1), "there is room again");
}

#[test]
fn records_beyond_the_pace_are_counted_until_the_next_second() {
    let mut world = World::new(LAB);
    let watch = world.engine.watchers().watch(Wish { per_second: 5, ..wish() });
    let web = world.task("web", 1);
    world.connects(web, 40_000, OUT);
    let data = tcp(web, 40_000, OUT, ACK, 101, 501);
    for _ in 0..10 {
        world.passes(&data);
    }
    assert_eq!((taken(&watch).len(), watch.left_out()), (5, 9));
    world.advance(Duration::from_secs(1));
    world.passes(&data);
    assert_eq!((taken(&watch).len(), watch.left_out()), (1, 9));
}

#[test]
fn bytes_are_those_of_the_wished_side_and_take_bounded_room() {
    let mut world = World::new(LAB);
    let bytes = Sides { inside: true, outside: false };
    let watch = world.engine.watchers().watch(Wish { bytes, queue_bytes: 100, ..wish() });
    let web = world.task("web", 1);
    let ask = udp(web, 5000, (EXAMPLE, 53));
    world.opens(&ask);
    for _ in 0..5 {
        world.passes(&ask);
    }
    let seen = packets(&watch);
    assert_eq!(seen.len(), 100 / ask.len());
    assert_eq!(watch.left_out(), 6 - seen.len() as u64);
    assert_eq!(seen[0].frames.inside.as_deref(), Some(&ask[..]));
    assert_eq!(seen[0].frames.outside, None);
    world.passes(&ask);
    assert_eq!(packets(&watch).len(), 1, "what was taken makes room");
}

#[test]
fn both_sides_of_a_packet_and_the_answer_to_it() {
    let mut world = World::new(LAB);
    let bytes = Sides { inside: true, outside: true };
    let watch = world.engine.watchers().watch(Wish { bytes, ..wish() });
    let web = world.task("web", 1);
    let mut ask = udp(web, 5000, (EXAMPLE, 53));
    let sent = world.step(world.device_of(web), &ask, 1).bytes;
    ask[ipv4::TTL] = 1;
    crate::packet::builder::update_header_checksum(&mut ask);
    let answer = world.step(world.device_of(web), &ask, 0);
    assert_eq!(answer.reason(), Some(Reason::TtlExpired));
    let seen = packets(&watch);
    assert_eq!(seen[0].frames.outside.as_deref(), Some(&sent[..]));
    assert_eq!(seen[1].frames.inside.as_deref(), Some(&ask[..]));
    assert_eq!(seen[1].frames.outside, None);
    assert_eq!(seen[1].frames.answer.as_deref(), Some(&answer.bytes[..]));
}

#[test]
fn exhausted_ports_are_reported_once_a_second_and_each_drop_besides() {
    let mut world = World::new(&format!("{LAB}\n[limits]\nnat_connections_per_destination = 1\n"));
    let only_events = self::watch(&world, Filter { only: Some(Only::Events), ..Filter::default() });
    let watch = watch(&world, Filter::default());
    let web = world.task("web", 1);
    world.opens(&syn(web, 40_000, OUT));
    let exhausted = Reason::NatPortsExhausted;
    for sport in 40_001..40_003 {
        assert_eq!(world.refuses(&syn(web, sport, OUT)), exhausted);
    }
    let name = exhausted.name();
    assert_eq!(words(&watch), ["created", "out", name, "exhausted", name]);
    world.advance(Duration::from_secs(1));
    world.refuses(&syn(web, 40_003, OUT));
    assert_eq!(words(&watch), [name, "exhausted"]);
    assert_eq!(words(&only_events), ["created", "exhausted", "exhausted"]);
    assert_eq!((watch.left_out(), only_events.left_out()), (0, 1));
}

#[test]
fn unreadable_packets_are_reported_except_to_a_watch_of_one_task() {
    let world = World::new(LAB);
    let all = watch(&world, Filter::default());
    let some = watch(&world, Filter { service: Some("web".into()), ..Filter::default() });
    let eni = world.device_of(world.task("web", 1));
    world.push(eni, &[0x60; 40], VnetHeader::default());
    assert_eq!(words(&all), [Reason::Ipv6.name()]);
    assert!(words(&some).is_empty());
    // The address of a task's IPv6 packet names the task.
    let mut ipv6 = [0; 40];
    ipv6[0] = 0x60;
    ipv6[8..24].copy_from_slice(&of_task(world.task("web", 1)).octets());
    world.push(eni, &ipv6, VnetHeader::default());
    assert_eq!(words(&some), [Reason::Ipv6.name()]);
}

#[test]
fn a_super_packet_is_one_record_that_knows_its_segments() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    world.connects(web, 40_000, OUT);
    let watch = watch(&world, Filter::default());
    let (src, dst) =
        (std::net::SocketAddrV4::new(web, 40_000), std::net::SocketAddrV4::new(OUT.0, 443));
    let mut bytes = builder::tcp(src, dst, ACK, 101, 501, &[0; 3000]);
    let vnet = builder::to_super_packet(&mut bytes, 1460);
    world.push(world.device_of(web), &bytes, vnet);
    let seen = packets(&watch);
    assert_eq!((seen.len(), seen[0].segments, seen[0].bytes), (1, 3, 3120));
}

#[test]
fn nobody_watches_after_the_watch_is_dropped() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (first, second) = (watch(&world, Filter::default()), watch(&world, Filter::default()));
    assert!(world.engine.watchers().any());
    drop(first);
    world.connects(web, 40_000, OUT);
    assert_eq!(words(&second).len(), 4);
    drop(second);
    assert!(!world.engine.watchers().any());
}
