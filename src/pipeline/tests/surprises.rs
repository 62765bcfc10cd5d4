//! Tests the mistakes of a naive implementation (spec 14) that no other file's tests cover. The
//! table of all of them is in `netns-tests/CONFORMANCE.md`.

use super::world::*;
use crate::config::Lab;
use crate::pipeline::{Reason, Stage};
use crate::vpc::RuleRef;
use std::net::Ipv4Addr;

const DEFAULT_ROUTE: &str = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;

/// Surprise 5: pulling images, shipping logs and fetching secrets are App Runner's own traffic and
/// never use the VPC, so a service runs with dead egress (Statement 34). Here: a lab in which
/// nothing leaves is no error, its tasks get their ENI, and only their packets are dropped.
#[test]
fn a_task_starts_although_nothing_gets_out() {
    let begin = LAB.find("egress = [\n    { protocol = \"tcp\", ports = \"5432\"").unwrap();
    let end = begin + LAB[begin..].find("\n]\n").unwrap() + 3;
    let mute = format!("{}egress = []\n{}", &LAB[..begin], &LAB[end..]);
    let mute = with(&mute, DEFAULT_ROUTE, "");
    let mut world = World::new(&mute);
    for number in 1..=4 {
        let web = world.task("web", number);
        assert!(world.snapshot.task(web).is_some_and(|task| task.eni.is_some()));
        assert_eq!(world.refuses(&syn(web, 1, (EXAMPLE, 443))), Reason::SgEgressNoRules);
        assert_eq!(world.refuses(&syn(web, 1, (DB, 5432))), Reason::SgEgressNoRules);
    }
    // App Runner's own egress is another path.
    world.opens(&syn(world.task("public", 1), 1, (EXAMPLE, 443)));
}

/// Surprise 8, in both lists at once: a protocol that is neither TCP, UDP nor ICMP has no ports,
/// whatever ports the rule gives.
#[test]
fn ports_given_to_another_protocol_are_ignored_in_groups_and_acls() {
    let rule =
        r#"{ rule = 1, action = "allow", protocol = "47", ports = "443", cidr = "0.0.0.0/0" }"#;
    let lab = with(LAB, "cidr = \"10.0.1.0/24\"", "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl\"");
    let lab = with(
        &lab,
        r#"{ protocol = "icmp", to = "0.0.0.0/0" }"#,
        r#"{ protocol = "47", ports = "443", to = "0.0.0.0/0" }"#,
    );
    let lab = with(
        &lab,
        r#"{ protocol = "udp", ports = "53", from = "sg-app" }"#,
        r#"{ protocol = "47", ports = "443", from = "sg-app" }"#,
    ) + &format!(
        "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\negress = [{rule}]\ningress = [{rule}]\n"
    );
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&other(47, web, DB));
    assert_eq!(world.comes_back(link, &answer(out)).dst, web);
    assert_eq!(world.refuses(&syn(web, 1, (EXAMPLE, 443))), Reason::NaclEgressImplicitDeny);
}

/// Surprise 13: a route more specific than `local` is legal for a whole subnet's CIDR block and for
/// three kinds of target: this tests the NAT gateway, `middlebox.rs` the others; and it wins.
#[test]
fn a_route_more_specific_than_local_is_for_whole_subnets_and_wins() {
    let routed = |destination: &str, target: &str| {
        let route = format!(r#"{{ destination = "{destination}", target = "{target}" }}"#);
        with(LAB, DEFAULT_ROUTE, &format!("{DEFAULT_ROUTE} {route},"))
    };
    for (destination, target) in [
        ("10.0.3.0/25", "nat"),
        ("10.0.3.0/26", "nat"),
        ("10.0.4.0/24", "nat"),
        ("10.0.3.0/24", "igw"),
    ] {
        let errors = Lab::parse("lab.toml", &routed(destination, target)).unwrap_err();
        let rules: Vec<&str> = errors.iter().map(|error| error.rule).collect();
        assert_eq!(rules, ["more-specific-route"], "{destination} to {target}");
    }
    let world = World::new(&routed("10.0.3.0/24", "nat"));
    let decided = |to: Ipv4Addr| {
        let steps = world.explain(&syn(world.task("web", 1), 1, (to, 5432))).steps;
        steps.iter().find(|step| step.stage == Stage::RouteTable).and_then(|step| step.rule)
    };
    let (to_subnet, to_internet) = (decided(DB), decided(EXAMPLE));
    assert!(matches!(to_subnet, Some(RuleRef::Route(..))), "{to_subnet:?}");
    assert_ne!(to_subnet, to_internet);
}

/// Surprise 14: a subnet without an association uses its VPC's main table; nothing about the subnet
/// shows it.
#[test]
fn a_subnet_without_an_association_follows_the_main_table() {
    let lab = with(LAB, "subnets = [\"subnet-a\", \"subnet-b\"]", "subnets = [\"subnet-data\"]");
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let request = syn(web, 1, (EXAMPLE, 443));
    assert_eq!(
        world.refuses(&request),
        Reason::NoRoute,
        "the implied one has the local route only"
    );
    world.reload(&with(
        &lab,
        "id = \"rtb-private\"\nvpc",
        "id = \"rtb-private\"\nmain = true\nvpc",
    ));
    let (out, _) = world.opens(&request);
    assert_eq!(out.src, NAT_PUBLIC);
    // An association of its own comes before the main table.
    let own =
        with(&lab, "cidr = \"10.0.3.0/24\"", "cidr = \"10.0.3.0/24\"\nroute_table = \"rtb-own\"")
            + "[[route_table]]\nid = \"rtb-own\"\nvpc = \"vpc\"\nroutes = []\n";
    world.reload(&with(
        &own,
        "id = \"rtb-private\"\nvpc",
        "id = \"rtb-private\"\nmain = true\nvpc",
    ));
    assert_eq!(world.refuses(&syn(web, 2, (EXAMPLE, 443))), Reason::NoRoute);
}
