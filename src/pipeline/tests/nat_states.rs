//! Tests the effect of each state of a NAT gateway on the routes that lead to it (spec 3.3, 6).

use super::world::*;
use crate::pipeline::{Component, Link, Reason, Stage};
use crate::vpc::{NatGatewayIx, RuleRef, Target};
use std::time::Duration;

const NAT: &str = "public_ip = \"198.51.100.7\"";

fn gateway_that_is(state: &str) -> String {
    with(LAB, NAT, &format!("{NAT}\nstate = \"{state}\""))
}

/// Checks that the route leads to the gateway, which drops: the gateway is named, with its line.
#[track_caller]
fn the_route_stays_and_the_gateway_drops(state: &str) {
    let mut world = World::new(&gateway_that_is(state));
    let web = world.task("web", 1);
    let packet = syn(web, 1, (EXAMPLE, 443));
    assert_eq!(world.refuses(&packet), Reason::NatGatewayState);
    let evidence = world.explain(&packet);
    assert_eq!(evidence.denial.unwrap().decided_by, RuleRef::NatGateway(NatGatewayIx(0)));
    let routed = evidence.steps.iter().find(|step| step.stage == Stage::RouteTable).unwrap();
    assert!(matches!(routed.component, Component::RouteTable(..)), "{routed:?}");
    let table = world.snapshot.parts().route_tables.iter().find(|t| t.id == "rtb-private");
    let leads = |target: &Target| matches!(target, Target::NatGateway(NatGatewayIx(0)));
    assert!(table.unwrap().routes.iter().any(|route| leads(&route.target)));
    assert_eq!(world.leased(crate::flow::Space::INTERNET, NAT_PUBLIC), 0, "no port was taken");
    // Other flows are not affected.
    world.connects(web, 2, (DB, 5432));
}

/// Checks that a flow stops when the gateway changes, and a new one is refused, until the gateway
/// is available again; flows elsewhere continue.
#[track_caller]
fn stops_what_runs(state: &str, reason: Reason) {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 1, (EXAMPLE, 443));
    assert_eq!((out.src, link), (NAT_PUBLIC, Link::Internet));
    world.connects(web, 2, (DB, 5432));
    world.reload(&gateway_that_is(state));
    // Its entry stays, with the denial.
    assert_eq!(world.refuses(&tcp(web, 1, (EXAMPLE, 443), ACK, 101, 501)), reason, "{state}");
    assert_eq!(world.refuses(&syn(web, 3, (EXAMPLE, 443))), reason, "{state}");
    world.passes(&tcp(web, 2, (DB, 5432), ACK, 101, 501));
    world.reload(LAB);
    world.advance(Duration::from_secs(1));
    world.connects(web, 4, (EXAMPLE, 443));
}

#[test]
fn pending_carries_nothing_yet() {
    the_route_stays_and_the_gateway_drops("pending");
}

#[test]
fn failed_carries_nothing() {
    the_route_stays_and_the_gateway_drops("failed");
    stops_what_runs("failed", Reason::NatGatewayState);
}

#[test]
fn available_carries_and_is_the_default() {
    for lab in [LAB, &gateway_that_is("available")] {
        let mut world = World::new(lab);
        let (out, link) = world.connects(world.task("web", 1), 1, (EXAMPLE, 443));
        assert_eq!((out.src, link), (NAT_PUBLIC, Link::Internet));
    }
}

#[test]
fn deleting_carries_nothing_more() {
    the_route_stays_and_the_gateway_drops("deleting");
    stops_what_runs("deleting", Reason::NatGatewayState);
}

#[test]
fn deleted_leaves_its_routes_behind_as_blackholes() {
    let mut world = World::new(&gateway_that_is("deleted"));
    let packet = syn(world.task("web", 1), 1, (EXAMPLE, 443));
    assert_eq!(world.refuses(&packet), Reason::RouteBlackhole);
    let decided_by = world.explain(&packet).denial.unwrap().decided_by;
    let RuleRef::Route(table, position) = decided_by else { panic!("{decided_by:?}") };
    let route = &world.snapshot.route_table(table).routes[usize::from(position)];
    assert_eq!(route.target, Target::Blackhole(Some("nat".to_owned())), "it still says whose");
    assert!(world.snapshot.parts().nat_gateways.is_empty(), "no device, no address");
    stops_what_runs("deleted", Reason::RouteBlackhole);
}

/// Its addresses are free: packets to them find no interface.
#[test]
fn deleted_gives_its_addresses_up() {
    let to = (NAT_PRIVATE, 443);
    let mut world = World::new(LAB);
    let packet = syn(world.task("web", 1), 1, to);
    assert_eq!(world.refuses(&packet), Reason::NatAddress);
    let mut world = World::new(&gateway_that_is("deleted"));
    assert_eq!(world.refuses(&packet), Reason::NoInterface);
}
