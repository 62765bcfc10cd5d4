//! The subnets' network ACLs, which know nothing of connections, decide what leaves and enters.

use crate::support::lab::{Lab, for_both_kinds};
use std::net::Ipv4Addr;

for_both_kinds!(
    each_border_denies_by_its_own_rule,
    a_reply_needs_the_ephemeral_ports,
    the_subnet_of_the_nat_gateway_has_a_border_too,
);

const OPEN: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);
const GUARDED: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 10);
const DEAF: Ipv4Addr = Ipv4Addr::new(10, 0, 4, 10);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

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
network_acl = "acl-public"

[[subnet]]
id = "subnet-app"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"
network_acl = "acl-app"

[[subnet]]
id = "subnet-open"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"

[[subnet]]
id = "subnet-guarded"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.3.0/24"
network_acl = "acl-guarded"

[[subnet]]
id = "subnet-deaf"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.4.0/24"
network_acl = "acl-deaf"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]

[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
public_ip = "198.51.100.7"

[[network_acl]]
id = "acl-app"
vpc = "vpc-a"
egress = [
    { rule = 10, action = "deny", protocol = "tcp", ports = "6379", cidr = "0.0.0.0/0" },
    { rule = 100, action = "allow", protocol = "tcp", ports = "all", cidr = "0.0.0.0/0" },
    { rule = 110, action = "allow", protocol = "icmp", icmp_type = 8, cidr = "0.0.0.0/0" },
]
ingress = [
    { rule = 100, action = "allow", protocol = "tcp", ports = "1024-65535", cidr = "0.0.0.0/0" },
]

[[network_acl]]
id = "acl-guarded"
vpc = "vpc-a"
egress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]
ingress = [
    { rule = 90, action = "deny", protocol = "tcp", ports = "5432", cidr = "10.0.1.0/24" },
    { rule = 100, action = "allow", protocol = "tcp", ports = "5000-5999", cidr = "10.0.0.0/16" },
]

# Whoever wrote this thought of the request only.
[[network_acl]]
id = "acl-deaf"
vpc = "vpc-a"
egress = [{ rule = 100, action = "allow", protocol = "tcp", ports = "443", cidr = "0.0.0.0/0" }]
ingress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]

[[network_acl]]
id = "acl-public"
vpc = "vpc-a"
egress = [
    { rule = 20, action = "deny", protocol = "tcp", ports = "81", cidr = "203.0.113.0/24" },
    { rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" },
]
ingress = [
    { rule = 10, action = "deny", protocol = "tcp", ports = "80", cidr = "10.0.1.0/24" },
    { rule = 30, action = "deny", protocol = "tcp", ports = "all", cidr = "203.0.113.30/32" },
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
name = "open"
subnet = "subnet-open"
address = "10.0.2.10"
security_groups = ["sg-db"]
listen = ["5432/tcp", "6379/tcp", "53/udp"]

[[resource]]
name = "guarded"
subnet = "subnet-guarded"
address = "10.0.3.10"
security_groups = ["sg-db"]
listen = ["5432/tcp", "5433/tcp", "443/tcp"]

[[resource]]
name = "deaf"
subnet = "subnet-deaf"
address = "10.0.4.10"
security_groups = ["sg-db"]
listen = ["5432/tcp"]

[[internet_host]]
name = "host"
address = "203.0.113.10"
listen = ["80/tcp", "81/tcp", "443/tcp"]

[[internet_host]]
name = "unheard"
address = "203.0.113.30"
listen = ["443/tcp"]

[[vpc_connector]]
name = "app"
subnets = ["subnet-app"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"
"#;

/// Statement 23: the rules of the VPC apply, and each border denies by its own rule.
fn each_border_denies_by_its_own_rule(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("web");
    task.tcp(OPEN, 5432);
    let drop = lab.drops_for("nacl-egress-deny", "rule 10 of acl-app egress", || {
        task.tcp_times_out(OPEN, 6379);
    });
    assert!(lab.line(drop.line).contains(r#"rule = 10, action = "deny", protocol = "tcp""#));
    lab.drops_for("nacl-egress-implicit-deny", "* of acl-app egress", || {
        task.udp_times_out(OPEN, 53);
    });
    lab.drops_for("nacl-ingress-deny", "rule 90 of acl-guarded ingress", || {
        task.tcp_times_out(GUARDED, 5432);
    });
    lab.drops_for("nacl-ingress-implicit-deny", "* of acl-guarded ingress", || {
        task.tcp_times_out(GUARDED, 443);
    });
    // A later rule than the one that denies the neighbouring port allows this.
    task.tcp(GUARDED, 5433);
}

fn a_reply_needs_the_ephemeral_ports(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("web");
    // The request arrives: the far side's ACL has no rule for the reply.
    lab.drops_for("nacl-return-implicit-deny", "* of acl-deaf egress", || {
        task.tcp_times_out(DEAF, 5432);
    });
    // An echo reply is not in 1024-65535 either.
    lab.drops_for("nacl-return-implicit-deny", "* of acl-app ingress", || {
        assert!(!lab.pings("web", &OPEN.to_string()));
    });
}

fn the_subnet_of_the_nat_gateway_has_a_border_too(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("web");
    task.tcp(HOST, 443);
    lab.drops_for("nacl-ingress-deny", "rule 10 of acl-public ingress", || {
        task.tcp_times_out(HOST, 80);
    });
    lab.drops_for("nacl-egress-deny", "rule 20 of acl-public egress", || {
        task.tcp_times_out(HOST, 81);
    });
    lab.drops_for("nacl-return-deny", "rule 30 of acl-public ingress", || {
        task.tcp_times_out(Ipv4Addr::new(203, 0, 113, 30), 443);
    });
}
