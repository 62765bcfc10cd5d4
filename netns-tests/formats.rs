//! All formats of a command say the same about a running lab.

use crate::security_group::LAB;
use crate::support::lab::{Lab, can_run};
use serde_json::Value;
use std::net::Ipv4Addr;

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);

#[test]
fn rows_of_a_running_lab_are_the_same_in_each_format() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut task = lab.task("web");
    assert!(task.open("kept", DB, 5432).is_u64());
    for command in ["ps", "task list", "enis", "enis --holders", "flows", "drops", "reach"] {
        let json = lab.egret_ok(&format!("{command} -o json"));
        assert_eq!(lab.egret_ok(&format!("{command} --json")).len(), json.len(), "{command}");
        let answer: Value = serde_json::from_str(&json).unwrap();
        let rows = answer.get("rows").unwrap_or(&answer).as_array().unwrap().len();
        let csv = lab.egret_ok(&format!("{command} -o csv"));
        let read = csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).count();
        assert_eq!(read, rows, "{command}: {csv}");
        assert!(rows > 0 || command == "drops", "{command} has rows");
        let wide = lab.egret_ok(&format!("{command} -o wide"));
        let table = lab.egret_ok(command);
        assert_eq!(wide.lines().count(), table.lines().count(), "{command}: {wide}{table}");
    }
    let tasks = lab.egret_ok("ps -o name");
    assert!(tasks.lines().any(|task| task == "web/1"), "{tasks}");
    let added = lab.egret_ok("task add web -o name");
    assert!(added.starts_with("web/") && added.lines().count() == 1, "{added}");
    let top = lab.egret_ok("top --by enis --count 2 --interval 100ms -o csv");
    let tables: Vec<&str> = top.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert!(tables.contains(&"1") && tables.contains(&"2"), "{top}");
    let plan = lab.egret_ok(&format!("apply {} --dry-run -o csv", lab.file().display()));
    assert_eq!(plan, "what,kind,id,line,details\r\n");
}
