//! Packets take a gateway endpoint by its prefix list, and arrive behind it with the ENI's private
//! address.

use crate::support::lab::{Lab, for_both_kinds};
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(its_prefix_list_goes_by_the_endpoint_and_the_rest_by_the_nat_gateway);

const BUCKET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const OTHER_BUCKET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const ENI: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// Two services, of which only the first one's route table has the endpoint.
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
id = "subnet-plain"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-plain"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat" }, { destination = "192.0.2.64/26", target = "nat" }]

[[route_table]]
id = "rtb-plain"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat" }]

[[nat_gateway]]
id = "nat"
subnet = "subnet-public"
public_ip = "198.51.100.7"

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

[[internet_host]]
name = "bucket"
address = "192.0.2.10"
listen = ["80/tcp"]

[[internet_host]]
name = "other-bucket"
address = "192.0.2.80"

[[internet_host]]
name = "host"
address = "203.0.113.10"

[[vpc_connector]]
name = "app"
subnets = ["subnet-app"]
security_groups = ["sg-app"]

[[vpc_connector]]
name = "plain"
subnets = ["subnet-plain"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"

[[service]]
name = "plain"
egress = "vpc"
vpc_connector = "plain"
"#;

/// Statement 24: the path to an AWS API is an endpoint or a NAT gateway.
fn its_prefix_list_goes_by_the_endpoint_and_the_rest_by_the_nat_gateway(device: &str) {
    let lab = Lab::up(device, LAB);
    let (mut web, mut plain) = (lab.task("web"), lab.task("plain"));
    let mut behind = Lab::agent(&lab.netns("vpce-s3"));
    behind.ok(&json!(["serve", BUCKET, 443]));
    let mut internet = Lab::agent(&lab.netns("internet"));
    for address in [BUCKET, OTHER_BUCKET, HOST] {
        internet.ok(&json!(["serve", address, 443]));
    }
    internet.ok(&json!(["sniff", "net0"]));
    let from = |agent: &mut crate::support::lab::Agent| -> Vec<Ipv4Addr> {
        agent.peers().iter().map(|(address, _)| *address).collect()
    };

    // The connections take the endpoint, from the private address; the echo server with which egret
    // listens is there too.
    web.tcp(BUCKET, 443);
    web.tcp(BUCKET, 80);
    assert!(lab.pings("web", "192.0.2.10"));
    assert_eq!((from(&mut behind), from(&mut internet)), (vec![ENI], vec![]));
    let (entered, said) = {
        let output = lab.egret("exec --endpoint vpce-s3 -- ip -brief -4 address show vpce0");
        (output.status.success(), crate::support::lab::both_streams(&output))
    };
    assert!(entered && said.contains("192.0.2.10/32") && said.contains("192.0.2.80/32"), "{said}");

    // A more specific route of the user, a destination that is in no list, and another subnet's
    // table (surprise 12).
    web.tcp(OTHER_BUCKET, 443);
    web.tcp(HOST, 443);
    plain.tcp(BUCKET, 443);
    assert_eq!((from(&mut behind), from(&mut internet)), (vec![], vec![PUBLIC; 3]));
    let private =
        internet.sniffed("net0").into_iter().find(|(source, _)| source.starts_with("10."));
    assert_eq!(private, None, "no private address appears on the internet");
    assert_eq!(lab.drops(), []);

    lab.drops_for("endpoint-protocol", "vpce-s3", || web.udp_times_out(BUCKET, 53));
}
