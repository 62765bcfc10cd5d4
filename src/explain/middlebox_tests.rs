//! Tests explanations of packets that are routed through a middlebox: names, the nearest rule, and
//! the line that would fix it.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::evidence::explanation;
use super::fix::first_candidate;
use crate::config::Lab;
use crate::config::changes::changes;
use crate::flow::Instant;
use crate::packet::{Inside, Protocol, Tuple};
use crate::pipeline::{Engine, Evidence};
use crate::vpc::{EniIx, Generation, ServiceIx, Snapshot, Task};
use std::net::Ipv4Addr;

const LAB: &str = r#"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
[[subnet]]
id = "subnet-app"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"
[[subnet]]
id = "subnet-data"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-data"
[[subnet]]
id = "subnet-fw"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.3.0/24"
[[route_table]]
id = "rtb-app"
vpc = "vpc"
routes = [{ destination = "10.0.2.0/24", target = "eni-fw" }]
[[route_table]]
id = "rtb-data"
vpc = "vpc"
routes = [{ destination = "10.0.1.0/24", target = "eni-fw" }]
[[security_group]]
id = "sg-app"
vpc = "vpc"
[[security_group]]
id = "sg-fw"
vpc = "vpc"
egress = [{ protocol = "all", to = "0.0.0.0/0" }]
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]
[[security_group]]
id = "sg-data"
vpc = "vpc"
ingress = [{ protocol = "tcp", ports = "5432", from = "10.0.1.0/24" }]
[[resource]]
name = "firewall"
subnet = "subnet-fw"
address = "10.0.3.10"
security_groups = ["sg-fw"]
network_interface = "eni-fw"
source_dest_check = false
[[resource]]
name = "db"
subnet = "subnet-data"
address = "10.0.2.10"
security_groups = ["sg-data"]
[[vpc_connector]]
name = "app"
subnets = ["subnet-app"]
security_groups = ["sg-app"]
[[service]]
name = "web"
vpc_connector = "app"
"#;

const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);
const ROUTED: &str = r#"routes = [{ destination = "10.0.2.0/24", target = "eni-fw" }]"#;
const IN: &str = r#"ingress = [{ protocol = "all", from = "0.0.0.0/0" }]"#;
const OUT: &str = r#"egress = [{ protocol = "all", to = "0.0.0.0/0" }]"#;
const OFF: &str = "source_dest_check = false";

fn asked(lab: &str) -> (Evidence, Snapshot) {
    asked_for(lab, (DB, 5432))
}

fn asked_for(lab: &str, (dst, dport): (Ipv4Addr, u16)) -> (Evidence, Snapshot) {
    let snapshot = Lab::parse("lab.toml", lab).unwrap().lower(Generation(1));
    let task = Task { service: ServiceIx(0), number: 1, address: TASK, eni: Some(EniIx(0)) };
    let snapshot = snapshot.with_task(task);
    let inside = Tuple { protocol: Protocol::Tcp, src: TASK, dst, sport: 40_000, dport };
    let inside = Inside::new(inside);
    let evidence = Engine::new(1).explain(Instant::ZERO, &snapshot, &task, inside, (0, 0));
    (evidence, snapshot)
}

fn with(lab: &str, old: &str, new: &str) -> String {
    assert!(lab.contains(old), "{old}");
    lab.replace(old, new)
}

/// Returns the reason, the decider, and the object and the line that would fix it.
fn fixed(lab: &str) -> (Option<&'static str>, String, Option<(String, String)>) {
    let (evidence, snapshot) = asked(lab);
    let reported = explanation(&evidence, &snapshot);
    let fix = first_candidate(&evidence, &snapshot).map(|fix| (fix.id, fix.rule));
    (reported.reason, reported.decided_by.unwrap().to_string(), fix)
}

/// Returns a lab with a NAT gateway whose subnet has its default route through the firewall, whose
/// table has its own by `beyond`.
fn with_firewalled_nat_gateway(beyond: &str) -> String {
    let gateway =
        with(LAB, "cidr = \"10.0.0.0/16\"", "cidr = \"10.0.0.0/16\"\ninternet_gateway = \"igw\"");
    let firewall = "cidr = \"10.0.3.0/24\"";
    with(&gateway, firewall, &format!("{firewall}\nroute_table = \"{beyond}\""))
        + r#"
[[subnet]]
id = "subnet-nat"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.4.0/24"
route_table = "rtb-nat"
[[route_table]]
id = "rtb-nat"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "eni-fw" }]
[[route_table]]
id = "rtb-fw"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]
[[nat_gateway]]
id = "nat"
subnet = "subnet-nat"
"#
}

#[test]
fn nat_gateway_that_leads_out_through_a_middlebox_is_proposed() {
    let proposed = |lab: &str| {
        let (evidence, snapshot) = asked_for(lab, (Ipv4Addr::new(203, 0, 113, 10), 443));
        first_candidate(&evidence, &snapshot).map(|fix| (fix.id, fix.rule))
    };
    let route = some("rtb-app", r#"{ destination = "0.0.0.0/0", target = "nat" }"#);
    assert_eq!(proposed(&with_firewalled_nat_gateway("rtb-fw")), route);
    let nowhere = with_firewalled_nat_gateway("rtb-data");
    assert_eq!(proposed(&nowhere), None, "the firewall's table leads nowhere");
    let public = |beyond: &str| {
        let routes = r#"routes = [{ destination = "0.0.0.0/0", target = "igw" }, "#;
        let lab = with_firewalled_nat_gateway(beyond);
        let app = "id = \"rtb-app\"\nvpc = \"vpc\"\nroutes = [";
        with(&lab, app, &app.replace("routes = [", routes))
    };
    assert_eq!(proposed(&public("rtb-fw")), route);
    let shared = public("rtb-app");
    assert_eq!(proposed(&shared), None, "the changed table would lead the gateway to itself");
}

fn some(id: &str, rule: &str) -> Option<(String, String)> {
    Some((id.to_owned(), rule.to_owned()))
}

#[test]
fn the_appliance_is_named_on_both_ways() {
    let (evidence, snapshot) = asked(LAB);
    let reported = explanation(&evidence, &snapshot);
    assert_eq!(reported.reason, None);
    let at_it = reported.steps.iter().filter(|step| step.component == "eni-fw of firewall");
    let stages: Vec<&str> = at_it.map(|step| &*step.stage).collect();
    assert_eq!(
        stages,
        [
            "security-group-ingress",
            "middlebox",
            "security-group-egress",
            "security-group-ingress",
            "middlebox-return",
            "security-group-egress",
        ]
    );
}

#[test]
fn the_check_and_the_appliances_groups_have_their_line() {
    let check = with(LAB, OFF, "");
    assert_eq!(fixed(&check), (Some("source-dest-check"), "eni-fw".into(), some("firewall", OFF)));
    let rule = r#"{ protocol = "tcp", ports = "5432", from = "10.0.1.4/32" }"#;
    let (reason, decided_by, fix) = fixed(&with(LAB, IN, ""));
    assert_eq!((reason, fix), (Some("appliance-sg-ingress"), some("sg-fw", rule)));
    assert_eq!(decided_by, "no ingress rule of sg-fw");
    let passes = with(LAB, IN, &format!("ingress = [{rule}]"));
    assert_eq!(asked(&passes).0.denial, None, "the reply is of a tracked flow");
    let rule = r#"{ protocol = "tcp", ports = "5432", to = "10.0.2.10/32" }"#;
    let (reason, _, fix) = fixed(&with(LAB, OUT, "egress = []"));
    assert_eq!((reason, fix), (Some("appliance-sg-egress"), some("sg-fw", rule)));
}

/// An appliance that sees the reply only: the line is for the reply.
#[test]
fn an_untracked_replys_line_is_for_the_reply() {
    let direct = with(LAB, ROUTED, "");
    let (reason, _, fix) = fixed(&with(&direct, IN, ""));
    let (evidence, _) = asked(&direct);
    let port = evidence.outside.unwrap().sport();
    let rule = format!("{{ protocol = \"tcp\", ports = \"{port}\", from = \"10.0.2.10/32\" }}");
    assert_eq!((reason, fix), (Some("appliance-sg-ingress"), some("sg-fw", &rule)));
    let (_, _, fix) = fixed(&with(&direct, OUT, "egress = []"));
    let rule = format!("{{ protocol = \"tcp\", ports = \"{port}\", to = \"10.0.1.4/32\" }}");
    assert_eq!(fix, some("sg-fw", &rule));
}

/// Spec 3.7: the reason is not that the source is in another group.
#[test]
fn a_lost_reference_is_reported() {
    let lab = with(LAB, r#"from = "10.0.1.0/24""#, r#"from = "sg-app""#);
    let (evidence, snapshot) = asked(&lab);
    let reported = explanation(&evidence, &snapshot);
    assert_eq!(reported.reason, Some("sg-ingress-behind-middlebox"));
    assert_eq!(
        reported.nearest_miss.unwrap().text,
        "matched protocol and port; source 10.0.1.4 came through a middlebox, behind which no reference to sg-app matches"
    );
    let rule = r#"{ protocol = "tcp", ports = "5432", from = "10.0.1.4/32" }"#;
    assert_eq!(first_candidate(&evidence, &snapshot).map(|fix| fix.rule).as_deref(), Some(rule));
}

/// The output of `egret apply`.
#[test]
fn a_changed_check_and_target_are_changes() {
    let lab = |text: &str| Lab::parse("lab.toml", text).unwrap();
    let next = with(&with(LAB, OFF, "source_dest_check = true"), ROUTED, "");
    let changes = changes(&lab(LAB), &lab(&next));
    let reported: Vec<_> = changes
        .iter()
        .flat_map(|change| change.details.iter().map(move |detail| (change, detail)))
        .map(|(change, d)| {
            let value = |value: &Option<String>| value.clone().unwrap_or_default();
            format!("{}: {} {} -> {}", change.id, d.name, value(&d.before), value(&d.after))
        })
        .collect();
    assert_eq!(
        reported,
        ["rtb-app: route to 10.0.2.0/24 eni-fw -> ", "firewall: source/dest check false -> true"]
    );
}
