//! Tests explanations of packets to a resource with a public address, by its public name.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::fix_tests::{ask as ask_of, text};
use super::*;
use crate::config::Lab;
use crate::pipeline::reach::{Addresses, Tasks};
use crate::vpc::Generation;

const LAB: &str = r#"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
internet_gateway = "igw"
enable_dns_hostnames = true
[[subnet]]
id = "public"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb"
[[subnet]]
id = "app"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[route_table]]
id = "rtb"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]
[[security_group]]
id = "sg"
vpc = "vpc"
ingress = [{ protocol = "tcp", ports = "5432", from = "0.0.0.0/0" }]
egress = [{ protocol = "all", to = "0.0.0.0/0" }]
[[resource]]
name = "orders"
aliases = ["orders.example"]
public_dns_name = true
subnet = "public"
address = "10.0.0.10"
public_ip = "192.0.2.10"
security_groups = ["sg"]
listen = ["5432/tcp"]
[[vpc_connector]]
name = "app"
subnets = ["app"]
security_groups = ["sg"]
[[service]]
name = "web"
vpc_connector = "app"
egress = "vpc"
[[service]]
name = "open"
egress = "default"
"#;

/// Returns the text of an answer without the hops.
fn said(text: &str, service: &str, destination: &str) -> String {
    let lab = Lab::parse("lab.toml", text).unwrap();
    let snapshot = lab.lower(Generation(1));
    let asking = Asking {
        service: TaskRef::parse(service, &snapshot).unwrap().service,
        tasks: Tasks::Possible,
        addresses: Addresses::Open,
        pool: lab.task_cidr,
        destination,
        protocol: None,
        source_port: None,
    };
    let explained = ask(&snapshot, &asking, &mut || true).unwrap();
    let mut written = Vec::new();
    explained.text(&mut written, &testing::lab_toml, false).unwrap();
    String::from_utf8(written).unwrap()
}

#[test]
fn a_public_name_is_explained_by_the_address_that_the_task_gets() {
    let inside = said(LAB, "web", "orders.example");
    assert!(inside.starts_with("FORWARD\n") && inside.contains("10.0.0.10:5432"), "{inside}");
    assert!(!inside.contains("192.0.2.10"), "{inside}");
    let outside = said(LAB, "open", "orders.example");
    assert!(outside.starts_with("FORWARD\n") && outside.contains("192.0.2.10:5432"), "{outside}");
    let hidden = LAB.replace("enable_dns_hostnames = true\n", "");
    let by_public_address = said(&hidden, "web", "orders.example");
    assert!(by_public_address.contains("192.0.2.10:5432"), "{by_public_address}");
}

#[test]
fn a_public_address_of_a_resource_is_no_missing_host() {
    for destination in ["192.0.2.10:5432", "orders.example:5432"] {
        let said = said(LAB, "open", destination);
        assert!(!said.contains("the lab has no host"), "{said}");
    }
    let beside = said(LAB, "open", "192.0.2.11:5432");
    assert!(beside.contains("the lab has no host at 192.0.2.11"), "{beside}");
}

#[test]
fn reach_lists_a_public_endpoint_by_its_name() {
    let snapshot = Lab::parse("lab.toml", LAB).unwrap().lower(Generation(1));
    let services = services(&["open".to_owned()], &snapshot).unwrap();
    let reached = |wanted| {
        let reaching = Reaching { services: &services, addresses: Addresses::Open, wanted };
        let found = reach(&snapshot, &reaching, &mut |_| true).unwrap();
        serde_json::to_value(&found).unwrap()["rows"].as_array().unwrap().clone()
    };
    let passing = reached(Wanted::Passing);
    for name in ["orders (192.0.2.10)", "internet"] {
        assert!(
            passing.iter().any(|row| row["names"] == serde_json::json!([name])),
            "{passing:#?}"
        );
    }
    let named = reached(Wanted::To("orders.example:5432"));
    assert_eq!(named[0]["reaches"], "all", "{named:#?}");
}

/// The private address is one of the sender's own VPC; the public one is reached.
#[test]
fn regression_a_label_that_is_hidden_is_answered_by_its_public_address() {
    let lab = include_str!("cases/public-endpoint.toml");
    let shown = text(&ask_of(lab, "web", "api"));
    assert!(shown.starts_with("DROP name-not-resolved"), "{shown}");
    assert!(shown.contains("By address:\nFORWARD"), "{shown}");
    assert!(shown.contains("203.0.113.50:443"), "{shown}");
}

#[test]
fn regression_who_reaches_a_label_names_its_public_address() {
    let snapshot = Lab::parse("lab.toml", include_str!("cases/public-endpoint.toml")).unwrap();
    let snapshot = snapshot.lower(Generation(1));
    let notes = |to| {
        let wanted = Wanted::To(to);
        let reaching = Reaching { services: &[], addresses: Addresses::Open, wanted };
        let mut text = Vec::new();
        reach(&snapshot, &reaching, &mut |_| true).unwrap().text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        text.lines().filter(|line| line.starts_with("note: ")).count()
    };
    assert_eq!((notes("api"), notes("203.0.113.50:443"), notes("10.0.1.10:443")), (1, 0, 0));
    assert_eq!(notes("203.0.113.51:443"), 1, "no host of the lab is there");
}

/// Only the sending end has the identifier of an echo.
#[test]
fn the_mapping_of_a_ping_names_no_identifier_of_the_destination() {
    let lab = include_str!("cases/public-endpoint.toml");
    let shown = text(&ask_of(lab, "web", "203.0.113.50/icmp"));
    assert!(shown.contains("destination 203.0.113.50 -> 10.0.1.10"), "{shown}");
}

#[test]
fn a_verdict_of_a_nat_gateway_with_one_known_address_covers_any_port_of_it() {
    let lab = include_str!("cases/public-endpoint.toml");
    let known = lab.replace("public_ip = \"198.51.100.7\"", "$0\nprivate_ip = \"10.0.0.9\"");
    let known = known.replace("$0", "public_ip = \"198.51.100.7\"");
    let shown = text(&ask_of(&known, "web", "203.0.113.50:443"));
    assert!(shown.contains("any port of 10.0.0.9 of nat-app"), "{shown}");
    let shown = text(&ask_of(lab, "web", "203.0.113.50:443"));
    assert!(shown.contains("any address and port of a NAT gateway"), "{shown}");
}
