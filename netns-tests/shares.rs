//! The share of real connections that pass is the one that `egret explain` gives for a set.

use crate::support::lab::{Lab, for_both_kinds};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

for_both_kinds!(
    replies_that_an_acl_lets_to_some_ports_of_the_eni_pass_by_their_share,
    replies_that_an_acl_lets_to_some_ports_of_a_nat_gateway_pass_by_their_share,
    a_group_that_lets_in_one_address_of_a_nat_gateway_lets_in_its_share,
    subnets_that_differ_pass_all_or_nothing_by_task,
);

const CONNECTIONS: u32 = 200;

fn replies_that_an_acl_lets_to_some_ports_of_the_eni_pass_by_their_share(device: &str) {
    let lab = Lab::up(device, include_str!("../src/explain/cases/reply-ports-eni.toml"));
    let asked = explain(&lab, "web", "db:5432", "mixed");
    let share = f64::from(60_999 - 32_768 + 1) / 64_512.0;
    agrees(&lab, &asked, share, (Ipv4Addr::new(10, 0, 2, 10), 5432));
}

fn replies_that_an_acl_lets_to_some_ports_of_a_nat_gateway_pass_by_their_share(device: &str) {
    let lab = Lab::up(device, include_str!("../src/explain/cases/reply-ports-nat.toml"));
    let asked = explain(&lab, "web", "api:443", "mixed");
    let share = f64::from(65_535 - 32_768 + 1) / 64_512.0;
    agrees(&lab, &asked, share, (Ipv4Addr::new(203, 0, 113, 10), 443));
}

fn a_group_that_lets_in_one_address_of_a_nat_gateway_lets_in_its_share(device: &str) {
    let lab = Lab::up(device, include_str!("../src/explain/cases/nat-second-address.toml"));
    let asked = explain(&lab, "web", "db:5432", "mixed");
    agrees(&lab, &asked, 0.5, (Ipv4Addr::new(10, 1, 1, 20), 5432));
}

fn subnets_that_differ_pass_all_or_nothing_by_task(device: &str) {
    let lab = Lab::up(device, include_str!("../src/explain/cases/subnets-differ.toml"));
    let db = (Ipv4Addr::new(10, 0, 3, 20), 5432);
    let asked = explain(&lab, "web", "db:5432", "mixed");
    let tasks = |verdict: &str| {
        let classes = asked["classes"].as_array().unwrap();
        let of: Vec<&Value> = classes.iter().filter(|c| c["verdict"] == verdict).collect();
        assert_eq!(of.len(), 1, "{asked:#}");
        of[0]["tasks"].clone()
    };
    assert_eq!((tasks("forward"), tasks("drop")), (json!(["web/1"]), json!(["web/2"])));
    explain(&lab, "web/1", "db:5432", "forward");
    explain(&lab, "web/2", "db:5432", "drop");
    assert_eq!(accepted(&lab, "web/1", db, 20), 20);
    assert_eq!(accepted(&lab, "web/2", db, 20), 0);
}

/// Asks the running lab; the exit code is 0 only if everything passes.
fn explain(lab: &Lab, task: &str, destination: &str, verdict: &str) -> Value {
    let output = lab.egret(&format!("explain {task} {destination} --json"));
    let asked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(asked["verdict"], verdict, "{asked:#}");
    assert_eq!(output.status.code(), Some(i32::from(verdict != "forward")));
    asked
}

/// Compares the share of the classes that pass with the expected one, and with real connections.
/// Ports and addresses are drawn at random: five standard deviations are one failure in more than a
/// million runs.
fn agrees(lab: &Lab, asked: &Value, expected: f64, to: (Ipv4Addr, u16)) {
    let classes = asked["classes"].as_array().unwrap().iter();
    let passing = classes.filter(|class| class["verdict"] == "forward");
    let share: f64 = passing.map(|class| class["share"].as_f64().unwrap()).sum();
    assert!((share - expected).abs() < 1e-6, "{share} for {expected}: {asked:#}");
    let accepted = f64::from(accepted(lab, "web/1", to, CONNECTIONS));
    let total = f64::from(CONNECTIONS);
    let deviation = (total * share * (1.0 - share)).sqrt();
    let off = (accepted - total * share).abs();
    assert!(off <= 5.0 * deviation, "{accepted} of {total} pass, and {share} of all should");
}

fn accepted(lab: &Lab, task: &str, (address, port): (Ipv4Addr, u16), count: u32) -> u32 {
    let answer = lab.task(task).ask(&json!(["connections", address, port, count]));
    u32::try_from(answer.as_u64().unwrap()).unwrap()
}
