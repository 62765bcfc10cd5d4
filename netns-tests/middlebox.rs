//! Packets pass through a route to an appliance's network interface, or to a Gateway Load Balancer
//! endpoint, where the source/destination check permits it.

use crate::support::lab::{Lab, both_streams, for_both_kinds};
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(a_whole_subnet_is_reached_through_a_middlebox);

const BY_APPLIANCE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);
const BY_ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 10);
const CHECKED: Ipv4Addr = Ipv4Addr::new(10, 0, 5, 10);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const ENI: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const NAT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// Three data subnets, each reached by a route more specific than local: through an appliance,
/// through a Gateway Load Balancer endpoint, and through an appliance with its source/destination
/// check on. The path to the internet is through the endpoint, and then through the NAT gateway.
const LAB: &str = r#"
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
id = "subnet-app"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"

[[subnet]]
id = "subnet-by-appliance"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-back"

[[subnet]]
id = "subnet-by-endpoint"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.3.0/24"

[[subnet]]
id = "subnet-fw"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.4.0/24"
route_table = "rtb-fw"

[[subnet]]
id = "subnet-checked"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.5.0/24"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [
    { destination = "10.0.2.0/24", target = "eni-fw" },
    { destination = "10.0.3.0/24", target = "vpce-gwlb" },
    { destination = "10.0.5.0/24", target = "eni-checked" },
    { destination = "0.0.0.0/0", target = "vpce-gwlb" },
]

[[route_table]]
id = "rtb-fw"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]

[[route_table]]
id = "rtb-back"
vpc = "vpc-a"
routes = [{ destination = "10.0.1.0/24", target = "eni-fw" }]

[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
public_ip = "198.51.100.7"

[[security_group]]
id = "sg-app"
vpc = "vpc-a"

[[security_group]]
id = "sg-fw"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-app" }]

[[security_group]]
id = "sg-data"
vpc = "vpc-a"
ingress = [
    { protocol = "tcp", ports = "5432", from = "10.0.1.0/24" },
    { protocol = "udp", ports = "53", from = "10.0.1.0/24" },
    { protocol = "icmp", from = "10.0.1.0/24" },
    { protocol = "tcp", ports = "6379", from = "sg-app" },
]

[[resource]]
name = "firewall"
subnet = "subnet-fw"
address = "10.0.4.10"
security_groups = ["sg-fw"]
network_interface = "eni-fw"
source_dest_check = false

[[resource]]
name = "forgotten"
subnet = "subnet-fw"
address = "10.0.4.20"
security_groups = ["sg-fw"]
network_interface = "eni-checked"

[[vpc_endpoint]]
id = "vpce-gwlb"
vpc = "vpc-a"
kind = "gateway-load-balancer"
service = "com.amazonaws.vpce.us-east-1.vpce-svc-0a1b2c"
subnets = ["subnet-fw"]

[[resource]]
name = "by-appliance"
subnet = "subnet-by-appliance"
address = "10.0.2.10"
security_groups = ["sg-data"]
listen = ["53/udp"]

[[resource]]
name = "by-endpoint"
subnet = "subnet-by-endpoint"
address = "10.0.3.10"
security_groups = ["sg-data"]
listen = ["5432/tcp", "6379/tcp", "53/udp"]

[[resource]]
name = "checked"
subnet = "subnet-checked"
address = "10.0.5.10"
security_groups = ["sg-data"]
listen = ["5432/tcp"]

[[internet_host]]
name = "host"
address = "203.0.113.10"

[[vpc_connector]]
name = "app"
subnets = ["subnet-app"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"
"#;

/// Surprise 13: a route may be more specific than local, to a network interface and to a Gateway
/// Load Balancer endpoint.
fn a_whole_subnet_is_reached_through_a_middlebox(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("web");
    let mut vpc = Lab::agent(&lab.netns("vpc-a"));
    vpc.ok(&json!(["serve", BY_APPLIANCE, 5432]));
    let mut internet = Lab::agent(&lab.netns("internet"));
    internet.ok(&json!(["serve", HOST, 443]));

    // The appliance is no NAT: the destination sees the ENI.
    task.tcp(BY_APPLIANCE, 5432);
    assert_eq!(vpc.peers().iter().map(|(address, _)| *address).collect::<Vec<_>>(), [ENI]);
    task.udp(BY_APPLIANCE, 53);
    assert!(lab.pings("web", "-s 1472 10.0.2.10"));
    task.tcp(BY_ENDPOINT, 5432);
    task.udp(BY_ENDPOINT, 53);
    task.tcp(HOST, 443);
    assert_eq!(internet.peers().iter().map(|(address, _)| *address).collect::<Vec<_>>(), [NAT]);
    assert_eq!(lab.drops(), []);

    let drop = lab.drops_for("source-dest-check", "eni-checked", || {
        task.tcp_times_out(CHECKED, 5432);
    });
    assert_eq!(drop.service.as_deref(), Some("web"));
    lab.drops_for("sg-ingress-behind-middlebox", "no ingress rule of sg-data", || {
        task.tcp_times_out(BY_ENDPOINT, 6379);
    });

    let explained = |to: &str| both_streams(&lab.egret(&format!("explain web {to}")));
    for (to, words) in [
        ("10.0.2.10:5432/tcp", ["eni-fw of firewall", "middlebox-return"]),
        ("10.0.3.10:5432/tcp", ["vpce-gwlb", "by-endpoint"]),
        ("10.0.5.10:5432/tcp", ["source-dest-check", "source_dest_check = false"]),
        ("10.0.3.10:6379/tcp", ["sg-ingress-behind-middlebox", "10.0.1.4/32"]),
    ] {
        let text = explained(to);
        assert!(words.iter().all(|word| text.contains(word)), "{to}: {text}");
    }
}
