//! Tests ICMP errors during a conversation: they reach the task about its own packets, and end
//! nothing (RFC 5508; checklist U12, T9, T10).

use super::*;

#[test]
fn an_unreachable_network_is_reported_and_a_connection_outlives_it() {
    let mut sim = Sim::new(LAB, 1);
    let web = sim.task("web", 1);
    let socket = sim.connected(web, 40_000, OUT);
    for code in [0, 1, 13] {
        sim.router.refuses.insert(EXAMPLE, (3, code));
        sim.write(web, socket, b"x");
        sim.run_for(Duration::from_millis(500));
        let (icmp_type, reported, quoted) = *sim.hosts[web].errors.last().unwrap();
        assert_eq!((icmp_type, reported), (3, code));
        let address = sim.hosts[web].address;
        assert_eq!((quoted.src, quoted.sport), (address, 40_000), "its own packet");
        assert_eq!((quoted.dst, quoted.dport), OUT);
        sim.router.refuses.clear();
        sim.run_for(seconds(3));
    }
    assert_eq!(sim.endpoint(web, socket).received, b"helloxxx");
    assert!(sim.drops.is_empty());
}

#[test]
fn errors_about_datagrams_and_pings_reach_whom_they_concern() {
    let mut sim = Sim::new(LAB, 2);
    sim.router.refuses.insert(EXAMPLE, (3, 3));
    let (one, three) = (sim.task("web", 1), sim.task("web", 3));
    sim.send_datagram(one, 5353, (EXAMPLE, 53), b"query");
    sim.send_ping(three, EXAMPLE, 9);
    sim.run();
    let quoted = |at: usize| sim.hosts[at].errors.iter().map(|e| e.2).collect::<Vec<_>>();
    let ([datagram], [ping]) = (&quoted(one)[..], &quoted(three)[..]) else {
        panic!("{:?}", sim.hosts)
    };
    assert_eq!((datagram.src, datagram.sport, datagram.dport), (sim.hosts[one].address, 5353, 53));
    assert_eq!((ping.src, ping.sport), (sim.hosts[three].address, 9));
    // The flows still exist: what was refused for a moment works again.
    sim.router.refuses.clear();
    sim.send_datagram(one, 5353, (EXAMPLE, 53), b"query");
    sim.send_ping(three, EXAMPLE, 9);
    sim.run();
    assert_eq!((sim.hosts[one].datagrams.len(), sim.hosts[three].pongs.len()), (1, 1));
    assert_eq!(sim.world.engine.flows().len(), 2);
}

/// A port without a listener: the server's own RST comes back through the NAT, and closes the flow.
#[test]
fn a_refused_connection_is_refused_at_once_and_forgotten() {
    let mut sim = Sim::new(LAB, 3);
    sim.host(EXAMPLE).is_server = false;
    let web = sim.task("web", 1);
    let socket = sim.connect(web, 40_000, OUT, b"");
    sim.run_for(seconds(1));
    assert_eq!(sim.state(web, socket), State::Reset);
    sim.run_for(seconds(3));
    assert_eq!((sim.world.engine.flows().len(), sim.leased()), (0, (0, 0)));
}
