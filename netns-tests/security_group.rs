//! The security groups decide what leaves, and those of the destination decide what is admitted.

use crate::support::lab::{CLOSED_FLOWS_STAY, Lab, for_both_kinds};
use std::net::Ipv4Addr;

for_both_kinds!(
    two_gates_and_each_says_no_by_its_own_name,
    a_rule_names_a_group_or_a_prefix_list,
    icmp_rules_go_by_type_and_code,
    replies_need_no_rule,
);

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);
const CLOSED: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 20);
const LISTED: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 30);

/// `web` and `other` differ only in their group; only `web`'s is admitted by name.
pub const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"

[[subnet]]
id = "subnet-app"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"

[[subnet]]
id = "subnet-data"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"

[[prefix_list]]
id = "pl-data"
entries = ["10.0.2.30/32"]

[[prefix_list]]
id = "pl-app"
entries = ["10.0.1.0/24"]

[[security_group]]
id = "sg-web"
vpc = "vpc-a"
egress = [
    { protocol = "tcp", ports = "5432", to = "10.0.0.0/16" },
    { protocol = "udp", ports = "53-54", to = "10.0.0.0/16" },
    { protocol = "tcp", ports = "6379", to = "pl-data" },
    { protocol = "icmp", icmp_type = 8, to = "10.0.0.0/16" },
]

[[security_group]]
id = "sg-other"
vpc = "vpc-a"

[[security_group]]
id = "sg-silent"
vpc = "vpc-a"
egress = []

[[security_group]]
id = "sg-db"
vpc = "vpc-a"
egress = []
ingress = [
    { protocol = "tcp", ports = "5432", from = "sg-web" },
    { protocol = "udp", ports = "53", from = "sg-web" },
    { protocol = "icmp", icmp_type = 8, icmp_code = 0, from = "sg-web" },
]

[[security_group]]
id = "sg-closed"
vpc = "vpc-a"

[[security_group]]
id = "sg-listed"
vpc = "vpc-a"
ingress = [{ protocol = "tcp", ports = "6379", from = "pl-app" }]

[[resource]]
name = "db"
subnet = "subnet-data"
address = "10.0.2.10"
security_groups = ["sg-db"]
listen = ["5432/tcp", "6379/tcp", "53/udp"]

[[resource]]
name = "closed"
subnet = "subnet-data"
address = "10.0.2.20"
security_groups = ["sg-closed"]
listen = ["5432/tcp"]

[[resource]]
name = "listed"
subnet = "subnet-data"
address = "10.0.2.30"
security_groups = ["sg-listed"]
listen = ["6379/tcp"]

[[vpc_connector]]
name = "web"
subnets = ["subnet-app"]
security_groups = ["sg-web"]

[[vpc_connector]]
name = "other"
subnets = ["subnet-app"]
security_groups = ["sg-other"]

[[vpc_connector]]
name = "silent"
subnets = ["subnet-app"]
security_groups = ["sg-silent"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "web"

[[service]]
name = "other"
egress = "vpc"
vpc_connector = "other"

[[service]]
name = "silent"
egress = "vpc"
vpc_connector = "silent"
"#;

/// Statement 31: the connector's groups must let the packet out. Statement 32: the destination's
/// must admit it.
fn two_gates_and_each_says_no_by_its_own_name(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut web = lab.task("web");
    web.tcp(DB, 5432);
    let drop = lab.drops_for("sg-egress-implicit-deny", "no egress rule of sg-web", || {
        web.tcp_times_out(DB, 6379);
    });
    assert_eq!((drop.port, drop.source), (Some(6379), Some(Ipv4Addr::new(100, 64, 0, 1))));
    lab.drops_for("sg-ingress-no-rules", "no ingress rule of sg-closed", || {
        web.tcp_times_out(CLOSED, 5432);
    });
    let mut other = lab.task("other");
    lab.drops_for("sg-ingress-implicit-deny", "no ingress rule of sg-db", || {
        other.tcp_times_out(DB, 5432);
    });
    lab.drops_for("sg-egress-no-rules", "no egress rule of sg-silent", || {
        lab.task("silent").tcp_times_out(DB, 5432);
    });
}

fn a_rule_names_a_group_or_a_prefix_list(device: &str) {
    let lab = Lab::up(device, &format!("{LAB}{CLOSED_FLOWS_STAY}"));
    lab.task("web").tcp(DB, 5432);
    lab.task("web").tcp(LISTED, 6379);
    let flows = lab.flows();
    let admitted = |destination: &str| {
        let flow = flows.iter().find(|flow| flow.destination == destination);
        flow.map(|flow| (flow.admitted_by.as_str(), lab.line(flow.line))).unwrap()
    };
    let (rule, line) = admitted("10.0.2.10:5432");
    assert_eq!(rule, "rule 1 of sg-web (tcp 5432 to 10.0.0.0/16)");
    assert!(line.contains(r#"ports = "5432", to = "10.0.0.0/16""#), "{line}");
    let (rule, line) = admitted("10.0.2.30:6379");
    assert!(rule.starts_with("rule 3 of sg-web") && rule.contains("pl-data"), "{rule}");
    assert!(line.contains("pl-data"), "{line}");
    // The prefix list admits the subnet, whatever the group.
    lab.task("other").tcp(LISTED, 6379);
}

fn icmp_rules_go_by_type_and_code(device: &str) {
    let lab = Lab::up(device, LAB);
    assert!(lab.pings("web", &DB.to_string()));
    lab.drops_for("sg-ingress-implicit-deny", "no ingress rule of sg-db", || {
        assert!(!lab.pings("other", &DB.to_string()));
    });
    lab.drops_for("sg-ingress-implicit-deny", "no ingress rule of sg-listed", || {
        assert!(!lab.pings("web", &LISTED.to_string()));
    });
}

/// `sg-db` has no egress rule at all, and no rule admits a reply into the app's group.
fn replies_need_no_rule(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut web = lab.task("web");
    web.tcp(DB, 5432);
    web.udp(DB, 53);
    assert!(lab.pings("web", &DB.to_string()));
    lab.drops_for("sg-ingress-implicit-deny", "no ingress rule of sg-db", || {
        web.udp_times_out(DB, 54);
    });
}
