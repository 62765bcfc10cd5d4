//! Tests connection tracking of security groups end to end (spec 4.4): everything through a
//! Hyperplane ENI is tracked, so admitted flows stay; ICMP always is; other protocols for 600 s;
//! network ACLs are stateless and cut at once.

use super::*;
use crate::vpc::{EniIx, VpcIx};

const ALL_OUT: &str = r#"{ protocol = "all", to = "0.0.0.0/0" }"#;
const NOTHING: &str = "egress = []";

/// Returns the lab with one outbound rule that allows all, and a database that admits everything.
fn open() -> String {
    let lab = with(LAB, r#"{ protocol = "icmp", to = "0.0.0.0/0" }"#, ALL_OUT);
    with(
        &lab,
        r#"{ protocol = "icmp", icmp_type = 8, from = "sg-app" }"#,
        r#"{ protocol = "all", from = "sg-app" }"#,
    )
}

/// Returns the same lab, with groups that no longer allow anything.
fn shut() -> String {
    let text = open();
    let begin = text.find("id = \"sg-app\"\nvpc = \"vpc\"\negress = [").unwrap();
    let end = begin + text[begin..].find("\n]\n").unwrap() + 3;
    let begin = begin + text[begin..].find("egress").unwrap();
    let text = format!("{}{NOTHING}\n{}", &text[..begin], &text[end..]);
    let begin = text.find("ingress = [").unwrap();
    let end = begin + text[begin..].find("\n]\n").unwrap() + 3;
    format!("{}ingress = []\n{}", &text[..begin], &text[end..])
}

/// Surprise 9, spec 4.4: after every rule of both groups is removed, tracked flows continue, and no
/// new one begins.
#[test]
fn with_all_rules_removed_tracked_flows_go_on_and_nothing_begins() {
    let mut sim = Sim::new(&open(), 1);
    let web = sim.task("web", 1);
    let outside = sim.connected(web, 40_000, OUT);
    let local = sim.connected(web, 40_000, LOCAL);
    sim.send_datagram(web, 5353, (EXAMPLE, 53), b"one");
    sim.send_ping(web, EXAMPLE, 7);
    sim.send_ping(web, DB, 7);
    sim.run();
    sim.reload(&shut());
    sim.write(web, outside, b"!");
    sim.write(web, local, b"!");
    sim.send_datagram(web, 5353, (EXAMPLE, 53), b"two");
    sim.send_ping(web, EXAMPLE, 7);
    sim.send_ping(web, DB, 7);
    sim.run();
    for socket in [outside, local] {
        assert_eq!(sim.endpoint(web, socket).received, b"hello!");
    }
    assert_eq!((sim.hosts[web].datagrams.len(), sim.hosts[web].pongs.len()), (2, 4));
    assert!(sim.drops.is_empty(), "{:?}", sim.drops);
    sim.connect(web, 40_001, OUT, b"");
    sim.connect(web, 40_001, LOCAL, b"");
    sim.send_ping(web, EXAMPLE, 8);
    let before = sim.forwarded;
    sim.run();
    assert_eq!((sim.forwarded, sim.drops.len()), (before, 1));
    assert!(sim.dropped(Reason::SgEgressNoRules) > 2);
}

/// An idle timeout ends tracking, and then the present rules count.
#[test]
fn packets_of_an_expired_flow_are_judged_by_the_present_rules() {
    let mut sim = Sim::new(&open(), 2);
    let web = sim.task("web", 1);
    sim.send_ping(web, EXAMPLE, 7);
    sim.run();
    sim.reload(&shut());
    sim.run_for(seconds(349));
    sim.send_ping(web, EXAMPLE, 7);
    sim.run_for(seconds(351));
    sim.send_ping(web, EXAMPLE, 7);
    sim.run();
    assert_eq!(sim.hosts[web].pongs.len(), 2);
    assert_eq!(sim.dropped(Reason::SgEgressNoRules), 1);
}

/// Protocols without ports are tracked by addresses, for 600 s.
#[test]
fn other_protocols_are_tracked_for_600_s() {
    for (idle, passes) in [(599, true), (600, true), (601, false)] {
        let mut sim = Sim::new(&open(), 3);
        let web = sim.world.task("web", 1);
        let device = sim.world.device_of(web);
        let (out, link) =
            sim.world.push(device, &other(47, web, DB), VnetHeader::default()).forwarded();
        assert_eq!((out.src, link), (ENI_A, Link::Vpc(VpcIx(0))));
        sim.reload(&shut());
        sim.run_for(seconds(idle));
        let back = other(47, DB, ENI_A);
        let eni = crate::pipeline::Device::Eni(EniIx(0));
        let seen = sim.world.push(eni, &back, VnetHeader::default());
        assert_eq!(seen.reason().is_none(), passes, "{idle} s: {seen:?}");
        let seen = sim.world.push(device, &other(47, web, DB), VnetHeader::default());
        let expected = (!passes).then_some(Reason::SgEgressNoRules);
        assert_eq!(seen.reason(), expected, "{idle} s: {seen:?}");
    }
}

/// A network ACL cuts flows that a group would let continue, both ways and at once.
#[test]
fn an_acl_cuts_tracked_flows_of_every_protocol() {
    let mut sim = Sim::new(&open(), 4);
    let web = sim.task("web", 1);
    let socket = sim.connected(web, 40_000, OUT);
    sim.send_datagram(web, 5353, (EXAMPLE, 53), b"one");
    sim.send_ping(web, DB, 7);
    sim.run();
    let acl = "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\negress = []\ningress = []\n";
    let place = "cidr = \"10.0.1.0/24\"";
    sim.reload(&(with(&open(), place, &format!("{place}\nnetwork_acl = \"acl\"")) + acl));
    let before = sim.forwarded;
    sim.write(web, socket, b"!");
    sim.send_datagram(web, 5353, (EXAMPLE, 53), b"two");
    sim.send_ping(web, DB, 7);
    sim.run();
    assert_eq!(sim.forwarded, before);
    assert_eq!(sim.state(web, socket), State::TimedOut);
    assert!(sim.dropped(Reason::NaclEgressImplicitDeny) > 3);
}
