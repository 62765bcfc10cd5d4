//! Two configurations compared, as people and programs read it.
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

/// Lists the rows, each with its sides swapped or not, without the names of destinations: those of the configuration before
/// go first.
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
    let mut rows: Vec<String> = comparison.rows.iter().map(row).collect();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_comparison_is_empty_without_a_change_and_mirrored_when_swapped(
        octets in proptest::collection::vec(any::<u8>(), 1..600),
        (at, octet) in any::<(usize, u8)>(),
    ) {
        let mut other = octets.clone();
        other[at % octets.len()] = octet;
        let lab = |octets| generator::lab(&mut generator::Tape::new(octets));
        let (before, after) = (lab(&octets), lab(&other));
        prop_assert!(!compared(&before, &before).has_changes());
        let (there, back) = (compared(&before, &after), compared(&after, &before));
        prop_assert_eq!(mirrored(&there, false), mirrored(&back, true), "{}\n---\n{}", before, after);
        prop_assert_eq!(there.services_only_before, back.services_only_after);
    }
}
