//! Tests AWS's timeouts to the second: alive at 349 s and 350 s, expired at 351 s, and the side
//! that is informed of it (spec 6).
//!
//! Packets take no time here, so that a packet is idle for exactly as long as the test says.

use super::*;
use crate::flow::FlowKey;
use crate::packet::Tuple;

const PROMPT: Impairment = Impairment { delay: Duration::ZERO, ..Impairment::NONE };

fn prompt(text: &str) -> Sim {
    let mut sim = Sim::new(text, 1);
    sim.links = PROMPT;
    sim
}

/// Returns a connection that was idle for so long, and then sends something. The world starts with
/// its first packet, and [`Sim::connected`] waits for a second.
fn spoken_after(idle: u64, to: (Ipv4Addr, u16)) -> (Sim, usize, Socket) {
    let mut sim = prompt(LAB);
    let web = sim.task("web", 1);
    let socket = sim.connected(web, 40_000, to);
    sim.run_for(seconds(idle - 1));
    sim.write(web, socket, b"again");
    sim.run();
    (sim, web, socket)
}

/// Returns the packet that reached the destination of the only flow.
fn outside(sim: &Sim) -> Tuple {
    let mut found = Vec::new();
    sim.world.engine.flows().for_each(|entry| found.push(entry.flow.returned));
    assert_eq!(found.len(), 1);
    FlowKey::tuple(&found[0]).reversed()
}

#[test]
fn a_connection_may_be_idle_for_350_s_and_no_longer() {
    for idle in [349, 350] {
        let (mut sim, web, socket) = spoken_after(idle, OUT);
        assert_eq!(sim.endpoint(web, socket).received, b"helloagain", "{idle} s");
        assert!(sim.drops.is_empty());
    }
}

/// Spec 6: after 350 s the next packet from inside is answered with RST; the outside receives
/// nothing at all.
#[test]
fn after_351_s_the_inside_gets_a_reset_and_the_outside_nothing() {
    let (mut sim, web, socket) = spoken_after(351, OUT);
    assert_eq!(sim.state(web, socket), State::Reset);
    assert_eq!(sim.hosts[web].resets, 1);
    assert_eq!(sim.dropped(Reason::FlowExpired), 1);
    let server = sim.host(EXAMPLE);
    assert_eq!(server.resets, 0);
    assert!(server.sockets.values().all(|s| s.state == State::Open && s.received == b"hello"));
    // The server's later packets are dropped at the gateway, without an answer.
    let server = sim.at(EXAMPLE);
    let peer = *sim.hosts[server].sockets.keys().next().unwrap();
    sim.write(server, peer, b"still there?");
    sim.run();
    assert_eq!(sim.state(server, peer), State::TimedOut);
    assert_eq!(sim.hosts[server].resets, 0);
}

#[test]
fn inside_the_vpc_an_expired_connection_ends_in_silence() {
    let (sim, web, socket) = spoken_after(351, LOCAL);
    assert_eq!((sim.state(web, socket), sim.hosts[web].resets), (State::TimedOut, 0));
    assert!(sim.dropped(Reason::FlowExpired) > 1);
}

#[test]
fn a_late_answer_to_a_datagram_arrives_until_350_s_and_no_longer() {
    for (idle, arrives) in [(349, true), (350, true), (351, false)] {
        let mut sim = prompt(LAB);
        let (web, server) = (sim.task("web", 1), sim.at(EXAMPLE));
        // This port does not answer by itself.
        sim.hosts[server].is_server = false;
        sim.send_datagram(web, 5353, (EXAMPLE, 53), b"query");
        sim.run();
        let out = outside(&sim);
        sim.run_for(seconds(idle));
        sim.emit(server, vec![(answer(out), VnetHeader::default())]);
        sim.run();
        assert_eq!(sim.hosts[web].datagrams.len(), usize::from(arrives), "{idle} s");
        assert_eq!(sim.dropped(Reason::FlowExpired), u64::from(!arrives), "{idle} s");
    }
}

#[test]
fn a_late_echo_reply_arrives_until_350_s_and_no_longer() {
    for (idle, arrives) in [(349, true), (350, true), (351, false)] {
        let mut sim = prompt(LAB);
        let (web, server) = (sim.task("web", 1), sim.at(EXAMPLE));
        sim.hosts[server].is_server = false;
        sim.send_ping(web, EXAMPLE, 7);
        sim.run();
        let out = outside(&sim);
        sim.run_for(seconds(idle));
        sim.emit(server, vec![(answer(out), VnetHeader::default())]);
        sim.run();
        let expected: &[(Ipv4Addr, u16)] = if arrives { &[(EXAMPLE, 7)] } else { &[] };
        assert_eq!(sim.hosts[web].pongs, expected, "{idle} s");
    }
}

/// A query that continues after its flow expired begins another one, without an answer to either
/// side.
#[test]
fn a_datagram_after_351_s_begins_a_new_flow() {
    let mut sim = prompt(LAB);
    let web = sim.task("web", 1);
    for _ in 0..3 {
        sim.send_datagram(web, 5353, (EXAMPLE, 53), b"query");
        sim.run_for(seconds(351));
    }
    assert_eq!(sim.hosts[web].datagrams.len(), 3);
    let server = sim.host(EXAMPLE);
    let ports: std::collections::BTreeSet<u16> =
        server.datagrams.iter().map(|(_, from, _)| from.port()).collect();
    assert_eq!(ports.len(), 3, "a port each");
    assert!(sim.drops.is_empty());
}

/// No host answers the SYN: its flow is dropped 60 s after the last one, and its ports are free
/// again.
#[test]
fn a_half_open_connection_is_forgotten_after_60_s() {
    let silent = (Ipv4Addr::new(203, 0, 113, 99), 443);
    let mut sim = prompt(&with_hosts(LAB, &[silent.0]));
    sim.hosts.retain(|host| host.address != silent.0);
    let web = sim.task("web", 1);
    let socket = sim.connect(web, 40_000, silent, b"");
    sim.run();
    assert_eq!(sim.state(web, socket), State::TimedOut);
    let mut last = Instant::ZERO;
    sim.world.engine.flows().for_each(|entry| last = entry.flow.last_seen());
    let spent = sim.world.now.since(last);
    sim.run_for(seconds(60) - spent);
    assert_eq!((sim.world.engine.flows().len(), sim.leased()), (1, (1, 1)));
    sim.run_for(seconds(2));
    assert_eq!((sim.world.engine.flows().len(), sim.leased()), (0, (0, 0)));
}

#[test]
fn a_connection_that_both_sides_closed_is_forgotten_after_2_s() {
    let mut sim = prompt(LAB);
    let web = sim.task("web", 1);
    let socket = sim.connected(web, 40_000, OUT);
    sim.close(web, socket);
    sim.run_for(seconds(2));
    assert_eq!((sim.state(web, socket), sim.leased()), (State::Closed, (1, 1)));
    sim.run_for(seconds(1));
    assert_eq!((sim.world.engine.flows().len(), sim.leased()), (0, (0, 0)));
    sim.run_for(seconds(1));
    assert_eq!(sim.world.engine.census().0.get("resting"), None);
}

/// A FIN one way closes nothing yet: the server may take as long to answer as on any idle
/// connection.
#[test]
fn a_half_closed_connection_is_as_patient_as_an_open_one() {
    let mut sim = prompt(LAB);
    let (web, server) = (sim.task("web", 1), sim.at(EXAMPLE));
    let socket = sim.connected(web, 40_000, OUT);
    let peer = *sim.hosts[server].sockets.keys().next().unwrap();
    sim.endpoint(server, peer).echoes = false;
    sim.close(web, socket);
    sim.run_for(seconds(349));
    sim.write(server, peer, b"the answer");
    sim.close(server, peer);
    sim.run();
    assert_eq!(sim.endpoint(web, socket).received, b"hellothe answer");
    assert_eq!(sim.state(web, socket), State::Closed);
}

/// Timeouts are settings, and `time_scale` divides them all.
#[test]
fn at_a_time_scale_of_100_a_connection_may_be_idle_for_3_5_s() {
    let fast = format!(
        "[timeouts]\ntime_scale = 100.0\n{}",
        with(LAB, "apprunner_public_ip = \"198.51.100.99\"", "")
    );
    for (idle, state) in [(3499, State::Open), (3501, State::Reset)] {
        let mut sim = prompt(&fast);
        let web = sim.task("web", 1);
        let socket = sim.connected(web, 40_000, OUT);
        sim.run_for(Duration::from_millis(idle) - SECOND);
        sim.write(web, socket, b"again");
        sim.run_for(SECOND);
        assert_eq!(sim.state(web, socket), state, "{idle} ms");
    }
}
