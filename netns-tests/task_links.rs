//! A lab detects what programs do to the link of a task, says how to repair it, and counts what the
//! kernel drops there.

use crate::lifecycle::LAB;
use crate::support::lab::{Lab, both_streams, for_both_kinds};
use crate::support::{run, run_ok};
use egret::linux::{Netns, netns};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

for_both_kinds!(
    a_broken_link_is_shown_and_repaired,
    a_deleted_eth0_is_shown_and_made_again,
    a_task_without_its_namespace_is_shown_with_the_way_out,
    packets_that_the_kernel_drops_at_a_link_are_listed,
);

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const TASK: &str = "100.64.0.1";

/// The damages to `eth0` of a task, and the text that reports each.
const DAMAGES: [(&str, &str); 8] = [
    ("ip route del default", "no default route via 169.254.1.1"),
    ("ip link set eth0 mtu 9000", "eth0 has MTU 9000, not 1500"),
    ("ip link set eth0 mtu 600", "eth0 has MTU 600, not 1500"),
    ("ip link set eth0 down", "eth0 is down"),
    ("ip address del 100.64.0.1/32 dev eth0", "eth0 has no address 100.64.0.1"),
    ("ip neighbour del 169.254.1.1 dev eth0", "no neighbour entry for 169.254.1.1"),
    (
        "ip neighbour replace 169.254.1.1 lladdr 02:00:00:00:00:09 dev eth0 nud permanent",
        "no neighbour entry for 169.254.1.1",
    ),
    ("ip link set eth0 address 02:00:00:00:00:09", "eth0 has hardware address 02:00:00:00:00:09"),
];

fn a_broken_link_is_shown_and_repaired(device: &str) {
    let lab = Lab::up(device, LAB);
    let netns = lab.netns("web-1");
    let mut task = lab.task("web");
    assert!(task.open("kept", DB, 5432).is_u64());
    is_whole(&lab);
    for (damage, said) in DAMAGES {
        run_ok(&netns, damage);
        is_broken(&lab, said, "egret task repair web/1");
        repaired(&lab, said);
        assert!(lab.pings("web", &DB.to_string()), "{damage:?}");
        task.ok(&json!(["say", "kept"]));
    }
    // The other end is the lab's own, and can be damaged as well.
    run_ok(&lab.netns("router"), "ip link set t-64400001 down");
    is_broken(&lab, "t-64400001 is down", "egret task repair web/1");
    repaired(&lab, "t-64400001 is down");
    task.ok(&json!(["say", "kept"]));
    let whole = lab.egret_ok("task repair web/1");
    assert!(whole.is_empty());
    let unknown = lab.egret("task repair web/9");
    assert_eq!(unknown.status.code(), Some(2), "{}", both_streams(&unknown));
}

fn a_deleted_eth0_is_shown_and_made_again(device: &str) {
    let lab = Lab::up(device, LAB);
    let netns = lab.netns("web-1");
    let mut task = lab.task("web");
    assert!(task.open("kept", DB, 5432).is_u64());
    for damage in ["ip link del eth0", "ip link set eth0 name eth7"] {
        run_ok(&netns, damage);
        is_broken(&lab, "there is no eth0", "egret task repair web/1");
        repaired(&lab, "eth0");
        // Programs and their connections survive, with the new link.
        task.ok(&json!(["say", "kept"]));
        assert!(lab.pings("web", &DB.to_string()), "{damage}");
    }
    // A foreign interface of that name is in the way, and is not removed.
    run_ok(&netns, "ip link del eth0");
    run_ok(&netns, "ip link add eth0 type veth peer name other0");
    is_broken(&lab, "eth0 is not the interface that the lab made", "egret task repair web/1");
    let refused = lab.egret("task repair web/1");
    let said = both_streams(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("ip -n {} link del eth0", netns.name())), "{said}");
    run_ok(&netns, "ip link del eth0");
    repaired(&lab, "eth0");
    task.ok(&json!(["say", "kept"]));
}

fn a_task_without_its_namespace_is_shown_with_the_way_out(device: &str) {
    let lab = Lab::up(device, LAB);
    netns::remove(lab.netns("web-1").name()).unwrap();
    is_broken(&lab, "was removed", "egret task remove web/1");
    let refused = lab.egret("task repair web/1");
    let said = both_streams(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("egret task remove web/1"), "{said}");
    lab.egret_ok("task remove web/1");
    assert!(lab.pings("web/1", &DB.to_string()));
    is_whole(&lab);
}

fn packets_that_the_kernel_drops_at_a_link_are_listed(device: &str) {
    let lab = Lab::up(device, LAB);
    let (netns, vpc) = (lab.netns("web-1"), lab.netns("vpc-a"));
    assert!(lab.pings("web", &DB.to_string()));
    assert_eq!(lab.drops(), []);
    // The packets are larger than the MTU of the router's end.
    run_ok(&netns, "ip link set eth0 mtu 9000");
    let of_task = too_large(&netns, "eth0", &DB.to_string());
    let dropped = |task: Option<u16>| -> u64 {
        let rows = lab.drops();
        let own = rows.iter().filter(|row| row.reason == "link-dropped" && row.task == task);
        own.map(|row| row.packets).sum()
    };
    assert_eq!(dropped(Some(1)), of_task, "{:?}", lab.drops());
    let row = lab.drops().into_iter().find(|row| row.reason == "link-dropped").unwrap();
    assert_eq!(row.service.as_deref(), Some("web"));
    assert!(row.rule.contains("t-64400001") && row.rule.contains("MTU 1500"), "{row:?}");
    let shown: Vec<Value> = lab.rows("drops --reason link-dropped");
    assert_eq!(shown.len(), 1);
    // The link of a VPC drops them as well.
    run_ok(&vpc, "ip link set vpc0 mtu 9000");
    let of_vpc = too_large(&vpc, "vpc0", "10.0.1.99");
    assert_eq!(dropped(None), of_vpc, "{:?}", lab.drops());
    // The counts are kept when the link is removed.
    lab.egret_ok("task repair web/1");
    run_ok(&netns, "ip link set eth0 mtu 9000");
    let of_task = too_large(&netns, "eth0", &DB.to_string());
    lab.egret_ok("task remove web/1");
    assert_eq!((dropped(Some(1)), dropped(None)), (of_task, of_vpc), "{:?}", lab.drops());
}

/// Sends packets of 4028 bytes, and returns how many packets the kernel has dropped so far at an
/// interface.
fn too_large(netns: &Netns, interface: &str, to: &str) -> u64 {
    let dropped = || {
        let said = run_ok(netns, &format!("ip -s -j link show dev {interface}"));
        let said: Value = serde_json::from_str(&said).unwrap();
        said[0]["stats64"]["tx"]["dropped"].as_u64().unwrap()
    };
    let before = dropped();
    run(netns, &format!("ping -n -q -c 3 -i 0.05 -W 0.1 -s 4000 -M do {to}"));
    let after = dropped();
    assert!(after >= before + 3, "{before} {after}");
    after
}

/// Returns the row of task 1 of `web`.
fn state(lab: &Lab) -> Value {
    let rows: Vec<Value> = lab.rows("ps");
    let is_it = |row: &&Value| row["service"] == "web" && row["task"] == 1;
    rows.iter().find(is_it).unwrap().clone()
}

fn is_whole(lab: &Lab) {
    let row = state(lab);
    assert_eq!(
        (&row["state"], &row["faults"], &row["way_out"]),
        (&json!("ok"), &json!([]), &Value::Null)
    );
    let explained: Value =
        serde_json::from_str(&lab.egret_ok("explain web db:5432 --json")).unwrap();
    assert!(explained["broken_tasks"].is_null(), "{explained}");
}

/// Checks that `egret ps` and `egret explain` say that task 1 of `web`, and no other, is broken,
/// why, and how to fix it.
fn is_broken(lab: &Lab, said: &str, way_out: &str) {
    let row = state(lab);
    assert_eq!(row["state"], "broken", "{said}: {row}");
    let faults: Vec<String> = serde_json::from_value(row["faults"].clone()).unwrap();
    assert!(faults.iter().any(|fault| fault.contains(said)), "{said}: {faults:?}");
    assert!(row["way_out"].as_str().unwrap().contains(way_out), "{row}");
    let rows: Vec<Value> = lab.rows("ps");
    assert!(rows.iter().filter(|row| row["state"] == "broken").count() == 1, "{rows:?}");
    let shown = lab.egret_ok("ps");
    assert!(shown.contains("broken") && joined(&shown).contains(way_out), "{shown}");
    let (_, reported) = shown.split_once("\n\n").unwrap();
    assert!(reported.lines().all(|line| line.chars().count() <= 100), "{shown}");

    // The verdict is about the configuration.
    for words in ["explain web db:5432", "explain web/1 db:5432", "explain web db:5432 --running"] {
        let shown = lab.egret_ok(words);
        let now = format!("now: web/1 is broken: {}", faults[0]);
        assert!(joined(&shown).contains(&now) && joined(&shown).contains(way_out), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
        let explained = lab.egret_ok(&format!("{words} --json"));
        let explained: Value = serde_json::from_str(&explained).unwrap();
        let broken = &explained["broken_tasks"][0];
        assert_eq!((&broken["task"], &broken["faults"]), (&json!("web/1"), &row["faults"]));
        assert_eq!(broken["way_out"], row["way_out"]);
    }
    let other = lab.egret_ok("explain public 203.0.113.10:443 --json");
    assert!(!other.contains("broken_tasks"), "{other}");
}

/// Joins lines that were broken between words.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn repaired(lab: &Lab, said: &str) {
    let output = lab.egret("task repair web/1");
    let all = both_streams(&output);
    assert!(output.status.success() && all.contains("repaired task web/1"), "{said}: {all}");
    is_whole(lab);
    assert!(lab.exec_ok("web", "ip -br address show eth0").contains(TASK));
}
