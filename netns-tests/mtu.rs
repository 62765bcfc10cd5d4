//! Large transfers pass where links have different MTUs.

use crate::support::lab::{Lab, for_both_kinds};
use crate::support::run_ok;
use egret::linux::Netns;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

for_both_kinds!(a_transfer_passes_a_smaller_internet, a_transfer_passes_a_smaller_link_in_the_vpc,);

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 20);
const SIZE: u32 = 5 << 20;

fn a_transfer_passes_a_smaller_internet(device: &str) {
    let mut lab = Lab::up(device, &format!("internet_mtu = 1400\n{}", crate::offload::LAB));
    let far = lab.far("internet", "net0", &[HOST]);
    transfer(&lab, &far, HOST);
    // The SYN's MSS is clamped both ways, so no packet was ever too big.
    assert_eq!(lab.packets_dropped("mtu-exceeded"), 0);
    let mut lab =
        Lab::up(device, &format!("mtu = 9001\ninternet_mtu = 1300\n{}", crate::offload::LAB));
    let far = lab.far("internet", "net0", &[HOST]);
    transfer(&lab, &far, HOST);
}

/// A security group's ENI clamps nothing: here path MTU discovery must do it, by an ICMP error from
/// a router behind the ENI.
fn a_transfer_passes_a_smaller_link_in_the_vpc(device: &str) {
    let mut lab = Lab::up(device, &format!("mtu = 9001\n{}", crate::offload::LAB));
    let far = lab.far("vpc-a", "vpc0", &[FAR]);
    // The far host announces more than its link takes.
    run_ok(&far, "ip route replace default via 169.254.1.1 dev eth0 onlink advmss 8900");
    transfer(&lab, &far, FAR);
    let learned = lab.exec_ok("web", &format!("ip route get {FAR}"));
    assert!(learned.contains("mtu 1500"), "{learned}");
}

fn transfer(lab: &Lab, far: &Netns, address: Ipv4Addr) {
    let mut server = Lab::agent(far);
    server.ok(&json!(["serve_exchange", address, 9000, SIZE]));
    let mut task = lab.task("web");
    let Value::Array(here) = task.ask(&json!(["exchange", address, 9000, SIZE])) else {
        panic!("no transfer: {:#?}", lab.drops())
    };
    let there = server.ask(&json!(["digests"]));
    assert_eq!(there, json!([[here[0], "in"], [here[1], "out"]]));
}
