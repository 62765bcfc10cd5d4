//! `egret graph --lab` draws what runs: the ENIs that `egret enis` lists, and the tasks that there
//! are.

use crate::security_group::LAB;
use crate::support::lab::{Lab, both_streams, can_run};
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn graph_of_a_running_lab_has_its_enis_and_counts_its_tasks() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let graph = |more: &str| lab.egret_ok(&format!("graph --lab {} {more}", lab.name()));
    let drawn = || serde_json::from_str::<Value>(&graph("--json")).unwrap();
    let before = drawn();
    assert_eq!(before["lab"], lab.name());
    let rows: Vec<Value> = lab.rows("enis");
    let listed = rows.iter().filter(|row| row["kind"] == "hyperplane" || row["kind"] == "task");
    let listed = listed.map(|row| (text(&row["id"]), text(&row["address"])));
    let nodes = before["nodes"].as_array().unwrap().iter();
    let enis = nodes.filter(|node| node["kind"] == "eni");
    let enis: BTreeSet<_> =
        enis.map(|node| (text(&node["name"]), text(&node["lines"][0]))).collect();
    assert_eq!(enis, listed.collect(), "{rows:#?}");
    assert!(!enis.is_empty());

    let running = |graph: &Value| {
        let nodes = graph["nodes"].as_array().unwrap();
        let web = nodes.iter().find(|node| node["key"] == "service/web").unwrap();
        text(&web["lines"][1])
    };
    assert_eq!(running(&before), "1 task");
    lab.egret_ok("task add web");
    assert_eq!(running(&drawn()), "2 tasks");

    // The file does not matter any more.
    std::fs::write(lab.file(), "no lab").unwrap();
    let svg = graph("--svg");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(enis.iter().all(|(id, address)| svg.contains(id) && svg.contains(address)));
    assert!(graph("").starts_with("flowchart LR\n"));
    assert!(graph("--dot").starts_with("digraph "));
}

#[test]
fn graph_of_a_lab_that_is_not_up_says_so() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let output = lab.egret("graph --lab no-such-lab");
    assert_eq!(output.status.code(), Some(2));
    assert!(both_streams(&output).contains("no lab `no-such-lab`"), "{}", both_streams(&output));
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
