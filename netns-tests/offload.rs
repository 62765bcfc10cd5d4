//! Bytes arrive intact and fast, although on the whole path nothing trusts a checksum that is still
//! to be done.

use crate::support::frames;
use crate::support::iperf_server;
use crate::support::lab::{Lab, for_both_kinds, snmp};
use egret::linux::{Mac, Netns};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

for_both_kinds!(
    many_bytes_arrive_as_they_were_sent,
    streams_are_not_sent_twice,
    datagrams_sent_as_one_arrive_as_many,
);

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 20);
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const SIZE: u32 = 50 << 20;

/// A service with everything allowed, one far resource in the VPC, and one host behind a NAT
/// gateway.
pub const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"

[[subnet]]
id = "subnet-public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"

[[subnet]]
id = "subnet-private"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-private"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]

[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
public_ip = "198.51.100.7"

[[security_group]]
id = "sg-all"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]

[[resource]]
name = "near"
subnet = "subnet-private"
address = "10.0.1.10"
security_groups = ["sg-all"]

[[resource]]
name = "far"
subnet = "subnet-private"
address = "10.0.1.20"
security_groups = ["sg-all"]

[[internet_host]]
name = "host"
address = "203.0.113.10"

[[internet_host]]
name = "router"
address = "203.0.113.1"

[[vpc_connector]]
name = "app"
subnets = ["subnet-private"]
security_groups = ["sg-all"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"
"#;

fn many_bytes_arrive_as_they_were_sent(device: &str) {
    let mut lab = Lab::up(device, LAB);
    let mut task = lab.task("web");
    for (near, link, address) in [("internet", "net0", HOST), ("vpc-a", "vpc0", FAR)] {
        let far = lab.far(near, link, &[address]);
        let mut server = Lab::agent(&far);
        server.ok(&json!(["serve_exchange", address, 9000, SIZE]));
        let Value::Array(here) = task.ask(&json!(["exchange", address, 9000, SIZE])) else {
            panic!("no transfer: {:#?}", lab.drops())
        };
        let there = server.ask(&json!(["digests"]));
        assert_eq!(there, json!([[here[0], "in"], [here[1], "out"]]), "{near}");
        assert_ne!(here[0], here[1]);
        no_bad_checksums(&[&far, &lab.netns("web-1")]);
    }
    assert_eq!(lab.verdicts(), []);
    the_far_host_would_notice(&lab);
}

/// Checks that the far host detects a wrong checksum; otherwise the tests of this file would show
/// nothing.
fn the_far_host_would_notice(lab: &Lab) {
    let mut near = Lab::agent(&lab.netns("vpc-a"));
    let far = lab.far_netns("vpc0");
    let mut wrong = frames::udp(NEAR, FAR, 9000);
    wrong[26] ^= 1;
    near.ok(&json!(["frames", "far0", frames::ipv4(Mac::far(FAR), &wrong)]));
    assert_eq!(snmp(&far, "Udp", "InCsumErrors"), 1);
}

/// A full queue on the path loses a few in a hundred packets, more where other programs use the
/// CPUs; a wrong checksum, or a lost super-packet, loses most of them.
fn streams_are_not_sent_twice(device: &str) {
    let mut lab = Lab::up(device, LAB);
    let far = lab.far("internet", "net0", &[HOST]);
    let _server = iperf_server(&far, HOST);
    for options in ["-P 1", "-P 4", "-P 1 -R", "-P 4 -R"] {
        let before = full(&lab);
        let said = lab.exec_ok("web", &format!("iperf3 -J -c {HOST} -n 20M -C reno {options}"));
        let report: Value = serde_json::from_str(&said).unwrap();
        let sent = &report["end"]["sum_sent"];
        let bytes = report["end"]["sum_received"]["bytes"].as_f64().unwrap();
        let (segments, again) = (bytes / 1448.0, sent["retransmits"].as_f64().unwrap());
        println!(
            "{device} {options}: {:.2} Gbit/s, {again} of {segments:.0} segments again",
            report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap() * 1e-9
        );
        // What a full queue drops is sent again: each packet may be as many segments as fit into 64
        // KiB.
        let full = (full(&lab) - before) as f64 * if device == "plain" { 1.0 } else { 46.0 };
        assert!(
            again < segments * 0.5 + full,
            "{device} {options}: {again} of {segments} segments again, {full} dropped"
        );
    }
    no_bad_checksums(&[&far, &lab.netns("web-1")]);
}

/// Counts the packets for which a queue had no room.
fn full(lab: &Lab) -> u64 {
    ["queue-full", "link-dropped"].map(|reason| lab.packets_dropped(reason)).into_iter().sum()
}

fn datagrams_sent_as_one_arrive_as_many(device: &str) {
    let mut lab = Lab::up(device, LAB);
    let mut task = lab.task("web");
    for (near, link, address) in [("internet", "net0", HOST), ("vpc-a", "vpc0", FAR)] {
        let far = lab.far(near, link, &[address]);
        let mut server = Lab::agent(&far);
        server.ok(&json!(["serve_udp", address, 53]));
        for (size, count) in [(1200, 20), (1472, 30), (1, 3)] {
            task.ok(&json!(["udp_segments", address, 53, size, count]));
            assert_eq!(server.peers().len(), count);
        }
        let said = lab.exec_ok("web", "ethtool -k eth0");
        assert!(said.contains("tx-udp-segmentation: on"), "{said}");
        no_bad_checksums(&[&far, &lab.netns("web-1")]);
    }
    // The flow counts datagrams, however many the kernel hands over at once.
    let flows = lab.flows();
    assert!(flows.len() == 6 && flows.iter().all(|f| f.packets_out == f.packets_in), "{flows:#?}");
    assert_eq!(flows.iter().map(|flow| flow.packets_out).sum::<u64>(), 2 * 53);
}

fn no_bad_checksums(namespaces: &[&Netns]) {
    for netns in namespaces {
        for protocol in ["Tcp", "Udp", "Icmp"] {
            assert_eq!(snmp(netns, protocol, "InCsumErrors"), 0, "{protocol} in {}", netns.name());
        }
    }
}
