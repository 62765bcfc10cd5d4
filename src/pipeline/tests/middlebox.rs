//! Tests routes that lead through an appliance's network interface or a Gateway Load Balancer
//! endpoint (spec 3.4, 3.5, 3.7).

use super::world::*;
use crate::pipeline::{Component, Link, Reason, Stage};
use crate::vpc::VpcIx;
use std::fmt::Write;
use std::net::Ipv4Addr;

const HERE: Link = Link::Vpc(VpcIx(0));
const LOCAL: (Ipv4Addr, u16) = (DB, 5432);
const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const DEFAULT: &str = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;
pub(super) const OFF: &str = "source_dest_check = false";
pub(super) const OPEN: &str = r#"ingress = [{ protocol = "all", from = "0.0.0.0/0" }]"#;
const BY_ADDRESS: &str = r#"{ protocol = "tcp", ports = "5432", from = "10.0.1.0/24" },"#;
const BY_GROUP: &str = r#"{ protocol = "tcp", ports = "5432", from = "sg-app" },"#;
/// The table of the appliance's and the endpoint's subnet.
pub(super) const BEYOND: &str = r#"id = "rtb-fw"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "nat" }]"#;
/// The tables of the database's subnet.
const BACK: &str = r#"id = "subnet-data"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.3.0/24""#;

/// Returns the lab of all tests, with an appliance and an endpoint in a subnet of their own, and
/// these routes of the ENIs' table.
pub(super) fn with_middleboxes(routes: &str) -> String {
    let lab = with(LAB, DEFAULT, routes);
    with(&lab, BY_GROUP, BY_ADDRESS)
        + &format!(
            r#"
[[subnet]]
id = "subnet-fw"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.4.0/24"
route_table = "rtb-fw"
[[route_table]]
{BEYOND}
[[security_group]]
id = "sg-fw"
vpc = "vpc"
{OPEN}
[[resource]]
name = "firewall"
subnet = "subnet-fw"
address = "10.0.4.10"
security_groups = ["sg-fw"]
network_interface = "eni-fw"
{OFF}
[[vpc_endpoint]]
id = "vpce-gwlb"
vpc = "vpc"
kind = "gateway-load-balancer"
service = "com.amazonaws.vpce.us-east-1.vpce-svc-0a1b"
subnets = ["subnet-fw"]
"#
        )
}

/// Returns a lab with a route by `target` to the database's whole subnet.
pub(super) fn inspected(target: &str) -> String {
    with_middleboxes(&format!(r#"{{ destination = "10.0.3.0/24", target = "{target}" }},"#))
}

/// Returns a lab in which replies of the database's subnet go to the ENI's by `target`.
fn returned(lab: &str, target: &str) -> String {
    with(lab, BACK, &format!("{BACK}\nroute_table = \"rtb-data\""))
        + &format!(
            "[[route_table]]\nid = \"rtb-data\"\nvpc = \"vpc\"\nroutes = [{{ destination = \"10.0.1.0/24\", target = \"{target}\" }}]\n"
        )
}

fn refusal(lab: &str, to: (Ipv4Addr, u16)) -> Reason {
    let mut world = World::new(lab);
    world.refuses(&syn(world.task("web", 1), 1, to))
}

/// Returns the reason for which the reply of a connection is dropped.
fn reply(lab: &str, to: (Ipv4Addr, u16)) -> Reason {
    let mut world = World::new(lab);
    let (out, link) = world.opens(&syn(world.task("web", 1), 1, to));
    world.stays_out(link, &answer(out))
}

/// Surprise 13: of the three kinds of target two are middleboxes. The destination sees the ENI's
/// own address.
#[test]
fn a_whole_subnet_is_reached_through_either_middlebox() {
    for target in ["eni-fw", "vpce-gwlb"] {
        let mut world = World::new(&inspected(target));
        let web = world.task("web", 1);
        let (out, link) = world.opens(&syn(web, 40_000, LOCAL));
        assert_eq!((out.src, out.dst, link), (ENI_A, DB, HERE));
        assert_eq!(world.comes_back(link, &answer(out)).dst, web);
        world.connects(web, 40_001, LOCAL);
    }
}

/// In by one ACL, out by the other, and each check by name.
#[test]
fn every_gate_on_the_way_is_asked_in_order() {
    let world = World::new(&inspected("eni-fw"));
    let evidence = world.explain(&syn(world.task("web", 1), 1, LOCAL));
    let stages: Vec<Stage> = evidence.steps.iter().map(|step| step.stage).collect();
    let from = stages.iter().position(|stage| *stage == Stage::PortLease).unwrap() + 1;
    assert_eq!(
        stages[from..],
        [
            Stage::NetworkAclEgress,
            Stage::RouteTable,
            Stage::NetworkAclIngress,
            Stage::SecurityGroupIngress,
            Stage::Middlebox,
            Stage::SecurityGroupEgress,
            Stage::NetworkAclEgress,
            Stage::RouteTable,
            Stage::NetworkAclIngress,
            Stage::SecurityGroupIngress,
            Stage::Deliver,
            Stage::NetworkAclReturn,
            Stage::NetworkAclReturn,
        ]
    );
    let world = World::new(&inspected("vpce-gwlb"));
    let evidence = world.explain(&syn(world.task("web", 1), 1, LOCAL));
    let at_it = |step: &&crate::pipeline::Step| {
        matches!(step.component, Component::GatewayLoadBalancerEndpoint(_))
    };
    let steps: Vec<Stage> = evidence.steps.iter().filter(at_it).map(|step| step.stage).collect();
    assert_eq!(steps, [Stage::Middlebox], "an endpoint has no groups");
}

/// Spec 3.7; AWS has the check on by default.
#[test]
fn an_appliance_whose_check_is_on_forwards_nothing() {
    for on in ["source_dest_check = true", ""] {
        let lab = with(&inspected("eni-fw"), OFF, on);
        assert_eq!(refusal(&lab, LOCAL), Reason::SourceDestCheck);
    }
    let mut world = World::new(&with(&inspected("eni-fw"), OFF, ""));
    let web = world.task("web", 1);
    let direct = world.explain(&ping(web, Ipv4Addr::new(10, 0, 4, 10), 1));
    assert_eq!(direct.denial, None, "what is for the appliance itself passes its check");
    world.connects(web, 1, (Ipv4Addr::new(10, 0, 4, 10), 443));
}

/// Surprise 10, spec 3.7: at the interface behind the middlebox no reference matches, at the
/// middlebox itself it does.
#[test]
fn surprise_10_references_to_groups_are_lost_behind_a_middlebox() {
    for target in ["eni-fw", "vpce-gwlb"] {
        let lab = with(&inspected(target), BY_ADDRESS, BY_GROUP);
        assert_eq!(refusal(&lab, LOCAL), Reason::SgIngressBehindMiddlebox);
        let both = with(&lab, BY_GROUP, &format!("{BY_GROUP} {BY_ADDRESS}"));
        let mut world = World::new(&both);
        world.connects(world.task("web", 1), 1, LOCAL);
    }
    let named = with(&inspected("eni-fw"), OPEN, &format!("ingress = [{BY_GROUP}]"));
    let mut world = World::new(&named);
    world.connects(world.task("web", 1), 1, LOCAL);
}

#[test]
fn the_appliances_groups_are_asked_on_both_sides() {
    let lab = inspected("eni-fw");
    let other = r#"ingress = [{ protocol = "udp", ports = "all", from = "0.0.0.0/0" }]"#;
    assert_eq!(refusal(&with(&lab, OPEN, other), LOCAL), Reason::ApplianceSgIngress);
    let out =
        format!("{OPEN}\negress = [{{ protocol = \"tcp\", ports = \"443\", to = \"0.0.0.0/0\" }}]");
    assert_eq!(refusal(&with(&lab, OPEN, &out), LOCAL), Reason::ApplianceSgEgress);
    assert_eq!(
        refusal(&with(&lab, OPEN, &format!("{OPEN}\negress = []")), LOCAL),
        Reason::ApplianceSgEgress
    );
}

#[test]
fn the_acl_of_the_middleboxs_subnet_is_asked_both_ways() {
    let subnet = "cidr = \"10.0.4.0/24\"";
    for target in ["eni-fw", "vpce-gwlb"] {
        for (egress, ingress, reason) in [
            (true, false, Reason::NaclIngressImplicitDeny),
            (false, true, Reason::NaclEgressImplicitDeny),
        ] {
            let rules = |on| {
                if on {
                    r#"{ rule = 1, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }"#
                } else {
                    ""
                }
            };
            let lab = with(
                &inspected(target),
                subnet,
                &format!("{subnet}\nnetwork_acl = \"acl-fw\""),
            ) + &format!(
                "[[network_acl]]\nid = \"acl-fw\"\nvpc = \"vpc\"\negress = [{}]\ningress = [{}]\n",
                rules(egress),
                rules(ingress)
            );
            assert_eq!(refusal(&lab, LOCAL), reason, "{target}");
        }
    }
}

/// Inspection before the NAT gateway, and after it.
#[test]
fn the_internet_is_reached_through_middleboxes_on_either_side_of_a_nat_gateway() {
    for target in ["eni-fw", "vpce-gwlb"] {
        let before = format!(r#"{{ destination = "0.0.0.0/0", target = "{target}" }},"#);
        let mut world = World::new(&with_middleboxes(&before));
        let web = world.task("web", 1);
        let (out, link) = world.opens(&syn(web, 1, OUT));
        assert_eq!((out.src, link), (NAT_PUBLIC, Link::Internet));
        assert_eq!(world.comes_back(link, &answer(out)).dst, web);

        let way_out = r#"routes = [{ destination = "0.0.0.0/0", target = "igw" }]"#;
        let behind = with(&with_middleboxes(DEFAULT), way_out, &way_out.replace("igw", target));
        let behind = with(&behind, BEYOND, &BEYOND.replace("\"nat\"", "\"igw\""));
        let mut world = World::new(&behind);
        let web = world.task("web", 1);
        let (out, link) = world.opens(&syn(web, 1, OUT));
        assert_eq!((out.src, link), (NAT_PUBLIC, Link::Internet));
        assert_eq!(world.comes_back(link, &answer(out)).dst, web);
    }
}

/// The appliance translates nothing, so an internet gateway after it sees the ENI's private address
/// (spec 3.6).
#[test]
fn an_appliance_is_no_nat() {
    let lab = with_middleboxes(r#"{ destination = "0.0.0.0/0", target = "eni-fw" },"#);
    let lab = with(&lab, BEYOND, &BEYOND.replace("\"nat\"", "\"igw\""));
    assert_eq!(refusal(&lab, OUT), Reason::IgwNoPublicAddress);
}

/// The reply follows the tables on its own path. An appliance that saw the request tracks it; to
/// another it is new.
#[test]
fn replies_are_routed_through_middleboxes_too() {
    let tcp = r#"ingress = [{ protocol = "tcp", ports = "5432", from = "0.0.0.0/0" }]"#;
    let strict = with(&inspected("eni-fw"), OPEN, tcp);
    for target in ["eni-fw", "vpce-gwlb"] {
        let mut world = World::new(&returned(&strict, target));
        world.connects(world.task("web", 1), 1, LOCAL);
    }
    // Only the reply passes the appliance.
    let direct = with_middleboxes(DEFAULT);
    let lab = returned(&direct, "eni-fw");
    let mut world = World::new(&lab);
    world.connects(world.task("web", 1), 1, LOCAL);
    assert_eq!(reply(&with(&lab, OPEN, tcp), LOCAL), Reason::ApplianceSgIngress);
    assert_eq!(
        reply(&with(&lab, OPEN, &format!("{OPEN}\negress = []")), LOCAL),
        Reason::ApplianceSgEgress
    );
    assert_eq!(reply(&with(&lab, OFF, ""), LOCAL), Reason::SourceDestCheck);
    assert_eq!(reply(&returned(&direct, "nat"), LOCAL), Reason::ReplyNotRoutedBack);
}

/// A NAT gateway's own table routes its packets to the ENI, like all that it sends.
#[test]
fn a_nat_gateways_replies_are_routed_by_its_subnets_table() {
    let way_out = r#"routes = [{ destination = "0.0.0.0/0", target = "igw" }]"#;
    let back = |target: &str| {
        let both = format!(
            r#"routes = [{{ destination = "0.0.0.0/0", target = "igw" }}, {{ destination = "10.0.1.0/24", target = "{target}" }}]"#
        );
        with(&with_middleboxes(DEFAULT), way_out, &both)
    };
    let mut world = World::new(&back("vpce-gwlb"));
    world.connects(world.task("web", 1), 1, OUT);
    assert_eq!(reply(&with(&back("eni-fw"), OFF, ""), OUT), Reason::SourceDestCheck);
    assert_eq!(reply(&back("nat"), OUT), Reason::ReplyNotRoutedBack);
}

#[test]
fn packets_in_a_loop_are_dropped() {
    // The route is in the table of the appliance's own subnet.
    let lab = inspected("eni-fw");
    let own = r#"routes = [{ destination = "10.0.3.0/24", target = "vpce-gwlb" }]"#;
    let way_on = r#"routes = [{ destination = "0.0.0.0/0", target = "nat" }]"#;
    assert_eq!(refusal(&with(&lab, way_on, own), LOCAL), Reason::MiddleboxLoop);
    // The middlebox is in the sender's own subnet.
    let home = with(
        &lab,
        "subnet = \"subnet-fw\"\naddress = \"10.0.4.10\"",
        "subnet = \"subnet-a\"\naddress = \"10.0.1.20\"",
    );
    assert_eq!(refusal(&home, LOCAL), Reason::MiddleboxLoop);
    // The middlebox is on the reply's path.
    let lab = returned(&inspected("eni-fw"), "eni-fw");
    let round = r#"routes = [{ destination = "10.0.1.0/24", target = "eni-fw" }]"#;
    assert_eq!(reply(&with(&lab, way_on, round), LOCAL), Reason::ReplyNotRoutedBack);
}

/// Builds nine subnets in a row, each with an appliance that leads to the next one.
#[test]
fn eight_middleboxes_in_a_row_pass_and_nine_do_not() {
    let row = |count: usize| {
        let mut lab = with(
            &inspected("eni-1"),
            "network_interface = \"eni-fw\"\nsource_dest_check = false\n",
            "",
        );
        for n in 1..=count {
            let next = if n < count {
                format!("{{ destination = \"10.0.3.0/24\", target = \"eni-{}\" }}", n + 1)
            } else {
                String::new()
            };
            let _ = writeln!(
                lab,
                r#"
[[subnet]]
id = "subnet-{n}"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.{0}.0/24"
route_table = "rtb-{n}"
[[route_table]]
id = "rtb-{n}"
vpc = "vpc"
routes = [{next}]
[[resource]]
name = "box-{n}"
subnet = "subnet-{n}"
address = "10.0.{0}.10"
security_groups = ["sg-fw"]
network_interface = "eni-{n}"
source_dest_check = false"#,
                100 + n
            );
        }
        lab
    };
    let mut world = World::new(&row(8));
    world.connects(world.task("web", 1), 1, LOCAL);
    assert_eq!(refusal(&row(9), LOCAL), Reason::MiddleboxLoop);
}

/// Spec 4.4: a rule change does not cut a tracked flow at the appliance either; the check and the
/// routes apply at once.
#[test]
fn a_reload_cuts_what_the_check_stops_and_not_what_the_groups_would() {
    let lab = inspected("eni-fw");
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    world.connects(web, 1, LOCAL);
    world.reload(&with(&lab, OPEN, "ingress = []"));
    world.passes(&tcp(web, 1, LOCAL, ACK, 101, 501));
    assert_eq!(world.refuses(&syn(web, 2, LOCAL)), Reason::ApplianceSgIngress);
    world.reload(&with(&lab, OFF, ""));
    assert_eq!(world.refuses(&tcp(web, 1, LOCAL, ACK, 101, 501)), Reason::SourceDestCheck);
    world.reload(&lab);
    world.passes(&tcp(web, 1, LOCAL, ACK, 101, 501));
}
