//! Tests source translation: two levels in one rewrite, ports, limits, gateways that do not work.

use super::world::*;
use crate::flow::Space;
use crate::packet::{Outside, Protocol};
use crate::pipeline::{Detail, FlowOutcome, Link, Reason, Stage};
use crate::vpc::VpcIx;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

const NAT: &str = "public_ip = \"198.51.100.7\"";
const VPC: Space = Space::nth_vpc(0);

/// Surprise 6: the gateway translates to its private address, and only the internet gateway to the
/// public one. One rewrite does both, and the evidence shows each.
#[test]
fn two_translations_are_one_rewrite() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let sources: Vec<Ipv4Addr> = world
        .explain(&syn(web, 40_000, (EXAMPLE, 443)))
        .steps
        .iter()
        .filter_map(|step| match step.detail {
            Detail::Translated { after, .. } => Some(after.src),
            _ => None,
        })
        .collect();
    assert_eq!(sources, [ENI_A, NAT_PRIVATE, NAT_PUBLIC]);
    let (out, link) = world.connects(web, 40_000, (EXAMPLE, 443));
    assert_eq!(link, Link::Internet);
    assert_eq!((out.src, out.dst, out.dport), (NAT_PUBLIC, EXAMPLE, 443));
    assert!(out.sport >= 1024);
    let mut rewrites = 0;
    world.engine.flows().for_each(|entry| {
        let FlowOutcome::Forward(forward) = entry.outcome else { panic!() };
        assert_eq!(forward.rewrite.src, NAT_PUBLIC);
        rewrites += 1;
    });
    assert_eq!(rewrites, 1);
    assert_eq!((world.leased(VPC, ENI_A), world.leased(Space::INTERNET, NAT_PUBLIC)), (1, 1));
}

#[test]
fn inside_the_vpc_the_eni_is_seen() {
    let mut world = World::new(LAB);
    let (out, link) = world.connects(world.task("web", 1), 40_000, (DB, 5432));
    assert_eq!((out.src, link), (ENI_A, Link::Vpc(VpcIx(0))));
}

/// Checklist T7.
#[test]
fn two_tasks_with_the_same_source_port_get_each_their_own_answers() {
    let mut world = World::new(LAB);
    let (one, three) = (world.task("web", 1), world.task("web", 3));
    for to in [(EXAMPLE, 443), (DB, 5432)] {
        let (first, link) = world.opens(&syn(one, 40_000, to));
        let (second, _) = world.opens(&syn(three, 40_000, to));
        assert_ne!(first, second);
        assert_eq!(world.comes_back(link, &answer(second)).dst, three);
        assert_eq!(world.comes_back(link, &answer(first)).dst, one);
    }
}

/// Checklist I1.
#[test]
fn udp_and_icmp_are_translated_and_answered() {
    let mut world = World::new(LAB);
    let (one, three) = (world.task("web", 1), world.task("web", 3));
    let (out, link) = world.opens(&udp(one, 5353, (EXAMPLE, 53)));
    let back = world.comes_back(link, &answer(out));
    assert_eq!((back.dst, back.dport), (one, 5353));
    let (a, _) = world.opens(&ping(one, EXAMPLE, 7));
    let (b, _) = world.opens(&ping(three, EXAMPLE, 7));
    assert_ne!(a.sport, b.sport, "equal identifiers of two tasks");
    let back = world.comes_back(link, &answer(b));
    assert_eq!((back.dst, back.dport), (three, 7));
}

/// Checklist U8.
#[test]
fn only_the_peer_may_answer() {
    let mut world = World::new(LAB);
    let (out, link) = world.opens(&udp(world.task("web", 1), 5353, (EXAMPLE, 53)));
    let stranger = Ipv4Addr::new(203, 0, 113, 11);
    for wrong in [
        crate::packet::Tuple { dst: stranger, ..out },
        crate::packet::Tuple { dport: 54, ..out },
        crate::packet::Tuple { sport: out.sport ^ 1, ..out },
    ] {
        assert_eq!(world.stays_out(link, &answer(wrong)), Reason::Unsolicited);
    }
    world.comes_back(link, &answer(out));
}

#[test]
fn other_protocols_pass_inside_the_vpc_and_not_a_nat_gateway() {
    let lab = with(
        LAB,
        r#"{ protocol = "icmp", to = "0.0.0.0/0" }"#,
        r#"{ protocol = "all", to = "0.0.0.0/0" }"#,
    );
    let lab = with(
        &lab,
        r#"{ protocol = "icmp", icmp_type = 8, from = "sg-app" }"#,
        r#"{ protocol = "all", from = "sg-app" }"#,
    );
    let mut world = World::new(&lab);
    let (one, three) = (world.task("web", 1), world.task("web", 3));
    assert_eq!(world.refuses(&other(47, one, EXAMPLE)), Reason::NatProtocol);
    let (out, link) = world.opens(&other(47, one, DB));
    assert_eq!((out.protocol, out.src), (Protocol::Other(47), ENI_A));
    assert_eq!(world.comes_back(link, &answer(out)).dst, one);
    // A protocol without ports has one lease per destination.
    assert_eq!(world.refuses(&other(47, three, DB)), Reason::EniPortsExhausted);
}

#[test]
fn a_full_nat_gateway_refuses_one_destination_and_recovers() {
    let lab = format!(
        "[limits]\nnat_connections_per_destination = 3\n[timeouts]\nudp_idle = \"10s\"\n{}",
        LAB.replace("apprunner_public_ip = \"198.51.100.99\"", "")
    );
    let other = Ipv4Addr::new(203, 0, 113, 11);
    let mut world = World::new(&with_hosts(&lab, &[other]));
    let web = world.task("web", 1);
    let to = (EXAMPLE, 53);
    let ports: HashSet<u16> = (1..=3).map(|p| world.opens(&udp(web, p, to)).0.sport).collect();
    assert_eq!(ports.len(), 3);
    let fourth = udp(web, 4, to);
    assert_eq!(world.explain(&fourth).denial.unwrap().reason, Reason::NatPortsExhausted);
    assert_eq!(world.refuses(&fourth), Reason::NatPortsExhausted);
    assert_eq!(world.leased(VPC, ENI_A), 3, "the refused packet gave its ENI port back");
    world.opens(&udp(web, 4, (other, 53)));
    world.advance(Duration::from_secs(11));
    world.sweep_ends(4);
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 0);
    world.opens(&fourth);
}

#[test]
fn a_full_eni_refuses_every_destination_and_recovers() {
    let mut world = World::new(&format!(
        "[limits]\neni_connections = 3\n{}",
        LAB.replace("apprunner_public_ip = \"198.51.100.99\"", "")
    ));
    let (one, two) = (world.task("web", 1), world.task("web", 2));
    for port in 1..=3 {
        world.opens(&udp(one, port, (EXAMPLE, 53)));
    }
    assert_eq!(world.refuses(&syn(one, 4, (DB, 5432))), Reason::EniPortsExhausted);
    world.opens(&syn(two, 4, (DB, 5432)));
    world.advance(Duration::from_secs(351));
    world.sweep_ends(4);
    world.opens(&syn(one, 4, (DB, 5432)));
}

#[test]
fn a_gateway_without_a_way_out_says_which() {
    let out = "{ destination = \"0.0.0.0/0\", target = \"igw\" }";
    for (route, reason) in [
        ("", Reason::NatNoRoute),
        ("{ destination = \"0.0.0.0/0\", target = \"nat\" }", Reason::NatRoutesToNat),
        (
            "{ destination = \"0.0.0.0/0\", target = \"igw-gone\", state = \"blackhole\" }",
            Reason::NatBlackhole,
        ),
    ] {
        let mut world = World::new(&with(LAB, out, route));
        assert_eq!(world.refuses(&syn(world.task("web", 1), 1, (EXAMPLE, 443))), reason, "{route}");
    }
}

#[test]
fn a_private_gateway_has_no_internet() {
    let mut world = World::new(&with(LAB, NAT, "connectivity = \"private\""));
    assert_eq!(world.refuses(&syn(world.task("web", 1), 1, (EXAMPLE, 443))), Reason::IgwPrivateNat);
}

#[test]
fn a_dry_run_takes_no_port() {
    let mut world = World::new(LAB);
    let packet = syn(world.task("web", 1), 40_000, (EXAMPLE, 443));
    let explained = world.explain(&packet);
    assert_eq!((world.leased(VPC, ENI_A), world.leased(Space::INTERNET, NAT_PUBLIC)), (0, 0));
    assert!(explained.denial.is_none());
    assert_eq!(explained.steps.last().map(|s| s.stage), Some(Stage::NetworkAclReturn));
    let (out, _) = world.opens(&packet);
    assert_eq!(
        explained.outside,
        Some(Outside::new(out)),
        "the same port that the packet then gets"
    );
}

#[test]
fn an_internet_host_that_the_lab_does_not_have_is_remarked() {
    let world = World::new(LAB);
    let nowhere = Ipv4Addr::new(192, 0, 2, 7);
    let evidence = world.explain(&syn(world.task("web", 1), 1, (nowhere, 443)));
    assert!(evidence.steps.iter().any(|s| s.detail == Detail::NoSuchHost(nowhere)));
}
