//! A packet takes the path that its subnet's route table determines.

use crate::support::lab::{CLOSED_FLOWS_STAY, Lab, for_both_kinds};
use egret::explain::FlowRow;
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(
    the_most_specific_route_decides,
    inside_a_subnet_neither_routes_nor_acls_are_asked,
    an_internet_gateway_is_no_way_out_for_an_eni,
    a_nat_gateway_in_a_private_subnet_leads_nowhere,
    vpcs_with_equal_addresses_stay_apart,
    a_public_address_that_no_host_has_is_a_drop_with_a_reason,
);

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const ACROSS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);

/// Four services in four subnets, each with its own route table, and a resource in one of the
/// subnets.
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
network_acl = "acl-nothing-from-inside"

[[subnet]]
id = "subnet-data"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"

[[subnet]]
id = "subnet-nat-in-private"
vpc = "vpc-a"
availability_zone = "us-east-1c"
cidr = "10.0.3.0/24"
route_table = "rtb-to-wrong-nat"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-private"
vpc = "vpc-a"
routes = [
    { destination = "203.0.113.0/24", target = "nat-good" },
    { destination = "203.0.113.16/28", target = "blackhole" },
]

[[route_table]]
id = "rtb-to-wrong-nat"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-wrong" }]

[[nat_gateway]]
id = "nat-good"
subnet = "subnet-public"
public_ip = "198.51.100.7"

[[nat_gateway]]
id = "nat-wrong"
subnet = "subnet-private"
public_ip = "198.51.100.8"

[[network_acl]]
id = "acl-nothing-from-inside"
vpc = "vpc-a"
ingress = [
    { rule = 10, action = "deny", protocol = "all", cidr = "10.0.1.0/24" },
    { rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" },
]
egress = [
    { rule = 10, action = "deny", protocol = "all", cidr = "10.0.1.0/24" },
    { rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" },
]

[[security_group]]
id = "sg-app"
vpc = "vpc-a"

[[security_group]]
id = "sg-db"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-app" }]

[[resource]]
name = "near"
subnet = "subnet-private"
address = "10.0.1.10"
security_groups = ["sg-db"]
listen = ["5432/tcp"]

[[resource]]
name = "across"
subnet = "subnet-data"
address = "10.0.2.10"
security_groups = ["sg-db"]
listen = ["5432/tcp"]

[[internet_host]]
name = "host"
address = "203.0.113.10"
listen = ["443/tcp"]

[[internet_host]]
name = "other-host"
address = "203.0.113.20"
listen = ["443/tcp"]

[[internet_host]]
name = "elsewhere"
address = "192.0.2.1"
listen = ["443/tcp"]

[[vpc_connector]]
name = "public"
subnets = ["subnet-public"]
security_groups = ["sg-app"]

[[vpc_connector]]
name = "private"
subnets = ["subnet-private"]
security_groups = ["sg-app"]

[[vpc_connector]]
name = "nat-in-private"
subnets = ["subnet-nat-in-private"]
security_groups = ["sg-app"]

[[service]]
name = "public"
egress = "vpc"
vpc_connector = "public"

[[service]]
name = "private"
egress = "vpc"
vpc_connector = "private"

[[service]]
name = "nat-in-private"
egress = "vpc"
vpc_connector = "nat-in-private"
"#;

fn the_most_specific_route_decides(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("private");
    task.tcp(ACROSS, 5432);
    task.tcp(HOST, 443);
    let drop =
        lab.drops_for("route-blackhole", "203.0.113.16/28 -> blackhole in rtb-private", || {
            task.tcp_times_out(OTHER_HOST, 443);
        });
    assert!(lab.line(drop.line).contains("203.0.113.16/28"), "{drop:?}");
    assert_eq!((drop.service.as_deref(), drop.task), (Some("private"), Some(1)));
    assert_eq!((drop.destination, drop.port), (Some(OTHER_HOST.into()), Some(443)));
    let drop = lab.drops_for("no-route", "no route in rtb-private", || {
        task.tcp_times_out(Ipv4Addr::new(192, 0, 2, 1), 443);
    });
    assert_eq!(lab.line(drop.line), "[[route_table]]");
    lab.drops_for("no-interface", "vpc-a", || {
        task.tcp_times_out(Ipv4Addr::new(10, 0, 2, 77), 5432);
    });
    // The address is in the VPC, but in no subnet: the local route still has it.
    lab.drops_for("no-interface", "vpc-a", || {
        task.tcp_times_out(Ipv4Addr::new(10, 0, 99, 1), 5432);
    });
}

fn a_public_address_that_no_host_has_is_a_drop_with_a_reason(device: &str) {
    let nowhere = Ipv4Addr::new(203, 0, 113, 200);
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("private");
    let drop = lab.drops_for("no-such-internet-host", "internet", || {
        task.tcp_times_out(nowhere, 443);
    });
    assert_eq!((drop.service.as_deref(), drop.task), (Some("private"), Some(1)));
    assert_eq!((drop.destination, drop.port), (Some(nowhere.into()), Some(443)));
    lab.drops_for("no-such-internet-host", "internet", || task.udp_times_out(nowhere, 53));
    lab.drops_for("no-such-internet-host", "internet", || {
        assert!(!lab.pings("private", &nowhere.to_string()));
    });
    assert_eq!(lab.flows(), []);
    let explained = lab.egret_ok("explain private 203.0.113.200:443");
    let remark = "The packet reaches the internet, where the lab has no host 203.0.113.200.";
    assert!(explained.contains(remark), "{explained}");
}

fn inside_a_subnet_neither_routes_nor_acls_are_asked(device: &str) {
    let lab = Lab::up(device, &format!("{LAB}{CLOSED_FLOWS_STAY}"));
    // The subnet's ACL denies the subnet itself, in both directions.
    lab.task("private").tcp(NEAR, 5432);
    let flow = lab.flows().into_iter().find(|flow| flow.destination == "10.0.1.10:5432").unwrap();
    assert!(flow.outside.starts_with("10.0.1."), "{flow:?}");
    assert_eq!(flow.nat_gateway, None);
    assert_eq!(lab.drops(), []);
}

/// Statement 19, and Statement 21 as users see it.
fn an_internet_gateway_is_no_way_out_for_an_eni(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("public");
    task.tcp(ACROSS, 5432);
    lab.drops_for("igw-no-public-address", "igw-a", || task.tcp_times_out(HOST, 443));
    lab.drops_for("igw-rfc1918-destination", "igw-a", || {
        task.tcp_times_out(Ipv4Addr::new(192, 168, 1, 1), 443);
    });
    lab.drops_for("igw-rfc6598-destination", "igw-a", || {
        task.tcp_times_out(Ipv4Addr::new(100, 100, 1, 1), 443);
    });
}

fn a_nat_gateway_in_a_private_subnet_leads_nowhere(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("nat-in-private");
    lab.drops_for("nat-routes-to-nat", "203.0.113.0/24 -> nat-good in rtb-private", || {
        task.tcp_times_out(HOST, 443);
    });
    lab.drops_for("nat-blackhole", "203.0.113.16/28 -> blackhole in rtb-private", || {
        task.tcp_times_out(OTHER_HOST, 443);
    });
    lab.drops_for("nat-no-route", "no route in rtb-private", || {
        task.tcp_times_out(Ipv4Addr::new(192, 0, 2, 1), 443);
    });
}

/// Everything exists twice, with equal addresses; only the ids differ.
fn vpcs_with_equal_addresses_stay_apart(device: &str) {
    let text: String = ["a", "b"].map(|letter| TWIN.replace('*', letter)).concat();
    let lab = Lab::up(device, &format!("{text}{CLOSED_FLOWS_STAY}"));
    let mut servers = ["vpc-a", "vpc-b"].map(|vpc| Lab::agent(&lab.netns(vpc)));
    for server in &mut servers {
        server.ok(&json!(["serve", NEAR, 443]));
    }
    for (own, service) in ["web-a", "web-b"].into_iter().enumerate() {
        let mut task = lab.task(service);
        assert_eq!(task.tcp_from(5000, NEAR, 443), 5000);
        assert_eq!(servers[own].peers().len(), 1, "{service}");
        assert_eq!(servers[1 - own].peers(), [], "{service}");
    }
    let flows = lab.flows();
    assert_eq!(flows.len(), 2);
    let eni = |flow: &FlowRow| flow.outside.split(':').next().unwrap().to_owned();
    assert_eq!(eni(&flows[0]), eni(&flows[1]), "the ENIs have equal addresses too");
    assert_ne!(flows[0].eni, flows[1].eni);
    assert_eq!(lab.drops(), []);
}

const TWIN: &str = r#"
[[vpc]]
id = "vpc-*"
cidr = "10.0.0.0/16"

[[subnet]]
id = "subnet-*"
vpc = "vpc-*"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"

[[security_group]]
id = "sg-*"
vpc = "vpc-*"
ingress = [{ protocol = "all", from = "sg-*" }]

[[resource]]
name = "near-*"
subnet = "subnet-*"
address = "10.0.1.10"
security_groups = ["sg-*"]

[[vpc_connector]]
name = "app-*"
subnets = ["subnet-*"]
security_groups = ["sg-*"]

[[service]]
name = "web-*"
egress = "vpc"
vpc_connector = "app-*"
"#;
