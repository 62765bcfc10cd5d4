//! Tests public addresses that no host of the lab has: the VPC lets packets out to them, and they
//! are dropped at the internet, with a reason.

use super::gateway_endpoint::with_endpoint;
use super::world::*;
use crate::flow::Space;
use crate::pipeline::{Component, Denial, Detail, Forecast, Reason, Stage, Step, Verdict};
use crate::vpc::RuleRef;
use std::net::Ipv4Addr;

const VPC: Space = Space::nth_vpc(0);
const NOWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

const NO_SUCH_HOST: Denial =
    Denial { reason: Reason::NoSuchInternetHost, decided_by: RuleRef::Internet };

const HOST: &str = "\n[[internet_host]]\nname = \"late\"\naddress = \"192.0.2.7\"\n";

#[track_caller]
fn assert_dropped(world: &mut World, packet: &[u8]) {
    assert_eq!(world.refuses(packet), Reason::NoSuchInternetHost);
}

/// Returns the verdict on a live packet, and its steps.
fn traced(world: &World, packet: &[u8]) -> (Option<Verdict>, Vec<Step>) {
    let mut steps: Vec<Step> = Vec::new();
    let verdict = world.push_with(world.device_of(source(packet)), packet, &mut steps);
    (verdict, steps)
}

#[test]
fn packets_to_a_host_that_the_lab_does_not_have_are_dropped_and_counted() {
    let mut world = World::new(LAB);
    for task in [world.task("web", 1), world.task("public", 1)] {
        for packet in
            [syn(task, 1, (NOWHERE, 443)), udp(task, 2, (NOWHERE, 53)), ping(task, NOWHERE, 3)]
        {
            assert_dropped(&mut world, &packet);
            assert_dropped(&mut world, &packet);
        }
    }
    assert_eq!(world.engine.drops().packets(Reason::NoSuchInternetHost), 12);
}

#[test]
fn packets_to_no_host_behind_a_gateway_endpoint_are_dropped() {
    let mut world = World::new(&with_endpoint());
    let nowhere = Ipv4Addr::new(198, 18, 0, 99);
    let packet = syn(world.task("web", 1), 1, (nowhere, 443));
    assert_dropped(&mut world, &packet);
    let explained = world.explain(&packet);
    assert_eq!(explained.denial, None);
    let behind = |step: &&Step| step.detail == Detail::NoSuchHost(nowhere);
    let delivered = explained.steps.iter().find(behind).unwrap();
    assert!(matches!(delivered.component, Component::GatewayEndpoint(_)));
}

#[test]
fn a_packet_to_no_host_leaves_neither_flow_nor_port() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    for port in 1..=3 {
        assert_dropped(&mut world, &syn(web, port, (NOWHERE, 443)));
    }
    assert_eq!(world.engine.flows().len(), 0);
    assert_eq!((world.leased(VPC, ENI_A), world.leased(Space::INTERNET, NAT_PUBLIC)), (0, 0));
}

#[test]
fn a_check_of_the_vpc_decides_before_the_missing_host() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (NOWHERE, 80))), Reason::SgEgressImplicitDeny);
}

/// `explain` is about the VPC, the drop about the lab: both name the missing host.
#[test]
fn explain_lets_a_packet_to_no_host_pass_and_a_trace_shows_its_drop() {
    let world = World::new(LAB);
    let packet = syn(world.task("web", 1), 1, (NOWHERE, 443));
    let explained = world.explain(&packet);
    assert_eq!(explained.denial, None);
    assert!(explained.steps.iter().any(|step| step.detail == Detail::NoSuchHost(NOWHERE)));
    let (verdict, steps) = traced(&world, &packet);
    assert_eq!(verdict, Some(NO_SUCH_HOST.into()));
    let last = steps.last().unwrap();
    assert_eq!((last.stage, last.rule), (Stage::Deliver, Some(RuleRef::Internet)));
    assert_eq!(last.detail, Detail::NoSuchHost(NOWHERE));
}

#[test]
fn a_flow_is_dropped_while_its_host_is_out_of_the_lab() {
    let with_host = format!("{LAB}{HOST}");
    let mut world = World::new(&with_host);
    let packet = udp(world.task("web", 1), 1, (NOWHERE, 53));
    let (out, _) = world.opens(&packet);
    let (_, without) = world.next(LAB);
    let mut forecasts = Vec::new();
    world.engine.flows().for_each(|entry| {
        forecasts.push(world.engine.forecast(world.now, &without, &entry.flow));
    });
    assert_eq!(forecasts, [Forecast::Denied(NO_SUCH_HOST)]);
    world.reload(LAB);
    assert_dropped(&mut world, &packet);
    world.reload(&with_host);
    assert_eq!(world.passes(&packet).0, out, "it has kept its ports");
}
