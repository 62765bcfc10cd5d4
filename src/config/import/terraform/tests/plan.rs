//! Tests of plans: a value that is unknown until the apply is resolved by the references of the
//! configuration, or reported as open.

use super::{account, clean, lines, resource, routes, rules};
use serde_json::{Value, json};

/// Makes a plan: resources with their unknown parts, and the configuration of the root module.
pub(super) fn plan(resources: &[(Value, Value)], configuration: Value) -> Value {
    let changes: Vec<Value> = resources
        .iter()
        .map(|(resource, unknown)| {
            json!({
                "address": resource["address"], "mode": resource["mode"], "type": resource["type"],
                "change": { "actions": ["create"], "before": null, "after": resource["values"], "after_unknown": unknown }
            })
        })
        .collect();
    // Resources of modules have their module in their address, and belong into it here.
    let (inner, root): (Vec<Value>, Vec<Value>) = resources
        .iter()
        .map(|(resource, _)| resource.clone())
        .partition(|one| one["address"].as_str().unwrap().starts_with("module."));
    let mut children: Vec<Value> = Vec::new();
    for resource in inner {
        let address = resource["address"].as_str().unwrap();
        let module = address[..address.find(".aws_").unwrap()].to_owned();
        match children.iter_mut().find(|child| child["address"] == module.as_str()) {
            Some(child) => child["resources"].as_array_mut().unwrap().push(resource),
            None => children.push(json!({ "address": module, "resources": [resource] })),
        }
    }
    json!({
        "format_version": "1.2", "terraform_version": "1.11.4",
        "planned_values": { "root_module": { "resources": root, "child_modules": children } },
        "resource_changes": changes,
        "configuration": {
            "provider_config": { "aws": { "name": "aws", "expressions": { "region": { "constant_value": "eu-west-1" } } } },
            "root_module": configuration
        }
    })
}

pub(super) fn configured(kind: &str, name: &str, expressions: Value) -> Value {
    json!({ "address": format!("{kind}.{name}"), "mode": "managed", "type": kind, "name": name, "expressions": expressions })
}

pub(super) fn refers(references: &[&str]) -> Value {
    json!({ "references": references })
}

pub(super) fn to(reference: &str) -> Value {
    refers(&[&format!("{reference}.id"), reference])
}

pub(super) fn new_vpc() -> (Value, Value) {
    let values = json!({ "cidr_block": "10.0.0.0/16", "enable_dns_support": true, "tags": null });
    let unknown = json!({ "id": true, "arn": true, "main_route_table_id": true, "default_security_group_id": true, "enable_dns_hostnames": true });
    (resource("aws_vpc.main", values), unknown)
}

pub(super) fn new_subnet(address: &str, cidr: &str) -> (Value, Value) {
    let values = json!({ "cidr_block": cidr, "availability_zone": "eu-west-1a" });
    (resource(address, values), json!({ "id": true, "vpc_id": true, "arn": true }))
}

pub(super) fn a_group(name: &str) -> (Value, Value) {
    let values = json!({ "name": name });
    (
        resource(&format!("aws_security_group.{name}"), values),
        json!({ "id": true, "vpc_id": true, "ingress": true, "egress": true }),
    )
}

#[test]
fn planned_resources_are_named_by_their_addresses() {
    let account = clean(&plan(
        &[
            new_vpc(),
            new_subnet("aws_subnet.a", "10.0.1.0/24"),
            a_group("app"),
            a_group("db"),
            (
                resource(
                    "aws_route_table.private",
                    json!({
                        "route": [{ "cidr_block": "0.0.0.0/0", "gateway_id": "", "ipv6_cidr_block": "" },
                                  { "cidr_block": "10.9.0.0/16", "nat_gateway_id": "", "ipv6_cidr_block": "" }],
                    }),
                ),
                json!({ "id": true, "vpc_id": true, "propagating_vgws": true, "route": [{ "nat_gateway_id": true }, { "gateway_id": true }] }),
            ),
            (
                resource("aws_internet_gateway.igw", json!({})),
                json!({ "id": true, "vpc_id": true }),
            ),
            (
                resource("aws_nat_gateway.nat", json!({ "connectivity_type": "public" })),
                json!({ "id": true, "subnet_id": true, "allocation_id": true, "private_ip": true, "public_ip": true,
                        "secondary_private_ip_addresses": true, "secondary_private_ip_address_count": true }),
            ),
            (
                resource("aws_route_table_association.a", json!({ "gateway_id": null })),
                json!({ "id": true, "subnet_id": true, "route_table_id": true }),
            ),
            (
                resource(
                    "aws_security_group_rule.db",
                    json!({
                        "type": "egress", "protocol": "tcp", "from_port": 5432, "to_port": 5432, "self": false
                    }),
                ),
                json!({ "id": true, "security_group_id": true, "source_security_group_id": true }),
            ),
            (
                resource("aws_apprunner_vpc_connector.c", json!({ "vpc_connector_name": "c" })),
                json!({ "id": true, "arn": true, "subnets": true, "security_groups": true }),
            ),
            (
                resource(
                    "aws_apprunner_service.web",
                    json!({
                        "service_name": "web",
                        "network_configuration": [{ "egress_configuration": [{ "egress_type": "VPC" }] }]
                    }),
                ),
                json!({ "id": true, "network_configuration": [{ "egress_configuration": [{ "vpc_connector_arn": true }] }] }),
            ),
        ],
        json!({ "resources": [
            configured("aws_vpc", "main", json!({ "cidr_block": { "constant_value": "10.0.0.0/16" } })),
            configured("aws_subnet", "a", json!({ "vpc_id": to("aws_vpc.main") })),
            configured("aws_security_group", "app", json!({ "vpc_id": to("aws_vpc.main") })),
            configured("aws_security_group", "db", json!({ "vpc_id": refers(&["aws_subnet.a.vpc_id", "aws_subnet.a"]) })),
            configured("aws_route_table", "private", json!({
                "vpc_id": to("aws_vpc.main"),
                "route": refers(&["aws_nat_gateway.nat.id", "aws_nat_gateway.nat", "aws_internet_gateway.igw.id", "aws_internet_gateway.igw"])
            })),
            configured("aws_internet_gateway", "igw", json!({ "vpc_id": to("aws_vpc.main") })),
            configured("aws_nat_gateway", "nat", json!({ "subnet_id": to("aws_subnet.a"), "allocation_id": to("aws_eip.nat") })),
            configured("aws_route_table_association", "a", json!({ "subnet_id": to("aws_subnet.a"), "route_table_id": to("aws_route_table.private") })),
            configured("aws_security_group_rule", "db", json!({ "security_group_id": to("aws_security_group.app"), "source_security_group_id": to("aws_security_group.db") })),
            configured("aws_apprunner_vpc_connector", "c", json!({ "subnets": to("aws_subnet.a"), "security_groups": to("aws_security_group.app") })),
            configured("aws_apprunner_service", "web", json!({
                "network_configuration": [{ "egress_configuration": [{
                    "egress_type": { "constant_value": "VPC" },
                    "vpc_connector_arn": refers(&["aws_apprunner_vpc_connector.c.arn", "aws_apprunner_vpc_connector.c"])
                }] }]
            })),
        ]}),
    ));
    assert_eq!(account.region.as_deref(), Some("eu-west-1"));
    assert_eq!(account.vpcs[0].id, "aws_vpc.main");
    assert_eq!(account.subnets[0].vpc, "aws_vpc.main");
    assert_eq!(account.security_groups[1].vpc, "aws_vpc.main");
    assert_eq!(
        routes(&account.route_tables[0]),
        [
            "Cidr(Ipv4Network { addr: 0.0.0.0, prefix: 0 }) NatGateway(\"aws_nat_gateway.nat\")",
            "Cidr(Ipv4Network { addr: 10.9.0.0, prefix: 16 }) Gateway(\"aws_internet_gateway.igw\")",
        ]
    );
    assert_eq!(account.route_tables[0].subnets, ["aws_subnet.a"]);
    assert_eq!(account.nat_gateways[0].subnet.as_deref(), Some("aws_subnet.a"));
    assert!(account.nat_gateways[0].addresses.is_empty());
    assert_eq!(
        rules(&account.security_groups[0]),
        ["egress tcp 5432-5432 SecurityGroup(\"aws_security_group.db\")"]
    );
    let connector = &account.vpc_connectors[0];
    assert_eq!(connector.subnets, ["aws_subnet.a"]);
    assert_eq!(account.services[0].vpc_connector.as_ref(), Some(&connector.id));
}

#[test]
fn instances_are_found_by_count_by_key_and_through_modules() {
    let subnets = |n: u64| {
        new_subnet(&format!("module.net.aws_subnet.private[{n}]"), &format!("10.0.{n}.0/24"))
    };
    let associated = |key: &str| {
        (
            resource(
                &format!("module.net.aws_route_table_association.private[{key}]"),
                json!({ "gateway_id": null }),
            ),
            json!({ "id": true, "subnet_id": true, "route_table_id": true }),
        )
    };
    let table = |n: u64| {
        (
            resource(&format!("module.net.aws_route_table.private[{n}]"), json!({})),
            json!({ "id": true, "vpc_id": true, "route": true }),
        )
    };
    let (account, findings) = account(&plan(
        &[
            new_vpc(),
            subnets(0),
            subnets(1),
            table(0),
            table(1),
            associated("0"),
            associated("1"),
            (
                resource("aws_apprunner_vpc_connector.c", json!({ "vpc_connector_name": "c" })),
                json!({ "id": true, "arn": true, "subnets": true, "security_groups": true }),
            ),
        ],
        json!({
            "resources": [
                configured("aws_vpc", "main", json!({})),
                configured("aws_apprunner_vpc_connector", "c", json!({
                    "subnets": refers(&["module.net.private", "module.net"]),
                    "security_groups": refers(&["aws_vpc.main.default_security_group_id", "aws_vpc.main"])
                })),
            ],
            "module_calls": { "net": {
                "source": "./net",
                "expressions": { "vpc": to("aws_vpc.main") },
                "module": {
                    "variables": { "vpc": {} },
                    "outputs": { "private": { "expression": refers(&["aws_subnet.private"]) } },
                    "resources": [
                        configured("aws_subnet", "private", json!({ "vpc_id": refers(&["var.vpc"]) })),
                        configured("aws_route_table", "private", json!({ "vpc_id": refers(&["var.vpc"]) })),
                        configured("aws_route_table_association", "private", json!({
                            "subnet_id": refers(&["aws_subnet.private", "count.index"]),
                            "route_table_id": refers(&["aws_route_table.private", "count.index"])
                        })),
                    ]
                }
            }}
        }),
    ));
    let tables: Vec<_> =
        account.route_tables.iter().map(|t| (t.vpc.as_str(), t.subnets.clone())).collect();
    assert_eq!(
        tables,
        [
            ("aws_vpc.main", vec!["module.net.aws_subnet.private[0]".to_owned()]),
            ("aws_vpc.main", vec!["module.net.aws_subnet.private[1]".to_owned()]),
        ]
    );
    let connector = &account.vpc_connectors[0];
    assert_eq!(
        connector.subnets,
        ["module.net.aws_subnet.private[0]", "module.net.aws_subnet.private[1]"]
    );
    assert_eq!(connector.security_groups, ["aws_vpc.main.default_security_group_id"]);
    assert!(account.security_groups[0].default);
    let lines = lines(&findings);
    assert!(
        lines.contains(&"assumed: aws_apprunner_vpc_connector: subnets is known only after the apply (state.json: aws_apprunner_vpc_connector.c.subnets)".to_owned()),
        "{lines:#?}"
    );
}

#[test]
fn keys_of_for_each_name_the_same_key() {
    let subnet = |key: &str, cidr: &str| new_subnet(&format!("aws_subnet.s[\"{key}\"]"), cidr);
    let mount = |key: &str| {
        (
            resource(&format!("aws_efs_mount_target.m[\"{key}\"]"), json!({})),
            json!({ "id": true, "subnet_id": true, "ip_address": true, "security_groups": true }),
        )
    };
    let each = |over: Value, subnet: Value| {
        let mut entry = configured("aws_efs_mount_target", "m", json!({ "subnet_id": subnet }));
        entry["for_each_expression"] = over;
        entry
    };
    for entry in [
        each(refers(&["aws_subnet.s"]), refers(&["each.value.id", "each.value"])),
        each(refers(&["local.zones"]), refers(&["aws_subnet.s", "each.key"])),
    ] {
        let (account, _) = account(&plan(
            &[
                new_vpc(),
                subnet("a", "10.0.0.0/24"),
                subnet("b", "10.0.1.0/24"),
                mount("b"),
                mount("a"),
            ],
            json!({ "resources": [configured("aws_subnet", "s", json!({ "vpc_id": to("aws_vpc.main") })), entry] }),
        ));
        let found: Vec<_> =
            account.network_interfaces.iter().map(|one| one.subnet.as_str()).collect();
        assert_eq!(found, ["aws_subnet.s[\"b\"]", "aws_subnet.s[\"a\"]"]);
    }
}

#[test]
fn values_that_the_configuration_leaves_open_are_not_understood() {
    let connector = || {
        (
            resource("aws_apprunner_vpc_connector.c", json!({ "vpc_connector_name": "c" })),
            json!({ "id": true, "arn": true, "subnets": true, "security_groups": true }),
        )
    };
    let (account, findings) = account(&plan(
        &[
            new_vpc(),
            new_subnet("aws_subnet.a", "10.0.1.0/24"),
            a_group("app"),
            a_group("db"),
            connector(),
            (
                resource(
                    "aws_security_group_rule.either",
                    json!({
                        "type": "egress", "protocol": "tcp", "from_port": 1, "to_port": 1, "cidr_blocks": ["10.0.0.0/8"]
                    }),
                ),
                json!({ "id": true, "security_group_id": true }),
            ),
        ],
        json!({ "resources": [
            configured("aws_subnet", "a", json!({ "vpc_id": to("aws_vpc.main") })),
            configured("aws_security_group", "app", json!({ "vpc_id": to("aws_vpc.main") })),
            configured("aws_security_group", "db", json!({ "vpc_id": to("aws_vpc.main") })),
            configured("aws_apprunner_vpc_connector", "c", json!({ "subnets": refers(&["local.subnets"]) })),
            configured("aws_security_group_rule", "either", json!({
                "security_group_id": refers(&["aws_security_group.app.id", "aws_security_group.app", "aws_security_group.db.id", "aws_security_group.db"])
            })),
        ]}),
    ));
    assert!(account.vpc_connectors.is_empty());
    assert_eq!(
        lines(&findings),
        [
            "not understood: aws_apprunner_vpc_connector: subnets is known only after the apply: its expression has local.subnets (state.json: aws_apprunner_vpc_connector.c.subnets)",
            "not understood: aws_security_group_rule: security_group_id is known only after the apply: it may be aws_security_group.app or aws_security_group.db (state.json: aws_security_group_rule.either.security_group_id)",
        ]
    );
    assert!(findings.all()[0].consequence.contains("terraform show -json"));
}

#[test]
fn data_sources_of_before_the_plan_are_facts() {
    let mut document = plan(
        &[(
            resource("aws_subnet.a", json!({ "cidr_block": "10.9.1.0/24", "vpc_id": "vpc-9" })),
            json!({ "id": true }),
        )],
        json!({ "resources": [configured("aws_subnet", "a", json!({ "vpc_id": refers(&["data.aws_vpc.v.id", "data.aws_vpc.v"]) }))] }),
    );
    document["prior_state"] = json!({ "format_version": "1.0", "values": { "root_module": { "resources": [
        resource("data.aws_vpc.v", json!({ "id": "vpc-9", "cidr_block": "10.9.0.0/16" })),
        resource("aws_subnet.gone", json!({ "id": "subnet-gone", "vpc_id": "vpc-9", "cidr_block": "10.9.2.0/24" })),
    ] } } });
    let account = clean(&document);
    assert_eq!(account.vpcs[0].id, "vpc-9");
    let subnets: Vec<_> = account.subnets.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(subnets, ["aws_subnet.a"]);
}

#[test]
fn references_in_a_circle_end() {
    let call = json!({ "expressions": { "x": refers(&["module.a.y", "module.b.y"]) }, "module": {
        "outputs": { "y": { "expression": refers(&["var.x", "var.x"]) } }, "variables": { "x": {} }, "resources": []
    }});
    let inner = |name: &str| {
        (resource(&format!("module.{name}.aws_eip.e"), json!({})), json!({ "id": true }))
    };
    let (account, findings) = account(&plan(
        &[
            inner("a"),
            inner("b"),
            (resource("aws_internet_gateway.g", json!({})), json!({ "id": true, "vpc_id": true })),
        ],
        json!({
            "resources": [configured("aws_internet_gateway", "g", json!({ "vpc_id": refers(&["module.a.y"]) }))],
            "module_calls": { "a": call, "b": call }
        }),
    ));
    assert!(account.internet_gateways.is_empty());
    assert_eq!(findings.all().len(), 1);
}

#[test]
fn a_gateway_whose_subnet_no_expression_names_is_not_understood() {
    let unknown = json!({ "id": true, "subnet_id": true });
    let gateway = resource("aws_nat_gateway.nat", json!({ "connectivity_type": "public" }));
    let (account, findings) = account(&plan(&[(gateway, unknown)], json!({ "resources": [] })));
    assert!(account.nat_gateways.is_empty());
    assert_eq!(
        lines(&findings),
        [
            "not understood: aws_nat_gateway: subnet_id is known only after the apply (state.json: aws_nat_gateway.nat.subnet_id)"
        ]
    );
}
