//! A reload changes an endpoint, a peering, a name, the MTU or the speed of time, and other
//! connections continue.

use crate::support::lab::{Agent, Lab, both_streams, for_both_kinds};
use egret::explain::{FlowChange, Reload};
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(
    an_endpoint_and_a_peering_come_and_go_beside_a_connection,
    names_mtu_and_speed_change_under_running_tasks,
);

const BUCKET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const CACHE: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 10);
const PEER: &str = "10.1.1.10:6379";
const ENI: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"
enable_dns_hostnames = true
[[vpc]]
id = "vpc-b"
cidr = "10.1.0.0/16"
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
id = "subnet-b"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.1.0/24"
route_table = "rtb-b"
[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
public_ip = "198.51.100.7"
[[security_group]]
id = "sg-app"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-app" }]
[[security_group]]
id = "sg-b"
vpc = "vpc-b"
ingress = [{ protocol = "all", from = "10.0.0.0/16" }]
[[resource]]
name = "db"
subnet = "subnet-app"
address = "10.0.1.10"
security_groups = ["sg-app"]
listen = ["5432/tcp"]
[[resource]]
name = "cache"
subnet = "subnet-b"
address = "10.1.1.10"
security_groups = ["sg-b"]
[[internet_host]]
name = "bucket"
address = "192.0.2.10"
[[internet_host]]
name = "host"
address = "203.0.113.10"
[[vpc_connector]]
name = "app"
subnets = ["subnet-app"]
security_groups = ["sg-app"]
[[service]]
name = "web"
vpc_connector = "app"
[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]
"#;

const ALONE: &str = r#"
[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]
[[route_table]]
id = "rtb-b"
vpc = "vpc-b"
"#;

const PEERED: &str = r#"
[[vpc_peering_connection]]
id = "pcx-ab"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }, { destination = "10.1.0.0/16", target = "pcx-ab" }]
[[route_table]]
id = "rtb-b"
vpc = "vpc-b"
routes = [{ destination = "10.0.0.0/16", target = "pcx-ab" }]
"#;

const ENDPOINT: &str = r#"
[[prefix_list]]
id = "pl-s3"
entries = ["192.0.2.0/24"]
[[vpc_endpoint]]
id = "vpce-s3"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl-s3"
route_tables = ["rtb-app"]
"#;

const ZONE: &str = r#"
[[private_zone]]
name = "corp.internal"
vpcs = ["vpc-a"]
records = [{ name = "db", type = "A", values = ["10.0.1.10"] }]
"#;

fn write(lab: &Lab, device: &str, head: &str, sections: &[&str]) {
    let name = lab.name();
    let text =
        format!("lab = \"{name}\"\ndevice = \"{device}\"\n{head}\n{LAB}{}", sections.concat());
    std::fs::write(lab.file(), text).unwrap();
}

fn apply(lab: &Lab, options: &str) -> Reload {
    let output = lab.egret(&format!("apply {} --json {options}", lab.file().display()));
    assert!(output.status.success(), "{}", both_streams(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the destinations of the flows that do not continue, with the reasons.
fn changes_of_flows(reload: &Reload) -> Vec<(&str, &str)> {
    reload.flows.affected.iter().map(|f| (&*f.destination, &*f.reason)).collect()
}

fn from(agent: &mut Agent) -> Vec<Ipv4Addr> {
    agent.peers().iter().map(|(address, _)| *address).collect()
}

fn an_endpoint_and_a_peering_come_and_go_beside_a_connection(device: &str) {
    let lab = Lab::up(device, &format!("{LAB}{ALONE}"));
    let mut internet = Lab::agent(&lab.netns("internet"));
    for address in [BUCKET, HOST] {
        internet.ok(&json!(["serve", address, 443]));
    }
    let mut web = lab.task("web");
    assert!(web.open("kept", HOST, 443).is_u64());
    assert!(web.open("bucket", BUCKET, 443).is_u64());
    assert_eq!(from(&mut internet), [PUBLIC; 2]);

    write(&lab, device, "", &[ALONE, ENDPOINT]);
    let done = apply(&lab, "");
    assert_eq!(changes_of_flows(&done), [("192.0.2.10:443", "flow-moved")]);
    let mut behind = Lab::agent(&lab.netns("vpce-s3"));
    behind.ok(&json!(["serve", BUCKET, 443]));
    web.tcp(BUCKET, 443);
    assert_eq!((from(&mut behind), from(&mut internet)), (vec![ENI], vec![]));
    web.ok(&json!(["say", "kept"]));

    // The endpoint stays, with another prefix list.
    let narrow = ENDPOINT.replace("192.0.2.0/24", "192.0.2.128/25");
    write(&lab, device, "", &[ALONE, &narrow]);
    apply(&lab, "");
    web.tcp(BUCKET, 443);
    assert_eq!((from(&mut behind), from(&mut internet)), (vec![], vec![PUBLIC]));
    drop(behind);

    write(&lab, device, "", &[PEERED]);
    apply(&lab, "");
    let removed = format!("{}-vpce-s3", lab.name());
    assert!(!egret::linux::netns::exists(&removed), "{removed}");
    let mut cache = Lab::agent(&lab.netns("vpc-b"));
    cache.ok(&json!(["serve", CACHE, 6379]));
    assert!(web.open("peer", CACHE, 6379).is_u64());
    assert_eq!(from(&mut cache), [ENI]);

    // The routes are removed with the peering, so packets to the peer take the default route.
    write(&lab, device, "", &[ALONE]);
    let done = apply(&lab, "");
    let to_peer: Vec<_> = done.flows.affected.iter().filter(|f| f.destination == PEER).collect();
    let [change] = to_peer[..] else { panic!("{done:#?}") };
    assert_eq!((&*change.reason, change.outcome), ("igw-rfc1918-destination", FlowChange::Dropped));
    lab.drops_for(&change.reason, change.rule.as_deref().unwrap(), || {
        assert_ne!(web.ask(&json!(["say", "peer", 0.6])), "ok");
    });
    web.ok(&json!(["say", "kept"]));
    // The connection continues where it was.
    write(&lab, device, "", &[PEERED]);
    apply(&lab, "");
    web.ok(&json!(["say", "peer", 10.0]));
    assert!(from(&mut cache).is_empty(), "the same connection");
}

fn names_mtu_and_speed_change_under_running_tasks(device: &str) {
    let lab = Lab::up(device, &format!("{LAB}{ALONE}"));
    let mut web = lab.task("web");
    assert!(web.open("db", DB, 5432).is_u64());
    let address_of = |name: &str| {
        let (_, said) = lab.exec("web", &format!("getent ahostsv4 {name}"));
        said.split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(address_of("db.corp.internal"), "");
    assert!(!lab.pings("web", "-M do -s 8000 10.0.1.10"));
    let idle = |lab: &Lab| lab.flows().iter().map(|flow| flow.expires_ms).max();
    assert!(idle(&lab) > Some(3500), "{:?}", lab.flows());

    write(&lab, device, "mtu = 9001", &[ALONE, ZONE]);
    assert_eq!(changes_of_flows(&apply(&lab, "--time-scale 100")), []);
    assert_eq!(address_of("db.corp.internal"), "10.0.1.10");
    assert!(lab.pings("web", "-M do -s 8000 10.0.1.10"));
    assert!(lab.egret_ok("ps").ends_with("timeouts pass 100 times as fast\n"));
    assert!(lab.ps().iter().all(|row| row.time_scale.to_bits() == 100_f64.to_bits()));
    web.tcp(DB, 5432);
    // A flow that has ended by now was as fast.
    assert!(idle(&lab) <= Some(3500), "{:?}", lab.flows());

    // Without the option, the file determines the scale again.
    let moved = ZONE.replace("10.0.1.10", "10.0.1.11");
    let renamed = LAB.replace("name = \"host\"", "name = \"other.example\"");
    let text = format!("lab = \"{}\"\ndevice = \"{device}\"\n{renamed}{ALONE}{moved}", lab.name());
    std::fs::write(lab.file(), text).unwrap();
    apply(&lab, "");
    assert_eq!(address_of("db.corp.internal"), "10.0.1.11");
    assert_eq!((&*address_of("other.example"), &*address_of("host")), ("203.0.113.10", ""));
    assert!(!lab.pings("web", "-M do -s 8000 10.0.1.10"));
    assert!(!lab.egret_ok("ps").contains("times as fast"));
    let mut again = lab.task("web");
    assert!(again.open("db", DB, 5432).is_u64());
    assert!(idle(&lab) > Some(3500), "{:?}", lab.flows());

    // The device kind of a lab cannot change.
    let other = if device == "plain" { "vnet" } else { "plain" };
    write(&lab, other, "", &[ALONE]);
    let refused = lab.egret(&format!("apply {}", lab.file().display()));
    assert_eq!(refused.status.code(), Some(2), "{}", both_streams(&refused));
    assert!(
        both_streams(&refused).contains("`device` cannot change"),
        "{}",
        both_streams(&refused)
    );
    again.ok(&json!(["say", "db"]));
}
