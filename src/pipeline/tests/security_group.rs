//! Tests security groups: the union of a side's rules, both sides, protocols, references.

use super::world::*;
use crate::pipeline::{Detail, Reason};
use crate::vpc::{Direction, RuleRef, SecurityGroupIx};
use std::net::Ipv4Addr;

pub(super) const EGRESS: &str = r#"egress = [
    { protocol = "tcp", ports = "5432", to = "sg-db" },
    { protocol = "tcp", ports = "443", to = "0.0.0.0/0" },
    { protocol = "udp", ports = "53", to = "0.0.0.0/0" },
    { protocol = "icmp", to = "0.0.0.0/0" },
]"#;
pub(super) const INGRESS: &str = r#"ingress = [
    { protocol = "tcp", ports = "5432", from = "sg-app" },
    { protocol = "udp", ports = "53", from = "sg-app" },
    { protocol = "icmp", icmp_type = 8, from = "sg-app" },
]"#;

#[test]
fn nothing_leaves_a_group_without_egress_rules() {
    let mut world = World::new(&with(LAB, EGRESS, "egress = []"));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (DB, 5432))), Reason::SgEgressNoRules);
}

#[test]
fn nothing_enters_a_group_without_ingress_rules() {
    let mut world = World::new(&with(LAB, INGRESS, "ingress = []"));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (DB, 5432))), Reason::SgIngressNoRules);
}

#[test]
fn the_two_gates_are_independent() {
    let mut world = World::new(&with(LAB, EGRESS, ""));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (DB, 80))), Reason::SgIngressImplicitDeny);
    let mut world =
        World::new(&with(LAB, INGRESS, r#"ingress = [{ protocol = "all", from = "0.0.0.0/0" }]"#));
    assert_eq!(world.refuses(&syn(web, 1, (DB, 80))), Reason::SgEgressImplicitDeny);
    world.connects(web, 1, (DB, 5432));
}

#[test]
fn the_nearest_miss_is_reported() {
    let world = World::new(LAB);
    let evidence = world.explain(&syn(world.task("web", 1), 1, (DB, 5433)));
    let denial = evidence.denial.unwrap();
    assert_eq!(denial.reason, Reason::SgEgressImplicitDeny);
    let Detail::NearMiss(miss, Direction::Egress) = evidence.steps.last().unwrap().detail else {
        panic!("{:?}", evidence.steps)
    };
    assert_eq!(miss.rule, (SecurityGroupIx(0), 0), "tcp 5432 to sg-db: protocol and peer match");
    assert!(miss.protocol && miss.peer && !miss.ports);
}

/// Surprise 8.
#[test]
fn a_protocol_number_ignores_ports_and_icmp_fields_are_type_and_code() {
    let egress = r#"egress = [
        { protocol = "50", ports = "443", to = "0.0.0.0/0" },
        { protocol = "icmp", icmp_type = 8, icmp_code = 0, to = "10.0.3.10/32" },
    ]"#;
    let ingress = r#"ingress = [{ protocol = "all", ports = "1", from = "0.0.0.0/0" }]"#;
    let mut world = World::new(&with(&with(LAB, EGRESS, egress), INGRESS, ingress));
    let web = world.task("web", 1);
    world.opens(&other(50, web, DB));
    assert_eq!(world.refuses(&other(51, web, DB)), Reason::SgEgressImplicitDeny);
    world.opens(&ping(web, DB, 1));
    assert_eq!(world.refuses(&ping(web, EXAMPLE, 1)), Reason::SgEgressImplicitDeny);
    assert_eq!(world.refuses(&syn(web, 1, (DB, 443))), Reason::SgEgressImplicitDeny);
}

/// Surprise 10.
#[test]
fn a_reference_means_the_private_addresses_of_the_members_only() {
    let lab = with(
        LAB,
        r#"{ protocol = "tcp", ports = "443", to = "0.0.0.0/0" }"#,
        r#"{ protocol = "tcp", ports = "443", to = "sg-db" }"#,
    );
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (EXAMPLE, 443))), Reason::SgEgressImplicitDeny);
    assert_eq!(
        world.refuses(&syn(web, 1, (Ipv4Addr::new(10, 0, 3, 11), 5432))),
        Reason::SgEgressImplicitDeny
    );
    world.opens(&syn(web, 1, (DB, 5432)));
}

#[test]
fn a_prefix_list_is_the_union_of_its_entries() {
    let lab = with(
        LAB,
        r#"{ protocol = "tcp", ports = "443", to = "0.0.0.0/0" }"#,
        r#"{ protocol = "tcp", ports = "443", to = "pl" }"#,
    ) + "[[prefix_list]]\nid = \"pl\"\nentries = [\"203.0.113.0/28\", \"192.0.2.1/32\"]\n";
    let other = Ipv4Addr::new(192, 0, 2, 1);
    let mut world = World::new(&with_hosts(&lab, &[other]));
    let web = world.task("web", 1);
    world.opens(&syn(web, 1, (EXAMPLE, 443)));
    world.opens(&syn(web, 1, (other, 443)));
    assert_eq!(
        world.refuses(&syn(web, 1, (Ipv4Addr::new(192, 0, 2, 2), 443))),
        Reason::SgEgressImplicitDeny
    );
}

#[test]
fn an_interface_has_the_rules_of_all_its_groups() {
    let lab = with(
        LAB,
        "subnets = [\"subnet-a\", \"subnet-b\"]\nsecurity_groups = [\"sg-app\"]",
        "subnets = [\"subnet-a\", \"subnet-b\"]\nsecurity_groups = [\"sg-app\", \"sg-web\"]",
    ) + "[[security_group]]\nid = \"sg-web\"\nvpc = \"vpc\"\negress = [{ protocol = \"tcp\", ports = \"80\", to = \"0.0.0.0/0\" }]\n";
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    world.opens(&syn(web, 1, (EXAMPLE, 80)));
    world.opens(&syn(web, 1, (EXAMPLE, 443)));
    let explained = world.explain(&syn(web, 2, (EXAMPLE, 80)));
    assert_eq!(
        explained.admitted_by,
        Some(RuleRef::SecurityGroupRule(SecurityGroupIx(2), Direction::Egress, 0))
    );
}
