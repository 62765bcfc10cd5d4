//! The life of a TCP flow: begins with SYN, ends by FIN, RST or idleness; expired, unsolicited and never-existed differ.

use super::world::*;
use crate::packet::{Packet, VnetHeader};
use crate::pipeline::{Device, Reason, Verdict};
use std::net::Ipv4Addr;
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(351);
const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const LOCAL: (Ipv4Addr, u16) = (DB, 5432);

#[test]
fn only_a_syn_begins_a_flow() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    for flags in [ACK, SYN_ACK, FIN.with(ACK), RST, SYN.with(RST)] {
        assert_eq!(world.refuses(&tcp(web, 1, OUT, flags, 1, 1)), Reason::TcpNoFlow, "{flags}");
    }
}

/// Checklist T5.
#[test]
fn an_expired_flow_behind_a_nat_gateway_is_answered_with_rst_to_the_inside_only() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    world.advance(IDLE);
    let late = tcp(web, 40_000, OUT, ACK, 101, 501);
    let seen = world.step(world.device_of(web), &late, -1);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::FlowExpired, .. }), "{seen:?}");
    let mut bytes = seen.bytes.clone();
    let reset = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
    assert!(reset.tcp().unwrap().flags.rst());
    assert_eq!((reset.src(), reset.dst()), (EXAMPLE, web));
    assert_eq!(reset.tcp().unwrap().seq, 501, "acceptable to the task");
    // Nothing to the outside (spec 6).
    assert_eq!(world.stays_out(link, &segment(out.reversed(), ACK, 501, 101)), Reason::FlowExpired);
    // A reset is not answered with a reset.
    let seen = world.step(world.device_of(web), &tcp(web, 40_000, OUT, RST, 101, 501), 0);
    assert!(matches!(seen.verdict, Verdict::Drop { reason: Reason::FlowExpired, .. }), "{seen:?}");
    // A SYN begins another flow.
    world.opens(&syn(web, 40_000, OUT));
}

#[test]
fn an_expired_flow_without_a_nat_gateway_is_dropped_in_silence() {
    let mut world = World::new(LAB);
    let (web, public) = (world.task("web", 1), world.task("public", 1));
    world.connects(web, 40_000, LOCAL);
    world.connects(public, 40_000, OUT);
    world.advance(IDLE);
    world.sweep_ends(2);
    assert_eq!(world.refuses(&tcp(web, 40_000, LOCAL, ACK, 101, 501)), Reason::FlowExpired);
    assert_eq!(world.refuses(&tcp(public, 40_000, OUT, ACK, 101, 501)), Reason::FlowExpired);
}

#[test]
fn expired_unsolicited_and_never_existed_are_three_reasons() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    world.advance(IDLE);
    world.sweep_ends(1);
    assert_eq!(world.stays_out(link, &answer(out)), Reason::FlowExpired);
    let never = crate::packet::Tuple { sport: out.sport ^ 1, ..out };
    assert_eq!(world.stays_out(link, &answer(never)), Reason::Unsolicited);
    assert_eq!(world.refuses(&tcp(web, 40_001, OUT, ACK, 1, 1)), Reason::TcpNoFlow);
}

#[test]
fn traffic_in_either_direction_keeps_a_flow() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    for round in 0..6 {
        world.advance(Duration::from_secs(349));
        if round % 2 == 0 {
            world.comes_back(link, &segment(out.reversed(), ACK, 501, 101));
        } else {
            world.passes(&tcp(web, 40_000, OUT, ACK, 101, 501));
        }
    }
}

#[test]
fn an_unanswered_syn_is_forgotten_sooner() {
    let mut world = World::new(LAB);
    world.opens(&syn(world.task("web", 1), 40_000, OUT));
    world.advance(Duration::from_secs(61));
    world.sweep_ends(1);
}

/// Checklist 5.7.
#[test]
fn a_closed_connection_is_forgotten_and_its_tuple_is_free_at_once() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    world.passes(&tcp(web, 40_000, OUT, FIN.with(ACK), 101, 501));
    world.comes_back(link, &segment(out.reversed(), FIN.with(ACK), 501, 102));
    world.passes(&tcp(web, 40_000, OUT, ACK, 102, 502));
    // The same tuple again: one flow ends, one begins, on another port (checklist 5.7).
    let seen = world.step(world.device_of(web), &syn(web, 40_000, OUT), 0);
    let (again, _) = seen.forwarded();
    assert_ne!(again.sport, out.sport, "the old port rests");
    assert_eq!(world.stays_out(link, &segment(out.reversed(), ACK, 502, 102)), Reason::Unsolicited);
    world.comes_back(link, &answer(again));
}

/// Its timeout is no idleness to tell anyone of, and its late ACK gets no RST for it.
#[test]
fn regression_a_late_segment_of_a_closed_connection_is_of_no_flow() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    world.passes(&tcp(web, 40_000, OUT, FIN.with(ACK), 101, 501));
    world.comes_back(link, &segment(out.reversed(), FIN.with(ACK), 501, 102));
    world.advance(Duration::from_secs(3));
    world.sweep_ends(1);
    assert_eq!(world.refuses(&tcp(web, 40_000, OUT, ACK, 102, 502)), Reason::TcpNoFlow);
    let late = segment(out.reversed(), FIN.with(ACK), 501, 102);
    assert_eq!(world.stays_out(link, &late), Reason::Unsolicited);
}

#[test]
fn a_reset_closes_and_a_forged_one_does_not() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    world.comes_back(link, &segment(out.reversed(), RST, 999_999, 0));
    world.advance(Duration::from_secs(300));
    world.passes(&tcp(web, 40_000, OUT, ACK, 101, 501));
    world.comes_back(link, &segment(out.reversed(), RST, 501, 0));
    world.advance(Duration::from_secs(3));
    world.sweep_ends(1);
}

/// Checklist T2.
#[test]
fn simultaneous_open_passes() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&syn(web, 40_000, OUT));
    world.comes_back(link, &segment(out.reversed(), SYN, 500, 0));
    world.passes(&tcp(web, 40_000, OUT, SYN_ACK, 100, 501));
    world.comes_back(link, &segment(out.reversed(), SYN_ACK, 500, 101));
    world.advance(Duration::from_secs(100));
    world.passes(&tcp(web, 40_000, OUT, ACK, 101, 501));
}

#[test]
fn nothing_outside_opens_a_flow() {
    let mut world = World::new(LAB);
    let to = Device::NatGateway(crate::vpc::NatGatewayIx(0));
    for address in [NAT_PUBLIC, NAT_PRIVATE, Ipv4Addr::new(10, 0, 1, 4)] {
        let seen = world.step(to, &syn(EXAMPLE, 1, (address, 443)), 0);
        assert_eq!(seen.reason(), Some(Reason::Unsolicited));
    }
}

#[test]
fn a_task_that_is_gone_takes_its_flows_along() {
    let mut world = World::new(LAB);
    let (one, three) = (world.task("web", 1), world.task("web", 3));
    let (gone, link) = world.connects(one, 40_000, OUT);
    let (kept, _) = world.connects(three, 40_000, OUT);
    assert_eq!(world.engine.forget_task(world.now, &world.snapshot, one), 1);
    world.flows_end(1);
    assert_eq!(world.stays_out(link, &answer(gone)), Reason::Unsolicited);
    world.comes_back(link, &segment(kept.reversed(), ACK, 501, 101));
}
