//! Tests comparisons of two configurations, as people and programs read them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::config::Lab;
use crate::pipeline::tests::generator;
use crate::vpc::{Generation, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};

const THREE_AZ: &str = include_str!("../../examples/three-az.toml");

macro_rules! case {
    ($name:literal) => {
        include_str!(concat!("cases/", $name, ".toml"))
    };
}

fn snapshot(text: &str) -> Snapshot {
    Lab::parse("lab.toml", text).unwrap().lower(Generation(1))
}

fn compared(before: &str, after: &str) -> Comparison {
    compare(&snapshot(before), &snapshot(after), &mut |_| true).unwrap()
}

/// Compares a lab with the same lab after a change of its text.
fn changed(text: &str, changes: &[(&str, &str)]) -> Comparison {
    let change = |text: String, (from, to): &(&str, &str)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    compared(text, &changes.iter().fold(text.to_owned(), change))
}

fn text(comparison: &Comparison) -> String {
    let mut text = Vec::new();
    comparison.text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    text
}

fn rows(comparison: &Comparison) -> Vec<Value> {
    serde_json::to_value(comparison).unwrap()["rows"].as_array().unwrap().clone()
}

#[test]
fn a_lab_does_not_differ_from_itself() {
    let same = compared(THREE_AZ, THREE_AZ);
    assert!(!same.has_changes());
    assert_eq!(text(&same), "no packet has another verdict\n");
}

#[test]
fn a_changed_group_loses_and_gains_packets() {
    let change = ("from = \"sg-cache\" }", "from = \"sg-app\" }");
    let other =
        ("ports = \"5432\", from = \"sg-app\" },", "ports = \"5433\", from = \"sg-app\" },");
    let found = changed(THREE_AZ, &[change, other]);
    insta::assert_snapshot!("diff_three_az", text(&found));
    let lost = rows(&found).into_iter().find(|row| row["change"] == "lost").unwrap();
    let keys: Vec<&String> = lost.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["services", "change", "before", "after", "from", "names", "destinations", "ports"]
    );
    assert_eq!(lost["before"]["verdict"], "forward");
    assert_eq!(lost["after"]["reason"], "sg-ingress-implicit-deny");
    assert_eq!(lost["after"]["decided_by"]["id"], "sg-db");
    assert_eq!(lost["names"], json!(["orders-db (10.0.48.10)"]));
}

#[test]
fn source_ports_whose_replies_are_dropped_are_named() {
    let found =
        changed(case!("reply-ports-eni"), &[("ports = \"32768-60999\"", "ports = \"1024-60999\"")]);
    let [row] = &rows(&found)[..] else { panic!("{found:#?}") };
    assert_eq!(
        (&row["change"], &row["from"]),
        (&json!("gained"), &json!(["source ports 1024-32767"]))
    );
}

#[test]
fn a_subnet_that_changes_alone_is_named() {
    let found = changed(
        THREE_AZ,
        &[(
            "cidr = \"10.0.17.0/24\"\nroute_table = \"rtb-private\"",
            "cidr = \"10.0.17.0/24\"\nroute_table = \"rtb-isolated\"",
        )],
    );
    for row in rows(&found) {
        let (services, from) = (json!(["web", "api"]), json!(["subnet-private-b"]));
        assert_eq!((&row["services"], &row["from"]), (&services, &from), "{row:#?}");
        assert_eq!((&row["change"], &row["after"]["reason"]), (&json!("lost"), &json!("no-route")));
    }
    assert_eq!(found.rows.len(), 3, "tcp, udp and icmp are admitted by a rule each");
}

#[test]
fn a_connector_that_moves_is_compared_subnet_by_subnet() {
    let found = changed(
        THREE_AZ,
        &[(
            "subnets = [\"subnet-isolated-a\", \"subnet-isolated-b\"]",
            "subnets = [\"subnet-private-a\"]",
        )],
    );
    let gained: Vec<Value> = rows(&found).into_iter().filter(|r| r["change"] == "gained").collect();
    let internet = gained.iter().find(|row| row["names"] == json!(["internet"])).unwrap();
    assert_eq!(internet["services"], json!(["isolated"]));
    assert_eq!(internet["before"]["reason"], "no-route");
    let lost = rows(&found).into_iter().find(|row| row["change"] == "lost").unwrap();
    assert_eq!(lost["names"], json!(["reports-db (10.0.49.10)"]));
}

#[test]
fn a_resource_that_comes_is_gained_and_a_service_that_goes_is_named() {
    let service = "\n[[service]]\nname = \"public\"\negress = \"default\"\n";
    let new = "[[resource]]\nname = \"new-db\"\nsubnet = \"subnet-data-a\"\n\
        address = \"10.0.48.11\"\nsecurity_groups = [\"sg-db\"]\n\n[[internet_host]]\nname = \"example\"";
    let found = changed(THREE_AZ, &[(service, ""), ("[[internet_host]]\nname = \"example\"", new)]);
    assert_eq!(found.services_only_before, ["public"]);
    assert!(
        text(&found)
            .ends_with("service public is there only before: its packets are not compared\n")
    );
    assert!(!found.rows.is_empty());
    for row in rows(&found) {
        assert_eq!(
            (&row["change"], &row["names"]),
            (&json!("gained"), &json!(["new-db (10.0.48.11)"]))
        );
    }
}

/// A VPC without a resolver, and one whose resolver has another address.
#[test]
fn a_resolver_that_answers_no_more_is_a_change() {
    let vpc = "cidr = \"10.0.0.0/16\"";
    let found = changed(THREE_AZ, &[(vpc, &format!("{vpc}\nenable_dns_support = false"))]);
    let [row] = &rows(&found)[..] else { panic!("{found:#?}") };
    let wanted = json!(["resolver (10.0.0.2)", "resolver (169.254.169.253)"]);
    assert_eq!((&row["change"], &row["names"]), (&json!("lost"), &wanted));
    assert_eq!(row["services"], json!(["web", "api", "trap", "isolated"]), "not public");
    assert_eq!(row["after"]["reason"], "dns-support-disabled");
    assert!(text(&found).contains("drop: dns-support"), "{}", text(&found));
    let moved = changed(THREE_AZ, &[(vpc, "cidr = [\"10.1.0.0/16\", \"10.0.0.0/16\"]")]);
    let of = |change: &str| -> Vec<Value> {
        let rows = rows(&moved).into_iter().filter(|row| row["change"] == change);
        rows.map(|row| row["names"].clone()).collect()
    };
    assert_eq!(of("lost"), [json!(["resolver (10.0.0.2)"])]);
    // Several rules drop the packets before.
    let gained = of("gained");
    assert!(
        !gained.is_empty() && gained.iter().all(|names| *names == json!(["resolver (10.1.0.2)"]))
    );
}

const SECRETS: &str = "secretsmanager.us-east-1.amazonaws.com";

fn names(comparison: &Comparison) -> Vec<Value> {
    serde_json::to_value(comparison).unwrap()["names"].as_array().unwrap().clone()
}

/// In this lab the public name does not belong to an internet host: without the endpoint's private
/// DNS it does not exist.
#[test]
fn a_name_that_does_not_resolve_any_more_is_a_change() {
    let lab = case!("endpoint-shadows-host").replace(SECRETS, "example.com");
    let found = changed(
        &lab,
        &[("kind = \"interface\"", "kind = \"interface\"\nprivate_dns_enabled = false")],
    );
    assert!(found.has_changes() && found.rows.is_empty(), "{found:#?}");
    insta::assert_snapshot!("diff_names", text(&found));
    let wanted = json!([{
        "services": ["fn"],
        "change": "lost",
        "names": [SECRETS],
        "before": { "addresses": ["10.0.1.4", "10.0.2.4"], "reason": null },
        "after": { "addresses": [], "reason": "no-such-name" },
    }]);
    assert_eq!(json!(names(&found)), wanted);
}

#[test]
fn a_name_that_leads_elsewhere_is_a_change() {
    let off = ("kind = \"interface\"", "kind = \"interface\"\nprivate_dns_enabled = false");
    let moved = changed(case!("endpoint-shadows-host"), &[off]);
    let [row] = &names(&moved)[..] else { panic!("{moved:#?}") };
    assert_eq!((&row["change"], &row["names"]), (&json!("moved"), &json!([SECRETS])));
    assert_eq!(row["after"]["addresses"], json!(["203.0.113.90"]));
    let host = ("name = \"example\"\naddress", "name = \"example\"\naliases = [\"new\"]\naddress");
    let gained = changed(THREE_AZ, &[host]);
    let [row] = &names(&gained)[..] else { panic!("{gained:#?}") };
    assert_eq!((&row["change"], &row["names"]), (&json!("gained"), &json!(["new"])));
    assert_eq!(row["services"], json!(["web", "api", "trap", "isolated", "public"]));
}

#[test]
fn a_private_zone_that_hides_a_name_is_a_change_in_its_vpc_alone() {
    let zone = "[[private_zone]]\nname = \"amazonaws.com\"\nvpcs = [\"vpc-a\"]\n";
    let public = "[[service]]\nname = \"public\"\negress = \"default\"\n";
    let (lab, _endpoint) = case!("endpoint-shadows-host").split_once("[[vpc_endpoint]]").unwrap();
    let found = compared(&format!("{lab}{public}"), &format!("{lab}{public}{zone}"));
    let [row] = &names(&found)[..] else { panic!("{found:#?}") };
    let wanted = (&json!(["fn"]), &json!("lost"), &json!([SECRETS]));
    assert_eq!((&row["services"], &row["change"], &row["names"]), wanted);
}

#[test]
fn only_the_first_of_many_names_are_shown_unless_the_table_is_wide() {
    let host = |at: u32| {
        format!(
            "[[internet_host]]\nname = \"host-{at:02}.example.com\"\naddress = \"203.0.113.{}\"\n",
            100 + at
        )
    };
    let hosts: String = (0..25).map(host).collect();
    let found = compared(THREE_AZ, &format!("{THREE_AZ}\n{hosts}"));
    assert_eq!(found.names.len(), 25);
    let text = text(&found);
    assert!(text.contains("host-19.example.com") && !text.contains("host-20."), "{text}");
    assert!(text.ends_with("\n5 more rows of names: -o wide lists all\n"), "{text}");
    let mut wide = Vec::new();
    found.wide_text(&mut wide).unwrap();
    let wide = String::from_utf8(wide).unwrap();
    assert!(wide.contains("does not resolve: the name does not exist"), "{wide}");
    assert!(wide.contains("host-24.example.com"), "{wide}");
}

/// Lists the rows, each with its sides swapped or not, without the names of destinations: those of
/// the configuration before come first.
fn mirrored(comparison: &Comparison, swap: bool) -> Vec<String> {
    let row = |row: &ChangeRow| {
        let sides = if swap { (&row.after, &row.before) } else { (&row.before, &row.after) };
        let sides = [sides.0, sides.1].map(|side| (side.verdict, side.reason));
        let from: Vec<String> = row
            .from
            .iter()
            .map(|word| match word.split_once(" -> ") {
                Some((a, b)) if swap => format!("{b} -> {a}"),
                Some(_) | None => word.clone(),
            })
            .collect();
        let mut from = from;
        from.sort();
        let mut services = row.services.clone();
        services.sort();
        format!("{services:?} {sides:?} {from:?} {:?} {:?}", row.destinations, row.ports)
    };
    let name = |row: &NameRow| {
        let sides = if swap { (&row.after, &row.before) } else { (&row.before, &row.after) };
        let change = match row.change {
            "lost" if swap => "gained",
            "gained" if swap => "lost",
            other => other,
        };
        let mut services = row.services.clone();
        services.sort();
        format!("{services:?} {change} {:?} {sides:?}", row.names)
    };
    let names = comparison.names.iter().map(name);
    let mut rows: Vec<String> = comparison.rows.iter().map(row).chain(names).collect();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_comparison_is_empty_without_a_change_and_mirrored_when_swapped(
        bytes in proptest::collection::vec(any::<u8>(), 1..600),
        (at, byte) in any::<(usize, u8)>(),
    ) {
        let mut other = bytes.clone();
        other[at % bytes.len()] = byte;
        let lab = |bytes| generator::lab(&mut generator::Tape::new(bytes));
        let (before, after) = (lab(&bytes), lab(&other));
        prop_assert!(!compared(&before, &before).has_changes());
        let (there, back) = (compared(&before, &after), compared(&after, &before));
        prop_assert_eq!(mirrored(&there, false), mirrored(&back, true), "{}\n---\n{}", before, after);
        prop_assert_eq!(there.services_only_before, back.services_only_after);
    }
}
