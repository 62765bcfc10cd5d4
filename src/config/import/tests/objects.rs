//! Tests of groups, ACLs, gateways, interfaces, connectors: the special cases of each kind.

use super::*;

#[test]
fn rules_of_equal_traffic_share_a_line_unless_they_say_why() {
    let mut account = account();
    let to = |cidr: &str| RulePeer::Cidr(block(cidr));
    let mut https = rule("6", 443, 443, to("192.0.2.0/24"));
    https.description = Some("payments".into());
    account.security_groups.push(group(
        "sg-1",
        vec![],
        vec![
            rule("tcp", 443, 443, to("10.1.0.0/16")),
            https,
            rule("tcp", 443, 443, to("10.2.0.0/16")),
            rule("icmp", 8, -1, to("0.0.0.0/0")),
            rule("50", -1, -1, RulePeer::SecurityGroup("sg-app".into())),
            rule("icmpv6", -1, -1, to("0.0.0.0/0")),
        ],
    ));
    let imported = imported(account);
    assert_eq!(
        section(imported.text(), "security_group", "sg-1"),
        "[[security_group]]
id = \"sg-1\"
vpc = \"vpc-1\"
ingress = []
egress = [
    { protocol = \"tcp\", ports = \"443\", to = [\"10.1.0.0/16\", \"10.2.0.0/16\"] },
    { protocol = \"tcp\", ports = \"443\", to = \"192.0.2.0/24\" },  # payments
    { protocol = \"icmp\", icmp_type = 8, to = \"0.0.0.0/0\" },
    { protocol = 50, to = \"sg-app\" },
]"
    );
    assert!(of_kind(&imported, FindingKind::LeftOut)[0].contains("1 \u{d7} security group rule"));
}

#[test]
fn a_rule_for_a_group_that_is_not_there_matches_nothing_and_is_left_out() {
    let mut account = account();
    let far = rule("tcp", 22, 22, RulePeer::SecurityGroup("sg-of-another-account".into()));
    account.security_groups.push(group("sg-1", vec![far], vec![]));
    let imported = imported(account);
    assert!(section(imported.text(), "security_group", "sg-1").contains("ingress = []"));
    let said = of_kind(&imported, FindingKind::LeftOut);
    assert!(said[0].contains("a rule that names group sg-of-another-account"), "{said:?}");
}

#[test]
fn traffic_that_aws_does_not_know_is_an_error_with_its_place() {
    let mut account = account();
    let odd = rule("tcp", 90, 80, RulePeer::Cidr(block("0.0.0.0/0")));
    account.security_groups.push(group("sg-1", vec![odd], vec![]));
    let said = refused(account);
    assert!(said.starts_with("a.json: Groups.Rules: ports 90 to 80 are not a range"), "{said}");
}

fn entry(number: i64, allow: bool, protocol: &str) -> AclEntry {
    AclEntry {
        direction: AclDirection::Ingress,
        rule_number: number,
        allow,
        protocol: protocol.into(),
        cidr_block: block("0.0.0.0/0"),
        ports: None,
        icmp: None,
        origin: origin(&format!("Acls.Entries[{number}]")),
    }
}

#[test]
fn acl_rules_are_in_order_without_the_implied_ones() {
    let mut account = account();
    account.network_acls.push(NetworkAcl {
        id: "acl-1".into(),
        vpc: "vpc-1".into(),
        default: true,
        entries: vec![
            entry(32_767, false, "-1"),
            AclEntry { ports: Some((1024, 65_535)), ..entry(200, true, "6") },
            AclEntry { icmp: Some((3, 4)), ..entry(110, true, "1") },
            // An emulator leaves the type out.
            entry(100, true, "1"),
        ],
        ..NetworkAcl::default()
    });
    let imported = imported(account.clone());
    let acl = section(imported.text(), "network_acl", "acl-1");
    assert_eq!(
        acl.split_once("ingress = ").unwrap().1,
        "[
    { rule = 100, action = \"allow\", protocol = \"icmp\", cidr = \"0.0.0.0/0\" },
    { rule = 110, action = \"allow\", protocol = \"icmp\", icmp_type = 3, icmp_code = 4, cidr = \"0.0.0.0/0\" },
    { rule = 200, action = \"allow\", protocol = \"tcp\", ports = \"1024-65535\", cidr = \"0.0.0.0/0\" },
]
egress = []"
    );
    assert_eq!(
        of_kind(&imported, FindingKind::Assumed),
        ["network ACL acl-1: rule 100 has no ICMP type: all of ICMP"]
    );
    // Subnets without an association have the default one.
    assert!(
        imported.lab.spec.subnets.iter().all(|s| s.network_acl.as_ref().unwrap().value == "acl-1")
    );
    account.network_acls[0].entries.push(entry(32_767, true, "-1"));
    let (not, _) = lenient(account);
    assert!(not[0].contains("rule 32767 allows, above the last number"), "{not:?}");
}

#[test]
fn addresses_that_a_nat_gateway_cannot_have_are_replaced() {
    let mut account = account();
    account.nat_gateways[0].addresses.push(NatAddress {
        private_ip: "10.182.125.138".parse().ok(),
        public_ip: "127.38.87.1".parse().ok(),
        network_interface: None,
    });
    let odd = imported(account.clone());
    assert_eq!(
        of_kind(&odd, FindingKind::Assumed),
        [
            "NAT gateway nat-1: 10.182.125.138: not free addresses of 10.0.0.0/24, one for each Elastic IP: egret chooses them",
            "NAT gateway nat-1: 127.38.87.1 cannot be public addresses: egret chooses them",
        ]
    );
    let real = |private: &str, public: &str| NatAddress {
        private_ip: private.parse().ok(),
        public_ip: public.parse().ok(),
        network_interface: None,
    };
    account.nat_gateways[0].addresses =
        vec![real("10.0.0.9", "198.51.100.9"), real("10.0.0.10", "198.51.100.10")];
    let nat = imported(account).lab.spec.nat_gateways[0].clone();
    let ips =
        |ips: Vec<std::net::Ipv4Addr>| ips.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ips(nat.private_ips().map(|at| at.value).collect()), ["10.0.0.9", "10.0.0.10"]);
    assert_eq!(
        ips(nat.public_ips().map(|at| at.value).collect()),
        ["198.51.100.9", "198.51.100.10"]
    );
}

#[test]
fn a_regional_nat_gateway_is_not_understood_where_a_route_needs_it() {
    let mut account = account();
    account.nat_gateways[0].regional = true;
    account.nat_gateways[0].subnet = None;
    let unused = imported(account.clone());
    assert!(of_kind(&unused, FindingKind::LeftOut)[0].contains("it is regional"));
    let through = route("0.0.0.0/0", RouteTarget::NatGateway("nat-1".into()));
    account.route_tables.push(table("rtb-1", &["subnet-a"], vec![through]));
    let (not, _) = lenient(account);
    assert!(not[0].contains("regional NAT gateway nat-1"), "{not:?}");
}

fn resource<'l>(imported: &'l Imported, name: &str) -> &'l crate::config::spec::Resource {
    imported.lab.spec.resources.iter().find(|r| *r.name == *name).unwrap()
}

#[test]
fn interfaces_are_resources_by_what_people_call_them() {
    let mut account = account();
    account.security_groups.push(group(
        "sg-db",
        vec![
            rule("tcp", 5432, 5432, RulePeer::SecurityGroup("sg-app".into())),
            rule("udp", 53, 53, RulePeer::Cidr(block("10.0.0.0/16"))),
            rule("tcp", 8000, 9000, RulePeer::Cidr(block("10.0.0.0/16"))),
        ],
        vec![],
    ));
    let described = |id: &str, address: &str, description: &str| NetworkInterface {
        description: Some(description.into()),
        ..interface(id, "subnet-data", address, &["sg-db"])
    };
    account.network_interfaces = vec![
        described("eni-1", "10.0.3.10", "RDSNetworkInterface"),
        described("eni-2", "10.0.3.11", "RDSNetworkInterface"),
        described("eni-3", "10.0.3.12", "ElastiCache sessions-001"),
        described("eni-4", "10.0.3.13", "ELB app/front/50dc6c495c0c9188"),
        NetworkInterface {
            interface_type: "lambda".into(),
            ..described(
                "eni-5",
                "10.0.3.14",
                "AWS Lambda VPC ENI-resize-images-1f8e5c0a-93a4-4bd8-9b2a-0d3f9a1c2b3d",
            )
        },
        NetworkInterface {
            name: Some("bastion host".into()),
            ..described("eni-6", "10.0.3.15", "")
        },
        NetworkInterface {
            status: Some("available".into()),
            ..described("eni-7", "10.0.3.16", "")
        },
    ];
    let imported = imported(account);
    let names: Vec<&str> =
        imported.lab.spec.resources.iter().map(|r| r.name.value.as_str()).collect();
    assert_eq!(
        names,
        ["rds", "rds-2", "sessions-001", "front", "lambda-resize-images", "bastion-host", "eni-7"]
    );
    let ports = |name: &str| -> Vec<u16> {
        resource(&imported, name).listen.iter().map(|listen| listen.port).collect()
    };
    assert_eq!(ports("rds"), [53, 5432]);
    assert_eq!(ports("lambda-resize-images"), [0_u16; 0]);
    assert_eq!(ports("eni-7"), [0_u16; 0]);
}

#[test]
fn interfaces_of_other_objects_are_no_resources() {
    let mut account = account();
    account.nat_gateways[0].addresses.push(NatAddress {
        private_ip: "10.0.0.20".parse().ok(),
        public_ip: None,
        network_interface: Some("eni-nat".into()),
    });
    let tagged = NetworkInterface {
        tags: vec![("AWSAppRunnerManaged".into(), "true".into())],
        ..interface("eni-ar", "subnet-a", "10.0.1.20", &["sg-app"])
    };
    account.network_interfaces =
        vec![interface("eni-nat", "subnet-public", "10.0.0.20", &[]), tagged];
    let imported = imported(account);
    assert!(imported.lab.spec.resources.is_empty());
    assert!(
        of_kind(&imported, FindingKind::LeftOut)[0].contains("the interface of a VPC connector")
    );
}

/// Each address of an interface can be reached. If AWS chooses it, or the given one is not
/// possible, egret chooses one.
#[test]
fn every_address_of_an_interface_is_a_resource() {
    let mut account = account();
    let mut two = interface("eni-two", "subnet-data", "10.0.3.10", &["sg-app"]);
    two.addresses.push(PrivateAddress::unmapped("10.0.3.11".parse().unwrap()));
    account.network_interfaces = vec![
        two,
        interface("eni-none", "subnet-data", "", &["sg-app"]),
        interface("eni-odd", "subnet-data", "10.182.1.1", &["sg-app"]),
    ];
    let imported = imported(account);
    let addresses: Vec<String> =
        imported.lab.spec.resources.iter().map(|r| format!("{} {}", *r.name, *r.address)).collect();
    assert_eq!(
        addresses,
        ["eni-two 10.0.3.10", "eni-two-2 10.0.3.11", "eni-none 10.0.3.12", "eni-odd 10.0.3.13"]
    );
    assert_eq!(
        of_kind(&imported, FindingKind::Assumed),
        [
            "network interface eni-none: AWS chooses its address: 10.0.3.12",
            "network interface eni-odd: 10.182.1.1 cannot be its address in 10.0.3.0/24: 10.0.3.13",
        ]
    );
}

/// A Network Load Balancer may have no group, and is then not filtered; a resource without any has
/// the default one.
#[test]
fn an_interface_without_a_group_is_not_filtered() {
    let mut account = account();
    account.network_interfaces = vec![
        interface("eni-a", "subnet-data", "10.0.3.10", &[]),
        interface("eni-b", "subnet-data", "10.0.3.11", &[]),
    ];
    let imported = imported(account);
    let groups: Vec<&str> =
        imported.lab.spec.resources.iter().map(|r| r.security_groups[0].value.as_str()).collect();
    assert_eq!(groups, ["no-security-group"; 2]);
    let group = section(imported.text(), "security_group", "no-security-group");
    assert!(group.contains("ingress = [\n    { protocol = \"all\", from = \"0.0.0.0/0\" },\n]"));
}

#[test]
fn a_connector_without_a_service_gets_one_and_names_are_made_to_fit() {
    let mut account = account();
    account.vpc_connectors.push(VpcConnector {
        id: "arn:second".into(),
        name: "main".into(),
        subnets: vec!["subnet-a".into()],
        ..VpcConnector::default()
    });
    account.services.push(Service { name: "plain".into(), ..Service::default() });
    let imported = imported(account);
    let spec = &imported.lab.spec;
    let connectors: Vec<&str> = spec.connectors.iter().map(|c| c.name.value.as_str()).collect();
    assert_eq!(connectors, ["main", "main-2"]);
    let services: Vec<(&str, Option<&str>)> = spec
        .services
        .iter()
        .map(|s| (s.name.value.as_str(), s.vpc_connector.as_ref().map(|c| c.value.as_str())))
        .collect();
    assert_eq!(services, [("web", Some("main")), ("plain", None), ("main-2", Some("main-2"))]);
    assert_eq!(
        of_kind(&imported, FindingKind::Assumed),
        ["VPC connector main: the source has no service that uses it: service main-2"]
    );
}

fn interface_endpoint(id: &str, service: &str, private_dns_enabled: bool) -> VpcEndpoint {
    VpcEndpoint {
        id: id.into(),
        name: None,
        vpc: "vpc-1".into(),
        endpoint_type: EndpointType::Interface,
        service_name: service.into(),
        state: Some("available".into()),
        route_tables: vec![],
        prefix_list: None,
        subnets: vec!["subnet-data".into()],
        security_groups: vec![],
        network_interfaces: vec![],
        private_dns_enabled,
        has_policy: false,
        origin: origin(&format!("Endpoints.{id}")),
    }
}

/// The public name of a service leads to the internet from a VPC without an endpoint that has the
/// name. Image registries have a name for each account only, and services of others have no known
/// name.
#[test]
fn a_service_has_a_host_where_its_name_leads_out_of_a_vpc() {
    let mut account = account();
    let failed = VpcEndpoint {
        state: Some("failed".into()),
        ..interface_endpoint("vpce-3", "com.amazonaws.us-east-1.ecr.api", true)
    };
    account.vpc_endpoints = vec![
        interface_endpoint("vpce-1", "com.amazonaws.us-east-1.secretsmanager", true),
        interface_endpoint("vpce-2", "com.amazonaws.us-east-1.sqs", false),
        failed,
        interface_endpoint("vpce-4", "com.amazonaws.us-east-1.ecr.dkr", false),
        interface_endpoint("vpce-5", "com.amazonaws.vpce.us-east-1.vpce-svc-1", false),
    ];
    let imported = imported(account);
    let hosts = imported.lab.spec.internet_hosts.iter().skip(1);
    let names = hosts.map(|host| (host.name.value.as_str(), host.aliases[0].as_str()));
    let expected =
        [("sqs", "sqs.us-east-1.amazonaws.com"), ("ecr-api", "api.ecr.us-east-1.amazonaws.com")];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    let what = "VPC endpoint vpce-2: the source does not have the public address of its service";
    let assumed = of_kind(&imported, FindingKind::Assumed);
    assert!(assumed.contains(&format!("{what}: 203.0.113.20")), "{assumed:?}");
}
