//! Declares the changes in a flow's life, from its first packet to its tombstone's end, and those
//! of refused packets.

use super::*;
use crate::packet::builder::icmp_error;
use crate::pipeline::Verdict;
use crate::pipeline::tests::fragments::split;
use crate::vpc::VpcIx;
use std::net::{Ipv4Addr, SocketAddrV4};

const VPC: Link = Link::Vpc(VpcIx(0));
const LOCAL: (Ipv4Addr, u16) = (DB, 5432);
const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
/// The ports and the path of a connection to [`LOCAL`].
const LOCAL_PORTS: &str = "ports 10.0.1.4 +1, destinations +1";
const LOCAL_PATH: &str = "10.0.1.4";
/// The ports and the path of a connection to [`OUT`].
const OUT_PORTS: &str = "ports 10.0.1.4 +1, ports 198.51.100.7 +1, destinations +2";
const OUT_PATH: &str = "10.0.1.4/10.0.0.4";

#[test]
fn a_connection_inside_the_vpc_from_syn_to_nothing() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (out, link) = ledger.connects(web, LOCAL, LOCAL_PORTS, LOCAL_PATH);
    ledger.sends(&tcp(web, 40_000, LOCAL, FIN.with(ACK), 101, 501), "sent 10.0.1.4 +1");
    let fin = segment(out.reversed(), FIN.with(ACK), 501, 102);
    ledger.arrives(link, &fin, "received 10.0.1.4 +1, established -1, closed +1");
    ledger.sends(&tcp(web, 40_000, LOCAL, ACK, 102, 502), "sent 10.0.1.4 +1");
    ledger.sweeps_after(2, "");
    // It was closed, so it leaves no tombstone; its port rests for a second.
    ledger.sweeps_after(1, "flows -1, closed -1, ports 10.0.1.4 -1, resting +1");
    ledger.sweeps_after(1, "resting -1, destinations -1");
}

#[test]
fn a_connection_through_a_nat_gateway_from_syn_to_nothing() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (out, link) = ledger.connects(web, OUT, OUT_PORTS, OUT_PATH);
    let reset = segment(out.reversed(), RST.with(ACK), 501, 101);
    let received = format!("received {OUT_PATH} +1");
    ledger.arrives(link, &reset, &format!("{received}, established -1, closed +1"));
    let over = "flows -1, closed -1, ports 10.0.1.4 -1, ports 198.51.100.7 -1, resting +2";
    ledger.sweeps_after(240, "");
    ledger.sweeps_after(1, over);
    ledger.keeps_out(link, &reset, Reason::Unsolicited, "drops unsolicited +1, drop rows +1");
    ledger.sweeps_after(1, "resting -2, destinations -2");
}

/// A second flow of the same tuple replaces the first at once; the old ports rest.
#[test]
fn a_tuple_that_is_used_again_after_its_close() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (out, link) = ledger.connects(web, OUT, OUT_PORTS, OUT_PATH);
    let reset = segment(out.reversed(), RST, 501, 0);
    ledger.arrives(link, &reset, "received 10.0.1.4/10.0.0.4 +1, established -1, closed +1");
    ledger.sends(
        &syn(web, 40_000, OUT),
        "closed -1, opening +1, resting +2, sent 10.0.1.4/10.0.0.4 +1",
    );
}

#[test]
fn an_idle_flow_behind_a_nat_gateway_leaves_tombstones_for_as_long_again() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (out, link) = ledger.connects(web, OUT, OUT_PORTS, OUT_PATH);
    ledger.sweeps_after(350, "");
    ledger.sweeps_after(
        1,
        "flows -1, established -1, tombstones +2, ports 10.0.1.4 -1, ports 198.51.100.7 -1, resting +2",
    );
    let late = tcp(web, 40_000, OUT, ACK, 101, 501);
    let seen = ledger.sends(&late, "drops flow-expired +1, drop rows +1");
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::FlowExpired, .. }));
    let late = segment(out.reversed(), ACK, 501, 101);
    ledger.keeps_out(link, &late, Reason::FlowExpired, "drops flow-expired +1, drop rows +1");
    ledger.sweeps_after(1, "resting -2, destinations -2");
    ledger.sweeps_after(599, "tombstones -2");
    ledger.keeps_out(link, &late, Reason::Unsolicited, "drops unsolicited +1, drop rows +1");
}

#[test]
fn a_packet_that_a_rule_denies_changes_its_counters_only() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (http, other) = (syn(web, 1, (EXAMPLE, 80)), syn(web, 2, (EXAMPLE, 80)));
    let reason = Reason::SgEgressImplicitDeny;
    ledger.loses(&http, reason, "drops sg-egress-implicit-deny +1, drop rows +1");
    ledger.loses(&other, reason, "drops sg-egress-implicit-deny +1");
    let to_nobody = syn(web, 1, (Ipv4Addr::new(10, 0, 3, 99), 443));
    ledger.loses(&to_nobody, Reason::NoInterface, "drops no-interface +1, drop rows +1");
}

/// A traceroute, or path MTU discovery, leaves no flow behind, and takes no port.
#[test]
fn a_first_packet_that_is_not_sent_on_leaves_no_flow_and_no_port() {
    let mut ledger = Ledger::new(&format!("mtu = 9001\n{LAB}"));
    let web = ledger.world.task("web", 1);
    let old = with_ttl(udp(web, 5353, (EXAMPLE, 53)), 1);
    let seen = ledger.sends(&old, "drops ttl-expired +1, drop rows +1");
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::TtlExpired, .. }), "{seen:?}");
    let old = with_ttl(syn(web, 40_000, OUT), 1);
    ledger.sends(&old, "drops ttl-expired +1, drop rows +1");
    let to = SocketAddrV4::new(EXAMPLE, 53);
    let big = crate::packet::builder::udp(SocketAddrV4::new(web, 5354), to, &[0; 4000]);
    let seen = ledger.sends(&big, "drops mtu-exceeded +1, drop rows +1");
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::MtuExceeded, .. }), "{seen:?}");
    // The next one begins a flow as if there had been no packet before.
    ledger.sends(
        &syn(web, 40_000, OUT),
        &format!("flows +1, opening +1, {OUT_PORTS}, sent {OUT_PATH} +1"),
    );
}

#[test]
fn a_packet_of_no_flow_changes_its_counters_only() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let stray = tcp(web, 1, OUT, ACK, 1, 1);
    ledger.loses(&stray, Reason::TcpNoFlow, "drops tcp-no-flow +1, drop rows +1");
    let unasked = segment(
        crate::packet::Tuple {
            protocol: crate::packet::Protocol::Tcp,
            src: EXAMPLE,
            dst: NAT_PUBLIC,
            sport: 443,
            dport: 1,
        },
        SYN,
        1,
        0,
    );
    let changes = "drops unsolicited +1, drop rows +1";
    ledger.keeps_out(Link::Internet, &unasked, Reason::Unsolicited, changes);
    let hairpin = syn(web, 1, (NAT_PUBLIC, 443));
    ledger.loses(&hairpin, Reason::NatHairpin, "drops nat-hairpin +1, drop rows +1");
}

#[test]
fn bytes_that_are_no_packet_change_their_counter_only() {
    let mut ledger = Ledger::new(LAB);
    let device = crate::pipeline::Device::AppRunner;
    let seen = ledger.step("noise", "drops malformed-truncated +1, drop rows +1", |world| {
        world.push(device, &[0x45; 7], VnetHeader::default())
    });
    assert_eq!(seen.reason(), Some(Reason::MalformedTruncated));
}

#[test]
fn pings_and_datagrams_are_flows_without_a_state() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let begun = "flows +1, ports 10.0.1.4 +1, ports 198.51.100.7 +1, destinations +2";
    let sent = format!("sent {OUT_PATH} +1");
    let begins = format!("{begun}, {sent}");
    let (pinged, link) = ledger.sends(&ping(web, EXAMPLE, 7), &begins).forwarded();
    let (asked, _) = ledger.sends(&udp(web, 7, (EXAMPLE, 53)), &begins).forwarded();
    for out in [pinged, asked] {
        ledger.arrives(link, &answer(out), &format!("received {OUT_PATH} +1")).forwarded();
    }
    ledger.sends(&ping(web, EXAMPLE, 7), &sent).forwarded();
    ledger.sweeps_after(
        351,
        "flows -2, tombstones +4, ports 10.0.1.4 -2, ports 198.51.100.7 -2, resting +4",
    );
}

#[test]
fn the_fragments_of_a_datagram_are_followed_for_thirty_seconds() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let from = SocketAddrV4::new(web, 7);
    let datagram = crate::packet::builder::udp(from, SocketAddrV4::new(EXAMPLE, 53), &[1; 3000]);
    let fragments = split(&datagram, 9, 1400);
    let sent = format!("sent {OUT_PATH} +1");
    let first = format!("flows +1, {OUT_PORTS}, datagrams +1, {sent}");
    ledger.sends(&fragments[0], &first).forwarded();
    for later in &fragments[1..] {
        ledger.sends(later, &sent).forwarded();
    }
    ledger.sweeps_after(30, "");
    ledger.sweeps_after(1, "datagrams -1");
}

/// Checklist U14: waiting fragments are counted, and leave nothing behind, released or not.
#[test]
fn a_fragment_before_its_first_one_waits_for_thirty_seconds() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let from = SocketAddrV4::new(web, 7);
    let datagram = crate::packet::builder::udp(from, SocketAddrV4::new(EXAMPLE, 53), &[1; 2000]);
    let [first, last] = &split(&datagram, 9, 1400)[..] else { panic!() };
    let waits = format!("held fragments +1, datagrams that wait +1, held bytes +{}", last.len());
    assert_eq!(ledger.sends(last, &waits).verdict, Verdict::Hold);
    ledger.sweeps_after(30, "");
    let removed = waits.replace('+', "-");
    ledger.sweeps_after(1, &format!("{removed}, drops fragment-unclaimed +1, drop rows +1"));
    ledger.sends(last, &waits);
    let begun = format!("flows +1, {OUT_PORTS}, datagrams +1, sent {OUT_PATH} +1");
    let seen = ledger.sends(first, &begun);
    let mut next = [0; 2000];
    let len = ledger.step("the release", &removed, |world| {
        world.engine.next_held(&seen.releases.unwrap(), &mut next).unwrap()
    });
    ledger.sends(&next[..len], &format!("sent {OUT_PATH} +1")).forwarded();
    ledger.sweeps_after(31, "datagrams -1");
}

#[test]
fn fragments_that_a_nat_gateway_refuses_share_their_fate() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let large = crate::packet::builder::icmp_echo_request(web, EXAMPLE, 7, 1, &[1; 3000]);
    let [first, later, last] = &split(&large, 9, 1400)[..] else { panic!() };
    let reason = Reason::NatFragment;
    let changes = "datagrams +1, drops nat-fragment +1, dropped by 10.0.0.4 +1, drop rows +1";
    ledger.loses(first, reason, changes);
    ledger.loses(later, reason, "drops nat-fragment +1, dropped by 10.0.0.4 +1");
    ledger.loses(last, reason, "drops nat-fragment +1, dropped by 10.0.0.4 +1");
}

/// An error about a flow neither refreshes nor ends it, and does not count as one of its packets.
#[test]
fn an_icmp_error_about_a_flow_changes_nothing() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (out, link) = ledger.connects(web, OUT, OUT_PORTS, OUT_PATH);
    ledger.sweeps_after(349, "");
    let quoted = segment(out, ACK, 101, 501);
    let error = icmp_error(Ipv4Addr::new(192, 0, 2, 1), NAT_PUBLIC, 3, 1, &quoted);
    ledger.arrives(link, &error, "").forwarded();
    let over = "flows -1, established -1, tombstones +2, ports 10.0.1.4 -1, ports 198.51.100.7 -1, resting +2";
    ledger.sweeps_after(2, over);
    let changes = "drops icmp-error-no-flow +1, drop rows +1";
    ledger.keeps_out(link, &error, Reason::IcmpErrorNoFlow, changes);
}

/// Exhaustion costs a counter: the ENI's port that was already taken comes back at once, and does
/// not rest.
#[test]
fn an_exhausted_destination_leaks_nothing() {
    let limited = format!(
        "[limits]\nnat_connections_per_destination = 2\n{}",
        with(LAB, "apprunner_public_ip = \"198.51.100.99\"", "")
    );
    let other = Ipv4Addr::new(203, 0, 113, 11);
    let mut ledger = Ledger::new(&with_hosts(&limited, &[other]));
    let web = ledger.world.task("web", 1);
    let sent = format!("sent {OUT_PATH} +1");
    let first = format!("flows +1, {OUT_PORTS}, {sent}");
    ledger.sends(&udp(web, 1, (EXAMPLE, 53)), &first).forwarded();
    let second = format!("flows +1, ports 10.0.1.4 +1, ports 198.51.100.7 +1, {sent}");
    ledger.sends(&udp(web, 2, (EXAMPLE, 53)), &second).forwarded();
    let full = Reason::NatPortsExhausted;
    let counted = "drops nat-ports-exhausted +1, dropped by 10.0.0.4 +1, without port 10.0.0.4 +1";
    let begun = format!("{counted}, drop rows +1");
    ledger.loses(&udp(web, 3, (EXAMPLE, 53)), full, &begun);
    ledger.loses(&udp(web, 4, (EXAMPLE, 53)), full, counted);
    let elsewhere = udp(web, 3, (other, 53));
    ledger.sends(&elsewhere, &first).forwarded();
    ledger.sweeps_after(
        351,
        "flows -3, tombstones +6, ports 10.0.1.4 -3, ports 198.51.100.7 -3, resting +6",
    );
    ledger.sweeps_after(1, "resting -6, destinations -4");
    ledger.sends(&udp(web, 3, (EXAMPLE, 53)), &first).forwarded();
}

#[test]
fn a_removed_task_takes_its_flows_along_and_no_other() {
    let mut ledger = Ledger::new(LAB);
    let (one, three) = (ledger.world.task("web", 1), ledger.world.task("web", 3));
    let (removed, _) = ledger.connects(one, LOCAL, LOCAL_PORTS, LOCAL_PATH);
    ledger.connects(three, LOCAL, "ports 10.0.1.4 +1", LOCAL_PATH);
    ledger.step(
        "forgetting a task",
        "flows -1, established -1, ports 10.0.1.4 -1, resting +1",
        |world| assert_eq!(world.engine.forget_task(world.now, &world.snapshot, one), 1),
    );
    let changes = "drops unsolicited +1, drop rows +1";
    ledger.keeps_out(VPC, &answer(removed), Reason::Unsolicited, changes);
}

/// A packet whose TTL ends here is answered, and does not count as one of its flow's packets.
#[test]
fn a_packet_that_egret_answers_changes_its_counter_only() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    ledger.connects(web, OUT, OUT_PORTS, OUT_PATH);
    let tired = with_ttl(tcp(web, 40_000, OUT, ACK, 101, 501), 1);
    let seen = ledger.sends(&tired, "drops ttl-expired +1, drop rows +1");
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::TtlExpired, .. }));
}

/// A query to the resolver is counted for a second, and with its ENI; it begins no flow and takes
/// no port.
#[test]
fn a_query_to_the_resolver_counts_in_its_window_only() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let query = udp(web, 5353, (Ipv4Addr::new(169, 254, 169, 253), 53));
    for _ in 0..2 {
        let seen = ledger.sends(&query, "to the resolver from 10.0.1.4 +1, sent 10.0.1.4 +1");
        assert_eq!(seen.forwarded().1, Link::Services);
    }
    ledger.world.advance(Duration::from_secs(1));
    // In another second the count starts again.
    ledger.sends(&query, "to the resolver from 10.0.1.4 -1, sent 10.0.1.4 +1").forwarded();
}

/// New flows take the addresses of a gateway in turn: one counter for the gateway, and a path for
/// each address.
#[test]
fn the_addresses_of_a_gateway_take_turns() {
    let two = with(
        LAB,
        "public_ip = \"198.51.100.7\"",
        "public_ip = \"198.51.100.7\"\nsecondary_public_ips = [\"198.51.100.8\"]",
    );
    let mut ledger = Ledger::new(&two);
    let web = ledger.world.task("web", 1);
    let mut begin = |port, changes: &str| {
        let (out, _) = ledger.sends(&udp(web, port, (EXAMPLE, 53)), changes).forwarded();
        out.src
    };
    let first = begin(
        1,
        "flows +1, rotations +1, ports 10.0.1.4 +1, ports 198.51.100.7 +1, destinations +2, sent 10.0.1.4/10.0.0.4 +1",
    );
    let second = begin(
        2,
        "flows +1, ports 10.0.1.4 +1, ports 198.51.100.8 +1, destinations +1, sent 10.0.1.4/10.0.0.4 +1",
    );
    assert_ne!(first, second);
}
