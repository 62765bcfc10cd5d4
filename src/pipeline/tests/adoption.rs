//! Tests an engine that resumes the flows of another, which the kernel forwarded in between.

use super::world::*;
use crate::flow::{CacheCounters, HandoverRecord, Instant, Space, Window};
use crate::packet::{TcpFlags, Tuple};
use crate::pipeline::{Link, Reason};
use std::net::Ipv4Addr;
use std::time::Duration;

const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const LOCAL: (Ipv4Addr, u16) = (DB, 5432);

fn data(task: Ipv4Addr, to: (Ipv4Addr, u16)) -> Vec<u8> {
    tcp(task, 40_000, to, ACK, 101, 501)
}

fn data_back(out: Tuple) -> Vec<u8> {
    segment(out.reversed(), TcpFlags::ACK, 501, 101)
}

/// Returns the kernel's counters of a flow: one packet each way.
fn carried(now: Instant) -> [CacheCounters; 2] {
    [(101, 501), (501, 101)].map(|(end, ack)| CacheCounters {
        packets: 1,
        segments: 1,
        bytes: 40,
        last_seen: now,
        window: Window { end, ack, claimed: 0 },
    })
}

fn records(world: &World) -> Vec<HandoverRecord> {
    let mut records = Vec::new();
    world.engine.flows().for_each(|entry| records.push(HandoverRecord::of(&entry.flow)));
    records
}

/// Makes another engine with another configuration, which is to resume this many of the flows.
#[track_caller]
pub(super) fn successor(world: &World, text: &str, seen: Instant, flows: usize) -> World {
    let mut next = World::seeded(text, 2);
    next.now = world.now;
    let mut adopted = 0;
    for record in records(world) {
        adopted += usize::from(
            next.engine.adopt(next.now, &next.snapshot, &record, carried(seen)).is_ok(),
        );
    }
    assert_eq!(adopted, flows);
    next.flows_begin(next.engine.flows().len());
    next
}

/// Makes a web task with a connection to the database and one to the internet, and a task with one
/// that leaves by App Runner's own egress.
fn connected() -> (World, Ipv4Addr, [Tuple; 3]) {
    let mut world = World::new(LAB);
    let (web, public) = (world.task("web", 1), world.task("public", 1));
    let tuples = [(web, LOCAL), (web, OUT), (public, OUT)]
        .map(|(task, to)| world.connects(task, 40_000, to).0);
    (world, web, tuples)
}

#[test]
fn flows_go_on_with_their_ports_and_counters() {
    let (before, web, [local, out, own]) = connected();
    let public = before.task("public", 1);
    let mut world = successor(&before, LAB, before.now, 3);
    assert_eq!(world.passes(&data(web, LOCAL)).0, local);
    assert_eq!(world.passes(&data(web, OUT)).0, out);
    assert_eq!(world.passes(&data(public, OUT)).0, own);
    let back = world.comes_back(Link::Internet, &data_back(out));
    assert_eq!((back.dst, back.dport), (web, 40_000));
    for (space, address) in
        [(Space::INTERNET, NAT_PUBLIC), (Space::INTERNET, APP_RUNNER), (Space::nth_vpc(0), ENI_A)]
    {
        assert_eq!(world.leased(space, address), before.leased(space, address), "{address}");
    }
    // Two of the handshake, one that the kernel forwarded, one more.
    let sent = |world: &World| {
        let mut sent = 0;
        world.engine.flows().for_each(|entry| {
            if entry.flow.egress.tuple().dst == DB {
                sent = entry.flow.sent.packets();
            }
        });
        sent
    };
    assert_eq!((sent(&before), sent(&world)), (2, 4));
    // No other flow gets one of the ports, and they come back.
    assert_ne!(world.opens(&syn(web, 40_001, OUT)).0.sport, out.sport);
    world.step(world.device_of(web), &tcp(web, 40_000, OUT, RST, 101, 501), 0).forwarded();
    world.advance(Duration::from_secs(3600));
    world.sweep_ends(4);
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 0);
}

#[test]
fn flows_that_are_not_allowed_any_more_are_dropped_by_name() {
    let (before, web, _) = connected();
    let acl = "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\negress = []\ningress = []\n";
    let subnet = "cidr = \"10.0.1.0/24\"";
    let text = with(LAB, subnet, &format!("{subnet}\nnetwork_acl = \"acl\"")) + acl;
    let mut world = successor(&before, &text, before.now, 3);
    assert_eq!(world.refuses(&data(web, OUT)), Reason::NaclEgressImplicitDeny);
    assert_eq!(world.refuses(&data(web, LOCAL)), Reason::NaclEgressImplicitDeny);
    let public = world.task("public", 1);
    world.passes(&data(public, OUT));
}

#[test]
fn a_flow_whose_address_has_changed_is_not_resumed() {
    let (before, web, _) = connected();
    let text = with(LAB, "public_ip = \"198.51.100.7\"", "public_ip = \"198.51.100.8\"");
    let mut world = successor(&before, &text, before.now, 2);
    assert_eq!(world.refuses(&data(web, OUT)), Reason::TcpNoFlow);
    assert_eq!(world.leased(Space::nth_vpc(0), ENI_A), 1, "the port of the other one");
}

#[test]
fn a_flow_is_resumed_once() {
    let (before, _, _) = connected();
    let world = successor(&before, LAB, before.now, 3);
    for record in records(&before) {
        let again = world.engine.adopt(world.now, &world.snapshot, &record, carried(world.now));
        assert_eq!(again.unwrap_err().reason, Reason::FlowMoved);
    }
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 1);
}

#[test]
fn one_that_was_idle_for_too_long_in_between_has_expired() {
    let (mut before, web, _) = connected();
    let seen = before.now;
    before.advance(Duration::from_secs(3600));
    let mut world = successor(&before, LAB, seen, 3);
    assert_eq!(world.refuses(&data(web, LOCAL)), Reason::FlowExpired);
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 0);
}
