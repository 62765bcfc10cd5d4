//! Tests explanations of packets to a peered VPC and to a gateway endpoint: names, and the line
//! that would fix it.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::evidence::explanation;
use super::fix::first_candidate;
use crate::config::Lab;
use crate::flow::Instant;
use crate::packet::{Inside, Protocol, Tuple};
use crate::pipeline::{Engine, Evidence};
use crate::vpc::{EniIx, Generation, ServiceIx, Snapshot, Task};
use std::net::Ipv4Addr;

const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
[[vpc]]
id = "vpc-b"
cidr = "10.1.0.0/16"
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
[[subnet]]
id = "subnet-app"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"
[[subnet]]
id = "subnet-cache"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.1.0/24"
route_table = "rtb-b"
[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [{ destination = "10.1.0.0/16", target = "pcx" }]
[[route_table]]
id = "rtb-b"
vpc = "vpc-b"
routes = [{ destination = "10.0.0.0/16", target = "pcx" }]
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
[[security_group]]
id = "sg-app"
vpc = "vpc-a"
[[security_group]]
id = "sg-cache"
vpc = "vpc-b"
ingress = [{ protocol = "tcp", ports = "6379", from = "sg-app" }]
[[resource]]
name = "cache"
subnet = "subnet-cache"
address = "10.1.1.10"
security_groups = ["sg-cache"]
[[internet_host]]
name = "bucket"
address = "192.0.2.10"
[[vpc_connector]]
name = "app"
subnets = ["subnet-app"]
security_groups = ["sg-app"]
[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"
"#;

const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const CACHE: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 10);
const THERE: &str = r#"{ destination = "10.1.0.0/16", target = "pcx" }"#;
const BACK: &str = r#"{ destination = "10.0.0.0/16", target = "pcx" }"#;

fn asked(lab: &str, dst: Ipv4Addr, dport: u16) -> (Evidence, Snapshot) {
    let snapshot = Lab::parse("lab.toml", lab).unwrap().lower(Generation(1));
    let task = Task { service: ServiceIx(0), number: 1, address: TASK, eni: Some(EniIx(0)) };
    let snapshot = snapshot.with_task(task);
    let inside = Tuple { protocol: Protocol::Tcp, src: TASK, dst, sport: 40_000, dport };
    let inside = Inside::new(inside);
    let evidence = Engine::new(1).explain(Instant::ZERO, &snapshot, &task, inside, (0, 0));
    (evidence, snapshot)
}

/// Returns the reason, and the object and the line that would fix it.
fn fixed(lab: &str, dport: u16) -> (Option<&'static str>, Option<(String, String)>) {
    let (evidence, snapshot) = asked(lab, CACHE, dport);
    let fix = first_candidate(&evidence, &snapshot).map(|fix| (fix.id, fix.rule));
    (explanation(&evidence, &snapshot).reason, fix)
}

#[test]
fn both_are_named() {
    let sentence = |to, port| {
        let (evidence, snapshot) = asked(LAB, to, port);
        explanation(&evidence, &snapshot).sentence
    };
    assert!(
        sentence(CACHE, 6379)
            .starts_with("The packet reaches cache, which sees it come from 10.0.1.4:")
    );
    let bucket = sentence(Ipv4Addr::new(192, 0, 2, 10), 443);
    assert!(
        bucket
            .starts_with("The packet reaches bucket on vpce-s3, which sees it come from 10.0.1.4:")
    );
    let nobody = sentence(Ipv4Addr::new(192, 0, 2, 11), 443);
    assert_eq!(nobody, "The packet reaches vpce-s3, behind which the lab has no host 192.0.2.11.");
}

#[test]
fn the_route_that_is_missing_is_proposed_on_either_side() {
    let some = |table: &str, rule: &str| Some((table.to_owned(), rule.to_owned()));
    assert_eq!(fixed(LAB, 6379), (None, None));
    let without = LAB.replace(THERE, "");
    assert_eq!(fixed(&without, 6379), (Some("no-route"), some("rtb-app", THERE)));
    let without = LAB.replace(BACK, "");
    assert_eq!(fixed(&without, 6379), (Some("reply-not-routed-back"), some("rtb-b", BACK)));
    let rule = r#"{ protocol = "tcp", ports = "22", from = "sg-app" }"#;
    assert_eq!(fixed(LAB, 22), (Some("sg-ingress-implicit-deny"), some("sg-cache", rule)));
}
