//! Tests routing: longest prefix, subnet boundaries, gateways, and the limits of a connector.

use super::world::*;
use crate::flow::Space;
use crate::packet::Inside;
use crate::pipeline::{Device, Link, Reason, Stage};
use crate::vpc::{GatewayEndpointIx, RuleRef, Task, VpcIx};
use std::net::Ipv4Addr;

const PRIVATE_ROUTES: &str = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;

/// Surprise 1: the route is there, the ENI has no public address.
#[test]
fn a_default_route_to_an_internet_gateway_gives_a_connector_nothing() {
    let mut world =
        World::new(&with(LAB, PRIVATE_ROUTES, r#"{ destination = "0.0.0.0/0", target = "igw" },"#));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 40_000, (EXAMPLE, 443))), Reason::IgwNoPublicAddress);
    world.opens(&syn(web, 40_000, (DB, 5432)));
}

#[test]
fn an_internet_gateway_refuses_private_and_shared_destinations_first() {
    let to_igw = with(LAB, PRIVATE_ROUTES, r#"{ destination = "0.0.0.0/0", target = "igw" },"#);
    for lab in [LAB, &to_igw] {
        let mut world = World::new(lab);
        let web = world.task("web", 1);
        for (address, reason) in [
            ([192, 168, 1, 1], Reason::IgwPrivateDestination),
            ([172, 31, 0, 1], Reason::IgwPrivateDestination),
            ([100, 127, 255, 1], Reason::IgwSharedDestination),
        ] {
            assert_eq!(world.refuses(&syn(web, 40_000, (address.into(), 443))), reason);
        }
        assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 0);
    }
}

#[test]
fn without_a_route_a_packet_dies_at_the_route_table() {
    let mut world = World::new(&with(LAB, PRIVATE_ROUTES, ""));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 40_000, (EXAMPLE, 443))), Reason::NoRoute);
    assert_eq!(world.leased(Space::nth_vpc(0), ENI_A), 0, "a packet that dies keeps no port");
}

/// Spec 3.3: the longest prefix wins, and a packet ends at a blackhole that wins.
#[test]
fn a_blackhole_does_not_fall_through_to_a_shorter_route() {
    let routes = r#"
        { destination = "0.0.0.0/0", target = "nat" },
        { destination = "203.0.113.0/24", target = "pcx-gone", state = "blackhole" },
        { destination = "203.0.113.128/25", target = "nat" },"#;
    let passed = [Ipv4Addr::new(203, 0, 113, 200), Ipv4Addr::new(192, 0, 2, 1)];
    let mut world = World::new(&with_hosts(&with(LAB, PRIVATE_ROUTES, routes), &passed));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 40_000, (EXAMPLE, 443))), Reason::RouteBlackhole);
    for to in passed {
        world.opens(&syn(web, 40_000, (to, 443)));
    }
}

/// Surprise 12: a gateway endpoint is a route only.
#[test]
fn a_prefix_list_route_wins_by_length_and_a_static_one_of_equals() {
    let routes = r#"
        { destination = "0.0.0.0/0", target = "nat" },
        { destination = "pl-s3", target = "vpce-s3" },
        { destination = "203.0.113.64/26", target = "nat" },"#;
    let lab = with(LAB, PRIVATE_ROUTES, routes)
        + r#"
        [[prefix_list]]
        id = "pl-s3"
        entries = ["203.0.113.0/25", "203.0.113.64/26"]
        [[vpc_endpoint]]
        id = "vpce-s3"
        vpc = "vpc"
        kind = "gateway"
        service = "com.amazonaws.us-east-1.s3"
        prefix_list = "pl-s3"
        "#;
    let other = Ipv4Addr::new(203, 0, 113, 70);
    let mut world = World::new(&with_hosts(&lab, &[other]));
    let web = world.task("web", 1);
    let (out, link) = world.opens(&syn(web, 40_000, (EXAMPLE, 443)));
    assert_eq!((out.src, link), (ENI_A, Link::Endpoint(GatewayEndpointIx(0))));
    // An identical static route wins over the list (spec 3.3).
    let (out, link) = world.opens(&syn(web, 40_000, (other, 443)));
    assert_eq!((out.src, link), (NAT_PUBLIC, Link::Internet));
    // The group still has to allow it: port 80 does not even reach the route (surprise 12).
    assert_eq!(world.refuses(&syn(web, 40_000, (EXAMPLE, 80))), Reason::SgEgressImplicitDeny);
}

/// Surprise 16.
#[test]
fn inside_the_subnet_neither_acls_nor_routes_count() {
    let lab = with(
        LAB,
        "route_table = \"rtb-private\"\n[[subnet]]\nid = \"subnet-b\"",
        "route_table = \"rtb-private\"\nnetwork_acl = \"acl-none\"\n[[subnet]]\nid = \"subnet-b\"",
    ) + r#"
        [[network_acl]]
        id = "acl-none"
        vpc = "vpc"
        "#;
    let mut world = World::new(&lab);
    let (a, b) = (world.task("web", 1), world.task("web", 2));
    let neighbour = (Ipv4Addr::new(10, 0, 1, 10), 5432);
    world.connects(a, 40_000, neighbour);
    assert_eq!(world.refuses(&syn(a, 40_000, (DB, 5432))), Reason::NaclEgressImplicitDeny);
    assert_eq!(world.refuses(&syn(b, 40_000, neighbour)), Reason::NaclIngressImplicitDeny);
    let steps = world.explain(&syn(a, 40_001, neighbour)).steps;
    let skipped = steps.iter().filter(|s| s.outcome == crate::pipeline::Outcome::Skip);
    assert!(skipped.clone().any(|s| s.stage == Stage::NetworkAclEgress));
    assert!(skipped.clone().any(|s| s.stage == Stage::RouteTable));
}

#[test]
fn addresses_that_nothing_answers_on() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let vpc = RuleRef::Vpc(VpcIx(0));
    for (to, reason) in [
        (Ipv4Addr::new(10, 0, 3, 77), Reason::NoInterface),
        (Ipv4Addr::new(10, 0, 200, 1), Reason::NoInterface),
        (Ipv4Addr::new(10, 0, 1, 77), Reason::NoInterface),
        (Ipv4Addr::new(10, 0, 2, 4), Reason::EniAddress),
        (ENI_A, Reason::EniAddress),
        (NAT_PRIVATE, Reason::NatAddress),
        (NAT_PUBLIC, Reason::NatHairpin),
        (APP_RUNNER, Reason::NatHairpin),
        (Ipv4Addr::new(169, 254, 169, 254), Reason::ExemptAddressUnserved),
        (Ipv4Addr::new(10, 0, 3, 1), Reason::ExemptAddressUnserved),
        (Ipv4Addr::new(10, 0, 1, 1), Reason::ExemptAddressUnserved),
        (Ipv4Addr::new(10, 0, 3, 2), Reason::NoInterface),
        (Ipv4Addr::new(224, 0, 0, 1), Reason::DestinationNotUnicast),
        (Ipv4Addr::new(255, 255, 255, 255), Reason::DestinationNotUnicast),
        (Ipv4Addr::new(0, 0, 0, 0), Reason::DestinationNotUnicast),
        (Ipv4Addr::new(127, 0, 0, 1), Reason::DestinationNotUnicast),
    ] {
        let packet = ping(web, to, 1);
        let explained = world.explain(&packet).denial.unwrap();
        assert_eq!(explained.reason, reason, "{to}");
        assert_eq!(world.refuses(&packet), reason, "{to}");
        if reason == Reason::NoInterface {
            assert_eq!(explained.decided_by, vpc);
        }
    }
}

#[test]
fn a_source_that_is_no_task_of_the_eni_is_refused() {
    let mut world = World::new(LAB);
    let (a, b) = (world.task("web", 1), world.task("web", 2));
    let stranger = syn(Ipv4Addr::new(100, 99, 0, 1), 40_000, (EXAMPLE, 443));
    let seen = world.step(world.device_of(a), &stranger, 0);
    assert_eq!(seen.reason(), Some(Reason::SourceUnknown));
    let seen = world.step(world.device_of(a), &syn(b, 40_000, (EXAMPLE, 443)), 0);
    assert_eq!(seen.reason(), Some(Reason::SourceUnknown));
    let task = *world.snapshot.task(a).unwrap();
    let forged = crate::packet::Tuple {
        protocol: crate::packet::Protocol::Tcp,
        src: b,
        dst: EXAMPLE,
        sport: 1,
        dport: 443,
    };
    let evidence =
        world.engine.explain(world.now, &world.snapshot, &task, Inside::new(forged), (0, 0));
    assert_eq!(evidence.denial.unwrap().reason, Reason::SourceForged);
}

/// A flow's key does not contain the ENI of its task.
#[test]
fn regression_a_flow_is_not_used_from_another_device() {
    let mut world = World::new(LAB);
    let (one, two) = (world.task("web", 1), world.task("web", 2));
    world.connects(one, 40_000, (EXAMPLE, 443));
    let data = tcp(one, 40_000, (EXAMPLE, 443), ACK, 101, 501);
    for device in [world.device_of(two), Device::AppRunner] {
        assert_eq!(world.step(device, &data, 0).reason(), Some(Reason::SourceUnknown));
    }
    world.passes(&data);
}

/// It has no ENI, so no packet leaves: App Runner's own egress is for services that asked for it.
#[test]
fn regression_a_vpc_task_without_an_eni_reaches_nothing() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let task = Task { eni: None, ..*world.snapshot.task(web).unwrap() };
    world.snapshot = world.snapshot.with_task(task);
    let packet = syn(web, 40_000, (EXAMPLE, 443));
    let seen = world.step(Device::AppRunner, &packet, 0);
    assert_eq!(seen.reason(), Some(Reason::SourceUnknown));
    assert_eq!(world.explain(&packet).denial.unwrap().reason, Reason::SourceUnknown);
}

/// Surprise 2: an ENI belongs to (subnet, set of groups), not to a connector.
#[test]
fn two_connectors_share_an_eni_and_its_port_space() {
    let lab = LAB.to_owned()
        + r#"
        [[vpc_connector]]
        name = "second"
        subnets = ["subnet-a"]
        security_groups = ["sg-app"]
        [[service]]
        name = "api"
        egress = "vpc"
        vpc_connector = "second"
        "#;
    let mut world = World::new(&lab);
    let (web, api) = (world.task("web", 1), world.task("api", 1));
    assert_eq!(world.device_of(web), world.device_of(api));
    let (one, _) = world.opens(&syn(web, 40_000, (DB, 5432)));
    let (two, _) = world.opens(&syn(api, 40_000, (DB, 5432)));
    assert_eq!((one.src, two.src), (ENI_A, ENI_A));
    assert_ne!(one.sport, two.sport);
    assert_eq!(world.leased(Space::nth_vpc(0), ENI_A), 2);
}

#[test]
fn tasks_spread_over_the_zones_the_same_way_every_time() {
    let (one, two) = (World::seeded(LAB, 1), World::seeded(LAB, 2));
    let devices = |world: &World| -> Vec<_> {
        (1..=4).map(|n| world.device_of(world.task("web", n))).collect()
    };
    let spread = devices(&one);
    assert_eq!(spread, devices(&two));
    assert_eq!((spread[0], spread[1]), (spread[2], spread[3]));
    assert_ne!(spread[0], spread[1]);
}

#[test]
fn two_vpcs_may_use_the_same_addresses() {
    let second = LAB
        .split("[[vpc_connector]]")
        .next()
        .unwrap()
        .split("[[vpc]]")
        .nth(1)
        .unwrap()
        .split("[[internet_host]]")
        .next()
        .unwrap();
    let renamed = format!("[[vpc]]{second}")
        .replace("\"vpc\"", "\"vpc-2\"")
        .replace("\"igw\"", "\"igw-2\"")
        .replace("\"nat\"", "\"nat-2\"")
        .replace("\"db\"", "\"db-2\"")
        .replace("\"neighbour\"", "\"neighbour-2\"")
        .replace("subnet-", "subnet-2-")
        .replace("rtb-", "rtb-2-")
        .replace("sg-", "sg-2-")
        .replace("198.51.100.7", "198.51.100.8");
    let lab = format!(
        "{LAB}{renamed}
        [[vpc_connector]]
        name = \"connector-2\"
        subnets = [\"subnet-2-a\"]
        security_groups = [\"sg-2-app\"]
        [[service]]
        name = \"other\"
        egress = \"vpc\"
        vpc_connector = \"connector-2\"
        "
    );
    let mut world = World::new(&lab);
    let (web, other) = (world.task("web", 1), world.task("other", 1));
    let (one, first) = world.connects(web, 40_000, (DB, 5432));
    let (two, second) = world.connects(other, 40_000, (DB, 5432));
    assert_eq!((first, second), (Link::Vpc(VpcIx(0)), Link::Vpc(VpcIx(1))));
    assert_eq!((one.src, two.src), (ENI_A, ENI_A), "the same address in both");
    // A reply that comes from the wrong VPC belongs to no flow, unless that VPC has a flow with the
    // same key.
    assert_ne!(one.sport, two.sport, "this seed draws two ports");
    assert_eq!(world.stays_out(second, &answer(one)), Reason::Unsolicited);
    assert_eq!(world.comes_back(first, &answer(one)).dst, web);
    assert_eq!(world.comes_back(second, &answer(two)).dst, other);
}
