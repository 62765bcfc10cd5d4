//! Tests of every kind of target, and of routes that a lab cannot have.

use super::*;

fn with_routes(routes: Vec<Route>) -> Account {
    let mut account = account();
    account.route_tables.push(table("rtb-1", &["subnet-a", "subnet-b"], routes));
    account
}

fn rendered(imported: &Imported) -> String {
    let section = section(imported.text(), "route_table", "rtb-1");
    section.split_once("routes = ").unwrap().1.to_owned()
}

#[test]
fn routes_lead_to_the_objects_of_the_lab() {
    let mut account = with_routes(vec![
        route("10.0.0.0/16", RouteTarget::Local),
        route("0.0.0.0/0", RouteTarget::NatGateway("nat-1".into())),
        route("10.1.0.0/16", RouteTarget::VpcPeeringConnection("pcx-1".into())),
        route("10.9.0.0/16", RouteTarget::NetworkInterface("eni-fw".into())),
        route("10.8.0.0/16", RouteTarget::Instance("i-vpn".into())),
        route("10.7.0.0/16", RouteTarget::Gateway("vpce-gwlb".into())),
    ]);
    let other = Vpc {
        id: "vpc-2".into(),
        cidr_blocks: vec![block("10.1.0.0/16")],
        ..account.vpcs[0].clone()
    };
    account.vpcs.push(other);
    account.peering_connections.push(Peering {
        id: "pcx-1".into(),
        requester_vpc: "vpc-1".into(),
        accepter_vpc: "vpc-2".into(),
        status: Some("active".into()),
        ..Peering::default()
    });
    let mut firewall = interface("eni-fw", "subnet-data", "10.0.3.20", &["sg-app"]);
    firewall.source_dest_check = false;
    let mut vpn = interface("eni-vpn", "subnet-data", "10.0.3.21", &["sg-app"]);
    vpn.instance = Some("i-vpn".into());
    account.network_interfaces = vec![firewall, vpn];
    let endpoint = VpcEndpoint {
        id: "vpce-gwlb".into(),
        name: None,
        vpc: "vpc-1".into(),
        endpoint_type: EndpointType::GatewayLoadBalancer,
        service_name: "com.amazonaws.vpce.us-east-1.vpce-svc-1".into(),
        state: Some("available".into()),
        route_tables: vec![],
        prefix_list: None,
        subnets: vec!["subnet-data".into()],
        security_groups: vec![],
        network_interfaces: vec![],
        private_dns_enabled: false,
        has_policy: false,
        origin: origin("Endpoints.vpce-gwlb"),
    };
    account.vpc_endpoints.push(endpoint);
    let imported = imported(account);
    assert_eq!(
        rendered(&imported),
        "[
    { destination = \"0.0.0.0/0\", target = \"nat-1\" },
    { destination = \"10.1.0.0/16\", target = \"pcx-1\" },
    { destination = \"10.9.0.0/16\", target = \"eni-fw\" },
    { destination = \"10.8.0.0/16\", target = \"eni-vpn\" },
    { destination = \"10.7.0.0/16\", target = \"vpce-gwlb\" },
]"
    );
    let has_check = |id| imported.lab.spec.network_interface(id).unwrap().has_source_dest_check();
    assert!(!has_check("eni-fw") && has_check("eni-vpn"));
    assert_eq!(of_kind(&imported, FindingKind::LeftOut), Vec::<String>::new());
}

#[test]
fn a_route_to_what_a_lab_has_not_is_not_understood_and_leniently_a_blackhole() {
    let gateway = RouteTarget::Other { kind: "transit gateway".into(), id: "tgw-1".into() };
    let (not, imported) = lenient(with_routes(vec![
        route("10.0.0.0/8", gateway),
        route("10.5.0.0/16", RouteTarget::Gateway("vgw-1".into())),
        route("10.6.0.0/16", RouteTarget::NatGateway("nat-gone".into())),
        route("10.7.0.0/16", RouteTarget::VpcPeeringConnection("pcx-far".into())),
    ]));
    assert_eq!(not.len(), 4, "{not:#?}");
    assert_eq!(
        not[0],
        "route table rtb-1: the route for 10.0.0.0/8 to transit gateway tgw-1: the route drops its packets in the lab: \
         target = \"blackhole\""
    );
    assert!(not[1].contains("virtual private gateway vgw-1"));
    assert!(not[2].contains("NAT gateway nat-gone, which is not in the source"));
    let text = rendered(&imported);
    assert_eq!(text.matches("target = \"blackhole\"").count(), 4, "{text}");
    assert!(text.contains("# not understood: transit gateway tgw-1"), "{text}");
    assert!(imported.text().contains("\n# not understood: route table rtb-1: "));
}

/// The peer's other VPC is in another account, so the destinations of the route are not known.
#[test]
fn a_peering_of_which_the_source_has_one_side_is_not_understood() {
    let mut account =
        with_routes(vec![route("10.7.0.0/16", RouteTarget::VpcPeeringConnection("pcx-1".into()))]);
    account.peering_connections.push(Peering {
        id: "pcx-1".into(),
        requester_vpc: "vpc-1".into(),
        accepter_vpc: "vpc-far".into(),
        ..Peering::default()
    });
    let (not, _) = lenient(account);
    assert!(not[0].contains("does not have its other VPC, vpc-far"), "{not:?}");
}

/// Spec 3.3: such routes stay until they are edited. An emulator may leave them active (spec 12).
#[test]
fn a_target_that_does_not_exist_is_a_blackhole() {
    let mut account = with_routes(vec![
        route("10.6.0.0/16", RouteTarget::NatGateway("nat-old".into())),
        route("10.7.0.0/16", RouteTarget::Gateway("igw-detached".into())),
        Route {
            blackhole: true,
            ..route("10.8.0.0/16", RouteTarget::NetworkInterface("eni-old".into()))
        },
    ]);
    account
        .internet_gateways
        .push(InternetGateway { id: "igw-detached".into(), ..Default::default() });
    account.nat_gateways.push(NatGateway {
        id: "nat-old".into(),
        vpc: Some("vpc-1".into()),
        subnet: Some("subnet-that-is-gone".into()),
        state: Some("deleted".into()),
        ..NatGateway::default()
    });
    let imported = imported(account);
    assert_eq!(
        rendered(&imported),
        "[
    { destination = \"10.6.0.0/16\", target = \"nat-old\", state = \"blackhole\" },
    { destination = \"10.7.0.0/16\", target = \"igw-detached\", state = \"blackhole\" },
    { destination = \"10.8.0.0/16\", target = \"eni-old\", state = \"blackhole\" },
]"
    );
    assert_eq!(
        of_kind(&imported, FindingKind::LeftOut),
        ["NAT gateway nat-old: it is deleted: routes to it drop"]
    );
}

/// Spec 3.3: of equal destinations the static route wins.
#[test]
fn a_propagated_route_gives_way_to_a_static_one() {
    let propagated =
        Route { propagated: true, ..route("192.168.0.0/16", RouteTarget::Gateway("vgw-1".into())) };
    let fixed = route("192.168.0.0/16", RouteTarget::NatGateway("nat-1".into()));
    let (not, imported) = lenient(with_routes(vec![propagated, fixed]));
    assert_eq!(not.len(), 1);
    assert_eq!(
        rendered(&imported),
        "[\n    { destination = \"192.168.0.0/16\", target = \"nat-1\" },\n]"
    );
}

/// Spec 3.4: a route more specific than local is for a whole subnet; the local route itself can be
/// replaced in AWS.
#[test]
fn routes_within_the_vpc_are_taken_as_far_as_aws_takes_them() {
    let (not, imported) = lenient(with_routes(vec![
        route("10.0.3.0/24", RouteTarget::NatGateway("nat-1".into())),
        route("10.0.3.0/25", RouteTarget::NatGateway("nat-1".into())),
        route("10.0.0.0/16", RouteTarget::NatGateway("nat-1".into())),
        route("10.0.2.0/24", RouteTarget::Gateway("igw-1".into())),
        route("169.254.168.0/24", RouteTarget::NatGateway("nat-1".into())),
    ]));
    let about: Vec<bool> =
        ["not that of a subnet", "replaces a local route", "not a middlebox", "169.254.168.0/22"]
            .iter()
            .zip(&not)
            .map(|(expected, said)| said.contains(expected))
            .collect();
    assert_eq!(about, [true; 4], "{not:#?}");
    assert_eq!(
        rendered(&imported),
        "[\n    { destination = \"10.0.3.0/24\", target = \"nat-1\" },\n]"
    );
}

#[test]
fn a_table_of_a_gateway_matters_only_with_routes_of_its_own() {
    let mut account = account();
    let mut edge = table("rtb-edge", &[], vec![route("10.0.0.0/16", RouteTarget::Local)]);
    edge.gateways.push("igw-1".into());
    account.route_tables.push(edge);
    let taken = imported(account.clone());
    assert!(of_kind(&taken, FindingKind::LeftOut)[0].contains("an association with gateway igw-1"));
    let inspected = route("10.0.1.0/24", RouteTarget::NetworkInterface("eni-fw".into()));
    account.network_interfaces.push(interface("eni-fw", "subnet-data", "10.0.3.9", &["sg-app"]));
    account.route_tables[1].routes.push(inspected);
    let (not, _) = lenient(account);
    assert!(not[0].contains("go directly to their destination"), "{not:?}");
}

#[test]
fn a_prefix_list_without_entries_is_not_understood() {
    let (not, imported) =
        lenient(with_routes(vec![route("pl-1", RouteTarget::NatGateway("nat-1".into()))]));
    assert!(not[0].contains("prefix list pl-1, whose entries are not in the source"), "{not:?}");
    assert_eq!(rendered(&imported), "[]");
}

#[test]
fn a_gateway_endpoint_gets_its_tables_and_its_list_from_the_routes() {
    let mut account = with_routes(vec![route("pl-s3", RouteTarget::Gateway("vpce-s3".into()))]);
    account.vpc_endpoints.push(VpcEndpoint {
        id: "vpce-s3".into(),
        name: None,
        vpc: "vpc-1".into(),
        endpoint_type: EndpointType::Gateway,
        service_name: "com.amazonaws.us-east-1.s3".into(),
        state: None,
        route_tables: vec![],
        prefix_list: None,
        subnets: vec![],
        security_groups: vec![],
        network_interfaces: vec![],
        private_dns_enabled: false,
        has_policy: true,
        origin: origin("Endpoints.vpce-s3"),
    });
    account.prefix_lists.push(PrefixList {
        id: "pl-s3".into(),
        name: None,
        entries: Some(vec![block("3.5.0.0/19")]),
        origin: origin("PrefixLists.pl-s3"),
    });
    let known = imported(account.clone());
    let endpoint = section(known.text(), "vpc_endpoint", "vpce-s3");
    assert!(endpoint.contains("prefix_list = \"pl-s3\"\nroute_tables = [\"rtb-1\"]"), "{endpoint}");
    assert!(of_kind(&known, FindingKind::LeftOut)[0].contains("its policy"));
    // Without the list's entries there is still an endpoint, with an address that the service is
    // known to have.
    account.prefix_lists.clear();
    let assumed = imported(account);
    assert!(of_kind(&assumed, FindingKind::Assumed)[0].contains("52.216.0.0/15"));
    assert_eq!(assumed.lab.spec.vpc_endpoints.len(), 1);
}
