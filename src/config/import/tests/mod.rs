#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod findings;
mod folders;
mod objects;
mod public_addresses;
mod round_trip;
mod routes;
mod same_vpc;

use super::*;
use crate::config::Lab;

fn origin(path: &str) -> Origin {
    Origin::file("a.json").at(path)
}

fn block(text: &str) -> ipnetwork::Ipv4Network {
    text.parse().unwrap()
}

fn subnet(id: &str, vpc: &str, cidr: &str, zone: &str) -> Subnet {
    Subnet {
        id: id.to_owned(),
        name: None,
        vpc: vpc.to_owned(),
        cidr_block: block(cidr),
        availability_zone: Some(format!("us-east-1{zone}")),
        map_public_ip_on_launch: false,
        origin: origin(&format!("Subnets.{id}")),
    }
}

fn table(id: &str, subnets: &[&str], routes: Vec<Route>) -> RouteTable {
    RouteTable {
        id: id.to_owned(),
        vpc: "vpc-1".to_owned(),
        subnets: subnets.iter().map(|s| (*s).to_owned()).collect(),
        routes,
        origin: origin(&format!("RouteTables.{id}")),
        ..RouteTable::default()
    }
}

fn route(destination: &str, target: RouteTarget) -> Route {
    let destination = match destination.parse() {
        Ok(block) => RouteDestination::Cidr(block),
        Err(_) => RouteDestination::PrefixList(destination.to_owned()),
    };
    let origin = origin("RouteTables.Routes");
    Route { destination, target, blackhole: false, propagated: false, origin }
}

fn rule(protocol: &str, from: i64, to: i64, peer: RulePeer) -> SecurityGroupRule {
    SecurityGroupRule {
        ip_protocol: protocol.to_owned(),
        from_port: Some(from),
        to_port: Some(to),
        peer,
        description: None,
        origin: origin("Groups.Rules"),
    }
}

fn group(
    id: &str,
    ingress: Vec<SecurityGroupRule>,
    egress: Vec<SecurityGroupRule>,
) -> SecurityGroup {
    SecurityGroup {
        id: id.to_owned(),
        group_name: id.to_owned(),
        vpc: "vpc-1".to_owned(),
        ingress,
        egress,
        origin: origin(&format!("Groups.{id}")),
        ..SecurityGroup::default()
    }
}

fn interface(id: &str, subnet: &str, address: &str, groups: &[&str]) -> NetworkInterface {
    let address = address.parse().ok();
    NetworkInterface {
        id: id.to_owned(),
        subnet: subnet.to_owned(),
        interface_type: "interface".to_owned(),
        addresses: address.map(PrivateAddress::unmapped).into_iter().collect(),
        security_groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        source_dest_check: true,
        origin: origin(&format!("Interfaces.{id}")),
        ..NetworkInterface::default()
    }
}

/// Makes an account of one VPC with an internet gateway, a NAT gateway, subnets for tasks and for
/// data, and a connector. A test adds the objects that it is about.
fn account() -> Account {
    let vpc = Vpc {
        id: "vpc-1".to_owned(),
        cidr_blocks: vec![block("10.0.0.0/16")],
        enable_dns_support: Some(true),
        enable_dns_hostnames: Some(true),
        origin: origin("Vpcs.vpc-1"),
        ..Vpc::default()
    };
    let everything = || RulePeer::Cidr(block("0.0.0.0/0"));
    Account {
        region: Some("us-east-1".to_owned()),
        vpcs: vec![vpc],
        subnets: vec![
            subnet("subnet-public", "vpc-1", "10.0.0.0/24", "a"),
            subnet("subnet-a", "vpc-1", "10.0.1.0/24", "a"),
            subnet("subnet-b", "vpc-1", "10.0.2.0/24", "b"),
            subnet("subnet-data", "vpc-1", "10.0.3.0/24", "a"),
        ],
        internet_gateways: vec![InternetGateway {
            id: "igw-1".to_owned(),
            vpc: Some("vpc-1".to_owned()),
            ..InternetGateway::default()
        }],
        nat_gateways: vec![NatGateway {
            id: "nat-1".to_owned(),
            vpc: Some("vpc-1".to_owned()),
            subnet: Some("subnet-public".to_owned()),
            origin: origin("Nats.nat-1"),
            ..NatGateway::default()
        }],
        route_tables: vec![table(
            "rtb-public",
            &["subnet-public"],
            vec![route("0.0.0.0/0", RouteTarget::Gateway("igw-1".to_owned()))],
        )],
        security_groups: vec![group("sg-app", vec![], vec![rule("-1", -1, -1, everything())])],
        vpc_connectors: vec![VpcConnector {
            id: "arn:connector".to_owned(),
            name: "main".to_owned(),
            subnets: vec!["subnet-a".to_owned(), "subnet-b".to_owned()],
            security_groups: vec!["sg-app".to_owned()],
            origin: origin("Connectors.main"),
        }],
        services: vec![Service {
            name: "web".to_owned(),
            vpc_connector: Some("arn:connector".to_owned()),
            origin: origin("Services.web"),
        }],
        ..Account::default()
    }
}

fn order(lenient: bool) -> Order {
    Order { source: "test".into(), lenient, ..Order::default() }
}

/// Returns the lab of an account that is understood.
#[track_caller]
fn imported(account: Account) -> Imported {
    match Imported::from_account(account, Findings::new(), &order(false)) {
        Ok(imported) => imported,
        Err(ImportFailure::NotUnderstood(findings)) => panic!("{}", lines(&findings).join("\n")),
        Err(ImportFailure::Lab(errors)) => panic!("{errors}"),
        Err(ImportFailure::Source(errors)) => panic!("{errors}"),
    }
}

/// Returns the findings of an account that is not understood, and its lenient lab.
#[track_caller]
fn lenient(account: Account) -> (Vec<String>, Imported) {
    let strict = Imported::from_account(account.clone(), Findings::new(), &order(false));
    let Err(ImportFailure::NotUnderstood(findings)) = strict else {
        panic!("everything is understood: {strict:?}");
    };
    let not = findings.iter().filter(|f| f.kind == FindingKind::NotUnderstood).cloned();
    let not: Vec<Finding> = not.collect();
    let taken = Imported::from_account(account, Findings::new(), &order(true)).unwrap();
    assert_eq!(taken.findings, findings);
    (lines(&not), taken)
}

#[track_caller]
fn refused(account: Account) -> String {
    match Imported::from_account(account, Findings::new(), &order(true)) {
        Err(ImportFailure::Source(errors)) => errors.to_string(),
        other => panic!("{other:?}"),
    }
}

fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{}: {}: {}", f.object, f.what, f.consequence)).collect()
}

/// Returns the findings of a kind, except the one that every import has.
fn of_kind(imported: &Imported, kind: FindingKind) -> Vec<String> {
    let found: Vec<Finding> = imported
        .findings
        .iter()
        .filter(|f| f.kind == kind && f.object != "the internet")
        .cloned()
        .collect();
    lines(&found)
}

/// Returns a section of the text, from its heading to the next empty line, without the comments on
/// lines of their own.
#[track_caller]
fn section(text: &str, kind: &str, id: &str) -> String {
    let found = text.split("\n\n").find(|section| {
        let named = [format!("id = \"{id}\""), format!("name = \"{id}\"")];
        section.contains(&format!("[[{kind}]]"))
            && section.lines().any(|line| named.contains(&line.to_owned()))
    });
    let found = found.unwrap_or_else(|| panic!("no {kind} {id} in\n{text}"));
    found.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}
