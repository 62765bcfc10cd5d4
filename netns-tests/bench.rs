//! `egret bench` gives every figure that it names, says why where it cannot, and leaves nothing
//! behind.

use crate::support::lab::{Lab, can_run};
use egret::linux::netns;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const LAB: &str = r#"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
[[subnet]]
id = "subnet"
vpc = "vpc"
availability_zone = "a"
cidr = "10.0.1.0/24"
[[security_group]]
id = "sg-web"
vpc = "vpc"
egress = [{ protocol = "tcp", ports = "5201-5300", to = "sg-db" }, { protocol = "udp", ports = "5201", to = "sg-db" }]
[[security_group]]
id = "sg-db"
vpc = "vpc"
ingress = [{ protocol = "all", from = "sg-web" }]
[[resource]]
name = "db"
subnet = "subnet"
address = "10.0.1.10"
security_groups = ["sg-db"]
listen = ["5300/tcp"]
[[vpc_connector]]
name = "connector"
subnets = ["subnet"]
security_groups = ["sg-web"]
[[service]]
name = "web"
egress = "vpc"
vpc_connector = "connector"
"#;

#[test]
fn a_labs_own_path_is_measured_and_a_denied_one_is_named() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let eni = lab.ps()[0].eni.clone().unwrap();
    let document: Value =
        serde_json::from_str(&lab.egret_ok("bench web db --seconds 0.3 --json")).unwrap();
    assert_eq!(document["failures"], Value::Array(Vec::new()));
    let metrics = document["metrics"].as_array().unwrap();
    let keys: Vec<&str> = metrics.iter().map(|metric| metric["key"].as_str().unwrap()).collect();
    for metric in metrics {
        let median = metric["paths"][&eni]["median"].as_f64().unwrap();
        let may_be_nothing = metric["unit"] == "%" || metric["unit"] == "CPU s/GB";
        assert!(median.is_finite() && (median > 0.0 || may_be_nothing), "{metric:#}");
    }
    for key in ["tcp-up-1", "tcp-up-4", "tcp-down-4", "udp-64", "connections", "latency-p50"] {
        assert!(keys.contains(&key), "{key} in {keys:?}");
    }

    // TCP alone may pass, and another port is in use.
    let partly = lab.egret("bench web/1 db:5210 --seconds 0.1 --json");
    let partly_said = String::from_utf8_lossy(&partly.stderr).into_owned();
    assert!(partly_said.contains("web/1 may not send udp to db:5210"), "{partly_said}");
    let document: Value = serde_json::from_slice(&partly.stdout).expect(&partly_said);
    let metrics = document["metrics"].as_array().unwrap();
    assert!(metrics.iter().all(|metric| !metric["key"].as_str().unwrap().starts_with("udp")));

    let refused = lab.egret("bench web db:80");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("web/1 may not send tcp to db:80"), "{said}");
    assert_eq!(lab.egret("bench nobody db").status.code(), Some(2));
    assert_eq!(lab.egret("bench web 192.0.2.1:5201").status.code(), Some(1));

    let taken = lab.egret("bench web db:5300 --seconds 0.1 --json");
    let document: Value = serde_json::from_slice(&taken.stdout).unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(document["failures"].to_string().contains("something listens there"), "{document:#}");
}

#[test]
fn ctrl_c_takes_every_path_away() {
    if !can_run() {
        return;
    }
    let mut bench = Command::new(env!("CARGO_BIN_EXE_egret"))
        .args(["bench", "paths", "--only", "veth,nft,userspace", "--rounds", "50"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = bench.id();
    let mut lines = BufReader::new(bench.stderr.take().unwrap()).lines().map(Result::unwrap);
    let begun = lines.find(|line| line.contains("round 1 of 50"));
    let of_bench = || {
        let names = netns::list().unwrap();
        let is_its = |name: &String| {
            name.starts_with(&format!("bench-{id}-")) || name.starts_with(&format!("b{id}-"))
        };
        names.into_iter().filter(is_its).collect::<Vec<_>>()
    };
    let while_it_runs = of_bench();
    kill(Pid::from_raw(i32::try_from(id).unwrap()), Signal::SIGINT).unwrap();
    let said: Vec<String> = lines.collect();
    let status = bench.wait().unwrap();
    assert!(begun.is_some(), "{said:?}");
    assert!(while_it_runs.len() > 6, "{while_it_runs:?}");
    assert_eq!(status.code(), Some(1), "{said:?}");
    assert!(said.iter().any(|line| line.contains("interrupted")), "{said:?}");
    assert_eq!(of_bench(), Vec::<String>::new());
}
