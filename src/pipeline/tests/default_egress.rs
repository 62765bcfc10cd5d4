//! `egress = "default"`: App Runner's own public address, and no VPC.

use super::world::*;
use crate::flow::Space;
use crate::pipeline::{Detail, Device, Link, Reason};
use std::net::Ipv4Addr;
use std::time::Duration;

#[test]
fn the_internet_is_reached_from_app_runners_address() {
    let mut world = World::new(LAB);
    let public = world.task("public", 1);
    assert_eq!(world.device_of(public), Device::AppRunner);
    for to in [(EXAMPLE, 443), (EXAMPLE, 80)] {
        let (out, link) = world.connects(public, 40_000, to);
        assert_eq!((out.src, link), (APP_RUNNER, Link::Internet));
    }
    let (out, link) = world.opens(&ping(public, EXAMPLE, 5));
    assert_eq!(world.comes_back(link, &answer(out)).dst, public);
    assert_eq!(world.leased(Space::INTERNET, APP_RUNNER), 3);
}

#[test]
fn no_private_network_is_reached() {
    let mut world = World::new(LAB);
    let public = world.task("public", 1);
    for address in [
        DB,
        Ipv4Addr::new(192, 168, 0, 1),
        Ipv4Addr::new(100, 64, 0, 9),
        Ipv4Addr::new(169, 254, 169, 254),
    ] {
        let reason = world.refuses(&syn(public, 40_000, (address, 5432)));
        assert_eq!(reason, Reason::AppRunnerPrivateDestination, "{address}");
    }
    for own in [NAT_PUBLIC, APP_RUNNER] {
        let packet = syn(public, 40_000, (own, 443));
        assert_eq!(world.explain(&packet).denial.unwrap().reason, Reason::NatHairpin);
        assert_eq!(world.refuses(&packet), Reason::NatHairpin, "{own}");
    }
}

#[test]
fn its_answers_come_to_its_own_device() {
    let mut world = World::new(LAB);
    let (out, _) = world.opens(&udp(world.task("public", 1), 5353, (EXAMPLE, 53)));
    let nat = Device::NatGateway(crate::vpc::NatGatewayIx(0));
    world.comes_back(Link::Internet, &answer(out));
    let stray = crate::packet::Tuple { src: NAT_PUBLIC, ..out };
    assert_eq!(world.step(nat, &answer(stray), 0).reason(), Some(Reason::Unsolicited));
}

#[test]
fn regression_its_flows_are_limited_over_all_destinations() {
    let lab = LAB.replace("apprunner_public_ip = \"198.51.100.99\"", "");
    let hosts = [1, 2, 3].map(|last| Ipv4Addr::new(203, 0, 113, last));
    let lab = with_hosts(&format!("[limits]\neni_connections = 2\n{lab}"), &hosts);
    let mut world = World::new(&lab);
    let public = world.task("public", 1);
    for host in &hosts[..2] {
        world.opens(&udp(public, 1, (*host, 53)));
    }
    let third = udp(public, 1, (Ipv4Addr::new(203, 0, 113, 3), 53));
    assert_eq!(world.refuses(&third), Reason::NatPortsExhausted);
    world.advance(Duration::from_secs(351));
    world.sweep_ends(2);
    world.opens(&third);
}

#[test]
fn regression_a_host_that_the_lab_does_not_have_is_remarked() {
    let world = World::new(LAB);
    let nowhere = Ipv4Addr::new(192, 0, 2, 7);
    let remarked = |to| {
        let steps = world.explain(&syn(world.task("public", 1), 1, (to, 443))).steps;
        steps.iter().any(|step| step.detail == Detail::NoSuchHost(to))
    };
    assert!(remarked(nowhere) && !remarked(EXAMPLE));
}

#[test]
fn its_ports_run_out_too() {
    let lab = format!(
        "[limits]\nnat_connections_per_destination = 2\n{}",
        LAB.replace("apprunner_public_ip = \"198.51.100.99\"", "")
    );
    let mut world = World::new(&lab);
    let public = world.task("public", 1);
    for port in 1..=2 {
        world.opens(&udp(public, port, (EXAMPLE, 53)));
    }
    assert_eq!(world.refuses(&udp(public, 3, (EXAMPLE, 53))), Reason::NatPortsExhausted);
}
