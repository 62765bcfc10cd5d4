//! What AWS takes and `egret check` warns about.

use super::*;

/// The rules and texts of the warnings.
#[track_caller]
pub(super) fn warnings(text: &str) -> Vec<(&'static str, String)> {
    lab(text).lint().into_iter().map(|w| (w.rule, w.text)).collect()
}

#[track_caller]
pub(super) fn check(expected: &[(&'static str, &str)], addition: &str) {
    let expected: Vec<_> =
        expected.iter().map(|(rule, text)| (*rule, (*text).to_owned())).collect();
    assert_eq!(warnings(&based(addition)), expected);
}

#[test]
fn the_demo_lab_warns_about_the_trap_and_nothing_else() {
    let expected = ["\"subnet-public-a\"", "\"subnet-public-b\""]
        .map(|subnet| ("public-subnet-in-connector", subnet.to_owned()));
    assert_eq!(warnings(THREE_AZ), expected);
    assert_eq!(warnings(MINIMAL), []);
}

#[test]
fn an_api_that_up_refuses_unless_told_twice() {
    let api = |address: &str| format!("{MINIMAL}\n[apprunner]\napi = \"{address}\"\n");
    for address in ["0.0.0.0:4566", "[::]:4566", "192.0.2.1:0"] {
        let expected = [("api-beyond-loopback", format!("\"{address}\""))];
        assert_eq!(warnings(&api(address)), expected);
        assert!(lab(&api(address)).lint()[0].message.contains("--api-anywhere"));
    }
    for address in ["127.0.0.1:4566", "127.9.9.9:0", "[::1]:4566"] {
        assert_eq!(warnings(&api(address)), []);
    }
}

#[test]
fn one_zone() {
    check(
        &[("single-zone", "\"one\"")],
        "[[vpc_connector]]\nname = \"one\"\nsubnets = [\"subnet-a\"]",
    );
}

#[test]
fn a_nat_gateway_in_a_subnet_without_an_internet_gateway_route() {
    check(
        &[("nat-gateway-without-way-out", "\"nat\"")],
        "[[nat_gateway]]\nid = \"nat\"\nsubnet = \"subnet-a\"",
    );
}

#[test]
fn a_nat_gateway_in_a_vpc_without_an_internet_gateway() {
    let addition = "[[nat_gateway]]\nid = \"nat\"\nsubnet = \"subnet-b\"";
    check(&[("nat-gateway-without-way-out", "\"nat\"")], addition);
    assert!(lab(&based(addition)).lint()[0].message.contains("no internet gateway"));
}

#[test]
fn a_private_nat_gateway_needs_no_way_out() {
    check(&[], "[[nat_gateway]]\nid = \"nat\"\nsubnet = \"subnet-b\"\nconnectivity = \"private\"");
}

#[test]
fn routes_to_what_does_not_work() {
    check(
        &[
            ("nat-gateway-without-way-out", "\"nat\""),
            ("route-to-nothing", "\"nat\""),
            ("route-to-nothing", "\"eni-gone\""),
        ],
        r#"
[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
state = "failed"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [
  { destination = "0.0.0.0/0", target = "nat" },
  { destination = "192.0.2.0/24", target = "eni-gone", state = "blackhole" },
]"#,
    );
}

#[test]
fn middleboxes_that_nothing_gets_through() {
    let lab = |check: &str, table: &str| {
        format!(
            r#"
[[route_table]]
id = "rtb-fw"
vpc = "vpc-a"
[[subnet]]
id = "subnet-fw"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.200.0/24"
route_table = "{table}"
[[resource]]
name = "firewall"
subnet = "subnet-fw"
address = "10.0.200.10"
network_interface = "eni-fw"
{check}
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{{ destination = "192.0.2.0/24", target = "eni-fw" }}]"#
        )
    };
    let off = "source_dest_check = false";
    check(&[], &lab(off, "rtb-fw"));
    check(&[("route-to-nothing", "\"eni-fw\"")], &lab("", "rtb-fw"));
    check(&[("middlebox-in-same-subnet", "\"eni-fw\"")], &lab(off, "rtb"));
    let there = lab(off, "rtb-fw").replace("192.0.2.0/24", "10.0.200.0/24");
    check(&[("middlebox-in-destination-subnet", "\"eni-fw\"")], &there);
}

/// As firewalls behind a NAT gateway are built.
#[test]
fn a_nat_gateway_whose_way_out_leads_through_a_middlebox_has_one() {
    check(
        &[],
        r#"
[[route_table]]
id = "rtb-fw"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]
[[subnet]]
id = "subnet-fw"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.200.0/24"
route_table = "rtb-fw"
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway-load-balancer"
service = "com.amazonaws.vpce.us-east-1.vpce-svc-1"
subnets = ["subnet-fw"]
[[route_table]]
id = "rtb-main"
vpc = "vpc-a"
main = true
routes = [{ destination = "0.0.0.0/0", target = "vpce" }]
[[nat_gateway]]
id = "nat"
subnet = "subnet-a""#,
    );
}

#[test]
fn a_route_to_a_peer_that_has_none_back() {
    let lab = r#"
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "10.1.0.0/16", target = "pcx" }]
[[route_table]]
id = "rtb-b"
vpc = "vpc-b"
main = true
routes = [{ destination = "10.0.0.0/24", target = "pcx" }, { destination = "10.0.0.0/8", target = "blackhole" }]"#;
    let blackhole = ("route-to-nothing", "\"blackhole\"");
    check(&[blackhole], lab);
    let without = lab.replace("10.0.0.0/24", "10.8.0.0/24");
    check(&[("no-route-back", "\"pcx\""), ("route-to-nothing", "\"pcx\""), blackhole], &without);
}

#[test]
fn a_gateway_endpoint_that_no_group_lets_anything_out_to() {
    let lab = |to: &str, tables: &str| {
        format!(
            r#"
[[prefix_list]]
id = "pl"
entries = ["192.0.2.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl"
route_tables = [{tables}]
[[route_table]]
id = "rtb"
vpc = "vpc-a"
main = true
[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{{ protocol = "tcp", ports = 443, to = "{to}" }}, {{ protocol = "udp", ports = 53, to = "0.0.0.0/0" }}]
[[vpc_connector]]
name = "one"
subnets = ["subnet-a"]
security_groups = ["sg"]"#
        )
    };
    let zone = ("single-zone", "\"one\"");
    check(&[zone], &lab("pl", "\"rtb\""));
    check(&[zone], &lab("192.0.0.0/16", "\"rtb\""));
    check(&[zone, ("endpoint-not-allowed", "\"one\"")], &lab("198.51.100.0/24", "\"rtb\""));
    check(&[("endpoint-without-route", "\"vpce\""), zone], &lab("pl", ""));
}

#[test]
fn routes_to_a_peering_connection_that_lead_nowhere() {
    check(
        &[("route-to-nothing", "\"pcx\""), ("route-to-nothing", "\"pcx-gone\"")],
        r#"
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
[[vpc_peering_connection]]
id = "pcx-gone"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
state = "deleted"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
main = true
routes = [
  { destination = "10.1.0.0/16", target = "pcx" },
  { destination = "10.2.0.0/16", target = "pcx" },
  { destination = "10.1.2.0/24", target = "pcx-gone" },
]
[[route_table]]
id = "rtb-b"
vpc = "vpc-b"
main = true
routes = [{ destination = "10.0.0.0/16", target = "pcx" }]"#,
    );
}

/// The gateway's own table has the local route.
#[test]
fn a_route_into_the_vpc_by_way_of_a_nat_gateway_works() {
    check(
        &[],
        r#"
[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
[[route_table]]
id = "rtb-main"
vpc = "vpc-a"
main = true
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "10.0.2.0/24", target = "nat" }]"#,
    );
}

#[test]
fn a_route_to_a_private_nat_gateway() {
    let addition = |main: &str| {
        format!(
            r#"
[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
connectivity = "private"
[[route_table]]
id = "rtb-main"
vpc = "vpc-a"
main = true
{main}
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{{ destination = "0.0.0.0/0", target = "nat" }}]"#
        )
    };
    let expected = [("route-to-nothing", "\"nat\"")];
    check(&expected, &addition(""));
    let to_the_internet = addition(r#"routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]"#);
    check(&expected, &to_the_internet);
    let lints = lab(&based(&to_the_internet)).lint();
    assert!(lints[0].message.contains("no public address"), "{}", lints[0].message);
}

#[test]
fn routes_that_send_private_addresses_to_the_internet() {
    check(
        &[("route-to-nothing", "\"igw-a\""), ("route-to-nothing", "\"nat\"")],
        r#"
[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
[[route_table]]
id = "rtb-main"
vpc = "vpc-a"
main = true
routes = [
  { destination = "0.0.0.0/0", target = "igw-a" },
  { destination = "172.16.0.0/12", target = "igw-a" },
]
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [
  { destination = "192.168.0.0/16", target = "nat" },
  { destination = "192.0.0.0/8", target = "nat" },
]"#,
    );
}

#[test]
fn a_nat_gateway_whose_subnet_leads_to_a_nat_gateway() {
    let nat = "[[nat_gateway]]\nid = \"nat\"\nsubnet = \"subnet-a\"\n[[route_table]]\nid = \"rtb\"\n\
               vpc = \"vpc-a\"\nmain = true\nroutes = ";
    let all = r#"[{ destination = "0.0.0.0/0", target = "nat" }]"#;
    // A way out for one network is none for the rest.
    let most = r#"[{ destination = "0.0.0.0/0", target = "nat" }, { destination = "192.0.2.0/24", target = "igw-a" }]"#;
    for routes in [all, most] {
        check(&[("nat-gateway-without-way-out", "\"nat\"")], &format!("{nat}{routes}"));
        let lints = lab(&based(&format!("{nat}{routes}"))).lint();
        let message = "its subnet \"subnet-a\" leads 0.0.0.0/0 to NAT gateway \"nat\"";
        assert!(lints[0].message.contains(message), "{}", lints[0].message);
    }
}

#[test]
fn groups_that_nothing_is_in() {
    check(
        &[("unused-security-group", "\"sg-1\""), ("group-without-members", "\"sg-2\"")],
        r#"
[[security_group]]
id = "sg-1"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-2" }]
[[security_group]]
id = "sg-2"
vpc = "vpc-a""#,
    );
}

#[test]
fn a_connector_without_a_service_gives_its_groups_no_members() {
    check(
        &[("group-without-members", "\"sg-app\"")],
        r#"
[[security_group]]
id = "sg-app"
vpc = "vpc-a"
[[security_group]]
id = "sg-db"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-app" }]
[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.10"
security_groups = ["sg-db"]
[[vpc_connector]]
name = "idle"
subnets = ["subnet-a", "subnet-a2"]
security_groups = ["sg-app"]"#,
    );
}

#[test]
fn fields_that_aws_ignores() {
    check(
        &[("ignored-field", "\"443\""), ("ignored-field", "8")],
        r#"
[[network_acl]]
id = "acl"
vpc = "vpc-a"
egress = [
  { rule = 1, action = "allow", protocol = "all", ports = "443", cidr = "0.0.0.0/0" },
  { rule = 2, action = "allow", protocol = 47, icmp_type = 8, cidr = "0.0.0.0/0" },
]"#,
    );
}

#[test]
fn prefix_lists_that_overlap_and_part_ways() {
    check(
        &[("overlapping-prefix-lists", "\"pl-2\"")],
        r#"
[[prefix_list]]
id = "pl-1"
entries = ["192.0.2.0/24"]
[[prefix_list]]
id = "pl-2"
entries = ["192.0.2.128/25"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl-2"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "pl-1", target = "igw-a" }, { destination = "pl-2", target = "vpce" }]"#,
    );
}

#[test]
fn internet_hosts_in_private_space() {
    check(
        &[("private-internet-host", "\"192.168.1.1\""), ("private-internet-host", "\"10.0.1.9\"")],
        "[[internet_host]]\nname = \"x\"\naddress = \"192.168.1.1\"\n\
         [[internet_host]]\nname = \"y\"\naddress = \"10.0.1.9\"",
    );
}

#[test]
fn host_bits() {
    check(
        &[("host-bits", "\"192.0.2.9/24\"")],
        "[[prefix_list]]\nid = \"pl\"\nentries = [\"192.0.2.9/24\"]",
    );
}
