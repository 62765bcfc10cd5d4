//! Applies another configuration during a transfer: some flows continue, some stop, some end
//! (spec 4.4, 5, 6; surprise 9).

use super::*;

const EGRESS_443: &str = r#"{ protocol = "tcp", ports = "443", to = "0.0.0.0/0" },"#;
const LEN: usize = 2_000_000;

/// Returns a transfer that is half-way: many packets are in transit in both directions.
fn half_way(seed: u64) -> (Sim, usize, Socket) {
    let mut sim = Sim::new(LAB, seed);
    sim.links.delay = Duration::from_millis(2);
    let web = sim.task("web", 1);
    let socket = sim.connect(web, 40_000, OUT, &pattern(LEN));
    sim.run_for(Duration::from_millis(150));
    let received = sim.endpoint(web, socket).received.len();
    assert!(received > LEN / 10 && received < LEN * 9 / 10, "{received}");
    (sim, web, socket)
}

fn with_acl(rules: &str) -> String {
    with(LAB, "cidr = \"10.0.1.0/24\"", "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl\"")
        + &format!("[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\n{rules}")
}

#[track_caller]
fn assert_done(sim: &mut Sim, web: usize, socket: Socket) {
    assert!(sim.endpoint(web, socket).received == pattern(LEN), "the contents differ");
}

#[test]
fn an_unrelated_change_loses_no_packet() {
    let (mut sim, web, socket) = half_way(1);
    let grown = LAB.to_owned()
        + "[[internet_host]]\nname = \"new\"\naddress = \"203.0.113.77\"\n[[security_group]]\nid = \"sg-new\"\nvpc = \"vpc\"\n";
    sim.reload(&grown);
    sim.run();
    assert_done(&mut sim, web, socket);
    assert_eq!((sim.endpoint(web, socket).retransmissions, sim.drops.len()), (0, 0));
}

/// The rule that admitted it is removed: the transfer continues, and only a new connection is
/// refused.
#[test]
fn a_removed_group_rule_does_not_cut_a_transfer() {
    let (mut sim, web, socket) = half_way(2);
    sim.reload(&with(LAB, EGRESS_443, ""));
    sim.run();
    assert_done(&mut sim, web, socket);
    assert_eq!((sim.endpoint(web, socket).retransmissions, sim.drops.len()), (0, 0));
    sim.connect(web, 40_001, OUT, b"");
    sim.run();
    assert!(sim.dropped(Reason::SgEgressImplicitDeny) > 0);
}

#[test]
fn an_acl_that_denies_stops_a_transfer_at_once() {
    let (mut sim, web, socket) = half_way(3);
    sim.reload(&with_acl("egress = []\ningress = []\n"));
    let before = sim.forwarded;
    sim.run();
    assert_eq!(sim.forwarded, before, "not one packet more");
    assert_eq!((sim.state(web, socket), sim.hosts[web].resets), (State::TimedOut, 0));
    assert!(sim.dropped(Reason::NaclEgressImplicitDeny) > 0);
    assert!(sim.dropped(Reason::NaclReturnImplicitDeny) > 0);
}

#[test]
fn an_acl_that_is_taken_back_in_time_only_delays_a_transfer() {
    let (mut sim, web, socket) = half_way(4);
    let everything = r#"{ rule = 1, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }"#;
    for rules in [
        "egress = []\ningress = []\n".to_owned(),
        format!("egress = [{everything}]\ningress = []\n"),
        format!("egress = []\ningress = [{everything}]\n"),
    ] {
        sim.reload(&with_acl(&rules));
        sim.run_for(seconds(2));
    }
    sim.reload(LAB);
    sim.run();
    assert_done(&mut sim, web, socket);
    assert!(sim.endpoint(web, socket).retransmissions > 0);
}

/// Another gateway has another address: a flow through the old one ends, without an answer, and
/// begins again.
#[test]
fn a_replaced_gateway_ends_a_transfer() {
    let (mut sim, web, socket) = half_way(5);
    sim.reload(&with(LAB, "public_ip = \"198.51.100.7\"", "public_ip = \"198.51.100.8\""));
    sim.run();
    assert_eq!((sim.state(web, socket), sim.hosts[web].resets), (State::TimedOut, 0));
    assert_eq!(sim.dropped(Reason::FlowMoved), 1);
    assert_eq!(sim.leased(), (0, 0));
    let again = sim.connected(web, 40_000, OUT);
    assert_eq!(sim.state(web, again), State::Open);
}

#[test]
fn a_removed_service_sends_nothing_and_others_go_on() {
    let (mut sim, web, socket) = half_way(6);
    let public = sim.task("public", 1);
    let other = sim.connected(public, 40_000, OUT);
    let removed = with(LAB, "[[service]]\nname = \"public\"\negress = \"default\"\n", "");
    sim.reload(&removed);
    sim.write(public, other, b"still here?");
    sim.run();
    assert_eq!(sim.state(public, other), State::TimedOut);
    assert_done(&mut sim, web, socket);
}

/// An hour, a hundred configurations, one connection that sends something under each: no
/// retransmission, one port.
#[test]
fn a_long_lived_flow_survives_a_hundred_reloads() {
    let mut sim = Sim::new(LAB, 7);
    let web = sim.task("web", 1);
    let socket = sim.connected(web, 40_000, OUT);
    let ports = |sim: &mut Sim| -> Vec<u16> {
        sim.host(EXAMPLE).sockets.keys().map(|(_, peer)| peer.port()).collect()
    };
    let first = ports(&mut sim);
    let others = [
        LAB.to_owned(),
        with(LAB, EGRESS_443, ""),
        with(LAB, "tasks = 4", "tasks = 3"),
        LAB.to_owned() + "[[internet_host]]\nname = \"new\"\naddress = \"203.0.113.77\"\n",
    ];
    for round in 0..100 {
        sim.run_for(seconds(36));
        sim.reload(&others[round % others.len()]);
        sim.write(web, socket, b"x");
        sim.run_for(seconds(1));
        assert_eq!(sim.endpoint(web, socket).received.len(), 6 + round, "under reload {round}");
    }
    assert_eq!(sim.endpoint(web, socket).retransmissions, 0);
    assert_eq!((ports(&mut sim), sim.drops.len()), (first, 0));
}
