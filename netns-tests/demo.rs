//! The demo shows what it says, and leaves nothing behind.

use crate::support::is_root;
use egret::linux::netns;
use std::process::Command;

#[test]
fn every_probe_of_the_demo_is_as_expected_and_nothing_is_left() {
    if !is_root("every_probe_of_the_demo_is_as_expected_and_nothing_is_left") {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_egret"))
        .args(["demo", "--json", "--skip-throughput"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&stderr);
    let probes = report["probes"].as_array().unwrap();
    for probe in probes {
        assert_eq!(probe["ok"], true, "{probe:#}");
    }
    let reasons: Vec<_> = probes.iter().filter_map(|probe| probe["reason"].as_str()).collect();
    for reason in [
        "sg-egress-implicit-deny",
        "sg-ingress-implicit-deny",
        "nacl-ingress-deny",
        "no-route",
        "igw-no-public-address",
    ] {
        assert!(reasons.contains(&reason), "no probe met {reason}: {reasons:?}");
    }
    assert!(output.status.success(), "{stderr}");
    let left = netns::list().unwrap();
    assert!(!left.iter().any(|name| name.starts_with("egret-demo")), "{left:?}");
}
