//! Tests of states and plans as Terraform shows them.

mod bad;
mod open;
mod parts;
mod plan;
mod public_addresses;
mod state;

use super::import;
use crate::config::import::{
    Account, FindingKind, Findings, ImportErrors, Options, RouteTable, SecurityGroup,
};
use serde_json::{Value, json};

/// Makes one resource: its type, name, index and mode are in its address.
fn resource(address: &str, values: Value) -> Value {
    let last = address.rsplit_once("].").map_or(address, |(_, last)| last);
    let last = match last.find("aws_") {
        Some(at) => &last[at..],
        None => last,
    };
    let (kind, rest) = last.split_once('.').unwrap();
    let (name, index) = match rest.split_once('[') {
        Some((name, index)) => (name, serde_json::from_str(index.trim_end_matches(']')).unwrap()),
        None => (rest, Value::Null),
    };
    let mode = if address.contains("data.aws_") { "data" } else { "managed" };
    json!({
        "address": address, "mode": mode, "type": kind, "name": name, "index": index,
        "provider_name": "registry.terraform.io/hashicorp/aws", "schema_version": 1,
        "values": values, "sensitive_values": {}
    })
}

fn state(resources: &[Value]) -> Value {
    json!({
        "format_version": "1.0", "terraform_version": "1.11.4",
        "values": { "outputs": {}, "root_module": { "resources": resources } }
    })
}

fn read(document: &Value) -> Result<(Account, Findings), ImportErrors> {
    import(&document.to_string(), "state.json", &Options::default())
}

#[track_caller]
fn account(document: &Value) -> (Account, Findings) {
    read(document).unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn clean(document: &Value) -> Account {
    let (account, findings) = account(document);
    assert_eq!(lines(&findings), Vec::<String>::new());
    account
}

fn lines(findings: &Findings) -> Vec<String> {
    findings
        .all()
        .iter()
        .map(|f| format!("{}: {}: {} ({})", f.kind, f.object, f.what, f.origin))
        .collect()
}

fn count(findings: &Findings, kind: FindingKind) -> usize {
    findings.all().iter().filter(|finding| finding.kind == kind).count()
}

/// Formats a group's rules, one line each.
fn rules(group: &SecurityGroup) -> Vec<String> {
    let line = |word: &str, rule: &crate::config::import::SecurityGroupRule| {
        let ports = match (rule.from_port, rule.to_port) {
            (Some(from), Some(to)) => format!("{from}-{to}"),
            _ => "all".to_owned(),
        };
        format!("{word} {} {ports} {:?}", rule.ip_protocol, rule.peer)
    };
    let ingress = group.ingress.iter().map(|rule| line("ingress", rule));
    ingress.chain(group.egress.iter().map(|rule| line("egress", rule))).collect()
}

fn routes(table: &RouteTable) -> Vec<String> {
    table.routes.iter().map(|route| format!("{:?} {:?}", route.destination, route.target)).collect()
}

fn vpc() -> Value {
    resource(
        "aws_vpc.main",
        json!({
            "id": "vpc-1", "cidr_block": "10.0.0.0/16", "main_route_table_id": "rtb-main",
            "default_route_table_id": "rtb-main", "default_network_acl_id": "acl-default",
            "default_security_group_id": "sg-default", "enable_dns_support": true,
            "enable_dns_hostnames": false, "tags": { "Name": "shop" },
            "arn": "arn:aws:ec2:eu-west-1:123456789012:vpc/vpc-1"
        }),
    )
}

fn subnet(name: &str, cidr: &str) -> Value {
    resource(
        &format!("aws_subnet.{name}"),
        json!({
            "id": format!("subnet-{name}"), "vpc_id": "vpc-1", "cidr_block": cidr,
            "availability_zone": "eu-west-1a", "ipv6_cidr_block": "", "ipv6_native": false,
            "tags": null
        }),
    )
}
