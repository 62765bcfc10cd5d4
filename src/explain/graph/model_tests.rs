//! Tests the picture as data: which nodes there are, what they say, and what leads where.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::draw::{Tasks, draw};
use super::model::{Graph, Node};
use crate::config::Lab;
use crate::vpc::{Generation, ServiceIx, Snapshot, Task};
use std::net::Ipv4Addr;

/// A VPC with a public subnet; what a test is about comes after it.
const VPC: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"
[[subnet]]
id = "subnet-app"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"
[[subnet]]
id = "subnet-public"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
route_table = "rtb-public"
[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]
[[security_group]]
id = "sg-app"
vpc = "vpc-a"
"#;

/// A service with a connector in the subnet `subnet-app`.
const WEB: &str = r#"
[[vpc_connector]]
name = "private"
subnets = ["subnet-app"]
security_groups = ["sg-app"]
[[service]]
name = "web"
egress = "vpc"
vpc_connector = "private"
"#;

/// Returns the routes of `subnet-app`.
fn routes(routes: &[(&str, &str)]) -> String {
    let routes = routes.iter().map(|(destination, target)| {
        format!("    {{ destination = {destination:?}, target = {target:?} }},\n")
    });
    let routes: String = routes.collect();
    format!("[[route_table]]\nid = \"rtb-app\"\nvpc = \"vpc-a\"\nroutes = [\n{routes}]\n")
}

fn snapshot(texts: &[&str]) -> Snapshot {
    Lab::parse("lab.toml", &texts.concat()).unwrap().lower(Generation(1))
}

fn graph(texts: &[&str]) -> Graph {
    draw(&snapshot(texts), Tasks::Planned)
}

impl Graph {
    fn node(&self, key: &str) -> &Node {
        let keys = || self.nodes.iter().map(|node| &node.key).collect::<Vec<_>>();
        self.nodes
            .iter()
            .find(|node| node.key == key)
            .unwrap_or_else(|| panic!("{key}: {:?}", keys()))
    }

    fn lines(&self, key: &str) -> Vec<&str> {
        self.node(key).lines.iter().map(String::as_str).collect()
    }

    /// Returns where a node leads, with the labels of the edges.
    fn leads(&self, key: &str) -> Vec<(&str, Option<&str>)> {
        self.node(key);
        let own = self.edges.iter().filter(|edge| edge.from == key);
        own.map(|edge| (edge.to.as_str(), edge.label.as_deref())).collect()
    }

    /// Follows the only edge that leads out of each node.
    fn follow<'a>(&'a self, mut key: &'a str) -> Vec<&'a str> {
        let mut path = vec![key];
        while let [(to, _)] = self.leads(key)[..] {
            path.push(to);
            key = to;
        }
        path
    }
}

#[test]
fn service_leads_through_its_connector_to_a_route_table() {
    let graph = graph(&[VPC, WEB, &routes(&[])]);
    let path = graph.follow("service/web");
    let eni = path[2].strip_prefix("eni/").unwrap();
    assert_eq!(path[..2], ["service/web", "connector/private"]);
    assert_eq!(path[3..], ["subnet/subnet-app", "route-table/rtb-app", "local/vpc-a", "vpc/vpc-a"]);
    assert_eq!(eni, snapshot(&[VPC, WEB, &routes(&[])]).parts().enis[0].id);
    assert_eq!(graph.lines("service/web"), ["App Runner", "1 task"]);
    assert_eq!(graph.lines(path[2]), ["10.0.1.4", "sg-app"]);
    assert_eq!(graph.lines("subnet/subnet-app"), ["us-east-1a", "10.0.1.0/24"]);
    let columns: Vec<_> = graph.nodes.iter().map(|node| node.column).collect();
    assert!(columns.is_sorted(), "{columns:?}");
}

#[test]
fn connectors_of_the_same_subnet_and_groups_share_an_eni_and_others_have_their_own() {
    let more = r#"
[[security_group]]
id = "sg-other"
vpc = "vpc-a"
[[vpc_connector]]
name = "same"
subnets = ["subnet-app"]
security_groups = ["sg-app"]
[[vpc_connector]]
name = "other"
subnets = ["subnet-app"]
security_groups = ["sg-other"]
[[vpc_connector]]
name = "unused"
subnets = ["subnet-public"]
[[service]]
name = "same"
egress = "vpc"
vpc_connector = "same"
[[service]]
name = "other"
egress = "vpc"
vpc_connector = "other"
[[service]]
name = "resize"
kind = "lambda"
subnets = ["subnet-app"]
security_groups = ["sg-app"]
"#;
    let graph = graph(&[VPC, WEB, more, &routes(&[])]);
    let enis = |name: &str| graph.leads(&format!("connector/{name}"));
    assert_eq!(enis("private").len(), 1);
    assert_eq!(enis("private"), enis("same"));
    assert_ne!(enis("private"), enis("other"));
    assert_ne!(enis("private"), enis("lambda/resize"), "Lambda shares none with App Runner");
    assert_eq!(enis("unused"), []);
    assert_eq!(graph.lines("connector/unused"), ["VPC connector", "no service uses it"]);
    assert_eq!(graph.lines("connector/lambda/resize"), ["VPC configuration"]);
    assert_eq!(graph.lines("service/resize"), ["Lambda", "1 task"]);
}

#[test]
fn each_task_of_fargate_has_an_eni() {
    let batch = r#"
[[service]]
name = "batch"
kind = "fargate"
subnets = ["subnet-public"]
security_groups = ["sg-app"]
assign_public_ip = true
tasks = 2
"#;
    let graph = graph(&[VPC, batch, &routes(&[])]);
    let enis = graph.leads("connector/fargate/batch");
    assert_eq!(enis.len(), 2);
    let second = graph.lines(enis[1].0);
    assert_eq!((second[2], second[3]), ("sg-app", "task 2"));
    assert!(second[1].ends_with(" public"), "{second:?}");
    assert_eq!(graph.lines("connector/fargate/batch"), ["network configuration"]);
}

#[test]
fn default_egress_is_app_runners_own() {
    let default = "[[service]]\nname = \"a\"\negress = \"default\"\n\
                   [[service]]\nname = \"b\"\negress = \"default\"\n";
    let graph = graph(&[VPC, default, &routes(&[])]);
    let own = "app-runner/App Runner's own";
    assert_eq!(graph.follow("service/a"), ["service/a", own, "internet/internet"]);
    assert_eq!(graph.follow("service/b"), ["service/b", own, "internet/internet"]);
    assert_eq!(graph.lines(own), ["198.51.100.1"]);
    assert_eq!(graph.node(own).vpc, None);
}

#[test]
fn routes_stand_in_their_order_and_each_has_its_edge() {
    let nat = "[[nat_gateway]]\nid = \"nat-a\"\nsubnet = \"subnet-public\"\n\
               public_ip = \"198.51.100.7\"\n";
    let routes =
        routes(&[("0.0.0.0/0", "nat-a"), ("192.0.2.0/24", "igw-a"), ("198.18.0.0/15", "nat-a")]);
    let graph = graph(&[VPC, WEB, nat, &routes]);
    assert_eq!(
        graph.lines("route-table/rtb-app"),
        [
            "10.0.0.0/16 → local",
            "0.0.0.0/0 → nat-a",
            "192.0.2.0/24 → igw-a",
            "198.18.0.0/15 → nat-a"
        ]
    );
    assert_eq!(
        graph.leads("route-table/rtb-app"),
        [
            ("local/vpc-a", Some("10.0.0.0/16")),
            ("nat-gateway/nat-a", Some("0.0.0.0/0")),
            ("internet-gateway/igw-a", Some("192.0.2.0/24")),
            ("nat-gateway/nat-a", Some("198.18.0.0/15")),
        ]
    );
    let own = graph.edges.iter().filter(|edge| edge.from == "route-table/rtb-app");
    let lines: Vec<_> = own.map(|edge| edge.line).collect();
    assert_eq!(lines, [Some(0), Some(1), Some(2), Some(3)]);
    assert_eq!(graph.lines("route-table/vpc-a/main").last(), Some(&"main"));
    assert_eq!(graph.leads("nat-gateway/nat-a"), [("internet/internet", Some("igw-a"))]);
    assert_eq!(
        graph.lines("nat-gateway/nat-a"),
        ["subnet-public", "198.51.100.7 public", "then igw-a"]
    );
    assert_eq!(graph.leads("internet-gateway/igw-a"), [("internet/internet", None)]);
}

#[test]
fn nat_gateway_that_carries_nothing_leads_nowhere() {
    let gateways = r#"
[[nat_gateway]]
id = "nat-failed"
subnet = "subnet-public"
state = "failed"
public_ip = "198.51.100.7"
[[nat_gateway]]
id = "nat-private"
subnet = "subnet-public"
connectivity = "private"
[[nat_gateway]]
id = "nat-lost"
subnet = "subnet-app"
public_ip = "198.51.100.8"
"#;
    let own = routes(&[
        ("0.0.0.0/0", "nat-failed"),
        ("192.0.2.0/24", "nat-private"),
        ("198.18.0.0/15", "nat-lost"),
    ]);
    let graph = graph(&[VPC, WEB, gateways, &own]);
    let of = |id: &str| {
        let key = format!("nat-gateway/{id}");
        assert_eq!(graph.leads(&key), [], "{id}");
        graph.lines(&key)[1..].join(", ")
    };
    assert_eq!(of("nat-failed"), "198.51.100.7 public, state failed, carries nothing");
    assert_eq!(of("nat-private"), "10.0.2.5 private, no public address");
    assert_eq!(of("nat-lost"), "198.51.100.8 public, then another NAT gateway");
}

#[test]
fn blackholes_are_drawn_once_for_each_id_and_lead_nowhere() {
    let own = routes(&[("172.16.0.0/12", "blackhole"), ("192.168.0.0/16", "blackhole")]);
    let graph = graph(&[VPC, WEB, &own]);
    let key = "blackhole/vpc-a/";
    assert_eq!(graph.node(key).name, "blackhole");
    assert_eq!(graph.leads(key), []);
    let to = graph.edges.iter().filter(|edge| edge.to == key).count();
    assert_eq!(to, 2);
    assert_eq!(graph.lines("route-table/rtb-app")[1], "172.16.0.0/12 → blackhole");
}

#[test]
fn peering_connections_lead_to_the_other_vpc_if_they_are_active() {
    let peers = r#"
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
id = "pcx-ac"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-c"
state = "deleted"
[[subnet]]
id = "subnet-b"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.1.0/24"
[[security_group]]
id = "sg-b"
vpc = "vpc-b"
[[resource]]
name = "cache"
subnet = "subnet-b"
address = "10.1.1.10"
security_groups = ["sg-b"]
"#;
    let own = routes(&[("10.1.0.0/16", "pcx-ab"), ("10.2.0.0/16", "pcx-ac")]);
    let graph = graph(&[VPC, WEB, peers, &own]);
    assert_eq!(graph.leads("peering-connection/pcx-ab/vpc-a"), [("vpc/vpc-b", None)]);
    assert_eq!(graph.leads("peering-connection/pcx-ab/vpc-b"), [("vpc/vpc-a", None)]);
    assert_eq!(graph.leads("peering-connection/pcx-ac/vpc-a"), []);
    assert_eq!(graph.lines("peering-connection/pcx-ac/vpc-a"), ["to vpc-c", "state deleted"]);
    assert_eq!(graph.lines("blackhole/vpc-a/pcx-ac"), ["pcx-ac"]);
    assert_eq!(graph.lines("vpc/vpc-b"), ["cache 10.1.1.10"]);
    assert_eq!(graph.areas.len(), 3);
}

#[test]
fn endpoints_and_middleboxes_are_targets() {
    let text = r#"
[[prefix_list]]
id = "pl-s3"
entries = ["16.15.176.0/24"]
[[vpc_endpoint]]
id = "vpce-s3"
kind = "gateway"
vpc = "vpc-a"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl-s3"
route_tables = ["rtb-app"]
[[vpc_endpoint]]
id = "vpce-gwlb"
kind = "gateway-load-balancer"
vpc = "vpc-a"
service = "com.amazonaws.vpce.us-east-1.vpce-svc-1"
subnets = ["subnet-public"]
[[resource]]
name = "firewall"
subnet = "subnet-public"
address = "10.0.2.10"
security_groups = ["sg-app"]
network_interface = "eni-fw"
source_dest_check = false
[[resource]]
name = "forgotten"
subnet = "subnet-public"
address = "10.0.2.20"
security_groups = ["sg-app"]
network_interface = "eni-checked"
"#;
    let own = routes(&[
        ("192.0.2.0/24", "eni-fw"),
        ("10.0.2.0/24", "eni-checked"),
        ("198.18.0.0/15", "vpce-gwlb"),
    ]);
    let graph = graph(&[VPC, WEB, text, &own]);
    let routes = graph.lines("route-table/rtb-app");
    assert!(routes.contains(&"pl-s3 (s3) → vpce-s3"), "{routes:?}");
    let service = "endpoint-service/com.amazonaws.us-east-1.s3";
    assert_eq!(graph.leads("gateway-endpoint/vpce-s3"), [(service, None)]);
    assert_eq!(graph.lines(service), ["pl-s3"]);
    let internet = ("internet/internet", Some("igw-a"));
    assert_eq!(graph.leads("network-interface/eni-fw"), [internet]);
    assert_eq!(
        graph.lines("network-interface/eni-fw"),
        ["firewall", "subnet-public", "then igw-a"]
    );
    let checked = graph.lines("network-interface/eni-checked");
    assert_eq!(checked, ["forgotten", "subnet-public", "source/dest check on"]);
    assert_eq!(graph.leads("gateway-load-balancer-endpoint/vpce-gwlb"), [internet]);
}

#[test]
fn subnet_names_its_network_acl_unless_it_is_the_default_one() {
    let acl = "[[network_acl]]\nid = \"acl-a\"\nvpc = \"vpc-a\"\n";
    let with_acl =
        VPC.replace("rtb-public\"\n[[route", "rtb-public\"\nnetwork_acl = \"acl-a\"\n[[route");
    let graph = graph(&[&with_acl, acl, WEB, &routes(&[])]);
    assert_eq!(graph.lines("subnet/subnet-public").last(), Some(&"acl-a"));
    assert_eq!(graph.lines("subnet/subnet-app").last(), Some(&"10.0.1.0/24"));
}

#[test]
fn tasks_of_a_running_lab_are_counted() {
    let snapshot = snapshot(&[VPC, WEB, &routes(&[])]);
    let task = |number: u8| Task {
        service: ServiceIx(0),
        number: number.into(),
        address: Ipv4Addr::new(100, 64, 0, number),
        eni: None,
    };
    let running = snapshot.with_tasks([task(1), task(2), task(3)]);
    let lines = |tasks| draw(&running, tasks).lines("service/web")[1].to_owned();
    assert_eq!(lines(Tasks::Running), "3 tasks");
    assert_eq!(lines(Tasks::Planned), "1 task");
}

#[test]
fn graph_survives_being_sent() {
    let graph = graph(&[VPC, WEB, &routes(&[("172.16.0.0/12", "blackhole")])]);
    let text = serde_json::to_string(&graph).unwrap();
    assert_eq!(serde_json::from_str::<Graph>(&text).unwrap(), graph);
}
