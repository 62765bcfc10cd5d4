//! `egret drops` keeps every drop, whatever a reload changes or removes meanwhile.

use crate::support::lab::{Lab, both_streams, can_run, snmp};
use crate::support::run_ok;
use egret::explain::{DropRow, EniRow};
use nix::sys::signal::Signal;
use serde_json::json;
use std::net::Ipv4Addr;

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);

const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[subnet]]
id = "subnet-b"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
[[security_group]]
id = "sg-app"
vpc = "vpc-a"
egress = [{ protocol = "udp", ports = "9", to = "0.0.0.0/0" }, { protocol = "icmp", to = "0.0.0.0/0" }]
[[security_group]]
id = "sg-db"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-app" }]
[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.10"
security_groups = ["sg-db"]
[[vpc_connector]]
name = "main"
subnets = ["subnet-a"]
security_groups = ["sg-app"]
[[service]]
name = "web"
egress = "vpc"
vpc_connector = "main"
"#;

const ANOTHER: &str = "[[service]]\nname = \"another\"\negress = \"default\"\n";
const MOVED: (&str, &str) = ("subnets = [\"subnet-a\"]", "subnets = [\"subnet-b\"]");

/// Applies the lab's file with passages replaced, and with more at its end.
fn apply(lab: &Lab, changes: &[(&str, &str)], more: &str) {
    lab.apply(&format!("{LAB}{more}"), changes);
}

/// Returns what a row says about its rule.
fn rule(row: &DropRow) -> (Option<&str>, Option<u16>, &str, Option<u32>, u64) {
    (row.service.as_deref(), row.task, &row.rule, row.rule_generation, row.packets)
}

fn of_web(lab: &Lab) -> Vec<DropRow> {
    lab.rows("drops --service web --reason sg-egress-implicit-deny")
}

#[test]
fn a_row_keeps_its_names_and_its_rule_through_more_changes_than_are_remembered() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let denied = || lab.task("web").udp_times_out(DB, 53);
    denied();
    let line = of_web(&lab)[0].line.unwrap();
    for _ in 0..35 {
        apply(&lab, &[], ANOTHER);
        apply(&lab, &[], "");
    }
    denied();
    let rows = of_web(&lab);
    let expected = (Some("web"), Some(1), "no egress rule of sg-app", None, 2);
    assert_eq!(rows.iter().map(rule).collect::<Vec<_>>(), [expected], "one row");
    assert_eq!(rows[0].line, Some(line));

    // The same rules are further down in the file.
    apply(
        &lab,
        &[("[[security_group]]\nid = \"sg-app\"", "\n\n[[security_group]]\nid = \"sg-app\"")],
        "",
    );
    let rows = of_web(&lab);
    assert_eq!(rows.iter().map(rule).collect::<Vec<_>>(), [expected]);
    assert_eq!(rows[0].line, Some(line + 2));

    // The rules have changed: earlier drops belong to the earlier rules.
    let generation = lab.ps()[0].generation;
    apply(&lab, &[("ports = \"9\"", "ports = \"10\"")], "");
    denied();
    let rows = of_web(&lab);
    let mut found: Vec<_> = rows.iter().map(rule).collect();
    found.sort();
    let rule = "no egress rule of sg-app";
    let (now, then) = ((Some("web"), Some(1), rule, None, 1), rows[0].rule_generation);
    assert_eq!(found, [now, (Some("web"), Some(1), rule, then, 2)]);
    assert!(then.is_some_and(|then| then <= generation), "{then:?}");

    // Drops keep the name of a removed service, and the number of its task.
    apply(&lab, &[("name = \"web\"", "name = \"other\"")], "");
    let packets: u64 = of_web(&lab).iter().map(|row| row.packets).sum();
    assert_eq!(packets, 3, "{:#?}", lab.drops());
    assert!(of_web(&lab).iter().all(|row| row.task == Some(1)));
    let unknown = lab.egret("drops --service nothing");
    assert_eq!(unknown.status.code(), Some(2), "{}", both_streams(&unknown));
}

#[test]
fn regression_a_task_that_does_not_exist_is_an_error_and_a_removed_one_has_its_drops() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    lab.task("web").udp_times_out(DB, 53);
    for command in ["drops", "flows", "trace --count 1"] {
        let unknown = lab.egret(&format!("{command} --service web/9"));
        let said = both_streams(&unknown);
        assert_eq!(unknown.status.code(), Some(2), "{command}: {said}");
        assert!(said.contains("service `web` has no task 9; it has web/1"), "{command}: {said}");
    }
    lab.egret_ok("task remove web/1");
    let rows: Vec<DropRow> = lab.rows("drops --service web/1");
    assert!(rows.iter().any(|row| row.task == Some(1)), "{rows:#?}");
    let gone = lab.egret("flows --service web/1");
    assert!(both_streams(&gone).contains("has no task 1"), "{}", both_streams(&gone));
}

#[test]
fn the_losses_of_a_removed_device_stay_listed() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let enis: Vec<EniRow> = lab.rows("enis");
    let (router, task) = (lab.netns("router"), lab.netns("web-1"));
    lab.signal(Signal::SIGSTOP);
    crate::support::pings_at_once(&task, DB, 2600);
    let said = run_ok(&router, &format!("ip -s -j link show dev {}", enis[0].device));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let lost = said[0]["stats64"]["tx"]["dropped"].as_u64().unwrap();
    lab.signal(Signal::SIGCONT);
    assert!(lost >= 500, "{lost}");
    // The worker's queue may overflow again while the worker catches up.
    apply(&lab, &[MOVED], "");
    let row = |rows: Vec<DropRow>| rows.into_iter().find(|row| row.reason == "queue-full").unwrap();
    let kept = row(lab.drops());
    assert!(kept.packets >= lost, "{lost}: {kept:#?}");
    assert_eq!(kept.rule, format!("the queue of {} was full", enis[0].device));
    apply(&lab, &[], "");
    assert!(row(lab.drops()).packets >= kept.packets, "the device came again: {:#?}", lab.drops());
}

#[test]
fn every_packet_that_a_move_loses_is_in_a_row() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let (vpc, task) = (lab.netns("vpc-a"), lab.netns("web-1"));
    let mut db = Lab::agent(&vpc);
    db.ok(&json!(["serve_sink_udp", DB, 9]));
    // All packets that arrive count: UDP counts a datagram only when it is read.
    let arrived = || snmp(&vpc, "Ip", "InReceives");
    let (sent_before, arrived_before) = (snmp(&task, "Udp", "OutDatagrams"), arrived());
    let mut web = lab.task("web");
    web.ok(&json!(["begin_flood", DB, 9]));
    for _ in 0..5 {
        apply(&lab, &[MOVED], "");
        apply(&lab, &[], "");
    }
    web.ok(&json!(["end_flood"]));
    let sent = snmp(&task, "Udp", "OutDatagrams") - sent_before;
    let counted = || {
        let dropped: u64 = lab.drops().iter().map(|row| row.packets).sum();
        (arrived() - arrived_before, dropped)
    };
    let all = |(arrived, dropped): (u64, u64)| arrived + dropped == sent;
    let found = (0..100).map(|_| counted()).find(|found| all(*found));
    let (arrived, dropped) = found.unwrap_or_else(|| {
        panic!("{sent} sent: {:?} {:#?} {}", counted(), lab.drops(), run_ok(&task, "ip -s link"))
    });
    println!(
        "{sent} sent, {arrived} arrived, {dropped} dropped: {}",
        lab.egret_ok("drops --by reason")
    );
    assert!(arrived > 0);
}
