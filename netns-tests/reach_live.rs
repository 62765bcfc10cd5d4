//! `egret reach` and `egret diff` predict for a running lab what then happens to real packets.

use crate::security_group::LAB;
use crate::support::lab::{Agent, Lab, both_streams, for_both_kinds};
use egret::explain::AffectedFlows;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

for_both_kinds!(destinations_that_are_reached_pass, a_change_does_what_diff_says);

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);
const CLOSED: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 20);

/// Destinations that have a listener.
const LISTENERS: [(Ipv4Addr, u16); 3] = [(DB, 5432), (DB, 6379), (CLOSED, 5432)];

fn destinations_that_are_reached_pass(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut seen = Vec::new();
    for service in ["web", "silent"] {
        let answer = json_of(&lab, &format!("reach {service} --json"));
        let mut task = lab.task(service);
        for to in LISTENERS {
            let reached = is_in(&answer["rows"], to);
            assert_eq!(passes(&mut task, to, reached), reached, "{service} {to:?}: {answer:#}");
            seen.push(reached);
        }
    }
    assert!(seen.contains(&true) && seen.contains(&false));
    let who = json_of(&lab, "reach --to db:5432 --json");
    let reaches = |service: &str| {
        let rows = who["rows"].as_array().unwrap();
        let row =
            rows.iter().find(|row| row["services"].as_array().unwrap().contains(&json!(service)));
        row.unwrap()["reaches"].clone()
    };
    assert_eq!((reaches("web"), reaches("silent")), (json!("all"), json!("none")));
}

fn a_change_does_what_diff_says(device: &str) {
    let lab = Lab::up(device, LAB);
    let sides = format!("lab:{} {}", lab.name(), lab.file().display());
    assert!(lab.egret_ok(&format!("diff {sides}")).starts_with("no packet has another verdict"));
    let mut task = lab.task("web");
    assert!(task.open("kept", DB, 5432).is_u64());
    write_with_an_acl_that_denies(&lab);

    let output = lab.egret(&format!("diff {sides} --flows --json"));
    assert_eq!(output.status.code(), Some(1), "{}", both_streams(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let flows: AffectedFlows = serde_json::from_value(answer["flows"].clone()).unwrap();
    assert!(
        flows.affected.iter().any(|flow| flow.destination.starts_with("10.0.2.10")),
        "{flows:?}"
    );
    let lost: Vec<&Value> =
        answer["rows"].as_array().unwrap().iter().filter(|row| row["change"] == "lost").collect();
    assert!(lost.iter().any(|row| row["after"]["decided_by"]["id"] == "acl-none"), "{answer:#}");
    assert_eq!(lost.len(), answer["rows"].as_array().unwrap().len());

    lab.egret_ok(&format!("apply {}", lab.file().display()));
    assert!(!passes(&mut task, (DB, 5432), false));
    assert!(lab.egret_ok(&format!("diff {sides}")).starts_with("no packet has another verdict"));
}

/// Writes the lab's file with a network ACL on the resources' subnet that denies everything.
fn write_with_an_acl_that_denies(lab: &Lab) {
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let subnet = "cidr = \"10.0.2.0/24\"\n";
    assert_eq!(text.matches(subnet).count(), 1);
    let text = text.replace(subnet, &format!("{subnet}network_acl = \"acl-none\"\n"));
    let acl = "\n[[network_acl]]\nid = \"acl-none\"\nvpc = \"vpc-a\"\n";
    std::fs::write(lab.file(), text + acl).unwrap();
}

fn json_of(lab: &Lab, line: &str) -> Value {
    serde_json::from_str(&lab.egret_ok(line)).unwrap()
}

/// Returns whether a row has an address with a TCP port.
fn is_in(rows: &Value, (address, port): (Ipv4Addr, u16)) -> bool {
    let of = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<Ipv4Addr>().unwrap();
    let has_address = |span: &Value| (of(span, "from")..=of(span, "to")).contains(&address);
    let has_port = |span: &Value| {
        let end = |key: &str| span[key].as_u64().unwrap_or(0);
        span["protocol"] == "tcp" && (end("from")..=end("to")).contains(&port.into())
    };
    let has = |row: &Value, key: &str, it: &dyn Fn(&Value) -> bool| {
        row[key].as_array().unwrap().iter().any(it)
    };
    let mut rows = rows.as_array().unwrap().iter();
    rows.any(|row| has(row, "destinations", &has_address) && has(row, "ports", &has_port))
}

/// Returns whether a connection succeeds. The wait is short if `said` is false.
fn passes(task: &mut Agent, (address, port): (Ipv4Addr, u16), said: bool) -> bool {
    let patience = if said { 10.0 } else { 0.3 };
    task.ask(&json!(["tcp", address, port, 0, patience])).is_u64()
}
