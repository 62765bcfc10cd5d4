//! Tests the life of a TCP flow: begins with SYN, ends by FIN, RST or idleness; expired,
//! unsolicited and never-existed differ.

use super::world::*;
use crate::packet::{Packet, Tuple, VnetHeader, builder};
use crate::pipeline::{Device, Link, Reason, Verdict};
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

/// Checklist T5: the next packet from inside gets RST whenever it comes, not only while the
/// tombstone exists.
#[test]
fn regression_an_expired_flow_is_answered_with_rst_however_late() {
    let mut world = World::new(LAB);
    let (web, public) = (world.task("web", 1), world.task("public", 1));
    let (out, link) = world.connects(web, 40_000, OUT);
    world.connects(public, 40_000, OUT);
    world.advance(IDLE);
    world.sweep_ends(2);
    world.advance(Duration::from_secs(24 * 3600));
    world.sweep_ends(0);
    assert_eq!(world.resets(&tcp(web, 40_000, OUT, ACK, 101, 501)), Reason::TcpNoFlow);
    let back = segment(out.reversed(), ACK, 501, 101);
    assert_eq!(world.stays_out(link, &back), Reason::Unsolicited, "nothing to the outside");
    let without_gateway = tcp(public, 40_000, OUT, ACK, 101, 501);
    assert_eq!(world.refuses(&without_gateway), Reason::TcpNoFlow);
    // If a connection could not even begin, there is no answer; neither is a RST answered, nor a
    // segment that might begin a connection.
    let closed = tcp(web, 40_000, (EXAMPLE, 80), ACK, 101, 501);
    assert_eq!(world.refuses(&closed), Reason::TcpNoFlow);
    for flags in [SYN_ACK, RST, SYN.with(RST)] {
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

/// Checklist 5.5.
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

/// Its timeout is not reported as idleness, and its late ACK gets no RST for it.
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

/// Checklist 7857-RST.
#[test]
fn a_reset_closes_and_a_forged_one_does_not() {
    let mut world = World::new(&format!("{LAB}\n[timeouts]\ntcp_reset = \"2s\"\n"));
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

/// Checklist T2: policy permits no flow that begins outside.
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
fn a_removed_task_takes_its_flows_along() {
    let mut world = World::new(LAB);
    let (one, three) = (world.task("web", 1), world.task("web", 3));
    let (removed, link) = world.connects(one, 40_000, OUT);
    let (kept, _) = world.connects(three, 40_000, OUT);
    assert_eq!(world.engine.forget_task(world.now, &world.snapshot, one), 1);
    world.flows_end(1);
    assert_eq!(world.stays_out(link, &answer(removed)), Reason::Unsolicited);
    world.comes_back(link, &segment(kept.reversed(), ACK, 501, 101));
}

/// Checklist T4: an unsolicited SYN is never answered, not even after 6 s, by policy; and one from
/// inside that follows begins a connection of its own.
#[test]
fn an_unsolicited_syn_is_never_answered() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let inbound = Tuple {
        protocol: crate::packet::Protocol::Tcp,
        src: EXAMPLE,
        dst: NAT_PUBLIC,
        sport: 443,
        dport: 40_000,
    };
    for seconds in [0, 3, 7, 3600] {
        world.advance(Duration::from_secs(seconds));
        world.sweep_ends(0);
        let seen = world.arrive(Link::Internet, &segment(inbound, SYN, 500, 0), 0);
        let silent = matches!(seen.verdict, Verdict::Drop { reason: Reason::Unsolicited, .. });
        assert!(silent, "{seen:?}");
    }
    world.connects(web, 40_000, OUT);
}

/// Checklist 7857-2, T5: a connection that opens, one that is open, one with a FIN one way, one
/// with FINs both ways, and one that was reset each have a timer of their own.
#[test]
fn each_phase_of_a_connection_has_its_own_timer() {
    let timers = "[timeouts]\ntcp_opening = \"10s\"\ntcp_idle = \"50s\"\ntcp_half_closed = \"30s\"\ntcp_closing = \"20s\"\ntcp_reset = \"40s\"\n";
    for (segments, seconds) in [(0, 50), (1, 30), (2, 20), (3, 40)] {
        let mut world = World::new(&format!("{LAB}\n{timers}"));
        let web = world.task("web", 1);
        let (out, link) = world.connects(web, 40_000, OUT);
        if segments == 1 || segments == 2 {
            world.passes(&tcp(web, 40_000, OUT, FIN.with(ACK), 101, 501));
        }
        if segments == 2 {
            world.comes_back(link, &segment(out.reversed(), FIN.with(ACK), 501, 102));
        }
        if segments == 3 {
            world.comes_back(link, &segment(out.reversed(), RST, 501, 0));
        }
        ends_after(&mut world, seconds);
    }
    for (refused, seconds) in [(false, 10), (true, 20)] {
        let mut world = World::new(&format!("{LAB}\n{timers}"));
        let web = world.task("web", 1);
        let (out, link) = world.opens(&syn(web, 40_000, OUT));
        if refused {
            world.comes_back(link, &segment(out.reversed(), RST.with(ACK), 0, 101));
        }
        ends_after(&mut world, seconds);
    }
}

/// Checks that the only flow lives for so long, and no longer.
#[track_caller]
fn ends_after(world: &mut World, seconds: u64) {
    world.advance(Duration::from_secs(seconds));
    world.sweep_ends(0);
    world.advance(Duration::from_millis(1));
    world.sweep_ends(1);
}

/// Checklist 7857-RST: a RST is passed on and the state kept for 4 minutes; data revives it, since
/// then the server had not sent the RST. One out of the window is passed on too, and has no effect.
#[test]
fn a_reset_is_passed_on_and_its_flow_kept_for_four_minutes() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    world.comes_back(link, &segment(out.reversed(), RST, 501, 0));
    world.advance(Duration::from_secs(239));
    world.sweep_ends(0);
    // The task answers a forged one with a challenge ACK (RFC 5961); the server continues where it
    // was.
    world.passes(&tcp(web, 40_000, OUT, ACK, 101, 501));
    world.comes_back(link, &segment(out.reversed(), ACK, 501, 101));
    world.comes_back(link, &segment(out.reversed(), RST, 999_999, 0));
    ends_after(&mut world, 350);
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    world.comes_back(link, &segment(out.reversed(), RST, 501, 0));
    ends_after(&mut world, 240);
}

/// Checklist 7857-7: a RST that ends nothing may answer any packet from outside, so it keeps no
/// flow alive; nor does an ICMP error from inside.
#[test]
fn resets_and_errors_from_inside_refresh_nothing() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let (query, _) = world.opens(&udp(web, 5353, (EXAMPLE, 53)));
    world.comes_back(link, &answer(query));
    world.advance(Duration::from_secs(349));
    world.passes(&tcp(web, 40_000, OUT, RST, 0x8000_0000, 0));
    let quoted = datagram(Tuple { src: EXAMPLE, dst: web, sport: 53, dport: 5353, ..query }, b"");
    world.passes(&builder::icmp_error(web, EXAMPLE, 3, 3, &quoted));
    world.advance(Duration::from_secs(2));
    world.sweep_ends(2);
    // After the flow is over, each further RST is an answer only.
    let (again, _) = world.connects(web, 40_000, OUT);
    world.passes(&tcp(web, 40_000, OUT, RST, 101, 0));
    world.advance(Duration::from_secs(239));
    world.passes(&tcp(web, 40_000, OUT, RST, 101, 0));
    ends_after(&mut world, 1);
    assert_eq!(world.stays_out(link, &segment(out.reversed(), ACK, 501, 101)), Reason::FlowExpired);
    assert_eq!(world.stays_out(link, &segment(again.reversed(), ACK, 1, 1)), Reason::Unsolicited);
}

/// Checklist 7857-2: a task that lost its memory opens the same connection again. The server's
/// challenge ACK comes in, the RST that it provokes leaves, and the next SYN connects, all by the
/// existing mapping.
#[test]
fn a_syn_on_an_established_connection_finds_its_way() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let (again, _) = world.passes(&tcp(web, 40_000, OUT, SYN, 77_000, 0));
    assert_eq!(again, out);
    world.comes_back(link, &segment(out.reversed(), ACK, 501, 101));
    let device = world.device_of(web);
    world.step(device, &tcp(web, 40_000, OUT, RST, 101, 0), 0).forwarded();
    let seen = world.step(device, &tcp(web, 40_000, OUT, SYN, 77_000, 0), 0);
    let (last, link) = seen.forwarded();
    world.comes_back(link, &segment(last.reversed(), SYN_ACK, 900, 77_001));
    world.passes(&tcp(web, 40_000, OUT, ACK, 77_001, 901));
    ends_after(&mut world, 350);
}
