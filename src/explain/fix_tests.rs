//! Tests proposed changes in labs for which the obvious change is wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::Lab;
use crate::config::edit::{EditError, edited};
use crate::pipeline::reach::{Addresses, SetVerdict, Tasks};
use crate::vpc::Generation;

pub(super) fn ask(lab: &str, service: &str, destination: &str) -> Explained {
    let lab = Lab::parse("lab.toml", lab).unwrap();
    let snapshot = lab.lower(Generation(1));
    let asking = Asking {
        service: TaskRef::parse(service, &snapshot).unwrap().service,
        tasks: Tasks::Possible,
        addresses: Addresses::Open,
        pool: lab.task_cidr,
        destination,
        protocol: None,
        source_port: None,
    };
    super::ask(&snapshot, &asking, &mut || true).unwrap()
}

/// Returns a text unchanged, for a [`repair`] in which `ask` reads it.
pub(super) fn as_is(text: &str) -> Result<String, EditError> {
    Ok(text.to_owned())
}

/// Returns the object, the action and the rule.
pub(super) fn proposed(
    lab: &str,
    service: &str,
    destination: &str,
) -> Option<(String, String, String)> {
    let explained = ask(lab, service, destination);
    explained.fix().map(|fix| (fix.id.clone(), fix.action.clone(), fix.rule.clone()))
}

pub(super) fn some(id: &str, action: &str, rule: &str) -> Option<(String, String, String)> {
    Some((id.to_owned(), action.to_owned(), rule.to_owned()))
}

#[test]
fn a_prefix_list_that_an_endpoint_uses_is_the_peer_of_a_rule() {
    let lab = include_str!("cases/prefix-list.toml");
    let rule = r#"{ protocol = "tcp", ports = "443", to = "pl-s3" }"#;
    assert_eq!(proposed(lab, "app", "s3-layers:443"), some("sg-task", "add to egress", rule));
}

#[test]
fn a_table_is_added_to_an_endpoint_that_has_the_destination() {
    let lab = include_str!("cases/endpoint-not-in-table.toml");
    let expected = some("vpce-s3", "add to route_tables", "\"rtb-priv\"");
    assert_eq!(proposed(lab, "fn", "s3:443"), expected);
}

#[test]
fn a_connector_is_moved_before_a_table_is_changed_that_others_use() {
    let lab = include_str!("cases/neighbours.toml");
    let expected = some("wrong", "change", r#"subnets = ["priv-a"]"#);
    assert_eq!(proposed(lab, "new", "example"), expected);
}

/// The hint of `no-route` mentions a NAT gateway, which is not proposed here.
#[test]
fn the_text_says_what_the_proposed_change_does() {
    let text = |lab: &str, service: &str, destination: &str| {
        let mut text = Vec::new();
        ask(lab, service, destination).text(&mut text, &|line| line.to_string(), false).unwrap();
        String::from_utf8(text).unwrap()
    };
    let endpoint = text(include_str!("cases/endpoint-not-in-table.toml"), "fn", "s3:443");
    assert!(endpoint.contains("fix: Lead the route table of the subnet to the gateway endpoint"));
    assert!(!endpoint.contains("NAT gateway in a public subnet"), "{endpoint}");
    let moved = text(include_str!("cases/neighbours.toml"), "new", "example");
    assert!(
        moved.contains("fix: Move the connector to subnets whose route table leads to"),
        "{moved}"
    );
}

/// A VPC with two connectors' subnets, and a database.
const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"

[[subnet]]
id = "priv-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-a"

[[subnet]]
id = "priv-b"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-b"

[[subnet]]
id = "pub"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.3.0/24"
route_table = "rtb-pub"

[[route_table]]
id = "rtb-a"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-1" }]

[[route_table]]
id = "rtb-b"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-1" }]

[[route_table]]
id = "rtb-pub"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[nat_gateway]]
id = "nat-1"
subnet = "pub"

[[nat_gateway]]
id = "nat-2"
subnet = "pub"

[[security_group]]
id = "sg-web"
vpc = "vpc-a"

[[resource]]
name = "db"
subnet = "priv-b"
address = "10.0.2.10"

[[resource]]
name = "cache"
subnet = "priv-b"
address = "10.0.2.11"

[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["443/tcp"]

[[vpc_connector]]
name = "c"
subnets = ["priv-a"]
security_groups = ["sg-web"]

[[service]]
name = "web"
vpc_connector = "c"
"#;

pub(super) fn with(lab: &str, from: &str, to: &str) -> String {
    assert_eq!(lab.matches(from).count(), 1, "{from}");
    lab.replace(from, to)
}

/// Gives the group of `web` other rules.
fn with_egress(lab: &str, egress: &str) -> String {
    let group = "id = \"sg-web\"\nvpc = \"vpc-a\"\n";
    with(lab, group, &format!("{group}{egress}\n"))
}

pub(super) fn text(explained: &Explained) -> String {
    let mut text = Vec::new();
    explained.text(&mut text, &|line| format!("lab.toml:{line}"), false).unwrap();
    String::from_utf8(text).unwrap()
}

/// Without its implied rule, members of the group would no longer reach each other.
#[test]
fn the_section_of_an_implied_default_group_keeps_the_rules_that_it_implies() {
    let lab = LAB;
    let (id, action, section) = proposed(lab, "web", "db:5432").unwrap();
    assert_eq!((id.as_str(), action.as_str()), ("vpc-a/default", "add this section"));
    insta::assert_snapshot!(section);
    let fixed = ask(&(lab.to_owned() + &section), "web", "db:5432");
    assert_eq!(fixed.verdict(), SetVerdict::Forward);
    let members = with(lab, "security_groups = [\"sg-web\"]\n", "");
    for lab in [&members, &(members.clone() + &section)] {
        assert_eq!(ask(lab, "web", "cache:6379").verdict(), SetVerdict::Forward, "{lab}");
    }
}

#[test]
fn another_available_nat_gateway_is_proposed_for_a_failed_one() {
    let lab = with(LAB, "id = \"nat-1\"\n", "id = \"nat-1\"\nstate = \"failed\"\n");
    let rule = r#"{ destination = "0.0.0.0/0", target = "nat-2" }"#;
    assert_eq!(proposed(&lab, "web", "example"), some("rtb-a", "change the route", rule));
}

/// A peering connection, with a database in the second block of the other VPC.
const PEER: &str = r#"
[[vpc]]
id = "vpc-b"
cidr = ["10.1.0.0/16", "10.2.0.0/16"]

[[vpc_peering_connection]]
id = "pcx-1"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"

[[subnet]]
id = "peer"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.2.1.0/24"
route_table = "rtb-peer"

[[route_table]]
id = "rtb-peer"
vpc = "vpc-b"
routes = [{ destination = "10.0.0.0/16", target = "pcx-1" }]

[[security_group]]
id = "sg-peer"
vpc = "vpc-b"
ingress = [{ protocol = "tcp", ports = "5432", from = "10.0.0.0/16" }]

[[resource]]
name = "peer-db"
subnet = "peer"
address = "10.2.1.10"
security_groups = ["sg-peer"]
"#;

#[test]
fn a_route_to_the_second_block_of_a_peer_is_proposed() {
    let to_peer = r#"{ destination = "10.1.0.0/16", target = "pcx-1" }"#;
    let table = "id = \"rtb-a\"\nvpc = \"vpc-a\"\nroutes = [";
    let rule = r#"{ destination = "10.2.0.0/16", target = "pcx-1" }"#;
    let to_nat = r#"{ destination = "0.0.0.0/0", target = "nat-1" }"#;
    for others in [to_peer.to_owned(), format!("{to_peer}, {to_nat}")] {
        let lab = with(LAB, &format!("{table}{to_nat}"), &format!("{table}{others}")) + PEER;
        let found = proposed(&lab, "web", "peer-db:5432");
        assert_eq!(found, some("rtb-a", "add to routes", rule), "{others}");
    }
}

#[test]
fn a_stale_prefix_list_gets_an_entry() {
    let lists = "[[prefix_list]]\nid = \"pl-offices\"\nentries = [\"198.51.100.0/24\"]\n";
    let egress = "egress = [{ protocol = \"tcp\", ports = \"443\", to = \"pl-offices\" }]";
    let lab = with_egress(LAB, egress) + lists;
    let expected = some("pl-offices", "add to entries", "\"203.0.113.10/32\"");
    assert_eq!(proposed(&lab, "web", "example"), expected);
}

/// The ENIs of Fargate tasks keep the task's port, which may be any from 1 on.
#[test]
fn replies_to_all_ports_of_a_fargate_task_are_allowed() {
    let acl = r#"
[[network_acl]]
id = "acl"
vpc = "vpc-a"
egress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]
[[service]]
name = "task"
kind = "fargate"
subnets = ["priv-a"]
security_groups = ["sg-web"]
"#;
    let subnet = "cidr = \"10.0.1.0/24\"\n";
    let lab = with(LAB, subnet, &format!("{subnet}network_acl = \"acl\"\n")) + acl;
    let rules = |service| proposed(&lab, service, "example").unwrap().2;
    assert!(rules("web").contains("ports = \"1024-65535\""), "{}", rules("web"));
    assert!(rules("task").contains("ports = \"1-65535\""), "{}", rules("task"));
}

#[test]
fn several_ports_are_a_rule_each() {
    let rules = "{ protocol = \"tcp\", ports = \"443\", to = \"203.0.113.10/32\" },\n\
                 { protocol = \"tcp\", ports = \"8443\", to = \"203.0.113.10/32\" }";
    let expected = some("sg-web", "add to egress", rules);
    assert_eq!(proposed(&with_egress(LAB, "egress = []"), "web", "example:443,8443"), expected);
}

/// The connector is in the subnet of the NAT gateway, whose table is the only one that leads on.
#[test]
fn nothing_is_proposed_that_cuts_the_nat_gateway_off() {
    let lab = with(LAB, "subnets = [\"priv-a\"]", "subnets = [\"pub\"]");
    let lab = lab.replace("target = \"nat-1\"", "target = \"igw-a\"");
    let explained = ask(&lab, "web", "example");
    assert_eq!((explained.verdict(), explained.fix()), (SetVerdict::Drop, None));
    let text = text(&explained);
    assert!(!text.contains("of rtb-pub"), "{text}");
    let json = serde_json::to_value(explained.explanation()).unwrap();
    assert_eq!(json["fix"], serde_json::Value::Null);
}

/// The service `other` reaches what the service `web` does not: by the route that would have to be
/// changed.
#[test]
fn a_change_that_takes_packets_from_another_service_is_not_proposed() {
    let lab = with(
        LAB,
        "connector = \"c\"\n",
        "connector = \"c\"\n\n[[service]]\nname = \"other\"\nkind = \"fargate\"\nsubnets = [\"pub\"]\nsecurity_groups = [\"sg-web\"]\nassign_public_ip = true\n",
    );
    let lab = with(&lab, "subnets = [\"priv-a\"]", "subnets = [\"pub\"]");
    let lab = lab.replace("target = \"nat-1\"", "target = \"igw-a\"");
    let nat = "[[subnet]]\nid = \"pub-2\"\nvpc = \"vpc-a\"\navailability_zone = \"us-east-1a\"\ncidr = \"10.0.4.0/24\"\nroute_table = \"rtb-a\"\n[[nat_gateway]]\nid = \"nat-3\"\nsubnet = \"pub-2\"\n";
    let explained = ask(&(lab + nat), "web", "example");
    assert_eq!((explained.verdict(), explained.fix()), (SetVerdict::Drop, None));
    let text = text(&explained);
    let why = "     no change is proposed: those tried take packets from a service\n";
    assert!(text.ends_with(why), "{text}");
}

#[test]
fn the_check_that_comes_next_is_named() {
    let explained = ask(&with_egress(LAB, "egress = []"), "web", "db:5432");
    assert_eq!(explained.fix().unwrap().next, Some("sg-ingress-implicit-deny"));
    let json = serde_json::to_value(explained.explanation()).unwrap();
    assert_eq!(json["fix"]["next"], "sg-ingress-implicit-deny");
    assert_eq!(json["fix"]["verified"], true);
    let text = text(&explained);
    assert!(text.ends_with("the next check drops them: sg-ingress-implicit-deny\n"), "{text}");
}

/// Returns a lab with a VPC in which the list of a gateway endpoint has the address of `example`.
fn with_endpoint(lab: &str, tables: &str) -> String {
    let endpoint = r#"
[[prefix_list]]
id = "pl-example"
entries = ["203.0.113.0/24"]

[[vpc_endpoint]]
id = "vpce-example"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl-example"
route_tables = "#;
    format!("{lab}{endpoint}{tables}\n")
}

#[test]
fn an_endpoint_comes_before_a_nat_gateway_and_a_nat_gateway_before_a_move() {
    let route = "routes = [{ destination = \"0.0.0.0/0\", target = \"nat-1\" }]\n";
    let table = |id: &str| format!("id = \"{id}\"\nvpc = \"vpc-a\"\n");
    let lab = with(LAB, &format!("{}{route}", table("rtb-a")), &table("rtb-a"));
    let to_nat = r#"{ destination = "0.0.0.0/0", target = "nat-1" }"#;
    assert_eq!(proposed(&lab, "web", "example"), some("rtb-a", "add to routes", to_nat));
    let expected = some("vpce-example", "add to route_tables", "\"rtb-a\"");
    assert_eq!(proposed(&with_endpoint(&lab, "[]"), "web", "example"), expected);
    // Another connector uses the table too.
    let other = "\n[[vpc_connector]]\nname = \"other\"\nsubnets = [\"priv-a\"]\nsecurity_groups = [\"sg-web\"]\n";
    let expected = some("c", "change", r#"subnets = ["priv-b"]"#);
    assert_eq!(proposed(&format!("{lab}{other}"), "web", "example"), expected);
}

#[test]
fn a_list_that_holds_the_address_comes_before_a_block() {
    let closed = with_egress(LAB, "egress = []");
    let rule = |to: &str| format!("{{ protocol = \"tcp\", ports = \"443\", to = \"{to}\" }}");
    let list = "\n[[prefix_list]]\nid = \"pl-unused\"\nentries = [\"203.0.113.0/24\"]\n";
    for (lab, to) in [
        (closed.clone(), "203.0.113.10/32"),
        (with_endpoint(&closed, "[\"rtb-a\"]"), "pl-example"),
        (format!("{closed}{list}"), "pl-unused"),
    ] {
        let expected = some("sg-web", "add to egress", &rule(to));
        assert_eq!(proposed(&lab, "web", "example"), expected);
    }
}

#[test]
fn a_group_comes_before_a_block() {
    let group = "\n[[security_group]]\nid = \"sg-db\"\nvpc = \"vpc-a\"\n";
    let address = "address = \"10.0.2.10\"\n";
    let lab = with(LAB, address, &format!("{address}security_groups = [\"sg-db\"]\n")) + group;
    let closed = with_egress(&lab, "egress = []");
    let rule = |key: &str, group: &str| {
        format!("{{ protocol = \"tcp\", ports = \"5432\", {key} = \"{group}\" }}")
    };
    let expected = some("sg-web", "add to egress", &rule("to", "sg-db"));
    assert_eq!(proposed(&closed, "web", "db:5432"), expected);
    let expected = some("sg-db", "add to ingress", &rule("from", "sg-web"));
    assert_eq!(proposed(&lab, "web", "db:5432"), expected);
}

/// The subnet has no table of its own, and the VPC no main table in the file.
#[test]
fn an_implied_main_table_is_written_as_a_section() {
    let lab =
        with(LAB, "cidr = \"10.0.1.0/24\"\nroute_table = \"rtb-a\"\n", "cidr = \"10.0.1.0/24\"\n");
    let section = "[[route_table]]\nid = \"vpc-a-main\"\nvpc = \"vpc-a\"\nmain = true\n\
                   routes = [{ destination = \"0.0.0.0/0\", target = \"nat-1\" }]";
    assert_eq!(proposed(&lab, "web", "example"), some("vpc-a/main", "add this section", section));
    let said = text(&ask(&lab, "web", "example"));
    assert!(said.contains("     add this section, which the lab file implies so far:\n"), "{said}");
    assert_eq!(verdict_with_fix(&lab, "web", "example"), SetVerdict::Forward);
    // For an endpoint, the section has its route.
    let lab = with_endpoint(&lab, "[]");
    let (id, _, section) = proposed(&lab, "web", "example").unwrap();
    assert_eq!(id, "vpc-a/main");
    let route = r#"routes = [{ destination = "pl-example", target = "vpce-example" }]"#;
    assert!(section.ends_with(route), "{section}");
    assert_eq!(verdict_with_fix(&lab, "web", "example"), SetVerdict::Forward);
}

/// Returns the verdict in the lab file with the change that is proposed for it.
fn verdict_with_fix(lab: &str, service: &str, destination: &str) -> SetVerdict {
    let fix = ask(lab, service, destination).fix().unwrap().clone();
    ask(&edited(lab, &fix.edits).unwrap(), service, destination).verdict()
}

/// The endpoint's interfaces have the implied default group, which admits its own members and no
/// other sender.
#[test]
fn the_group_of_an_endpoint_that_hides_a_host_is_opened() {
    let lab = include_str!("cases/endpoint-shadows-host.toml");
    let (id, _, section) = proposed(lab, "fn", SECRETS).unwrap();
    assert_eq!(id, "vpc-a/default");
    assert!(
        section.contains(r#"{ protocol = "tcp", ports = "443", from = "sg-fn" },"#),
        "{section}"
    );
    assert!(section.contains(r#"{ protocol = "all", from = "vpc-a-default" },"#), "{section}");
    assert_eq!(verdict_with_fix(lab, "fn", SECRETS), SetVerdict::Forward);
}

#[test]
fn the_labs_that_once_had_wrong_answers_are_repaired() {
    for (lab, service, destination, changes) in [
        (include_str!("cases/endpoint-not-in-table.toml"), "fn", "s3:443", 1),
        (include_str!("cases/endpoint-shadows-host.toml"), "fn", SECRETS, 1),
        (include_str!("cases/nat-second-address.toml"), "web", "db:5432", 1),
        (include_str!("cases/neighbours.toml"), "new", "example", 1),
        (include_str!("cases/prefix-list.toml"), "app", "s3-layers:443", 1),
        (include_str!("cases/reply-ports-eni.toml"), "web", "db:5432", 1),
        (include_str!("cases/reply-ports-nat.toml"), "web", "api:443", 1),
        (include_str!("cases/subnets-differ.toml"), "web", "db:5432", 2),
        (include_str!("cases/two-groups.toml"), "web", "db:5432", 2),
    ] {
        let mut asked = |text: &String| Ok::<_, EditError>(ask(text, service, destination));
        let repaired = repair(lab, &mut as_is, &mut asked).unwrap();
        let Repair::Text { text, fixes } = repaired else { unreachable!("{repaired:?}") };
        assert_eq!(fixes.len(), changes, "{destination}: {fixes:?}");
        assert_eq!(ask(&text, service, destination).verdict(), SetVerdict::Forward);
    }
}

const SECRETS: &str = "secretsmanager.us-east-1.amazonaws.com:443";

#[test]
fn a_lab_that_no_change_repairs_says_where_it_ends() {
    let mut asked = |text: &String| Ok::<_, EditError>(ask(text, "web", "api"));
    let lab = include_str!("cases/private-nat-igw.toml");
    let Repair::Unknown(why) = repair(lab, &mut as_is, &mut asked).unwrap() else { unreachable!() };
    assert!(why.starts_with("still DROP igw-private-nat with the change of acl-n: "), "{why}");
    let mut asked = |text: &String| Ok::<_, EditError>(ask(text, "web", "cache:6379"));
    let members = with(LAB, "security_groups = [\"sg-web\"]\n", "");
    assert!(matches!(repair(&members, &mut as_is, &mut asked).unwrap(), Repair::Nothing));
}

/// The file cannot name a group that it implies.
#[test]
fn an_implied_group_gets_its_section_where_another_groups_rule_names_it() {
    let closed = with_egress(LAB, "egress = []");
    let section = r#"
# add this section, which the file implies so far:
[[security_group]]
id = "vpc-a-default"
vpc = "vpc-a"
default = true
ingress = [{ protocol = "all", from = "vpc-a-default" }]
egress = [{ protocol = "all", to = "0.0.0.0/0" }]"#;
    let rule = r#"{ protocol = "tcp", ports = "5432", to = "vpc-a-default" }"#.to_owned() + section;
    assert_eq!(proposed(&closed, "web", "db:5432"), some("sg-web", "add to egress", &rule));
    let group = "\n[[security_group]]\nid = \"sg-db\"\nvpc = \"vpc-a\"\n";
    let address = "address = \"10.0.2.10\"\n";
    let lab = with(LAB, address, &format!("{address}security_groups = [\"sg-db\"]\n")) + group;
    let members = with(&lab, "security_groups = [\"sg-web\"]\n", "");
    let rule =
        r#"{ protocol = "tcp", ports = "5432", from = "vpc-a-default" }"#.to_owned() + section;
    assert_eq!(proposed(&members, "web", "db:5432"), some("sg-db", "add to ingress", &rule));
    for lab in [&closed, &members] {
        let mut asked = |text: &String| Ok::<_, EditError>(ask(text, "web", "db:5432"));
        assert!(matches!(repair(lab, &mut as_is, &mut asked).unwrap(), Repair::Text { .. }));
    }
}
