//! A peering connection carries packets to the peer's own addresses, and no further.

use crate::support::lab::{Lab, for_both_kinds};
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(a_peer_is_reached_and_nothing_behind_it);

const CACHE: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 10);
const NO_WAY_BACK: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 10);
const BEYOND: Ipv4Addr = Ipv4Addr::new(10, 2, 1, 10);
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);
const ENI: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);

/// Three VPCs in a row: a, b, c.
const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"

[[vpc]]
id = "vpc-b"
cidr = "10.1.0.0/16"

[[vpc]]
id = "vpc-c"
cidr = "10.2.0.0/16"

[[vpc_peering_connection]]
id = "pcx-ab"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"

[[vpc_peering_connection]]
id = "pcx-bc"
requester_vpc = "vpc-b"
accepter_vpc = "vpc-c"

[[subnet]]
id = "subnet-app"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"

[[subnet]]
id = "subnet-local"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"

[[subnet]]
id = "subnet-cache"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.1.0/24"
route_table = "rtb-b"

[[subnet]]
id = "subnet-no-way-back"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.2.0/24"

[[subnet]]
id = "subnet-c"
vpc = "vpc-c"
availability_zone = "us-east-1a"
cidr = "10.2.1.0/24"
route_table = "rtb-c"

[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [{ destination = "10.1.0.0/16", target = "pcx-ab" }, { destination = "10.2.0.0/16", target = "pcx-ab" }]

[[route_table]]
id = "rtb-b"
vpc = "vpc-b"
routes = [{ destination = "10.0.0.0/16", target = "pcx-ab" }, { destination = "10.2.0.0/16", target = "pcx-bc" }]

[[route_table]]
id = "rtb-c"
vpc = "vpc-c"
routes = [{ destination = "10.0.0.0/8", target = "pcx-bc" }]

[[security_group]]
id = "sg-app"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-app" }]

[[security_group]]
id = "sg-cache"
vpc = "vpc-b"
ingress = [
    { protocol = "tcp", ports = "6379", from = "sg-app" },
    { protocol = "udp", ports = "53", from = "10.0.0.0/16" },
    { protocol = "icmp", from = "sg-app" },
]

[[security_group]]
id = "sg-c"
vpc = "vpc-c"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]

[[resource]]
name = "cache"
subnet = "subnet-cache"
address = "10.1.1.10"
security_groups = ["sg-cache"]
listen = ["53/udp"]

[[resource]]
name = "no-way-back"
subnet = "subnet-no-way-back"
address = "10.1.2.10"
security_groups = ["sg-cache"]
listen = ["6379/tcp"]

[[resource]]
name = "beyond"
subnet = "subnet-c"
address = "10.2.1.10"
security_groups = ["sg-c"]
listen = ["6379/tcp"]

[[resource]]
name = "near"
subnet = "subnet-local"
address = "10.0.2.10"
security_groups = ["sg-app"]
listen = ["6379/tcp"]

[[vpc_connector]]
name = "app"
subnets = ["subnet-app"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"
"#;

fn a_peer_is_reached_and_nothing_behind_it(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut task = lab.task("web");
    let mut cache = Lab::agent(&lab.netns("vpc-b"));
    cache.ok(&json!(["serve", CACHE, 6379]));

    // The cache sees the ENI's private address, and its group admits the ENI's group.
    task.tcp(CACHE, 6379);
    assert_eq!(cache.peers().iter().map(|(address, _)| *address).collect::<Vec<_>>(), [ENI]);
    task.udp(CACHE, 53);
    assert!(lab.pings("web", "-s 1472 10.1.1.10"));
    task.tcp(LOCAL, 6379);
    assert_eq!(lab.drops(), []);

    lab.drops_for("sg-ingress-implicit-deny", "sg-cache", || task.tcp_times_out(CACHE, 5432));
    let drop = lab.drops_for("reply-not-routed-back", "no route in vpc-b/main", || {
        task.tcp_times_out(NO_WAY_BACK, 6379);
    });
    assert_eq!((drop.service.as_deref(), drop.line), (Some("web"), None));
    // The peer itself could reach that host, and the host would answer.
    lab.drops_for("peering-outside-peer-cidr", "pcx-ab", || task.tcp_times_out(BEYOND, 6379));

    let explained = lab.egret("explain web 10.1.2.10:6379/tcp");
    let explained = crate::support::lab::both_streams(&explained);
    assert!(
        explained.contains("reply-not-routed-back") && explained.contains("pcx-ab"),
        "{explained}"
    );
}
