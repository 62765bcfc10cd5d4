//! Declares the changes of a reload: none at once, and at a flow's next packet the effect that AWS
//! documents (spec 4.4, 5; surprise 9).

use super::*;
use crate::vpc::{Generation, Parts, Snapshot};
use std::net::Ipv4Addr;

const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const PORTS: &str = "ports 10.0.1.4 +1, ports 198.51.100.7 +1, destinations +2";
const PATH: &str = "10.0.1.4/10.0.0.4";
const SENT: &str = "sent 10.0.1.4/10.0.0.4 +1";
const EGRESS_443: &str = r#"{ protocol = "tcp", ports = "443", to = "0.0.0.0/0" },"#;
const DEFAULT_ROUTE: &str = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;

fn data(task: Ipv4Addr) -> Vec<u8> {
    tcp(task, 40_000, OUT, ACK, 101, 501)
}

#[test]
fn a_reload_without_a_change_changes_nothing() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (out, link) = ledger.connects(web, OUT, PORTS, PATH);
    ledger.reloads(LAB, "");
    assert_eq!(ledger.sends(&data(web), SENT).forwarded().0, out);
    ledger.reloads(LAB, "");
    let back = segment(out.reversed(), ACK, 501, 101);
    ledger.arrives(link, &back, "received 10.0.1.4/10.0.0.4 +1").forwarded();
}

#[test]
fn a_rule_that_goes_changes_nothing_for_a_tracked_flow() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (out, _) = ledger.connects(web, OUT, PORTS, PATH);
    ledger.reloads(&with(LAB, EGRESS_443, ""), "");
    assert_eq!(ledger.sends(&data(web), SENT).forwarded().0, out);
    let refused = "drops sg-egress-implicit-deny +1, drop rows +1";
    ledger.loses(&syn(web, 40_001, OUT), Reason::SgEgressImplicitDeny, refused);
}

/// An ACL stops a flow's packets and leaves the flow: when the rule is removed again, the flow
/// continues with the same port.
#[test]
fn an_acl_stops_packets_and_keeps_the_flow() {
    let acl = with(LAB, "cidr = \"10.0.1.0/24\"", "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl\"")
        + "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\negress = []\ningress = []\n";
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (out, link) = ledger.connects(web, OUT, PORTS, PATH);
    ledger.reloads(&acl, "");
    let first = "denied +1, drops nacl-egress-implicit-deny +1, drop rows +1";
    ledger.loses(&data(web), Reason::NaclEgressImplicitDeny, first);
    ledger.loses(&data(web), Reason::NaclEgressImplicitDeny, "drops nacl-egress-implicit-deny +1");
    let back = segment(out.reversed(), ACK, 501, 101);
    let returned = "drops nacl-return-implicit-deny +1, drop rows +1";
    ledger.keeps_out(link, &back, Reason::NaclReturnImplicitDeny, returned);
    ledger.reloads(LAB, "");
    let again = ledger.sends(&data(web), "denied -1, sent 10.0.1.4/10.0.0.4 +1");
    assert_eq!(again.forwarded().0, out);
}

#[test]
fn a_gateway_that_is_replaced_ends_its_flows_at_their_next_packet() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    ledger.connects(web, OUT, PORTS, PATH);
    let replaced = with(LAB, "public_ip = \"198.51.100.7\"", "public_ip = \"198.51.100.8\"");
    ledger.reloads(&replaced, "");
    let ended = "flows -1, established -1, ports 10.0.1.4 -1, ports 198.51.100.7 -1, resting +2, \
                 drops flow-moved +1, drop rows +1";
    ledger.loses(&data(web), Reason::FlowMoved, ended);
    let begun = "flows +1, opening +1, ports 10.0.1.4 +1, ports 198.51.100.8 +1, destinations +1, \
                 sent 10.0.1.4/10.0.0.4 +1";
    ledger.sends(&syn(web, 40_000, OUT), begun).forwarded();
}

#[test]
fn a_route_that_goes_stops_packets_and_keeps_the_flow() {
    let mut ledger = Ledger::new(LAB);
    let web = ledger.world.task("web", 1);
    let (out, _) = ledger.connects(web, OUT, PORTS, PATH);
    ledger.reloads(&with(LAB, DEFAULT_ROUTE, ""), "");
    ledger.loses(&data(web), Reason::NoRoute, "denied +1, drops no-route +1, drop rows +1");
    ledger.reloads(LAB, "");
    let again = ledger.sends(&data(web), "denied -1, sent 10.0.1.4/10.0.0.4 +1");
    assert_eq!(again.forwarded().0, out);
}

/// Records kept by address end with the ENI or gateway, and not before.
#[test]
fn state_of_addresses_is_removed_with_them() {
    let addresses = "public_ip = \"198.51.100.7\"\nsecondary_public_ips = [\"198.51.100.8\"]";
    let two = with(LAB, "public_ip = \"198.51.100.7\"", addresses);
    let mut ledger =
        Ledger::new(&format!("{two}\n[limits]\nnat_connections_per_destination = 1\n"));
    let web = ledger.world.task("web", 1);
    let first = "flows +1, rotations +1, ports 10.0.1.4 +1, ports 198.51.100.7 +1, destinations +2, sent 10.0.1.4/10.0.0.4 +1";
    ledger.sends(&udp(web, 1, (EXAMPLE, 53)), first).forwarded();
    let second = "flows +1, ports 10.0.1.4 +1, ports 198.51.100.8 +1, destinations +1, sent 10.0.1.4/10.0.0.4 +1";
    ledger.sends(&udp(web, 2, (EXAMPLE, 53)), second).forwarded();
    let third = "drops nat-ports-exhausted +1, drop rows +1, dropped by 10.0.0.4 +1, without port 10.0.0.4 +1";
    ledger.loses(&udp(web, 3, (EXAMPLE, 53)), Reason::NatPortsExhausted, third);
    let query = udp(web, 5353, (Ipv4Addr::new(10, 0, 0, 2), 53));
    ledger.sends(&query, "to the resolver from 10.0.1.4 +1, sent 10.0.1.4 +1").forwarded();
    ledger.step("all is there", "", |world| world.engine.forget_addresses(&world.snapshot));
    let nothing = Snapshot::build(Generation(9), Parts::default());
    let removed = "rotations -1, sent 10.0.1.4/10.0.0.4 -2, sent 10.0.1.4 -1, dropped by 10.0.0.4 -1, without port 10.0.0.4 -1, to the resolver from 10.0.1.4 -1";
    ledger.step("nothing is there", removed, |world| world.engine.forget_addresses(&nothing));
}
