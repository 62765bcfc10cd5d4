//! Takes every port of a destination: others are unaffected, nothing leaks, and freed ports are
//! used (checklist 5.2 to 5.4).

use super::*;
use crate::pipeline::Reason::NatPortsExhausted;
use std::collections::BTreeSet;

fn limited(limit: u32) -> String {
    format!(
        "[limits]\nnat_connections_per_destination = {limit}\n{}[[internet_host]]\nname = \"other\"\naddress = \"203.0.113.11\"\n",
        with(LAB, "apprunner_public_ip = \"198.51.100.99\"", "")
    )
}

/// Checklist 5.4.
#[test]
fn a_full_destination_refuses_one_more_and_another_one_works() {
    let mut sim = Sim::new(&limited(8), 1);
    let web = sim.task("web", 1);
    let open: Vec<Socket> = (0..8).map(|n| sim.connected(web, 40_000 + n, OUT)).collect();
    let waiting: Vec<Socket> = (8..12).map(|n| sim.connect(web, 40_000 + n, OUT, b"me")).collect();
    sim.run_for(seconds(1));
    assert!(sim.dropped(NatPortsExhausted) >= 4, "each SYN that comes again is counted");
    assert!(waiting.iter().all(|socket| sim.state(web, *socket) == State::Opening));
    assert_eq!(sim.leased(), (8, 8), "a refused SYN keeps no port of the ENI");
    sim.connected(web, 40_020, (Ipv4Addr::new(203, 0, 113, 11), 443));
    sim.connected(web, 40_021, LOCAL);
    // Connections that wait succeed as soon as others have closed.
    open.iter().for_each(|socket| sim.close(web, *socket));
    sim.run();
    for socket in waiting {
        assert_eq!(sim.endpoint(web, socket).received, b"me");
    }
    assert_eq!(sim.leased(), (5, 6), "four, the other host, and the database");
}

/// A refusal never makes a later connection fail: ten thousand connections, a hundred at a time,
/// which is the limit. Checklist 5.2.
#[test]
fn a_hundred_times_the_limit_in_churn_leaks_nothing() {
    let mut sim = Sim::new(&limited(100), 2);
    let web = sim.task("web", 1);
    let mut ports = BTreeSet::new();
    for round in 0..100 {
        let sockets: Vec<Socket> =
            (0..100).map(|n| sim.connect(web, 1024 + round * 100 + n, OUT, b"")).collect();
        sim.run_for(Duration::from_millis(10));
        assert_eq!(sim.leased(), (100, 100));
        for socket in sockets {
            assert_eq!(sim.state(web, socket), State::Open);
            sim.close(web, socket);
        }
        // Two seconds after closing, the flows are swept.
        sim.run_for(seconds(3));
        assert_eq!(sim.leased(), (0, 0));
        ports.extend(sim.host(EXAMPLE).sockets.keys().map(|(_, peer)| peer.port()));
        sim.host(EXAMPLE).sockets.clear();
        sim.hosts[web].sockets.clear();
    }
    assert_eq!(sim.drops, BTreeMap::new());
    assert!(ports.len() > 8_000, "ports are drawn from all 64,512, not from the first few");
    sim.run_for(seconds(2));
    let census = sim.world.engine.census();
    for name in ["flows", "destinations", "resting", "taken", "tombstones"] {
        assert_eq!(census.0.get(name), None, "{name}");
    }
}

/// Checklist 5.7: a tuple that was just closed connects again at once, on another port, while the
/// old one rests.
#[test]
fn the_same_tuple_connects_again_at_once_a_thousand_times() {
    let mut sim = Sim::new(LAB, 3);
    let web = sim.task("web", 1);
    for round in 0..1000 {
        let socket = sim.connect(web, 40_000, OUT, b"hi");
        sim.run_for(Duration::from_millis(10));
        assert_eq!(sim.endpoint(web, socket).received, b"hi", "{round}");
        sim.close(web, socket);
        sim.run_for(Duration::from_millis(10));
        assert_eq!(sim.state(web, socket), State::Closed, "{round}");
    }
    assert_eq!(sim.drops, BTreeMap::new());
    assert_eq!(sim.leased(), (1, 1));
}
