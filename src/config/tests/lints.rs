//! Tests of facts that AWS accepts and `egret check` warns about.

use super::*;

/// Returns the rules and texts of the warnings.
#[track_caller]
pub(super) fn warnings(text: &str) -> Vec<(&'static str, String)> {
    found(text).into_iter().map(|w| (w.rule, w.text)).collect()
}

/// Returns the warnings about a lab. The labs of these tests need no service, and no third zone.
#[track_caller]
pub(super) fn found(text: &str) -> Vec<Diagnostic> {
    let is_meant = |d: &Diagnostic| d.severity == Severity::Warning && d.rule != "empty-lab";
    lab(text).lint().into_iter().filter(is_meant).collect()
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
fn an_api_on_all_addresses_without_api_anywhere() {
    let api = |address: &str| format!("{MINIMAL}\n[apprunner]\napi = \"{address}\"\n");
    for address in ["0.0.0.0:4566", "[::]:4566", "192.0.2.1:0"] {
        let expected = [("api-beyond-loopback", format!("\"{address}\""))];
        assert_eq!(warnings(&api(address)), expected);
        assert!(found(&api(address))[0].message.contains("--api-anywhere"));
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
    assert!(found(&based(addition))[0].message.contains("no internet gateway"));
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

/// Firewalls behind a NAT gateway are built so.
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
    let lints = found(&based(&to_the_internet));
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
    // A way out for one network is none for the others.
    let most = r#"[{ destination = "0.0.0.0/0", target = "nat" }, { destination = "192.0.2.0/24", target = "igw-a" }]"#;
    for routes in [all, most] {
        check(&[("nat-gateway-without-way-out", "\"nat\"")], &format!("{nat}{routes}"));
        let lints = found(&based(&format!("{nat}{routes}")));
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

/// Statement 17.
#[test]
fn two_zones_are_a_note_and_three_are_fine() {
    let connector = |subnets: &str| {
        based(&format!("[[vpc_connector]]\nname = \"two\"\nsubnets = [{subnets}]\n"))
    };
    let third = "[[subnet]]\nid = \"subnet-a3\"\nvpc = \"vpc-a\"\navailability_zone = \"us-east-1c\"\ncidr = \"10.0.3.0/24\"\n";
    let notes = |text: &str| -> Vec<(&str, Severity, String)> {
        let all = lab(text).lint().into_iter().filter(|d| d.rule == "two-zones-only");
        all.map(|d| (d.rule, d.severity, d.text)).collect()
    };
    let two = connector("\"subnet-a\", \"subnet-a2\"");
    assert_eq!(notes(&two), [("two-zones-only", Severity::Note, "\"two\"".to_owned())]);
    let three = connector("\"subnet-a\", \"subnet-a2\", \"subnet-a3\"") + third;
    assert_eq!(notes(&three), []);
}

#[test]
fn a_lab_without_a_service_is_empty_unless_the_api_makes_some() {
    let rules = |text: &str| lab(text).lint().into_iter().map(|d| d.rule).collect::<Vec<_>>();
    assert_eq!(rules(&based("")), ["empty-lab"]);
    let api = "[apprunner]\napi = \"127.0.0.1:0\"\n";
    assert_eq!(rules(&based(api)), [""; 0]);
}

#[test]
fn a_rule_that_is_allowed_is_not_reported() {
    let one = "[[vpc_connector]]\nname = \"one\"\nsubnets = [\"subnet-a\"]\n";
    assert_eq!(warnings(&based(one)), [("single-zone", "\"one\"".to_owned())]);
    assert_eq!(warnings(&based(&format!("{one}[lint]\nallow = [\"single-zone\"]\n"))), []);
}

#[test]
fn a_misspelt_rule_is_an_error_with_the_one_that_is_meant() {
    let errors = errors("[lint]\nallow = [\"single-zones\"]\n");
    assert_eq!((errors[0].rule, errors[0].text.as_str()), ("unknown-word", "\"single-zones\""));
    assert!(errors[0].help.starts_with("did you mean \"single-zone\"?"), "{}", errors[0].help);
}

/// Returns a gateway endpoint with its list; `tables` are those that have its route.
fn endpoint(tables: &str) -> String {
    format!(
        r#"
[[route_table]]
id = "rtb-1"
vpc = "vpc-a"
main = true
[[route_table]]
id = "rtb-2"
vpc = "vpc-a"
[[prefix_list]]
id = "pl-s3"
entries = ["52.216.0.0/15"]
[[vpc_endpoint]]
id = "vpce-s3"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl-s3"
route_tables = [{tables}]
[[vpc_connector]]
name = "app"
subnets = ["subnet-a", "subnet-a2"]
"#
    )
}

#[test]
fn a_connectors_table_without_the_route_to_a_gateway_endpoint() {
    check(&[("endpoint-not-in-table", "\"vpce-s3\"")], &endpoint("\"rtb-2\""));
    let message = &found(&based(&endpoint("\"rtb-2\"")))[0].message;
    assert!(message.contains("\"rtb-1\"") && message.ends_with("are dropped"), "{message}");
    check(&[], &endpoint("\"rtb-1\""));
    check(&[("endpoint-without-route", "\"vpce-s3\"")], &endpoint(""));
}

#[test]
fn a_case_of_an_endpoint_that_is_in_another_table() {
    let case = include_str!("../../explain/cases/endpoint-not-in-table.toml");
    assert!(warnings(case).contains(&("endpoint-not-in-table", "\"vpce-s3\"".to_owned())));
}

#[test]
fn a_group_of_a_peer_in_another_region_is_an_error() {
    let lab = |region: &str| {
        let base = based("").replace("id = \"vpc-b\"\n", &format!("id = \"vpc-b\"\n{region}"));
        format!(
            "{base}{}",
            r#"
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
[[security_group]]
id = "sg-a"
vpc = "vpc-a"
egress = [{ protocol = "tcp", ports = 443, to = "sg-b" }]
[[security_group]]
id = "sg-b"
vpc = "vpc-b"
"#
        )
    };
    let errors = errors(&lab("region = \"eu-west-1\"\n"));
    assert_eq!((errors[0].rule, errors[0].text.as_str()), ("group-in-another-region", "\"sg-b\""));
    assert!(errors[0].message.contains("eu-west-1"), "{}", errors[0].message);
    assert!(errors[0].help.ends_with("10.1.0.0/16"), "{}", errors[0].help);
    for same in ["", "region = \"us-east-1\"\n"] {
        super::lab(&lab(same));
    }
}

#[test]
fn a_connector_in_a_vpc_of_another_region_is_an_error() {
    let base = based("[[vpc_connector]]\nname = \"app\"\nsubnets = [\"subnet-b\"]\n");
    let text = base.replace("id = \"vpc-b\"\n", "id = \"vpc-b\"\nregion = \"eu-west-1\"\n");
    assert_eq!(errors(&text)[0].rule, "connector-in-another-region");
}

#[test]
fn a_connector_name_that_app_runner_refuses_is_a_note() {
    for (name, is_refused) in [("abc", true), ("abcd", false), ("1_b-", false)] {
        let connector = format!("[[vpc_connector]]\nname = \"{name}\"\nsubnets = [\"subnet-a\"]\n");
        let found = lab(&based(&connector)).lint();
        let own = found.iter().find(|finding| finding.rule == "connector-name");
        assert_eq!(own.map(|own| own.severity), is_refused.then_some(Severity::Note), "{name}");
    }
}
