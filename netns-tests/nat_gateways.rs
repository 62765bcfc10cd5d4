//! The other gateways translate as in AWS: a NAT gateway with several addresses, a private one, an
//! interface endpoint.

use crate::support::lab::{Lab, for_both_kinds};
use egret::explain::{EniRow, HolderRow};
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(
    a_gateways_addresses_are_used_in_turn_until_the_last_port_is_taken,
    private_gateways_and_interface_endpoints_are_reached_inside_the_vpc,
);

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 10);
const ENI: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
const SQS: &str = "sqs.us-east-1.amazonaws.com";

/// The path to the database's subnet is through a private NAT gateway; the service's public name is
/// also a host's.
const LAB: &str = r#"
limits = { nat_connections_per_destination = 2 }

[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"
enable_dns_hostnames = true

[[subnet]]
id = "subnet-public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"

[[subnet]]
id = "subnet-app"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"

[[subnet]]
id = "subnet-middle"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"

[[subnet]]
id = "subnet-data"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.3.0/24"

[[subnet]]
id = "subnet-endpoint"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.4.0/24"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [
    { destination = "0.0.0.0/0", target = "nat-three" },
    { destination = "10.0.3.0/24", target = "nat-private" },
]

[[nat_gateway]]
id = "nat-three"
subnet = "subnet-public"
public_ip = "198.51.100.7"
secondary_public_ips = ["198.51.100.8", "198.51.100.9"]

[[nat_gateway]]
id = "nat-private"
subnet = "subnet-middle"
connectivity = "private"
private_ip = "10.0.2.100"

[[vpc_endpoint]]
id = "vpce-sqs"
vpc = "vpc-a"
kind = "interface"
service = "com.amazonaws.us-east-1.sqs"
subnets = ["subnet-endpoint"]
addresses = ["10.0.4.200"]
security_groups = ["sg-endpoint"]
listen = ["443/tcp", "8443/tcp"]

[[security_group]]
id = "sg-app"
vpc = "vpc-a"

[[security_group]]
id = "sg-endpoint"
vpc = "vpc-a"
ingress = [
    { protocol = "tcp", ports = "443", from = "sg-app" },
    { protocol = "udp", ports = "443", from = "sg-app" },
]

[[security_group]]
id = "sg-db"
vpc = "vpc-a"
ingress = [
    { protocol = "tcp", ports = "5432", from = "sg-app" },
    { protocol = "tcp", ports = "5433", from = "10.0.2.0/24" },
]

[[resource]]
name = "db"
subnet = "subnet-data"
address = "10.0.3.10"
security_groups = ["sg-db"]

[[internet_host]]
name = "host"
aliases = ["sqs.us-east-1.amazonaws.com"]
address = "203.0.113.10"

[[internet_host]]
name = "other-host"
address = "203.0.113.20"

[[vpc_connector]]
name = "app"
subnets = ["subnet-app"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"

[[service]]
name = "public"
egress = "default"
"#;

/// Two connections to one destination use each of three addresses; then `ErrorPortAllocation`
/// counts, and the holders of the ports are listed. Checklist U2, 5.4.
fn a_gateways_addresses_are_used_in_turn_until_the_last_port_is_taken(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut internet = Lab::agent(&lab.netns("internet"));
    internet.ok(&json!(["serve", HOST, 443]));
    internet.ok(&json!(["serve", OTHER_HOST, 443]));
    let mut web = lab.task("web");
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert!(web.open(name, HOST, 443).is_u64());
    }
    let seen: Vec<Ipv4Addr> = internet.peers().iter().map(|(address, _)| *address).collect();
    let (first, second) = seen.split_at(3);
    assert_eq!(first, second, "in turn");
    let mut all = first.to_vec();
    all.sort();
    assert_eq!(all, [7, 8, 9].map(|last| Ipv4Addr::new(198, 51, 100, last)));

    lab.drops_for("nat-ports-exhausted", "nat-three", || web.tcp_times_out(HOST, 443));
    let enis: Vec<EniRow> = lab.rows("enis");
    let nat = enis.iter().find(|row| row.id == "nat-three").unwrap();
    assert_eq!(nat.secondary_public_addresses.len(), 2);
    let errors = nat.metrics.unwrap().error_port_allocation;
    assert!(errors > 0 && nat.port_errors == errors, "{nat:?}");
    assert!(enis.iter().all(|row| row.id == "nat-three" || row.port_errors == 0), "{enis:?}");
    let printed = lab.egret_ok("enis");
    assert!(printed.lines().next().unwrap().ends_with("PORT-ERRORS"), "{printed}");
    let of_gateway = printed.lines().find(|line| line.starts_with("nat-three")).unwrap();
    assert!(of_gateway.ends_with(&format!("  {errors}")), "{printed}");
    let holders: Vec<HolderRow> = lab.rows("enis --holders");
    let full = holders.iter().find(|row| row.id == "nat-three").unwrap();
    assert_eq!(full.destination.as_deref(), Some("203.0.113.10:443/tcp"));
    assert_eq!((full.taken, full.limit, full.ports), (6, 6, 6));
    assert_eq!((full.service.as_str(), full.task), ("web", 1));

    // Another destination has ports of its own, and established connections stay.
    web.tcp(OTHER_HOST, 443);
    web.ok(&json!(["say", "a"]));
    web.ok(&json!(["say", "f"]));
}

fn private_gateways_and_interface_endpoints_are_reached_inside_the_vpc(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut vpc = Lab::agent(&lab.netns("vpc-a"));
    vpc.ok(&json!(["serve", DB, 5432]));
    vpc.ok(&json!(["serve", DB, 5433]));
    let mut web = lab.task("web");

    // Surprise 10: behind the gateway a rule that names the connector's group does not match, one
    // with its subnet does.
    assert!(web.open("db", DB, 5433).is_u64());
    let seen: Vec<Ipv4Addr> = vpc.peers().iter().map(|(address, _)| *address).collect();
    assert_eq!(seen, [PRIVATE]);
    lab.drops_for("sg-ingress-behind-nat", "sg-db", || web.tcp_times_out(DB, 5432));
    let flows = lab.flows();
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].nat_gateway.as_deref(), Some("nat-private"));

    // The task uses its public name, which elsewhere is a host of the internet (spec 7.2).
    assert!(lab.exec_ok("web", &format!("getent ahostsv4 {SQS}")).starts_with("10.0.4.200"));
    assert!(lab.exec_ok("public", &format!("getent ahostsv4 {SQS}")).starts_with("203.0.113.10"));
    assert!(web.ask(&json!(["open", "sqs", SQS, 443, 0, 10.0])).is_u64());
    let flows = lab.flows();
    let flow = flows.iter().find(|flow| flow.destination == "10.0.4.200:443").unwrap();
    assert_eq!(flow.nat_gateway, None);
    assert!(flow.outside.starts_with(&format!("{ENI}:")), "{flow:?}");
    lab.drops_for("sg-ingress-implicit-deny", "sg-endpoint", || {
        assert_eq!(web.ask(&json!(["tcp", SQS, 8443, 0, 0.4])), "timeout");
    });
    lab.drops_for("interface-endpoint-protocol", "", || {
        assert_eq!(web.ask(&json!(["udp", SQS, 443, 0, 5, 0.4])), "timeout");
    });
    web.ok(&json!(["say", "sqs"]));
}
