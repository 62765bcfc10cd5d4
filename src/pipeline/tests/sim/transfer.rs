//! Tests transfers over good and bad networks: all data arrives, in both directions, and nothing is
//! left behind.

use super::*;

const BAD: Impairment = Impairment {
    loss: 5,
    duplication: 2,
    delay: Duration::from_millis(5),
    jitter: Duration::from_millis(3),
};

/// Sends `len` bytes through the echo server and back, closes, and waits until every flow, port and
/// pool is freed.
#[track_caller]
fn echo(sim: &mut Sim, from: usize, port: u16, to: (Ipv4Addr, u16), len: usize) -> Socket {
    let sent = pattern(len);
    let socket = sim.connect(from, port, to, &sent);
    sim.close(from, socket);
    sim.run();
    assert_eq!(sim.state(from, socket), State::Closed);
    assert!(sim.endpoint(from, socket).received == sent, "the contents differ");
    let peer = *sim.host(to.0).sockets.keys().next_back().unwrap();
    assert!(sim.host(to.0).sockets[&peer].received == sent, "the contents differ at the server");
    socket
}

#[track_caller]
fn assert_nothing_left(sim: &mut Sim) {
    // Closed connections stay for 2 s, their ports rest for 1 s, and a sweep comes every second.
    sim.run_for(seconds(5));
    let mut census = sim.world.engine.census();
    census.0.retain(|name, _| {
        !["sent", "received", "drop", "listed", "tombstones", "expired"]
            .iter()
            .any(|kept| name.starts_with(kept))
    });
    assert_eq!(census, crate::flow::Census::default());
}

#[test]
fn a_good_network_needs_no_retransmission() {
    for offloads in [false, true] {
        let mut sim = Sim::new(LAB, 1);
        sim.hosts.iter_mut().for_each(|host| host.offloads = offloads);
        for (task, to) in [(1, OUT), (2, OUT), (1, LOCAL), (2, LOCAL)] {
            let web = sim.task("web", task);
            let socket = echo(&mut sim, web, 40_000, to, 300_000);
            assert_eq!(sim.endpoint(web, socket).retransmissions, 0);
        }
        assert!(sim.drops.is_empty(), "{:?}", sim.drops);
        assert_nothing_left(&mut sim);
    }
}

/// Checklist 5: no loss, reordering or duplication leaves a flow, a port or a pool behind.
#[test]
fn a_bad_network_delays_and_leaks_nothing() {
    let mut again = 0;
    for seed in 1..=8 {
        let mut sim = Sim::new(LAB, seed);
        sim.links = BAD;
        for (task, to) in [(1, OUT), (2, LOCAL)] {
            let web = sim.task("web", task);
            sim.hosts[web].offloads = seed % 2 == 0;
            let socket = echo(&mut sim, web, 40_000, to, 120_000);
            again += sim.endpoint(web, socket).retransmissions;
        }
        assert_nothing_left(&mut sim);
    }
    assert!(again > 8, "5 % were lost");
}

#[test]
fn four_connections_over_a_bad_network() {
    let mut sim = Sim::new(LAB, 42);
    sim.links = BAD;
    for (service, number, to) in
        [("web", 1, OUT), ("web", 2, OUT), ("web", 1, LOCAL), ("public", 1, OUT)]
    {
        let task = sim.task(service, number);
        echo(&mut sim, task, 40_000, to, 60_000);
    }
    let web = sim.task("web", 3);
    sim.connect(web, 40_000, (EXAMPLE, 80), b"");
    sim.run();
    insta::assert_snapshot!(sim.outcome());
}

/// The same seed gives the same world, to the packet.
#[test]
fn a_world_depends_on_its_seed_alone() {
    let outcome = |seed| {
        let mut sim = Sim::new(LAB, seed);
        sim.links = BAD;
        let web = sim.task("web", 1);
        echo(&mut sim, web, 40_000, OUT, 30_000);
        sim.outcome()
    };
    assert_eq!(outcome(7), outcome(7));
    assert_ne!(outcome(7), outcome(8));
}

/// Checklist 5.1, U3 and T7 over whole connections: two tasks of one ENI with the same source port,
/// to one server.
#[test]
fn two_tasks_with_equal_ports_do_not_mix() {
    let mut sim = Sim::new(LAB, 3);
    sim.links = BAD;
    let (one, three) = (sim.task("web", 1), sim.task("web", 3));
    for to in [OUT, LOCAL] {
        let (a, b) = (vec![b'a'; 50_000], vec![b'b'; 50_000]);
        let first = sim.connect(one, 40_000, to, &a);
        let second = sim.connect(three, 40_000, to, &b);
        sim.run();
        assert!(sim.endpoint(one, first).received == a);
        assert!(sim.endpoint(three, second).received == b);
    }
}

/// The task's segments fit its own link, and a router on the internet requires smaller ones: its
/// ICMP 3/4 comes through the NAT and names the task's own connection.
#[test]
fn a_smaller_mtu_on_the_internet_is_discovered_through_nat() {
    for offloads in [false, true] {
        let mut sim = Sim::new(LAB, 5);
        sim.router.mtu = Some(1400);
        let web = sim.task("web", 1);
        sim.hosts[web].offloads = offloads;
        let socket = echo(&mut sim, web, 40_000, OUT, 100_000);
        assert_eq!(sim.endpoint(web, socket).mss, 1360);
        let first = sim.hosts[web].errors[0];
        assert_eq!((first.0, first.1), (3, 4));
        assert_eq!((first.2.src, first.2.sport), (sim.hosts[web].address, 40_000));
    }
}
