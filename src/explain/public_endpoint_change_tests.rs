//! Tests output about public endpoints of applications in a VPC: the packets that reach them and
//! the effect of changes.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::coverage::PortSpan;
use super::fix_tests::{ask, text, with};
use super::*;
use crate::config::{Diagnostic, Lab};
use crate::pipeline::reach::Addresses;
use crate::vpc::{Generation, Snapshot};

const LAB: &str = include_str!("cases/public-endpoint.toml");

const EGRESS: &str =
    "egress = [{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]";

/// Returns a lab whose network ACL lets replies to a part of the ports out.
fn with_some_ports() -> String {
    with(LAB, EGRESS, &EGRESS.replace("\"all\"", "\"tcp\", ports = \"1024-40000\""))
}

fn snapshot(text: &str) -> Snapshot {
    Lab::parse("lab.toml", text).unwrap().lower(Generation(1))
}

fn compared(before: &str, after: &str) -> Comparison {
    compare(&snapshot(before), &snapshot(after), &mut |_| true).unwrap()
}

fn reached(lab: &str, wanted: Wanted<'_>) -> String {
    let reaching = Reaching { services: &[], addresses: Addresses::Open, wanted };
    let found = reach(&snapshot(lab), &reaching, &mut |_| true).unwrap();
    let mut text = Vec::new();
    found.wide_text(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn found(lab: &str) -> Vec<Diagnostic> {
    let of_packets =
        ["reply-ports-incomplete", "subnets-differ", "nothing-leaves", "no-internet-route"];
    let found = check(&Lab::parse("lab.toml", lab).unwrap());
    found.into_iter().filter(|one| of_packets.contains(&one.rule)).collect()
}

#[test]
fn reach_lists_public_endpoints_by_name_with_the_gateways_on_the_path() {
    let shown = reached(LAB, Wanted::Passing);
    let row = |service: &str| {
        let mut rows = shown.lines().filter(|line| line.starts_with(service));
        rows.find(|line| line.contains("api (203.0.113.50)")).unwrap_or_default().to_owned()
    };
    assert!(row("web").contains("nat-app > igw-app > igw-api"), "{shown}");
    assert!(row("open").contains("app-runner > igw-api"), "{shown}");
    assert!(row("web").contains("tcp 443") && row("open").contains("tcp 443"), "{shown}");
    let drops = reached(LAB, Wanted::Drops);
    assert!(drops.contains("api (203.0.113.50)") && drops.contains("sg-ingress-implicit-deny"));
}

#[test]
fn the_ports_of_app_runner_own_nat_are_not_those_of_a_gateway() {
    let lab = with_some_ports();
    let shown = text(&ask(&lab, "open", "203.0.113.50:443"));
    assert!(shown.contains("NAT PORTS") && !shown.contains("GATEWAY"), "{shown}");
    let shown = text(&ask(&lab, "web", "203.0.113.50:443"));
    assert!(shown.contains("GATEWAY PORTS"), "{shown}");
}

#[test]
fn a_change_of_a_public_endpoints_acl_is_in_the_difference() {
    let mut shown = Vec::new();
    compared(LAB, &with_some_ports()).wide_text(&mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    let row = |service: &str| shown.lines().find(|line| line.starts_with(service)).unwrap_or("");
    assert!(row("web").contains("gateway ports 40001-65535"), "{shown}");
    assert!(row("open").contains("NAT ports 40001-65535"), "{shown}");
}

/// A port of App Runner's own NAT is the same port in both configurations.
#[test]
fn regression_a_part_of_the_ports_that_stays_as_it_was_is_no_difference() {
    let lab = with_some_ports();
    let with_more = lab.clone() + "\n[[security_group]]\nid = \"sg-more\"\nvpc = \"vpc-api\"\n";
    assert!(!compared(&lab, &lab).has_changes());
    assert!(!compared(&lab, &with_more).has_changes());
}

#[test]
fn check_says_what_drops_replies_of_a_public_endpoint_and_nothing_of_a_sound_one() {
    assert_eq!(found(LAB).len(), 0, "{:#?}", found(LAB));
    let found = found(&with_some_ports());
    assert_eq!(found.len(), 1, "{found:#?}");
    let message = &found[0].message;
    assert!(
        message.contains("network ACL \"acl-api\" lets replies from api (203.0.113.50)"),
        "{message}"
    );
    assert!(message.contains("1024-40000 of NAT gateway \"nat-app\""), "{message}");
}

/// No reply comes, but the packets pass to the rest of the internet.
#[test]
fn check_does_not_say_that_nothing_leaves_where_an_endpoint_is_closed() {
    let group = "ingress = [{ protocol = \"tcp\", ports = \"443\", from = \"0.0.0.0/0\" }]";
    let lab = with(LAB, group, "ingress = []");
    assert_eq!(found(&lab).len(), 0, "{:#?}", found(&lab));
}

/// Returns the rows of a comparison: service, change, destinations and ports.
fn changes(before: &str, after: &str) -> Vec<(String, &'static str, String, String)> {
    let row = |row: &ChangeRow| {
        let ports = |span: &PortSpan| match (span.from, span.to) {
            (Some(from), Some(to)) if from == to => format!("{} {from}", span.protocol),
            (Some(from), Some(to)) => format!("{} {from}-{to}", span.protocol),
            (None, _) | (_, None) => span.protocol.clone(),
        };
        let ports: Vec<String> = row.ports.iter().map(ports).collect();
        (row.services.join(" "), row.change, row.names.join(" "), ports.join(", "))
    };
    compared(before, after).rows.iter().map(row).collect()
}

/// If the lab has no host nothing is reached, whatever the VPC lets out.
#[test]
fn regression_a_public_endpoint_that_is_removed_is_lost_and_one_that_is_added_is_gained() {
    let without = with(LAB, "public_ip = \"203.0.113.50\"\n", "");
    let of = |change| {
        let api = || "api (203.0.113.50)".to_owned();
        let one = |service: &str| (service.to_owned(), change, api(), "tcp 443".to_owned());
        vec![one("web"), one("open")]
    };
    assert_eq!(changes(LAB, &without), of("lost"));
    assert_eq!(changes(&without, LAB), of("gained"));
    let after = compared(LAB, &without).rows[0].after.clone();
    assert_eq!(after.reason, Some("no-such-internet-host"));
}

#[test]
fn regression_a_public_endpoint_open_to_everything_is_lost_when_it_is_removed() {
    let open = with(LAB, "protocol = \"tcp\", ports = \"443\"", "protocol = \"all\"");
    let without = with(&open, "public_ip = \"203.0.113.50\"\n", "");
    let lost = changes(&open, &without);
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert!(lost.iter().all(|(_, change, ..)| *change == "lost"), "{lost:?}");
}

#[test]
fn regression_a_public_endpoint_that_moves_is_lost_at_one_address_and_gained_at_the_other() {
    let moved = with(LAB, "203.0.113.50", "203.0.113.60");
    let both = changes(LAB, &moved);
    for (change, name) in [("lost", "api (203.0.113.50)"), ("gained", "api (203.0.113.60)")] {
        for service in ["web", "open"] {
            let is_it = |row: &&(String, &str, String, String)| {
                (row.0.as_str(), row.1, row.2.as_str()) == (service, change, name)
            };
            assert_eq!(both.iter().filter(is_it).count(), 1, "{both:?}");
        }
    }
    assert_eq!(both.len(), 4, "{both:?}");
}

/// A host of the internet answers at the address of the endpoint.
#[test]
fn a_host_in_the_place_of_a_public_endpoint_takes_what_the_endpoint_took_and_more() {
    let host = with(LAB, "public_ip = \"203.0.113.50\"\n", "")
        + "\n[[internet_host]]\nname = \"other\"\naddress = \"203.0.113.50\"\n";
    let gained = changes(LAB, &host);
    assert!(gained.iter().all(|(_, change, ..)| *change == "gained"), "{gained:?}");
    assert!(gained.iter().all(|(.., ports)| !ports.contains("tcp 443")), "{gained:?}");
}

/// The address of a NAT gateway is no part of the internet; packets that the lab sends to it reach
/// no host.
#[test]
fn regression_a_public_endpoint_whose_address_a_nat_gateway_takes_is_lost() {
    let without = with(LAB, "public_ip = \"203.0.113.50\"\n", "");
    let taken = with(&without, "public_ip = \"198.51.100.7\"", "public_ip = \"203.0.113.50\"");
    let lost = changes(LAB, &taken);
    let is_443 = |row: &&(String, &str, String, String)| row.3 == "tcp 443";
    let of_443: Vec<_> = lost.iter().filter(is_443).collect();
    assert_eq!(of_443.len(), 2, "{lost:?}");
    assert!(of_443.iter().all(|row| row.1 == "lost"), "{lost:?}");
}
