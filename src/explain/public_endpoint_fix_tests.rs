//! Tests changes that are proposed for packets to public endpoints of applications in a VPC.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::fix_tests::{as_is, ask, proposed, some, text, with};
use super::*;
use crate::config::edit::EditError;
use crate::pipeline::reach::SetVerdict;

const LAB: &str = include_str!("cases/public-endpoint.toml");

const API: &str = "203.0.113.50:443";

const GROUP: &str = "ingress = [{ protocol = \"tcp\", ports = \"443\", from = \"0.0.0.0/0\" }]";

const INGRESS: &str =
    "ingress = [{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]";

const EGRESS: &str =
    "egress = [{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]";

const ROUTES: &str = "routes = [{ destination = \"0.0.0.0/0\", target = \"igw-api\" }]";

/// Returns a lab whose group admits no sender.
fn closed() -> String {
    with(LAB, GROUP, "ingress = []")
}

/// Applies proposed changes until all packets pass, and returns their number.
fn repaired(lab: &str, service: &str) -> usize {
    let mut asked = |text: &String| Ok::<_, EditError>(ask(text, service, API));
    let repaired = repair(lab, &mut |text: &str| as_is(text), &mut asked).unwrap();
    let Repair::Text { text, fixes } = repaired else { unreachable!("{repaired:?}") };
    assert_eq!(ask(&text, service, API).verdict(), SetVerdict::Forward, "{text}");
    fixes.len()
}

#[test]
fn a_group_of_a_public_endpoint_gets_a_rule_from_the_elastic_ip() {
    let rule = r#"{ protocol = "tcp", ports = "443", from = "198.51.100.7/32" }"#;
    let of_private = r#"ingress = [{ protocol = "tcp", ports = "443", from = "10.0.0.0/8" }]"#;
    for (lab, reason) in [
        (closed(), "sg-ingress-no-rules"),
        (with(LAB, GROUP, of_private), "sg-ingress-implicit-deny"),
        (
            with(LAB, GROUP, &of_private.replace("10.0.0.0/8", "192.0.2.0/24")),
            "sg-ingress-implicit-deny",
        ),
    ] {
        let shown = text(&ask(&lab, "web", API));
        assert!(shown.contains(reason), "{shown}");
        assert!(
            shown.contains("fix: Add an ingress rule from the sender's public address"),
            "{shown}"
        );
        assert_eq!(proposed(&lab, "web", API), some("sg-api", "add to ingress", rule));
        assert_eq!(repaired(&lab, "web"), 1);
    }
}

#[test]
fn a_group_of_a_public_endpoint_gets_a_rule_for_each_address_that_packets_may_take() {
    let given = "public_ip = \"198.51.100.7\"";
    let more = [8, 10, 12, 14, 16].map(|last| format!("\"198.51.100.{last}\""));
    let lab =
        with(&closed(), given, &format!("{given}\nsecondary_public_ips = [{}]", more.join(", ")));
    let (_, _, rules) = proposed(&lab, "web", API).unwrap();
    assert_eq!(rules.lines().count(), 6, "{rules}");
    assert!(rules.contains("198.51.100.7/32") && rules.contains("198.51.100.16/32"), "{rules}");
    assert_eq!(repaired(&lab, "web"), 1);
    // The primary address is admitted already.
    let lab = with(&lab, "ingress = []", &GROUP.replace("0.0.0.0/0", "198.51.100.7/32"));
    let (_, _, rules) = proposed(&lab, "web", API).unwrap();
    assert_eq!(rules.lines().count(), 5, "{rules}");
}

#[test]
fn a_group_of_a_public_endpoint_gets_a_rule_from_app_runner_own_address() {
    let rule = r#"{ protocol = "tcp", ports = "443", from = "198.51.100.99/32" }"#;
    assert_eq!(proposed(&closed(), "open", API), some("sg-api", "add to ingress", rule));
    assert_eq!(repaired(&closed(), "open"), 1);
}

#[test]
fn an_address_that_egret_chose_is_in_no_rule() {
    let nat = with(&closed(), "public_ip = \"198.51.100.7\"\n", "");
    let own = with(&closed(), "apprunner_public_ip = \"198.51.100.99\"\n", "");
    let task = with(
        &closed(),
        "name = \"web\"\nvpc_connector = \"conn\"\n",
        "name = \"web\"\nkind = \"fargate\"\nassign_public_ip = true\nsubnets = [\"app-public\"]\n",
    );
    for (lab, service, why) in [
        (nat, "web", "the NAT gateway's Elastic IP (public_ip)"),
        (own, "open", "App Runner's public address (apprunner_public_ip)"),
        (task, "web", "a new public address for each task"),
    ] {
        assert_eq!(proposed(&lab, service, API), None);
        let shown = text(&ask(&lab, service, API)).replace("\n     ", " ");
        assert!(shown.contains("no change is proposed:") && shown.contains(why), "{shown}");
    }
}

#[test]
fn an_acl_of_a_public_endpoint_gets_rules_for_requests_and_replies() {
    let rule = |number: u16, ports: &str, cidr: &str| {
        format!(
            "{{ rule = {number}, action = \"allow\", protocol = \"tcp\", ports = \"{ports}\", cidr = \"{cidr}\" }}"
        )
    };
    for (service, address) in [("web", "198.51.100.7/32"), ("open", "198.51.100.99/32")] {
        let lab = with(LAB, INGRESS, "ingress = []");
        let found = proposed(&lab, service, API);
        assert_eq!(found, some("acl-api", "add to ingress", &rule(100, "443", address)));
        let denied = with(LAB, INGRESS, &INGRESS.replace("allow", "deny"));
        let found = proposed(&denied, service, API);
        assert_eq!(found, some("acl-api", "add to ingress", &rule(50, "443", address)));
        let lab = with(LAB, EGRESS, "egress = []");
        let found = proposed(&lab, service, API);
        assert_eq!(found, some("acl-api", "add to egress", &rule(100, "1024-65535", "0.0.0.0/0")));
        let denied = with(LAB, EGRESS, &EGRESS.replace("allow", "deny"));
        let found = proposed(&denied, service, API);
        assert_eq!(found, some("acl-api", "add to egress", &rule(50, "1024-65535", address)));
        for lab in [lab, denied] {
            assert_eq!(repaired(&lab, service), 1);
        }
    }
}

#[test]
fn an_acl_that_names_no_sender_admits_any_sender_whose_address_egret_chose() {
    let lab = with(LAB, "public_ip = \"198.51.100.7\"\n", "");
    let (_, _, rule) = proposed(&with(&lab, INGRESS, "ingress = []"), "web", API).unwrap();
    assert!(rule.contains("cidr = \"0.0.0.0/0\""), "{rule}");
    let denied = with(&lab, INGRESS, &INGRESS.replace("allow", "deny"));
    assert_eq!(proposed(&denied, "web", API), None);
    let shown = text(&ask(&denied, "web", API)).replace("\n     ", " ");
    assert!(shown.contains("the NAT gateway's Elastic IP (public_ip)"), "{shown}");
}

#[test]
fn a_table_of_a_public_endpoint_gets_a_route_for_replies() {
    let route = r#"{ destination = "0.0.0.0/0", target = "igw-api" }"#;
    for service in ["web", "open"] {
        let lab = with(LAB, ROUTES, "");
        assert_eq!(proposed(&lab, service, API), some("rtb-api", "add to routes", route));
        assert_eq!(repaired(&lab, service), 1);
        let dead = with(LAB, ROUTES, &ROUTES.replace("igw-api", "blackhole"));
        assert_eq!(proposed(&dead, service, API), some("rtb-api", "change the route", route));
    }
}

/// The subnet of the public endpoint is that of another connector, which leaves by a NAT gateway.
const SHARED: &str = r#"
[[subnet]]
id = "api-public"
vpc = "vpc-api"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-api-public"

[[route_table]]
id = "rtb-api-public"
vpc = "vpc-api"
routes = [{ destination = "0.0.0.0/0", target = "igw-api" }]

[[nat_gateway]]
id = "nat-api"
subnet = "api-public"
public_ip = "198.51.100.20"

[[vpc_connector]]
name = "api-conn"
subnets = ["api"]

[[service]]
name = "other"
vpc_connector = "api-conn"
"#;

#[test]
fn a_route_that_others_need_stays_and_the_sender_gets_its_own() {
    let lab = with(LAB, ROUTES, &ROUTES.replace("igw-api", "nat-api")) + SHARED;
    let route = r#"{ destination = "198.51.100.7/32", target = "igw-api" }"#;
    assert_eq!(proposed(&lab, "web", API), some("rtb-api", "add to routes", route));
    assert_eq!(repaired(&lab, "web"), 1);
}

/// Replies of a public endpoint go to services of other VPCs and to those outside of all.
#[test]
fn regression_a_route_does_not_take_replies_from_services_elsewhere() {
    let lab = LAB.to_owned() + SHARED;
    let example = "192.0.2.9:443";
    let shown = text(&ask(&lab, "other", example));
    assert!(shown.contains("igw-no-public-address"), "{shown}");
    assert!(shown.contains("those tried take packets from a service"), "{shown}");
    assert_eq!(proposed(&lab, "other", example), None);
    let alone = with(&lab, "public_ip = \"203.0.113.50\"\n", "");
    let route = r#"{ destination = "0.0.0.0/0", target = "nat-api" }"#;
    let found = proposed(&alone, "other", example);
    assert_eq!(found, some("rtb-api", "change the route", route));
}
