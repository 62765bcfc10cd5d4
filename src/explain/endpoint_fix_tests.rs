//! Tests endpoints that are proposed for VPCs without a route to the internet.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::fix_tests::{as_is, ask, proposed, some, text, with};
use super::*;
use crate::config::edit::{EditError, edited};
use crate::pipeline::reach::SetVerdict;

const SECRETS: &str = "secretsmanager.us-east-1.amazonaws.com";

/// A VPC whose only access is by endpoints: one for ECR, and none for Secrets Manager and S3.
const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
enable_dns_hostnames = true

[[subnet]]
id = "iso-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb"

[[subnet]]
id = "iso-a2"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb"

[[subnet]]
id = "iso-b"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.3.0/24"
route_table = "rtb"

[[route_table]]
id = "rtb"
vpc = "vpc-a"

[[security_group]]
id = "sg-fn"
vpc = "vpc-a"

[[security_group]]
id = "sg-other"
vpc = "vpc-a"

[[security_group]]
id = "sg-vpce"
vpc = "vpc-a"
ingress = [{ protocol = "tcp", ports = "443", from = "sg-fn" }]
egress = []

[[vpc_endpoint]]
id = "vpce-ecr"
vpc = "vpc-a"
kind = "interface"
service = "com.amazonaws.us-east-1.ecr.api"
subnets = ["iso-a"]
security_groups = ["sg-vpce"]
listen = ["443/tcp"]

[[internet_host]]
name = "secretsmanager.us-east-1.amazonaws.com"
address = "203.0.113.90"
listen = ["443/tcp"]

[[internet_host]]
name = "s3"
aliases = ["s3.us-east-1.amazonaws.com"]
address = "52.216.1.1"
listen = ["443/tcp"]

[[service]]
name = "fn"
kind = "lambda"
subnets = ["iso-a", "iso-a2", "iso-b"]
security_groups = ["sg-fn"]

[[service]]
name = "other"
kind = "lambda"
subnets = ["iso-a"]
security_groups = ["sg-other"]
"#;

/// Makes all changes until everything passes.
fn repaired(lab: &str, service: &str, destination: &str) -> (String, Vec<Fix>) {
    let mut asked = |text: &String| Ok::<_, EditError>(ask(text, service, destination));
    let repaired = repair(lab, &mut as_is, &mut asked).unwrap();
    let Repair::Text { text, fixes } = repaired else { unreachable!("{repaired:?}") };
    (text, fixes)
}

#[test]
fn a_missing_interface_endpoint_is_proposed_with_the_groups_of_the_others() {
    let (id, action, sections) = proposed(LAB, "fn", SECRETS).unwrap();
    assert_eq!((id.as_str(), action.as_str()), ("vpce-secretsmanager", "add to the lab file"));
    insta::assert_snapshot!(sections);
    let (patched, fixes) = repaired(LAB, "fn", SECRETS);
    assert_eq!(fixes.len(), 1);
    let explained = ask(&patched, "fn", SECRETS);
    assert_eq!(explained.verdict(), SetVerdict::Forward);
    let question = serde_json::to_string(&explained.explanation().question).unwrap();
    assert!(question.contains("10.0.1.") && question.contains("10.0.3."), "{question}");
    assert!(!question.contains("203.0.113.90"), "{question}");
}

/// The group of the others does not admit `other`, and is not changed for it.
#[test]
fn a_missing_interface_endpoint_gets_a_group_that_admits_the_connector() {
    let (_, _, sections) = proposed(LAB, "other", SECRETS).unwrap();
    insta::assert_snapshot!(sections);
    let (patched, _) = repaired(LAB, "other", SECRETS);
    assert_eq!(ask(&patched, "other", SECRETS).verdict(), SetVerdict::Forward);
}

#[test]
fn a_connector_of_the_implied_default_group_needs_no_group_to_be_named() {
    let lab = with(
        LAB,
        "subnets = [\"iso-a\"]\nsecurity_groups = [\"sg-other\"]\n",
        "subnets = [\"iso-a\"]\n",
    );
    let (_, _, sections) = proposed(&lab, "other", SECRETS).unwrap();
    assert!(sections.contains("from = \"10.0.0.0/16\""), "{sections}");
    let (patched, _) = repaired(&lab, "other", SECRETS);
    assert_eq!(ask(&patched, "other", SECRETS).verdict(), SetVerdict::Forward);
}

/// The connector's group lets packets out to the endpoints' group alone: it should not be opened
/// for the destination's public address.
#[test]
fn an_endpoint_is_proposed_before_a_rule_for_the_public_address() {
    let egress = "id = \"sg-fn\"\nvpc = \"vpc-a\"\n";
    let closed = with(LAB, egress, &format!("{egress}egress = []\n"));
    let to_endpoints = r#"egress = [{ protocol = "tcp", ports = "443", to = "sg-vpce" }]"#;
    let lab = with(LAB, egress, &format!("{egress}{to_endpoints}\n"));
    assert_eq!(proposed(&lab, "fn", SECRETS).unwrap().0, "vpce-secretsmanager");
    assert_eq!(repaired(&lab, "fn", SECRETS).1.len(), 1);
    let explained = ask(&closed, "fn", SECRETS);
    let fix = explained.fix().unwrap();
    assert_eq!((fix.id.as_str(), fix.next), ("vpce-secretsmanager", Some("sg-egress-no-rules")));
    let (_, fixes) = repaired(&closed, "fn", SECRETS);
    let rules: Vec<&str> = fixes.iter().skip(1).map(|fix| fix.rule.as_str()).collect();
    assert_eq!(rules, [r#"{ protocol = "tcp", ports = "443", to = "sg-vpce" }"#]);
}

#[test]
fn names_of_two_words_and_of_image_registries_are_understood() {
    let lab = with(LAB, "com.amazonaws.us-east-1.ecr.api", "com.amazonaws.us-east-1.logs");
    let cases = [
        ("api.ecr.us-east-1.amazonaws.com", "com.amazonaws.us-east-1.ecr.api"),
        ("123.dkr.ecr.us-east-1.amazonaws.com", "com.amazonaws.us-east-1.ecr.dkr"),
    ];
    for (name, service) in cases {
        let lab = with(&lab, SECRETS, name);
        let (_, _, sections) = proposed(&lab, "fn", name).unwrap();
        assert!(sections.contains(&format!("service = \"{service}\"")), "{sections}");
        assert_eq!(repaired(&lab, "fn", name).1.len(), 1);
    }
}

#[test]
fn the_vpc_gets_dns_hostnames_if_the_name_needs_them() {
    let lab = with(LAB, "enable_dns_hostnames = true\n", "");
    // Names of the other endpoint would lead elsewhere, unless it has none.
    assert_eq!(ask(&lab, "fn", SECRETS).fix(), None);
    let groups = "security_groups = [\"sg-vpce\"]\n";
    let without = with(&lab, groups, &format!("{groups}private_dns_enabled = false\n"));
    assert_eq!(repaired(&without, "fn", SECRETS).1.len(), 1);
    let gateway = r#"kind = "gateway"
service = "com.amazonaws.us-east-1.dynamodb"
prefix_list = "pl-ddb"
"#;
    let interface = r#"kind = "interface"
service = "com.amazonaws.us-east-1.ecr.api"
subnets = ["iso-a"]
security_groups = ["sg-vpce"]
listen = ["443/tcp"]
"#;
    let lab = with(&lab, interface, gateway)
        + "\n[[prefix_list]]\nid = \"pl-ddb\"\nentries = [\"52.94.0.0/22\"]\n";
    let explained = ask(&lab, "fn", SECRETS);
    let said = text(&explained);
    assert!(
        said.contains("fix: Give the VPC an interface endpoint for this service, and"),
        "{said}"
    );
    assert!(said.contains("     # and in [[vpc]] vpc-a: enable_dns_hostnames = true\n"), "{said}");
    let (patched, fixes) = repaired(&lab, "fn", SECRETS);
    assert_eq!(fixes.len(), 1);
    assert!(patched.contains("cidr = \"10.0.0.0/16\"\nenable_dns_hostnames = true\n"), "{patched}");
}

/// No endpoint is proposed if the VPC has a route to the internet, if the name is not AWS's, or if
/// it would hide others.
#[test]
fn no_endpoint_is_proposed_where_it_does_not_fit() {
    let lab = with(
        LAB,
        "cidr = \"10.0.0.0/16\"\n",
        "cidr = \"10.0.0.0/16\"\ninternet_gateway = \"igw\"\n",
    );
    let out = "\n[[route_table]]\nid = \"out\"\nvpc = \"vpc-a\"\nroutes = [{ destination = \"0.0.0.0/0\", target = \"igw\" }]\n";
    let below = "[[internet_host]]\nname = \"x.secretsmanager.us-east-1.amazonaws.com\"\naddress = \"203.0.113.91\"\n";
    for (lab, destination) in [
        (lab + out, SECRETS.to_owned()),
        (format!("{LAB}{below}"), SECRETS.to_owned()),
        (LAB.to_owned(), format!("{SECRETS}:80")),
        (LAB.to_owned(), "203.0.113.90:443".to_owned()),
        (LAB.replace(SECRETS, "secrets.example.com"), "secrets.example.com".to_owned()),
    ] {
        let explained = ask(&lab, "fn", &destination);
        assert_eq!(
            (explained.verdict(), explained.fix()),
            (SetVerdict::Drop, None),
            "{destination}"
        );
    }
}

/// A peered VPC with an object that has the name of a service.
const HUB: &str = r#"
[[vpc]]
id = "vpc-b"
cidr = "10.1.0.0/16"

[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"

[[subnet]]
id = "hub"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.0.0/24"
route_table = "rtb-hub"

[[route_table]]
id = "rtb-hub"
vpc = "vpc-b"
routes = [{ destination = "10.0.0.0/16", target = "pcx" }]

[[security_group]]
id = "sg-hub"
vpc = "vpc-b"
ingress = [{ protocol = "tcp", ports = "443", from = "10.0.0.0/16" }]

[[resource]]
name = "hub"
aliases = ["secretsmanager.us-east-1.amazonaws.com"]
public_dns_name = true
subnet = "hub"
address = "10.1.0.10"
security_groups = ["sg-hub"]
listen = ["443/tcp"]
"#;

/// The name leads to an address of a peered VPC, which `other` reaches and `fn` does not.
#[test]
fn an_endpoint_that_takes_a_name_from_another_service_is_not_proposed() {
    let table = "id = \"rtb\"\nvpc = \"vpc-a\"\n";
    let route = "routes = [{ destination = \"10.1.0.0/16\", target = \"pcx\" }]\n";
    let egress = "id = \"sg-fn\"\nvpc = \"vpc-a\"\n";
    let lab = with(LAB, table, &format!("{table}{route}")) + HUB;
    let lab = with(&lab, egress, &format!("{egress}egress = []\n"));
    let host = "[[internet_host]]\nname = \"secretsmanager.us-east-1.amazonaws.com\"\naddress = \"203.0.113.90\"\nlisten = [\"443/tcp\"]\n";
    let lab = with(&lab, host, "");
    assert_eq!(ask(&lab, "other", SECRETS).verdict(), SetVerdict::Forward);
    let rule = r#"{ protocol = "tcp", ports = "443", to = "sg-hub" }"#;
    assert_eq!(proposed(&lab, "fn", SECRETS), some("sg-fn", "add to egress", rule));
    let (patched, _) = repaired(&lab, "fn", SECRETS);
    assert_eq!(ask(&patched, "other", SECRETS).verdict(), SetVerdict::Forward);
}

#[test]
fn a_missing_gateway_endpoint_is_proposed_with_its_list() {
    let (id, action, sections) = proposed(LAB, "fn", "s3").unwrap();
    assert_eq!((id.as_str(), action.as_str()), ("vpce-s3", "add to the lab file"));
    insta::assert_snapshot!(sections);
    assert_eq!(repaired(LAB, "fn", "s3").1.len(), 1);
    let known = "\n[[prefix_list]]\nid = \"pl-s3\"\nentries = [\"52.216.0.0/15\"]\n";
    let (_, _, sections) = proposed(&format!("{LAB}{known}"), "fn", "52.216.1.1:443").unwrap();
    assert!(sections.contains("prefix_list = \"pl-s3\"") && !sections.contains("[[prefix_list]]"));
}

#[test]
fn an_implied_main_table_is_written_for_a_new_gateway_endpoint() {
    let lab = LAB.replace("route_table = \"rtb\"\n", "");
    let (_, _, sections) = proposed(&lab, "fn", "s3").unwrap();
    assert!(sections.contains("route_tables = [\"vpc-a-main\"]"), "{sections}");
    assert!(
        sections.ends_with("[[route_table]]\nid = \"vpc-a-main\"\nvpc = \"vpc-a\"\nmain = true"),
        "{sections}"
    );
    let (patched, _) = repaired(&lab, "fn", "s3");
    assert_eq!(edited(&lab, &ask(&lab, "fn", "s3").fix().unwrap().edits).unwrap(), patched);
}

#[test]
fn no_endpoint_is_proposed_where_a_middlebox_leads_out() {
    let through = |middlebox: &str, target: &str, destination: &str| {
        let routes = format!("{{ destination = \"{destination}\", target = \"{target}\" }}");
        format!(
            "{LAB}\n[[route_table]]\nid = \"rtb-out\"\nvpc = \"vpc-a\"\nroutes = [{routes}]\n{middlebox}"
        )
    };
    let appliance = r#"
[[resource]]
name = "firewall"
subnet = "iso-b"
address = "10.0.3.20"
network_interface = "eni-fw"
source_dest_check = false
"#;
    let endpoint = r#"
[[vpc_endpoint]]
id = "vpce-gwlb"
vpc = "vpc-a"
kind = "gateway-load-balancer"
service = "com.amazonaws.vpce.us-east-1.vpce-svc-1"
subnets = ["iso-b"]
"#;
    for (middlebox, target) in [(appliance, "eni-fw"), (endpoint, "vpce-gwlb")] {
        for destination in [SECRETS, "s3"] {
            let lab = through(middlebox, target, "0.0.0.0/0");
            assert_eq!(proposed(&lab, "fn", destination), None, "{target} {destination}");
            // Between subnets of the VPC, it has no route to the internet.
            let inside = through(middlebox, target, "10.0.2.0/24");
            let proposed = proposed(&inside, "fn", destination);
            assert!(proposed.is_some_and(|(id, ..)| id.starts_with("vpce-")), "{destination}");
        }
    }
}
