//! Tests of failed imports, of open values, and of the VPCs that count.

use super::*;
use std::collections::BTreeSet;

#[test]
fn without_a_connector_there_is_nothing_to_explain_but_one_can_be_given() {
    let mut account = account();
    account.vpc_connectors.clear();
    account.services.clear();
    let said = refused(account.clone());
    assert!(said.contains("--connector NAME=SUBNET,SUBNET:GROUP"), "{said}");
    account.subnets[1].name = Some("private a".into());
    let mut order = order(false);
    order.connectors = vec!["tasks=private a,subnet-b:sg-app".parse().unwrap()];
    let lab = Imported::from_account(account.clone(), Findings::new(), &order).unwrap().lab;
    let connector = &lab.spec.connectors[0];
    assert_eq!(connector.name.value, "tasks");
    let subnets: Vec<&str> = connector.subnets.iter().map(|s| s.value.as_str()).collect();
    assert_eq!(subnets, ["subnet-a", "subnet-b"]);
    assert_eq!(lab.spec.services[0].name.value, "tasks");
    order.connectors = vec!["tasks=private b".parse().unwrap()];
    let error = Imported::from_account(account, Findings::new(), &order).unwrap_err().to_string();
    assert!(error.contains("no subnet \"private b\""), "{error}");
    for wrong in ["tasks", "=subnet-a", "tasks=", "tasks=:sg-1"] {
        assert!(wrong.parse::<ConnectorOrder>().is_err(), "{wrong}");
    }
}

#[test]
fn subnets_of_a_connector_that_do_not_exist_are_errors_with_their_places() {
    let mut account = account();
    account.vpc_connectors[0].subnets.push("subnet-gone".into());
    let said = refused(account);
    let wanted = "a.json: Connectors.main: there is no subnet \"subnet-gone\" in the source";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn ids_that_do_not_exist_are_not_understood_with_what_a_lenient_import_does() {
    let mut account = account();
    account.vpc_connectors[0].security_groups.push("sg-gone".into());
    account.network_interfaces.push(interface(
        "eni-1",
        "subnet-data",
        "10.0.3.9",
        &["sg-app", "sg-none"],
    ));
    account.nat_gateways[0].subnet = Some("subnet-none".into());
    let to_nat = route("0.0.0.0/0", RouteTarget::NatGateway("nat-1".into()));
    account.route_tables.push(table("rtb-1", &["subnet-a"], vec![to_nat]));
    let ends = |id: &str, endpoint_type: EndpointType, subnets: &[&str]| VpcEndpoint {
        id: id.into(),
        vpc: "vpc-1".into(),
        endpoint_type,
        service_name: "com.amazonaws.us-east-1.sqs".into(),
        subnets: subnets.iter().map(|id| (*id).to_owned()).collect(),
        security_groups: vec!["sg-app".into()],
        origin: origin(&format!("Endpoints.{id}")),
        name: None,
        state: None,
        route_tables: Vec::new(),
        prefix_list: None,
        network_interfaces: Vec::new(),
        private_dns_enabled: false,
        has_policy: false,
    };
    account.vpc_endpoints = vec![
        ends("vpce-1", EndpointType::Interface, &["subnet-a", "subnet-none"]),
        ends("vpce-2", EndpointType::Interface, &["subnet-none"]),
    ];
    let (not, imported) = lenient(account);
    assert_eq!(
        not,
        [
            "route table rtb-1: the route for 0.0.0.0/0 to NAT gateway nat-1, whose subnet is not in the source: the route drops its packets in the lab: target = \"blackhole\"",
            "NAT gateway nat-1: there is no subnet \"subnet-none\" in the source: the lab has no such gateway, and routes to it drop",
            "VPC endpoint vpce-1: there is no subnet \"subnet-none\" in the source: the lab has the endpoint in its other subnets",
            "VPC endpoint vpce-2: none of its subnets is in the source: the lab has no such endpoint",
            "network interface eni-1: there is no security group \"sg-none\" in the source: the lab has it with its other groups, and without any with the VPC's default one",
            "VPC connector main: there is no security group \"sg-gone\" in the source: the lab has it with its other groups, and without any with the VPC's default one",
        ]
    );
    let resource = section(imported.text(), "resource", "eni-1");
    assert!(resource.contains("security_groups = [\"sg-app\"]"), "{resource}");
    assert!(imported.lab.spec.nat_gateways.is_empty());
}

#[test]
fn an_interface_without_groups_is_open_and_listed() {
    let mut account = account();
    account.network_interfaces.push(interface("eni-nlb", "subnet-data", "10.0.3.9", &[]));
    let imported = imported(account);
    let said = of_kind(&imported, FindingKind::Assumed);
    let wanted = "VPC vpc-1: an interface has no security group in the source: nothing is filtered at it and at others like it";
    assert!(said.iter().any(|line| line == wanted), "{said:?}");
}

#[test]
fn of_two_static_routes_for_a_destination_it_is_not_understood_which_aws_has() {
    let mut account = account();
    let first = route("10.9.0.0/16", RouteTarget::NatGateway("nat-1".into()));
    let second = route("10.9.0.0/16", RouteTarget::Gateway("igw-1".into()));
    account.route_tables.push(table("rtb-1", &["subnet-a"], vec![first, second]));
    let (not, _) = lenient(account);
    assert_eq!(
        not,
        [
            "route table rtb-1: another route for 10.9.0.0/16: the lab has the first one: AWS has only one static route for a destination"
        ]
    );
}

#[test]
fn a_service_of_an_unknown_connector_is_not_understood() {
    let mut account = account();
    account.services.push(Service {
        name: "lost".into(),
        vpc_connector: Some("arn:gone".into()),
        ..Service::default()
    });
    let (not, imported) = lenient(account);
    assert_eq!(
        not,
        [
            "service lost: VPC connector arn:gone, which is not in the source: the lab has no such service"
        ]
    );
    assert_eq!(imported.lab.spec.services.len(), 1);
}

#[test]
fn only_vpcs_that_packets_can_reach_are_in_the_lab() {
    let mut account = account();
    for (id, cidr) in [("vpc-peer", "10.1.0.0/16"), ("vpc-elsewhere", "10.0.0.0/16")] {
        let vpc = Vpc { id: id.into(), cidr_blocks: vec![block(cidr)], ..account.vpcs[0].clone() };
        account.vpcs.push(vpc);
        account.subnets.push(subnet(&format!("subnet-{id}"), id, cidr, "a"));
    }
    account.peering_connections.push(Peering {
        id: "pcx-1".into(),
        requester_vpc: "vpc-peer".into(),
        accepter_vpc: "vpc-1".into(),
        ..Peering::default()
    });
    let imported = imported(account);
    let vpcs: Vec<&str> = imported.lab.spec.vpcs.iter().map(|v| v.id.value.as_str()).collect();
    assert_eq!(vpcs, ["vpc-1", "vpc-peer"]);
    assert!(of_kind(&imported, FindingKind::LeftOut)[0].starts_with("VPC vpc-elsewhere: "));
}

#[test]
fn assumptions_are_comments_where_they_count() {
    let mut account = account();
    account.region = None;
    account.vpcs[0].enable_dns_hostnames = None;
    account.vpcs[0].cidr_blocks.push(block("100.64.0.0/16"));
    account.subnets[1].availability_zone = None;
    let imported = imported(account);
    assert_eq!(
        of_kind(&imported, FindingKind::Assumed),
        [
            "tasks: a VPC uses the default addresses of tasks, 100.64.0.0/10: 100.127.0.0/16",
            "VPC vpc-1: the source does not give enable_dns_hostnames: false, AWS's default",
            "subnet subnet-a: AWS chooses its Availability Zone: us-east-1b",
        ]
    );
    let text = imported.text();
    assert!(text.contains("# assumed: us-east-1b: AWS chooses its Availability Zone\n[[subnet]]\nid = \"subnet-a\""), "{text}");
}

#[test]
fn a_vpc_that_is_known_in_part_is_not_filled_with_defaults() {
    let mut account = account();
    account.vpcs[0].in_part = true;
    account.route_tables.iter_mut().for_each(|table| table.main = false);
    account.route_tables.iter_mut().for_each(|table| table.subnets.retain(|id| id != "subnet-a"));
    account.network_acls.clear();
    let (not, _) = lenient(account.clone());
    assert!(
        not.iter().any(|said| said.starts_with("VPC vpc-1: the source has no route table of ")
            && said.contains("subnet-a")),
        "{not:?}"
    );
    assert!(
        not.iter().any(|said| said.starts_with("VPC vpc-1: the source has no network ACL of ")),
        "{not:?}"
    );
    // A VPC that the source itself creates has them.
    account.vpcs[0].in_part = false;
    assert!(!imported(account).text().contains("the source has no"));
}

#[test]
fn an_interface_in_an_unknown_subnet_is_left_out() {
    let mut account = account();
    account.network_interfaces.push(interface("eni-1", "subnet-gone", "10.0.9.9", &[]));
    let left_out = of_kind(&imported(account), FindingKind::LeftOut);
    assert!(
        left_out[0].starts_with("network interface eni-1: it is in subnet subnet-gone"),
        "{left_out:?}"
    );
}

/// Each finds its address without a search, and none is assigned twice.
#[test]
fn a_full_subnet_has_room_for_each_once() {
    let mut account = account();
    account.network_interfaces.clear();
    for number in 0..300 {
        let mut interface = interface(&format!("eni-{number}"), "subnet-data", "", &["sg-app"]);
        interface.name = Some("db".into());
        account.network_interfaces.push(interface);
    }
    let (not, imported) = lenient(account);
    let addresses: BTreeSet<_> =
        imported.lab.spec.resources.iter().map(|resource| resource.address.value).collect();
    // Five of 256 are AWS's.
    assert_eq!((addresses.len(), not.len()), (251, 49));
}

#[test]
fn blocked_public_access_would_change_verdicts() {
    let mut account = account();
    account.vpcs[0].block_public_access = Some("block-ingress".into());
    assert!(of_kind(&imported(account.clone()), FindingKind::LeftOut)[0].contains("block-ingress"));
    account.vpcs[0].block_public_access = Some("block-bidirectional".into());
    let (not, _) = lenient(account);
    assert!(not[0].contains("block-bidirectional: AWS drops"), "{not:?}");
}

/// An object that no lab can have is refused by the lab file's own checks, with the place in the
/// source.
#[test]
fn a_source_that_is_no_lab_is_named() {
    let mut account = account();
    account.subnets[3].cidr_block = block("10.9.0.0/24");
    let failure = Imported::from_account(account, Findings::new(), &order(false)).unwrap_err();
    let ImportFailure::Lab(errors) = failure else { panic!("{failure}") };
    assert_eq!(
        errors[0].message,
        "10.9.0.0/24 is not within VPC \"vpc-1\" (a.json: Subnets.subnet-data)"
    );
}
