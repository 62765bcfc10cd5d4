//! `egret explain` predicts for a running lab what then happens to real packets.

use crate::support::lab::{Agent, CLOSED_FLOWS_STAY, Lab, both_streams, for_both_kinds};
use egret::explain::{EniRow, FlowRow};
use serde_json::{Value, json};
use std::collections::BTreeMap;

for_both_kinds!(
    routes_are_explained_as_they_act,
    security_groups_are_explained_as_they_act,
    network_acls_are_explained_as_they_act,
    a_running_lab_knows_which_ports_are_taken,
    tasks_that_run_are_asked_alone,
    expectations_are_tested_by_the_running_configuration,
);

fn routes_are_explained_as_they_act(device: &str) {
    let lab = up(device, crate::routing::LAB);
    explained_as_they_act(
        &lab,
        &[
            ("private", "near:5432"),
            ("private", "across:5432"),
            ("private", "host:443"),
            ("private", "other-host:443"),
            ("private", "192.0.2.1:443"),
            ("private", "10.0.2.77:443"),
            ("public", "host:443"),
            ("public", "172.16.0.1:443"),
            ("nat-in-private", "host:443"),
            ("nat-in-private", "other-host:443"),
            ("private", "169.254.169.254:80"),
        ],
    );
}

fn security_groups_are_explained_as_they_act(device: &str) {
    let lab = up(device, crate::security_group::LAB);
    explained_as_they_act(
        &lab,
        &[
            ("web", "db:5432"),
            ("web", "db:53/udp"),
            ("web", "db/icmp"),
            ("web", "db:54/udp"),
            ("web", "db:6379"),
            ("web", "closed:5432"),
            ("web", "listed:6379"),
            ("other", "db:5432"),
            ("other", "db/icmp"),
            ("silent", "db:5432"),
        ],
    );
}

fn network_acls_are_explained_as_they_act(device: &str) {
    let lab = up(device, crate::network_acl::LAB);
    explained_as_they_act(
        &lab,
        &[
            ("web", "open:5432"),
            ("web", "open:6379"),
            ("web", "open:53/udp"),
            ("web", "open/icmp"),
            ("web", "guarded:5432"),
            ("web", "guarded:443"),
            ("web", "deaf:5432"),
            ("web", "host:443"),
            ("web", "host:80"),
            ("web", "host:81"),
            ("web", "unheard:443"),
        ],
    );
}

fn a_running_lab_knows_which_ports_are_taken(device: &str) {
    let limit = "[limits]\nnat_connections_per_destination = 1\n";
    let lab = Lab::up(device, &format!("{}\n{limit}", crate::routing::LAB));
    // A question takes no port, however often it is asked.
    for _ in 0..3 {
        assert_eq!(explain(&lab, "private", "host:443").0, "forward");
    }
    assert_eq!((lab.flows(), lab.drops()), (vec![], vec![]));
    let mut task = lab.task("private");
    assert!(task.open("kept", [203, 0, 113, 10].into(), 443).is_u64());
    // The verdict is about the configuration; the answer also has what the lab would do now.
    let (verdict, explained) = explain(&lab, "private", "host:443");
    assert_eq!((verdict.as_str(), &explained["reason"]), ("forward", &Value::Null));
    assert_eq!(explained["now"]["reason"], "nat-ports-exhausted");
    let said = lab.egret_ok("explain private host:443");
    assert!(said.contains("\nnow: nat-ports-exhausted: "), "{said}");
    // Without the lab, every port is free.
    let file = lab.file().display().to_string();
    let offline = lab.egret(&format!("explain private host:443 --config {file}"));
    assert_eq!(offline.status.code(), Some(0), "{}", both_streams(&offline));
}

/// The subnet of the second task has no route.
fn tasks_that_run_are_asked_alone(device: &str) {
    let lab = Lab::up(device, include_str!("../src/explain/cases/subnets-differ.toml"));
    let both = lab.egret("explain web db:5432 --running");
    assert_eq!(both.status.code(), Some(1), "{}", both_streams(&both));
    lab.egret_ok("task remove web/2");
    lab.egret_ok("explain web db:5432 --running");
    let (verdict, possible) = explain(&lab, "web", "db:5432");
    assert_eq!((verdict.as_str(), &possible["classes"][0]["tasks"]), ("mixed", &json!([])));
    lab.egret_ok("task remove web/1");
    let none = lab.egret("explain web db:5432 --running");
    assert_eq!(none.status.code(), Some(2));
    assert!(both_streams(&none).contains("service web has no task now"), "{}", both_streams(&none));
}

/// `egret test` uses the addresses of a running lab and sees a reload; expectations alone change
/// nothing in the lab.
fn expectations_are_tested_by_the_running_configuration(device: &str) {
    let text = include_str!("../examples/minimal.toml");
    let expect = "[[expect]]\nfrom = \"web\"\nto = \"orders-db\"\nis = \"reachable\"\n";
    let lab = Lab::up(device, &format!("{text}\n{expect}"));
    let test = format!("test --lab {}", lab.name());
    let own = lab.egret_ok(&test);
    assert!(own.contains("web -> orders-db is reachable\n1 expectation: it holds"), "{own}");

    let enis: Vec<EniRow> = lab.rows("enis");
    let addresses = enis.iter().filter_map(|eni| eni.address);
    let seen: Vec<String> = addresses.map(|address| format!("\"{address}\"")).collect();
    let other = tempfile::NamedTempFile::new().unwrap();
    let seen_as = format!("seen_as = [{}]\n", seen.join(", "));
    std::fs::write(other.path(), format!("{expect}{seen_as}")).unwrap();
    let other = other.path().display();
    lab.egret_ok(&format!("{test} {other}"));
    let offline = lab.egret(&format!("test {other} --config {}", lab.file().display()));
    assert_eq!(offline.status.code(), Some(1), "any address of the subnet may become the real one");

    let written = std::fs::read_to_string(lab.file()).unwrap();
    let without = written.replace(expect, "");
    assert_ne!(without, written);
    std::fs::write(lab.file(), &without).unwrap();
    let apply = format!("apply {} --json", lab.file().display());
    let reload: Value = serde_json::from_str(&lab.egret_ok(&apply)).unwrap();
    assert_eq!(reload["changes"], json!([]), "{reload:#}");
    let none = lab.egret(&test);
    assert_eq!(none.status.code(), Some(2), "{}", both_streams(&none));

    let closed =
        without.replace("ports = \"5432\", to = \"sg-db\"", "ports = \"1\", to = \"sg-db\"");
    assert_ne!(closed, without);
    std::fs::write(lab.file(), closed).unwrap();
    lab.egret_ok(&apply);
    let failing = lab.egret(&format!("{test} {other}"));
    assert_eq!(failing.status.code(), Some(1));
    let said = both_streams(&failing);
    assert!(said.contains("web -> orders-db: DROP sg-egress-implicit-deny"), "{said}");
}

fn up(device: &str, text: &str) -> Lab {
    Lab::up(device, &format!("{text}{CLOSED_FLOWS_STAY}"))
}

/// Explains each packet, sends it, and compares.
fn explained_as_they_act(lab: &Lab, packets: &[(&str, &str)]) {
    let explained: Vec<_> = packets.iter().map(|(task, to)| explain(lab, task, to)).collect();
    assert_eq!((lab.flows(), lab.drops()), (vec![], vec![]), "explain changes nothing");
    let mut agents: BTreeMap<&str, Agent> = BTreeMap::new();
    for ((task, to), (verdict, explained)) in packets.iter().zip(&explained) {
        let agent = agents.entry(task).or_insert_with(|| lab.task(task));
        let mut passes = || passes(lab, task, agent, explained);
        let decided = &explained["decided_by"];
        let rule = decided["rule"].as_str().or(decided["id"].as_str()).unwrap();
        if verdict == "drop" {
            let reason = explained["reason"].as_str().unwrap();
            let drop = lab.drops_for(reason, rule, || assert!(!passes(), "{to}"));
            assert_eq!(
                (drop.rule.as_str(), json!(drop.line)),
                (rule, decided["line"].clone()),
                "{to}"
            );
            assert_eq!(drop.service.as_deref(), Some(*task));
        } else {
            assert!(passes(), "{task} {to}: {explained:#}");
            let flow = flow_of(lab, explained);
            assert_eq!((flow.admitted_by.as_str(), &json!(flow.line)), (rule, &decided["line"]));
            let source = explained["outside"]["src"].as_str().unwrap();
            assert!(flow.outside.starts_with(source), "{task} {to}: {flow:?}");
        }
    }
    let verdicts = |verdict: &str| explained.iter().filter(|(said, _)| said == verdict).count();
    assert!(verdicts("drop") > 0 && verdicts("forward") > 0);
}

/// Returns the flow that the explained packet created.
fn flow_of(lab: &Lab, explained: &Value) -> FlowRow {
    let inside = &explained["inside"];
    let (protocol, to) = (inside["protocol"].as_str().unwrap(), inside["dst"].as_str().unwrap());
    let destination = match protocol {
        "icmp" => to.to_owned(),
        _ => format!("{to}:{}", inside["dport"]),
    };
    let is_it = |flow: &FlowRow| {
        flow.protocol == protocol && flow.destination.split(' ').next() == Some(&destination)
    };
    lab.flows().into_iter().find(is_it).unwrap_or_else(|| panic!("no flow for {explained:#}"))
}

/// Returns the verdict and the whole answer for one packet.
fn explain(lab: &Lab, task: &str, to: &str) -> (String, Value) {
    let output = lab.egret(&format!("explain {task} {to} --json"));
    let explained: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", both_streams(&output)));
    let verdict = explained["verdict"].as_str().unwrap().to_owned();
    assert_eq!(output.status.code(), Some(i32::from(verdict != "forward")), "{explained:#}");
    (verdict, explained)
}

/// Sends the explained packet, and returns whether it is answered.
fn passes(lab: &Lab, task: &str, agent: &mut Agent, explained: &Value) -> bool {
    let inside = &explained["inside"];
    let (to, port) = (inside["dst"].as_str().unwrap(), &inside["dport"]);
    let patience = if explained["verdict"] == "drop" { 0.3 } else { 10.0 };
    let answer = match inside["protocol"].as_str().unwrap() {
        "icmp" => return lab.pings(task, to),
        "udp" => agent.ask(&json!(["udp", to, port, 0, 5, patience])),
        _ => agent.ask(&json!(["tcp", to, port, 0, patience])),
    };
    answer.is_u64()
}
