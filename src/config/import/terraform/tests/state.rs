//! Tests of the objects of a state.

use super::{account, clean, lines, resource, routes, state, subnet, vpc};
use crate::config::import::{EndpointType, FindingKind, Options};
use serde_json::json;

#[test]
fn a_network_is_read_from_a_module_within_a_module() {
    let document = json!({
        "format_version": "1.0",
        "values": { "root_module": {
            "resources": [],
            "child_modules": [{
                "address": "module.net[\"eu\"]",
                "resources": [vpc()],
                "child_modules": [{
                    "address": "module.net[\"eu\"].module.subnets",
                    "resources": [resource(r#"module.net["eu"].module.subnets.aws_subnet.private[1]"#, json!({
                        "id": "subnet-1", "vpc_id": "vpc-1", "cidr_block": "10.0.1.0/24",
                        "availability_zone": "eu-west-1b", "tags": { "Name": "private b" }
                    }))]
                }]
            }]
        }}
    });
    let account = clean(&document);
    assert_eq!(account.region.as_deref(), Some("eu-west-1"));
    let vpc = &account.vpcs[0];
    assert_eq!((vpc.name.as_deref(), vpc.enable_dns_support), (Some("shop"), Some(true)));
    assert_eq!(vpc.enable_dns_hostnames, Some(false));
    let subnet = &account.subnets[0];
    assert_eq!(subnet.cidr_block.to_string(), "10.0.1.0/24");
    assert_eq!(
        subnet.origin.to_string(),
        r#"state.json: module.net["eu"].module.subnets.aws_subnet.private[1]"#
    );
}

#[test]
fn secondary_blocks_are_the_vpcs() {
    let account = clean(&state(&[
        vpc(),
        resource(
            "aws_vpc_ipv4_cidr_block_association.more",
            json!({
                "id": "vpc-cidr-assoc-1", "vpc_id": "vpc-1", "cidr_block": "10.1.0.0/16"
            }),
        ),
    ]));
    let blocks: Vec<String> = account.vpcs[0].cidr_blocks.iter().map(ToString::to_string).collect();
    assert_eq!(blocks, ["10.0.0.0/16", "10.1.0.0/16"]);
}

#[test]
fn a_nat_gateway_has_the_addresses_of_its_allocations() {
    let account = clean(&state(&[
        vpc(),
        subnet("a", "10.0.0.0/24"),
        resource("aws_eip.nat[0]", json!({ "id": "eipalloc-1", "public_ip": "198.51.100.7" })),
        resource("aws_eip.nat[1]", json!({ "id": "eipalloc-2", "public_ip": "198.51.100.8" })),
        resource(
            "aws_nat_gateway.a",
            json!({
                "id": "nat-1", "subnet_id": "subnet-a", "allocation_id": "eipalloc-1", "private_ip": "10.0.0.9",
                "secondary_allocation_ids": ["eipalloc-2"], "secondary_private_ip_addresses": ["10.0.0.10"],
                "secondary_private_ip_address_count": 1, "connectivity_type": "public"
            }),
        ),
        resource(
            "aws_nat_gateway.inner",
            json!({
                "id": "nat-2", "subnet_id": "subnet-a", "connectivity_type": "private",
                "private_ip": "10.0.0.20", "public_ip": ""
            }),
        ),
    ]));
    let [public, private] = account.nat_gateways.as_slice() else { panic!("two gateways") };
    let addresses: Vec<String> = public
        .addresses
        .iter()
        .map(|a| format!("{} {}", a.private_ip.unwrap(), a.public_ip.unwrap()))
        .collect();
    assert_eq!(addresses, ["10.0.0.9 198.51.100.7", "10.0.0.10 198.51.100.8"]);
    assert_eq!(public.vpc.as_deref(), Some("vpc-1"));
    assert!(private.private && !public.private);
    assert_eq!(private.addresses[0].public_ip, None);
}

#[test]
fn endpoints_bring_their_prefix_list_and_their_addresses() {
    let open = r#"{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}],"Version":"2008-10-17"}"#;
    let account = clean(&state(&[
        vpc(),
        subnet("a", "10.0.0.0/24"),
        resource(
            "aws_route_table.a",
            json!({ "id": "rtb-1", "vpc_id": "vpc-1", "route": [], "propagating_vgws": [] }),
        ),
        resource(
            "aws_vpc_endpoint.s3",
            json!({
                "id": "vpce-1", "vpc_id": "vpc-1", "service_name": "com.amazonaws.eu-west-1.s3",
                "vpc_endpoint_type": "Gateway", "route_table_ids": [], "prefix_list_id": "pl-6da54004",
                "cidr_blocks": ["52.218.0.0/17", "3.5.64.0/21"], "policy": open, "state": "available"
            }),
        ),
        resource(
            "aws_vpc_endpoint_route_table_association.s3",
            json!({
                "id": "a-1", "route_table_id": "rtb-1", "vpc_endpoint_id": "vpce-1"
            }),
        ),
        resource(
            "aws_vpc_endpoint.secrets",
            json!({
                "id": "vpce-2", "vpc_id": "vpc-1", "service_name": "com.amazonaws.eu-west-1.secretsmanager",
                "vpc_endpoint_type": "Interface", "subnet_ids": ["subnet-a"], "security_group_ids": [],
                "network_interface_ids": ["eni-9"], "private_dns_enabled": true, "cidr_blocks": [],
                "policy": r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:Get*","Resource":"*"}]}"#,
                "subnet_configuration": [{ "ipv4": "10.0.0.30", "ipv6": "", "subnet_id": "subnet-a" }]
            }),
        ),
        resource(
            "aws_vpc_endpoint_subnet_association.secrets",
            json!({
                "id": "a-2", "subnet_id": "subnet-a", "vpc_endpoint_id": "vpce-2"
            }),
        ),
    ]));
    let [gateway, interface] = account.vpc_endpoints.as_slice() else { panic!("two endpoints") };
    assert_eq!(gateway.route_tables, ["rtb-1"]);
    assert_eq!((gateway.has_policy, interface.has_policy), (false, true));
    assert_eq!(gateway.prefix_list.as_deref(), Some("pl-6da54004"));
    assert_eq!(account.prefix_lists[0].entries.as_ref().unwrap().len(), 2);
    assert_eq!(interface.endpoint_type, EndpointType::Interface);
    assert_eq!(interface.subnets, ["subnet-a"]);
    let own = &account.network_interfaces[0];
    assert_eq!(interface.network_interfaces, std::slice::from_ref(&own.id));
    assert_eq!(own.addresses[0].address.to_string(), "10.0.0.30");
}

#[test]
fn prefix_lists_have_inline_entries_and_entries_of_their_own_once_each() {
    let account = clean(&state(&[
        resource(
            "aws_ec2_managed_prefix_list.partners",
            json!({
                "id": "pl-1", "name": "partners", "address_family": "IPv4", "max_entries": 5,
                "entry": [{ "cidr": "203.0.113.0/28", "description": "" }, { "cidr": "203.0.113.64/28", "description": "b" }]
            }),
        ),
        resource(
            "aws_ec2_managed_prefix_list_entry.b",
            json!({
                "id": "pl-1,203.0.113.64/28", "cidr": "203.0.113.64/28", "prefix_list_id": "pl-1"
            }),
        ),
        resource(
            "aws_ec2_managed_prefix_list_entry.c",
            json!({
                "id": "pl-1,198.51.100.0/24", "cidr": "198.51.100.0/24", "prefix_list_id": "pl-1"
            }),
        ),
    ]));
    let entries: Vec<String> =
        account.prefix_lists[0].entries.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(entries, ["203.0.113.0/28", "203.0.113.64/28", "198.51.100.0/24"]);
}

#[test]
fn connectors_and_services() {
    let account = clean(&state(&[
        resource(
            "aws_apprunner_vpc_connector.c",
            json!({
                "id": "arn:aws:apprunner:eu-west-1:123456789012:vpcconnector/c/1/0a",
                "arn": "arn:aws:apprunner:eu-west-1:123456789012:vpcconnector/c/1/0a",
                "vpc_connector_name": "c", "subnets": ["subnet-a", "subnet-b"], "security_groups": ["sg-1"], "status": "ACTIVE"
            }),
        ),
        resource(
            "aws_apprunner_service.web",
            json!({
                "id": "arn:aws:apprunner:eu-west-1:123456789012:service/web/0b", "service_name": "web",
                "network_configuration": [{
                    "egress_configuration": [{
                        "egress_type": "VPC", "vpc_connector_arn": "arn:aws:apprunner:eu-west-1:123456789012:vpcconnector/c/1/0a"
                    }],
                    "ingress_configuration": [{ "is_publicly_accessible": true }]
                }]
            }),
        ),
        resource(
            "aws_apprunner_service.open",
            json!({
                "id": "arn:aws:apprunner:eu-west-1:123456789012:service/open/0c", "service_name": "open",
                "network_configuration": [{ "egress_configuration": [{ "egress_type": "DEFAULT", "vpc_connector_arn": "" }] }]
            }),
        ),
    ]));
    let connector = &account.vpc_connectors[0];
    assert_eq!(connector.subnets, ["subnet-a", "subnet-b"]);
    let services: Vec<_> =
        account.services.iter().map(|s| (s.name.as_str(), s.vpc_connector.as_ref())).collect();
    assert_eq!(services, [("web", Some(&connector.id)), ("open", None)]);
}

#[test]
fn objects_with_an_address_are_interfaces_and_others_have_none() {
    let account = clean(&state(&[
        vpc(),
        subnet("a", "10.0.0.0/24"),
        subnet("b", "10.0.1.0/24"),
        resource(
            "aws_network_interface.nva",
            json!({
                "id": "eni-1", "subnet_id": "subnet-a", "private_ip": "10.0.0.40", "private_ips": ["10.0.0.40", "10.0.0.41"],
                "security_groups": ["sg-1"], "source_dest_check": false, "interface_type": "interface"
            }),
        ),
        resource(
            "aws_instance.nva",
            json!({
                "id": "i-1", "primary_network_interface_id": "eni-1", "subnet_id": "subnet-a", "private_ip": "10.0.0.40",
                "vpc_security_group_ids": ["sg-1"], "tags": { "Name": "firewall" }
            }),
        ),
        resource(
            "aws_instance.app",
            json!({
                "id": "i-2", "primary_network_interface_id": "eni-2", "subnet_id": "subnet-b", "private_ip": "10.0.1.9",
                "vpc_security_group_ids": ["sg-2"], "source_dest_check": true
            }),
        ),
        resource(
            "aws_db_subnet_group.data",
            json!({ "id": "data", "name": "data", "subnet_ids": ["subnet-a", "subnet-b"] }),
        ),
        resource(
            "aws_db_instance.orders",
            json!({
                "id": "db-1", "identifier": "orders", "db_subnet_group_name": "data", "port": 5432,
                "vpc_security_group_ids": ["sg-db"], "availability_zone": "eu-west-1a"
            }),
        ),
        resource(
            "aws_efs_mount_target.a",
            json!({
                "id": "fsmt-1", "ip_address": "10.0.0.50", "subnet_id": "subnet-a", "security_groups": ["sg-1"],
                "network_interface_id": "eni-3"
            }),
        ),
        resource(
            "aws_lb.inner",
            json!({ "id": "lb", "name": "inner", "subnets": ["subnet-a", "subnet-b"], "security_groups": ["sg-lb"] }),
        ),
    ]));
    let found: Vec<String> = account
        .network_interfaces
        .iter()
        .map(|one| {
            let addresses: Vec<String> =
                one.addresses.iter().map(|a| a.address.to_string()).collect();
            let instance = one.instance.as_deref().unwrap_or("-");
            let name = one.name.as_deref().unwrap_or("-");
            format!(
                "{name} {} {instance} [{}] {:?} {:?}",
                one.subnet,
                addresses.join(" "),
                one.security_groups,
                one.listen
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            r#"firewall subnet-a i-1 [10.0.0.40 10.0.0.41] ["sg-1"] []"#,
            r#"a subnet-a - [10.0.0.50] ["sg-1"] ["2049/tcp"]"#,
            r#"app subnet-b i-2 [10.0.1.9] ["sg-2"] []"#,
            r#"orders subnet-a - [] ["sg-db"] ["5432/tcp"]"#,
            r#"inner subnet-a - [] ["sg-lb"] []"#,
            r#"inner-2 subnet-b - [] ["sg-lb"] []"#,
        ]
    );
    assert!(!account.network_interfaces[0].source_dest_check);
}

#[test]
fn a_data_source_is_a_fact_where_nothing_managed_says_it() {
    let (account, findings) = account(&state(&[
        vpc(),
        resource("data.aws_vpc.again", json!({ "id": "vpc-1", "cidr_block": "10.0.0.0/16" })),
        resource(
            "data.aws_vpc.other",
            json!({
                "id": "vpc-2", "cidr_block": "10.9.0.0/16",
                "cidr_block_associations": [
                    { "association_id": "1", "cidr_block": "10.9.0.0/16", "state": "associated" },
                    { "association_id": "2", "cidr_block": "10.10.0.0/16", "state": "disassociated" }
                ]
            }),
        ),
        resource(
            "data.aws_route_table.other",
            json!({
                "id": "rtb-9", "route_table_id": "rtb-9", "vpc_id": "vpc-2",
                "routes": [
                    { "cidr_block": "10.9.0.0/16", "gateway_id": "local", "ipv6_cidr_block": "" },
                    { "cidr_block": "0.0.0.0/0", "gateway_id": "", "nat_gateway_id": "nat-9", "ipv6_cidr_block": "" },
                    { "cidr_block": "", "ipv6_cidr_block": "::/0", "gateway_id": "igw-9" }
                ],
                "associations": [
                    { "main": true, "subnet_id": "", "route_table_id": "rtb-9" },
                    { "main": false, "subnet_id": "subnet-9", "route_table_id": "rtb-9" }
                ]
            }),
        ),
        resource(
            "data.aws_security_group.other",
            json!({ "id": "sg-9", "name": "db", "vpc_id": "vpc-2" }),
        ),
        resource("data.aws_subnets.private", json!({ "id": "eu-west-1", "ids": ["subnet-9"] })),
        resource("data.aws_caller_identity.me", json!({ "id": "123456789012" })),
    ]));
    assert_eq!(
        account.vpcs.iter().map(|vpc| vpc.id.as_str()).collect::<Vec<_>>(),
        ["vpc-1", "vpc-2"]
    );
    assert_eq!(account.vpcs[1].cidr_blocks.len(), 1);
    let table = &account.route_tables[0];
    assert!(table.main);
    assert_eq!(table.subnets, ["subnet-9"]);
    assert_eq!(
        routes(table),
        [
            "Cidr(Ipv4Network { addr: 10.9.0.0, prefix: 16 }) Local",
            "Cidr(Ipv4Network { addr: 0.0.0.0, prefix: 0 }) NatGateway(\"nat-9\")"
        ]
    );
    assert_eq!(
        lines(&findings),
        [
            "not understood: data aws_security_group sg-9: a data source of a security group has no rules (state.json: data.aws_security_group.other)",
            "left out: IPv6: 1 × route (state.json: data.aws_route_table.other.routes[2])",
        ]
    );
}

#[test]
fn private_zones_and_their_records() {
    let (account, findings) = account(&state(&[
        resource(
            "aws_route53_zone.corp",
            json!({ "id": "Z1", "zone_id": "Z1", "name": "corp.internal", "vpc": [{ "vpc_id": "vpc-1", "vpc_region": "eu-west-1" }] }),
        ),
        resource(
            "aws_route53_zone.public",
            json!({ "id": "Z2", "name": "example.com", "vpc": [] }),
        ),
        resource(
            "aws_route53_record.db",
            json!({
                "id": "Z1_db_A", "zone_id": "Z1", "name": "db", "fqdn": "db.corp.internal", "type": "A", "ttl": 60, "records": ["10.0.0.9"], "alias": []
            }),
        ),
        resource(
            "aws_route53_record.lb",
            json!({
                "id": "Z1_lb_A", "zone_id": "Z1", "name": "lb", "type": "A", "records": null, "alias": [{ "name": "x", "zone_id": "Z9" }]
            }),
        ),
        resource(
            "aws_route53_record.www",
            json!({ "id": "Z2_www", "zone_id": "Z2", "name": "www", "type": "A", "records": ["198.51.100.1"] }),
        ),
    ]));
    let zone = &account.private_zones[0];
    assert_eq!((account.private_zones.len(), zone.name.as_str()), (1, "corp.internal"));
    assert_eq!(
        (zone.records.len(), zone.records[0].name.as_str(), zone.records[0].ttl),
        (1, "db.corp.internal", Some(60))
    );
    assert_eq!(
        lines(&findings),
        [
            "left out: record lb.corp.internal A: an alias record (state.json: aws_route53_record.lb)"
        ]
    );
}

#[test]
fn resources_without_a_counterpart_are_listed() {
    let (_, findings) = account(&state(&[
        resource("aws_ec2_transit_gateway.hub", json!({ "id": "tgw-1" })),
        resource(
            "aws_lambda_function.f",
            json!({ "id": "f", "vpc_config": [{ "subnet_ids": ["subnet-a"] }] }),
        ),
        resource("aws_lambda_function.outside", json!({ "id": "o", "vpc_config": [] })),
        resource("aws_eks_cluster.k", json!({ "id": "k" })),
        resource("aws_vpc_new_kind_of_filter.x", json!({ "id": "x-1" })),
        resource("aws_egress_only_internet_gateway.v6", json!({ "id": "eigw-1" })),
        resource("aws_flow_log.all", json!({ "id": "fl-1" })),
        resource("aws_iam_role.r", json!({ "id": "r" })),
        resource("random_pet.name", json!({ "id": "tidy-cat" })),
    ]));
    let kinds: Vec<_> = findings.all().iter().map(|f| (f.kind, f.object.clone())).collect();
    assert_eq!(
        kinds,
        [
            (FindingKind::NotUnderstood, "aws_vpc_new_kind_of_filter x-1".to_owned()),
            (FindingKind::LeftOut, "aws_ec2_transit_gateway tgw-1".to_owned()),
            (FindingKind::LeftOut, "aws_lambda_function f".to_owned()),
            (FindingKind::LeftOut, "aws_eks_cluster k".to_owned()),
            (FindingKind::LeftOut, "IPv6".to_owned()),
        ]
    );
}

#[test]
fn a_lab_is_one_region_and_the_others_are_left_out() {
    let there = |region: &str, n: usize| {
        resource(
            &format!("aws_vpc.v{n}"),
            json!({
                "id": format!("vpc-{n}"), "cidr_block": "10.0.0.0/16", "arn": format!("arn:aws:ec2:{region}:1:vpc/vpc-{n}")
            }),
        )
    };
    let document = state(&[there("eu-west-1", 1), there("us-east-1", 2), there("eu-west-1", 3)]);
    let (most, findings) = account(&document);
    assert_eq!((most.region.as_deref(), most.vpcs.len()), (Some("eu-west-1"), 2));
    assert_eq!(
        lines(&findings),
        [
            "left out: aws_vpc vpc-2: it is in us-east-1, and the lab is eu-west-1 (state.json: aws_vpc.v2)"
        ]
    );
    let options = Options { region: Some("us-east-1".to_owned()), ..Options::default() };
    let (named, _) = super::super::import(&document.to_string(), "s", &options).unwrap();
    assert_eq!(named.vpcs[0].id, "vpc-2");
}
