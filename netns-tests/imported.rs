//! A VPC runs from its description by other tools, with no lab file in between.

use crate::support::comes;
use crate::support::lab::{Lab, can_run};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

const DB: Ipv4Addr = Ipv4Addr::new(10, 20, 20, 118);
const CACHE: Ipv4Addr = Ipv4Addr::new(10, 20, 21, 44);
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const GROUPS: &str = "describe-security-groups.json";

/// Returns a copy of the example that a test may change.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/vpc");
    for file in fs::read_dir(example).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

#[test]
fn a_folder_of_describe_output_carries_packets_and_is_read_again_on_a_hangup() {
    if !can_run() {
        return;
    }
    let folder = folder();
    let lab = Lab::up_from(folder.path());
    // Task 2 is in the other zone: the data subnets' ACL admits only that zone to the cache.
    lab.exec_ok("web/2", "true");
    let mut web = lab.task("web/2");
    web.tcp(DB, 5432);
    web.tcp(FAR, 443);
    web.tcp_times_out(CACHE, 6379);
    assert_eq!(lab.packets_dropped("nacl-ingress-implicit-deny"), 0);
    assert!(lab.packets_dropped("sg-egress-implicit-deny") > 0);

    let path = folder.path().join(GROUPS);
    let mut groups: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let web_egress = &mut groups["SecurityGroups"][1]["IpPermissionsEgress"];
    web_egress.as_array_mut().unwrap().push(json!({
        "IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379,
        "IpRanges": [{"CidrIp": "10.20.21.0/24"}],
    }));
    fs::write(&path, groups.to_string()).unwrap();
    lab.signal(Signal::SIGHUP);
    // The signal has no answer; each look is a call that waits for a running reload.
    assert!(comes(|| lab.ps().iter().all(|row| row.generation == 2)), "{:?}", lab.ps());
    web.tcp(CACHE, 6379);
}
