//! Tests of warnings that follow from the paths of packets: longest prefix, middleboxes, NAT
//! gateways, and the reply.

use super::lints::{check, found};
use super::*;

/// Returns a subnet with a table of its own and a middlebox in it that routes may name as `eni-fw`.
fn firewall(routes: &str) -> String {
    format!(
        r#"
[[route_table]]
id = "rtb-fw"
vpc = "vpc-a"
routes = [{routes}]
[[subnet]]
id = "subnet-fw"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.200.0/24"
route_table = "rtb-fw"
[[resource]]
name = "firewall"
subnet = "subnet-fw"
address = "10.0.200.10"
network_interface = "eni-fw"
source_dest_check = false
"#
    )
}

/// Returns the main table of `vpc-a`, which `subnet-a` and `subnet-a2` use.
fn main_table(routes: &str) -> String {
    format!(
        "[[route_table]]\nid = \"rtb-main\"\nvpc = \"vpc-a\"\nmain = true\nroutes = [{routes}]\n"
    )
}

fn route(destination: &str, target: &str) -> String {
    format!("{{ destination = \"{destination}\", target = \"{target}\" }}, ")
}

const CONNECTOR: &str =
    "[[vpc_connector]]\nname = \"c\"\nsubnets = [\"subnet-a\", \"subnet-a2\"]\n";
const PEERING: &str = "[[vpc_peering_connection]]\nid = \"pcx\"\nrequester_vpc = \"vpc-a\"\naccepter_vpc = \"vpc-b\"\n";

fn private_nat_gateway(subnet: &str) -> String {
    format!("[[nat_gateway]]\nid = \"nat\"\nsubnet = \"{subnet}\"\nconnectivity = \"private\"\n")
}

fn nat_gateway(subnet: &str) -> String {
    format!("[[nat_gateway]]\nid = \"nat\"\nsubnet = \"{subnet}\"\n")
}

#[test]
fn a_subnet_that_leads_to_the_internet_gateway_through_a_middlebox_traps_tasks_too() {
    let lab = firewall(&route("0.0.0.0/0", "igw-a"))
        + &main_table(&route("0.0.0.0/0", "eni-fw"))
        + CONNECTOR;
    let trap = |subnet| ("public-subnet-in-connector", subnet);
    check(&[trap("\"subnet-a\""), trap("\"subnet-a2\"")], &lab);
    let message = &found(&based(&lab))[0].message;
    assert!(message.contains("leads to the internet gateway through a middlebox"), "{message}");
}

#[test]
fn a_subnet_that_leads_through_a_middlebox_to_a_nat_gateway_is_no_trap() {
    let public = "[[route_table]]\nid = \"rtb-public\"\nvpc = \"vpc-a\"\nroutes = [{ destination = \"0.0.0.0/0\", target = \"igw-a\" }]\n\
                  [[subnet]]\nid = \"subnet-public\"\nvpc = \"vpc-a\"\navailability_zone = \"us-east-1a\"\ncidr = \"10.0.9.0/24\"\nroute_table = \"rtb-public\"\n";
    let lab = firewall(&route("0.0.0.0/0", "nat"))
        + &main_table(&route("0.0.0.0/0", "eni-fw"))
        + public
        + &nat_gateway("subnet-public")
        + CONNECTOR;
    check(&[], &lab);
}

#[test]
fn an_internet_gateway_route_that_never_wins_makes_no_public_subnet() {
    let list = "[[prefix_list]]\nid = \"pl\"\nentries = [\"192.0.2.0/24\"]\n";
    let shadowed = route("pl", "igw-a") + &route("192.0.2.0/24", "blackhole");
    let lab = format!("{list}{}{CONNECTOR}", main_table(&shadowed));
    check(&[("route-to-nothing", "\"blackhole\"")], &lab);
}

#[test]
fn public_addresses_are_of_use_behind_a_middlebox() {
    let service = "[[service]]\nname = \"edge\"\nkind = \"fargate\"\nsubnets = [\"subnet-a\", \"subnet-a2\"]\n\
                   assign_public_ip = true\n";
    let lab = |beyond: &str| {
        firewall(&route("0.0.0.0/0", beyond)) + &main_table(&route("0.0.0.0/0", "eni-fw")) + service
    };
    check(&[], &lab("igw-a"));
    let nothing = [("route-to-nothing", "\"blackhole\""), ("public-address-without-way", "true")];
    check(&nothing, &lab("blackhole"));
}

#[test]
fn a_nat_gateway_has_no_way_out_by_a_middlebox_that_leads_elsewhere_out() {
    let lab = |beyond: &str| {
        firewall(&route(beyond, "igw-a"))
            + &main_table(&route("192.0.2.0/24", "eni-fw"))
            + &nat_gateway("subnet-a")
    };
    check(&[("nat-gateway-without-way-out", "\"nat\"")], &lab("203.0.113.0/24"));
    check(&[], &lab("192.0.2.128/25"));
}

#[test]
fn a_nat_gateway_led_to_a_nat_gateway_by_a_middlebox_has_no_way_out() {
    let lab = firewall(&route("0.0.0.0/0", "nat"))
        + &main_table(&route("0.0.0.0/0", "eni-fw"))
        + &nat_gateway("subnet-a");
    check(&[("nat-gateway-without-way-out", "\"nat\"")], &lab);
    let message = &found(&based(&lab))[0].message;
    let expected = "its subnet \"subnet-a\" leads 0.0.0.0/0 to NAT gateway \"nat\"";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_private_nat_gateway_leads_to_a_peer_through_a_middlebox() {
    let private = |beyond: &str, back: &str| {
        let table = "[[route_table]]\nid = \"rtb-b\"\nvpc = \"vpc-b\"\nmain = true\nroutes = ";
        let user = "[[route_table]]\nid = \"rtb-user\"\nvpc = \"vpc-a\"\nroutes = ";
        firewall(&route(beyond, "pcx"))
            + &main_table(&route("0.0.0.0/0", "eni-fw"))
            + PEERING
            + &private_nat_gateway("subnet-a")
            + &format!("{user}[{}]\n{table}[{}]\n", route("0.0.0.0/0", "nat"), route(back, "pcx"))
    };
    check(&[], &private("10.1.0.0/16", "10.0.1.0/24"));
    let outside = [
        ("route-to-nothing", "\"pcx\""),
        ("route-to-nothing", "\"nat\""),
        // No route leads to the other VPC, and none leads replies to it.
        ("no-route-back", "\"pcx\""),
    ];
    check(&outside, &private("192.0.2.0/24", "10.0.1.0/24"));
}

#[test]
fn replies_return_to_the_subnets_that_use_the_route_and_not_to_some_address_of_the_vpc() {
    let lab = |back: &str| {
        let table = "[[route_table]]\nid = \"rtb-b\"\nvpc = \"vpc-b\"\nmain = true\nroutes = ";
        main_table(&route("10.1.0.0/16", "pcx")) + PEERING + &format!("{table}[{back}]\n")
    };
    let missing = [("no-route-back", "\"pcx\"")];
    check(&[], &lab(&route("10.0.0.0/16", "pcx")));
    check(&[], &lab(&route("10.0.2.0/24", "pcx")));
    check(&missing, &(lab(&route("10.0.2.0/24", "pcx")) + CONNECTOR));
    check(&[], &(lab(&(route("10.0.1.0/24", "pcx") + &route("10.0.2.0/24", "pcx"))) + CONNECTOR));
    check(&missing, &lab(&route("10.0.7.0/24", "pcx")));
    let blackholes = route("10.0.0.0/16", "pcx")
        + &route("10.0.1.0/24", "blackhole")
        + &route("10.0.2.0/24", "blackhole");
    let removed = ("route-to-nothing", "\"blackhole\"");
    check(&[missing[0], removed, removed], &lab(&blackholes));
}

/// Returns a peer with two blocks, each with a subnet and a table.
fn two_blocks(back: &str, more: &str) -> String {
    let peer = format!(
        r#"
[[route_table]]
id = "rtb-b"
vpc = "vpc-b"
main = true
routes = [{{ destination = "10.0.0.0/16", target = "pcx" }}]
[[route_table]]
id = "rtb-b2"
vpc = "vpc-b"
routes = [{back}]
[[subnet]]
id = "subnet-b2"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.2.1.0/24"
route_table = "rtb-b2"
{more}"#
    );
    let routes = route("10.1.0.0/16", "pcx") + &route("10.2.0.0/16", "pcx");
    let lab = based(&(main_table(&routes) + PEERING + CONNECTOR + &peer));
    lab.replace("cidr = \"10.1.0.0/16\"", "cidr = [\"10.1.0.0/16\", \"10.2.0.0/16\"]")
}

#[test]
fn a_subnet_of_the_peers_second_block_without_a_route_back_is_named() {
    assert_eq!(super::lints::warnings(&two_blocks(&route("10.0.0.0/16", "pcx"), "")), []);
    let half = found(&two_blocks(&route("10.0.2.0/24", "pcx"), ""));
    assert_eq!(half.iter().map(|d| d.rule).collect::<Vec<_>>(), ["no-route-back"]);
    let message = &half[0].message;
    assert!(
        message.starts_with("subnet \"subnet-b2\" of \"vpc-b\" has no route back to 10.0.1.0/24")
    );
    assert!(half[0].help.ends_with("to route table \"rtb-b2\""), "{}", half[0].help);
    let none = found(&two_blocks("", ""));
    assert!(none[0].message.starts_with("no subnet there"), "{}", none[0].message);
}

#[test]
fn a_subnet_in_which_nothing_replies_needs_no_route_back() {
    let resource = "[[resource]]\nname = \"db\"\naddress = ";
    let first = format!("{resource}\"10.1.1.20\"\nsubnet = \"subnet-b\"\n");
    assert_eq!(found(&two_blocks("", "")).len(), 1);
    let both = route("10.1.0.0/16", "pcx");
    assert!(both.contains("pcx"));
    let of_both = |text: &str| {
        text.replace(&route("10.2.0.0/16", "pcx"), "").replace(&both, &route("10.0.0.0/8", "pcx"))
    };
    assert_eq!(found(&of_both(&two_blocks("", &first))).len(), 0);
    let second = format!("{resource}\"10.2.1.20\"\nsubnet = \"subnet-b2\"\n");
    assert_eq!(found(&of_both(&two_blocks("", &second))).len(), 1);
}

#[test]
fn replies_return_through_a_middlebox_of_the_peer() {
    let peer = r#"
[[route_table]]
id = "rtb-b"
vpc = "vpc-b"
main = true
routes = [{ destination = "10.0.0.0/16", target = "eni-b" }]
[[route_table]]
id = "rtb-fw-b"
vpc = "vpc-b"
routes = [{ destination = "10.0.0.0/16", target = "pcx" }]
[[subnet]]
id = "subnet-fw-b"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.200.0/24"
route_table = "rtb-fw-b"
[[resource]]
name = "firewall-b"
subnet = "subnet-fw-b"
address = "10.1.200.10"
network_interface = "eni-b"
source_dest_check = false
"#;
    check(&[], &(main_table(&route("10.1.1.0/24", "pcx")) + PEERING + peer));
}

#[test]
fn a_middlebox_in_the_subnet_that_the_route_is_for_delivers_there_itself() {
    // The firewall's subnet uses the table too, and looks up no route for its own addresses.
    let table = "[[route_table]]\nid = \"rtb\"\nvpc = \"vpc-a\"\nroutes = ";
    let of = |to: &str| format!("{table}[{}]\n", route(to, "eni-fw"));
    let lab = |to: &str| firewall("").replacen("\"rtb-fw\"\n[[", "\"rtb\"\n[[", 1) + &of(to);
    check(&[("middlebox-in-destination-subnet", "\"eni-fw\"")], &lab("10.0.200.0/24"));
    check(&[("middlebox-in-same-subnet", "\"eni-fw\"")], &lab("192.0.2.0/24"));
}

#[test]
fn middleboxes_that_lead_to_each_other() {
    let other = r#"
[[route_table]]
id = "rtb-other"
vpc = "vpc-a"
routes = [{ destination = "192.0.2.0/24", target = "eni-fw" }]
[[subnet]]
id = "subnet-other"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.201.0/24"
route_table = "rtb-other"
[[resource]]
name = "other"
subnet = "subnet-other"
address = "10.0.201.10"
network_interface = "eni-other"
source_dest_check = false
"#;
    let to = |target: &str| ("route-to-nothing", format!("\"{target}\""));
    let lab = based(&(firewall(&route("192.0.2.0/24", "eni-other")) + other));
    assert_eq!(super::lints::warnings(&lab), [to("eni-other"), to("eni-fw")]);
    assert!(found(&lab)[0].message.contains("come back to a subnet"));
}

#[test]
fn a_route_to_a_nat_gateway_that_leads_only_elsewhere() {
    let lab = |to: &str| {
        let table = "[[route_table]]\nid = \"rtb\"\nvpc = \"vpc-a\"\nroutes = ";
        main_table(&route("203.0.113.0/24", "igw-a"))
            + &nat_gateway("subnet-a")
            + &format!("{table}[{}]\n", route(to, "nat"))
    };
    check(&[], &lab("0.0.0.0/0"));
    check(&[], &lab("203.0.113.128/25"));
    check(&[("route-to-nothing", "\"nat\"")], &lab("192.0.2.0/24"));
}

#[test]
fn a_route_within_the_vpc_to_a_nat_gateway_whose_own_subnet_has_the_same_route() {
    let routes = route("0.0.0.0/0", "igw-a") + &route("10.0.2.0/24", "nat");
    let lab = main_table(&routes) + &nat_gateway("subnet-a");
    check(&[("route-to-nothing", "\"nat\"")], &lab);
    let message = &found(&based(&lab))[0].message;
    assert!(message.contains("leads to a NAT gateway again"), "{message}");
}

#[test]
fn an_internet_gateway_route_for_a_list_of_private_blocks() {
    let list = |entries: &str| {
        format!("[[prefix_list]]\nid = \"pl\"\nentries = [{entries}]\n")
            + &main_table(&route("pl", "igw-a"))
    };
    let private = "\"192.168.0.0/16\", \"172.16.0.0/12\"";
    check(&[("route-to-nothing", "\"igw-a\"")], &list(private));
    check(&[], &list(&format!("{private}, \"192.0.2.0/24\"")));
}

#[test]
fn a_connector_uses_a_gateway_endpoint_behind_a_nat_gateway() {
    let lab = |to: &str| {
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
route_tables = ["rtb-public"]
[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{{ destination = "0.0.0.0/0", target = "igw-a" }}]
[[subnet]]
id = "subnet-public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.9.0/24"
route_table = "rtb-public"
[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{{ protocol = "tcp", ports = 443, to = "{to}" }}]
"#
        ) + &nat_gateway("subnet-public")
            + &main_table(&route("0.0.0.0/0", "nat"))
            + CONNECTOR
            + "security_groups = [\"sg\"]\n"
    };
    check(&[], &lab("pl"));
    check(&[("endpoint-not-allowed", "\"c\"")], &lab("203.0.113.0/24"));
}
