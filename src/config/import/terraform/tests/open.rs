//! Tests of plans that could be read as more than they say: each part is reported as open, or read
//! as it will be.

use super::plan::{a_group, configured, new_subnet, new_vpc, plan, refers, to};
use super::{account, clean, lines, resource, routes, rules};
use serde_json::{Value, json};

fn a_vpc() -> Value {
    configured("aws_vpc", "main", json!({}))
}

fn in_vpc(kind: &str, name: &str) -> Value {
    configured(kind, name, json!({ "vpc_id": to("aws_vpc.main") }))
}

/// Makes a group with inline ingress: each block, and its unknown parts.
fn inline(name: &str, blocks: &Value, unknown: &Value) -> (Value, Value) {
    (
        resource(
            &format!("aws_security_group.{name}"),
            json!({ "name": name, "ingress": blocks, "egress": [] }),
        ),
        json!({ "id": true, "vpc_id": true, "ingress": unknown }),
    )
}

fn block(port: u16) -> Value {
    json!({ "protocol": "tcp", "from_port": port, "to_port": port, "self": false })
}

#[test]
fn rules_whose_peers_are_unknown_are_said_to_be_open() {
    let rule = |name: &str, values: Value| {
        let mut all = json!({ "type": "egress", "security_group_id": "sg-1", "protocol": "tcp", "from_port": 443, "to_port": 443 });
        for (key, value) in values.as_object().unwrap() {
            all[key] = value.clone();
        }
        resource(&format!("aws_security_group_rule.{name}"), all)
    };
    let expression = || json!({ "cidr_blocks": refers(&["aws_eip.x.public_ip", "aws_eip.x"]) });
    let (account, findings) = account(&plan(
        &[
            new_vpc(),
            (
                resource(
                    "aws_security_group.app",
                    json!({ "id": "sg-1", "name": "app", "ingress": [], "egress": [] }),
                ),
                json!({ "vpc_id": true }),
            ),
            (rule("absent", json!({})), json!({ "cidr_blocks": true })),
            (rule("null", json!({ "cidr_blocks": [null] })), json!({ "cidr_blocks": [true] })),
            inline("dynamic", &json!([block(22)]), &json!([{ "security_groups": true }])),
            inline("cidr", &json!([block(22)]), &json!([{ "cidr_blocks": true }])),
        ],
        json!({ "resources": [
            a_vpc(),
            in_vpc("aws_security_group", "app"),
            in_vpc("aws_security_group", "dynamic"),
            in_vpc("aws_security_group", "cidr"),
            configured("aws_security_group_rule", "absent", expression()),
            configured("aws_security_group_rule", "null", expression()),
        ]}),
    ));
    assert!(account.security_groups.iter().all(|group| rules(group).is_empty()));
    assert_eq!(
        lines(&findings),
        [
            "not understood: aws_security_group: security_groups is known only after the apply (state.json: aws_security_group.dynamic.ingress[0].security_groups)",
            "not understood: aws_security_group: cidr_blocks is known only after the apply (state.json: aws_security_group.cidr.ingress[0].cidr_blocks)",
            "not understood: aws_security_group_rule: cidr_blocks is known only after the apply (state.json: aws_security_group_rule.absent.cidr_blocks)",
            "not understood: aws_security_group_rule: cidr_blocks is known only after the apply (state.json: aws_security_group_rule.null.cidr_blocks)",
        ]
    );
}

#[test]
fn propagated_routes_and_records_that_are_unknown_are_said() {
    let (account, findings) = account(&plan(
        &[
            new_vpc(),
            (
                resource("aws_route_table.t", json!({ "route": [] })),
                json!({ "id": true, "vpc_id": true, "propagating_vgws": true }),
            ),
            (
                resource("aws_route53_zone.z", json!({ "name": "corp", "vpc": [{}] })),
                json!({ "id": true, "vpc": [{ "vpc_id": true }] }),
            ),
            (
                resource("aws_route53_record.r", json!({ "name": "db.corp", "type": "A" })),
                json!({ "id": true, "zone_id": true, "records": true }),
            ),
        ],
        json!({ "resources": [
            a_vpc(),
            configured("aws_route_table", "t", json!({ "vpc_id": to("aws_vpc.main"), "propagating_vgws": to("aws_vpn_gateway.g") })),
            configured("aws_route53_zone", "z", json!({ "vpc": [{ "vpc_id": to("aws_vpc.main") }] })),
            configured("aws_route53_record", "r", json!({ "zone_id": to("aws_route53_zone.z"), "records": refers(&["aws_instance.db.private_ip", "aws_instance.db"]) })),
        ]}),
    ));
    assert_eq!(account.route_tables.len(), 1);
    assert_eq!(
        lines(&findings),
        [
            "not understood: aws_route_table: propagating_vgws is known only after the apply (state.json: aws_route_table.t.propagating_vgws)",
            "left out: record db.corp: records is known only after the apply (state.json: aws_route53_record.r.records)",
        ]
    );
}

#[test]
fn inline_rules_do_not_get_each_others_groups() {
    let of_blocks = |references: &[&str], blocks: &Value, unknown: &Value| {
        account(&plan(
            &[new_vpc(), a_group("bastion"), a_group("app"), inline("db", blocks, unknown)],
            json!({ "resources": [
                a_vpc(),
                in_vpc("aws_security_group", "bastion"),
                in_vpc("aws_security_group", "app"),
                configured("aws_security_group", "db", json!({ "vpc_id": to("aws_vpc.main"), "ingress": refers(references) })),
            ]}),
        ))
    };
    let unknown = json!([{ "security_groups": true }, { "security_groups": true }]);
    let both = [
        "aws_security_group.bastion.id",
        "aws_security_group.bastion",
        "aws_security_group.app.id",
        "aws_security_group.app",
    ];
    let (account, findings) = of_blocks(&both, &json!([block(22), block(5432)]), &unknown);
    assert_eq!(rules(&account.security_groups[2]), Vec::<String>::new());
    assert_eq!(lines(&findings).len(), 2, "{:?}", lines(&findings));
    assert!(lines(&findings)[0].contains(
        "it may be any of aws_security_group.bastion, aws_security_group.app, which all its like have together"
    ));
    // One candidate is the answer for each.
    let (account, findings) = of_blocks(&both[..2], &json!([block(22), block(5432)]), &unknown);
    assert_eq!(
        rules(&account.security_groups[2]),
        [
            "ingress tcp 22-22 SecurityGroup(\"aws_security_group.bastion\")",
            "ingress tcp 5432-5432 SecurityGroup(\"aws_security_group.bastion\")",
        ]
    );
    assert_eq!(lines(&findings), Vec::<String>::new());
}

fn connector(subnets: &Value, expression: Value) -> Value {
    let mut values = json!({ "vpc_connector_name": "c", "security_groups": ["sg-1"] });
    let mut unknown = json!({ "id": true, "arn": true, "subnets": true });
    if subnets.is_array() {
        values["subnets"] = subnets.clone();
        unknown["subnets"] = json!([true, true]);
    }
    plan(
        &[
            new_vpc(),
            new_subnet("aws_subnet.public", "10.0.1.0/24"),
            new_subnet("aws_subnet.private", "10.0.2.0/24"),
            (resource("aws_apprunner_vpc_connector.c", values), unknown),
        ],
        json!({ "resources": [
            a_vpc(),
            in_vpc("aws_subnet", "public"),
            in_vpc("aws_subnet", "private"),
            configured("aws_apprunner_vpc_connector", "c", json!({ "subnets": expression })),
        ]}),
    )
}

#[test]
fn an_expression_that_may_choose_is_not_taken_as_all_that_it_names() {
    let both = [
        "aws_subnet.public.id",
        "aws_subnet.public",
        "aws_subnet.private.id",
        "aws_subnet.private",
    ];
    let choice = [&["var.public"], both.as_slice()].concat();
    let (account_of, findings) = account(&connector(&Value::Null, refers(&choice)));
    assert!(account_of.vpc_connectors.is_empty());
    assert_eq!(
        lines(&findings),
        [
            "not understood: aws_apprunner_vpc_connector: subnets is known only after the apply: its expression also has var.public, which may choose or add (state.json: aws_apprunner_vpc_connector.c.subnets)"
        ]
    );
    // As many unknown elements as candidates: all of the candidates.
    let account_of = clean(&connector(&json!([null, null]), refers(&choice)));
    assert_eq!(account_of.vpc_connectors[0].subnets, ["aws_subnet.public", "aws_subnet.private"]);
    // Nothing chooses, so all are taken as a list, with a finding.
    let (account_of, findings) = account(&connector(&Value::Null, refers(&both)));
    assert_eq!(account_of.vpc_connectors[0].subnets, ["aws_subnet.public", "aws_subnet.private"]);
    assert_eq!(
        lines(&findings),
        [
            "assumed: aws_apprunner_vpc_connector: subnets is known only after the apply (state.json: aws_apprunner_vpc_connector.c.subnets)"
        ]
    );
}

#[test]
fn the_value_of_a_local_map_is_open() {
    let mut mount = configured(
        "aws_efs_mount_target",
        "m",
        json!({ "subnet_id": refers(&["each.value.subnet", "each.value", "aws_subnet.a.id", "aws_subnet.a"]) }),
    );
    mount["for_each_expression"] = refers(&["local.targets"]);
    let (account, findings) = account(&plan(
        &[
            new_vpc(),
            new_subnet("aws_subnet.a", "10.0.1.0/24"),
            (
                resource("aws_efs_mount_target.m[\"x\"]", json!({ "security_groups": ["sg-1"] })),
                json!({ "id": true, "subnet_id": true, "ip_address": true }),
            ),
        ],
        json!({ "resources": [a_vpc(), in_vpc("aws_subnet", "a"), mount] }),
    ));
    assert!(account.network_interfaces.is_empty());
    assert!(lines(&findings)[0].contains("its expression has local.targets"), "{findings:?}");
}

/// Adds the change of an existing part to a plan.
fn change(document: &mut Value, address: &str, kind: &str, actions: &[&str], before: Value) {
    let changes = document["resource_changes"].as_array_mut().unwrap();
    changes.push(json!({
        "address": address, "mode": "managed", "type": kind, "name": "x",
        "change": { "actions": actions, "before": before, "after": null, "after_unknown": {} }
    }));
}

#[test]
fn parts_that_the_plan_ends_are_removed() {
    let known = |values: Value| (values, json!({}));
    let open = || json!({ "protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"], "self": false });
    let entry = |number: i64| json!({ "rule_no": number, "action": "allow", "protocol": "-1", "cidr_block": "0.0.0.0/0", "from_port": 0, "to_port": 0 });
    let mut document = plan(
        &[
            known(super::vpc()),
            known(super::subnet("a", "10.0.1.0/24")),
            known(resource(
                "aws_security_group.app",
                json!({ "id": "sg-1", "name": "app", "vpc_id": "vpc-1", "ingress": [], "egress": [open()] }),
            )),
            known(resource(
                "aws_route_table.t",
                json!({ "id": "rtb-1", "vpc_id": "vpc-1", "route": [
                    { "cidr_block": "0.0.0.0/0", "gateway_id": "igw-1" }, { "cidr_block": "10.9.0.0/16", "gateway_id": "igw-1" }
                ] }),
            )),
            known(resource(
                "aws_network_acl.n",
                json!({ "id": "acl-1", "vpc_id": "vpc-1", "subnet_ids": ["subnet-a"], "ingress": [entry(100), entry(200)], "egress": [] }),
            )),
            (
                resource(
                    "aws_vpc_security_group_egress_rule.x",
                    json!({ "security_group_id": "sg-1", "ip_protocol": "-1", "cidr_ipv4": "10.0.0.0/8" }),
                ),
                json!({ "id": true }),
            ),
        ],
        json!({ "resources": [] }),
    );
    change(
        &mut document,
        "aws_vpc_security_group_egress_rule.x",
        "aws_vpc_security_group_egress_rule",
        &["delete", "create"],
        json!({ "id": "sgr-1", "security_group_id": "sg-1", "ip_protocol": "-1", "cidr_ipv4": "0.0.0.0/0" }),
    );
    change(
        &mut document,
        "aws_route.x",
        "aws_route",
        &["delete"],
        json!({ "route_table_id": "rtb-1", "destination_cidr_block": "0.0.0.0/0", "gateway_id": "igw-1" }),
    );
    change(
        &mut document,
        "aws_network_acl_rule.x",
        "aws_network_acl_rule",
        &["delete"],
        json!({ "network_acl_id": "acl-1", "rule_number": 100, "egress": false, "rule_action": "allow", "protocol": "-1", "cidr_block": "0.0.0.0/0" }),
    );
    change(
        &mut document,
        "aws_network_acl_association.x",
        "aws_network_acl_association",
        &["delete"],
        json!({ "network_acl_id": "acl-1", "subnet_id": "subnet-a" }),
    );
    let account = clean(&document);
    assert_eq!(
        rules(&account.security_groups[0]),
        ["egress -1 all Cidr(Ipv4Network { addr: 10.0.0.0, prefix: 8 })"]
    );
    assert_eq!(
        routes(&account.route_tables[0]),
        ["Cidr(Ipv4Network { addr: 10.9.0.0, prefix: 16 }) Gateway(\"igw-1\")"]
    );
    let numbers: Vec<i64> =
        account.network_acls[0].entries.iter().map(|entry| entry.rule_number).collect();
    assert_eq!(numbers, [200]);
    assert!(account.network_acls[0].subnets.is_empty());
}

#[test]
fn interfaces_without_groups_have_the_default_one() {
    let (account, findings) = account(&plan(
        &[
            (super::vpc(), json!({})),
            (super::subnet("a", "10.0.1.0/24"), json!({})),
            (
                resource(
                    "aws_instance.i",
                    json!({ "subnet_id": "subnet-a", "source_dest_check": true }),
                ),
                json!({ "id": true, "private_ip": true, "vpc_security_group_ids": true }),
            ),
            (
                resource("aws_network_interface.e", json!({ "subnet_id": "subnet-a" })),
                json!({ "id": true, "private_ip": true, "private_ips": true, "security_groups": true }),
            ),
            (
                resource(
                    "aws_lb.net",
                    json!({ "name": "net", "load_balancer_type": "network", "subnets": ["subnet-a"] }),
                ),
                json!({ "id": true, "security_groups": true }),
            ),
            (
                resource(
                    "aws_lb.app",
                    json!({ "name": "app", "load_balancer_type": "application", "subnets": ["subnet-a"] }),
                ),
                json!({ "id": true, "security_groups": true }),
            ),
        ],
        json!({ "resources": [] }),
    ));
    let groups: Vec<_> = account
        .network_interfaces
        .iter()
        .map(|one| (one.name.as_deref().unwrap_or(&one.id), one.security_groups.join(",")))
        .collect();
    assert_eq!(
        groups,
        [
            ("aws_network_interface.e", "sg-default".to_owned()),
            ("i", "sg-default".to_owned()),
            ("net", String::new()),
            ("app", "sg-default".to_owned()),
        ]
    );
    assert!(lines(&findings)[0].starts_with("assumed: security group sg-default"), "{findings:?}");
}

#[test]
fn the_groups_of_a_cluster_elsewhere_are_not_understood() {
    let (account, findings) = account(&super::state(&[
        super::vpc(),
        super::subnet("a", "10.0.1.0/24"),
        resource(
            "aws_db_subnet_group.g",
            json!({ "id": "g", "name": "g", "subnet_ids": ["subnet-a"] }),
        ),
        resource(
            "aws_rds_cluster_instance.i",
            json!({ "id": "i", "identifier": "i", "cluster_identifier": "elsewhere", "db_subnet_group_name": "g" }),
        ),
    ]));
    assert!(account.network_interfaces.is_empty());
    assert_eq!(
        lines(&findings),
        [
            "not understood: aws_rds_cluster_instance i: its cluster elsewhere, which has its groups, is not in this source (state.json: aws_rds_cluster_instance.i)"
        ]
    );
}

#[test]
fn a_peering_connection_is_active_when_it_is_accepted() {
    let peering = |name: &str, values: Value| {
        let mut all = json!({ "vpc_id": "vpc-1", "peer_vpc_id": "vpc-2" });
        for (key, value) in values.as_object().unwrap() {
            all[key] = value.clone();
        }
        let unknown = json!({ "id": true, "accept_status": true });
        (resource(&format!("aws_vpc_peering_connection.{name}"), all), unknown)
    };
    let accepter = resource(
        "aws_vpc_peering_connection_accepter.other",
        json!({ "vpc_id": "vpc-2", "auto_accept": true }),
    );
    let (account, findings) = account(&plan(
        &[
            peering("waits", json!({})),
            peering("own", json!({ "auto_accept": true })),
            peering("other", json!({ "auto_accept": null })),
            (accepter, json!({ "accept_status": true, "vpc_peering_connection_id": true })),
        ],
        json!({ "resources": [configured(
            "aws_vpc_peering_connection_accepter",
            "other",
            json!({ "vpc_peering_connection_id": to("aws_vpc_peering_connection.other") }),
        )] }),
    ));
    let states: Vec<_> =
        account.peering_connections.iter().map(|one| one.status.as_deref()).collect();
    assert_eq!(states, [Some("pending-acceptance"), Some("active"), Some("active")]);
    assert_eq!(
        lines(&findings),
        [
            "assumed: peering connection aws_vpc_peering_connection.waits: neither it nor an accepter in this source has auto_accept = true (state.json: aws_vpc_peering_connection.waits)"
        ]
    );
}

#[test]
fn subnets_with_a_table_or_an_acl_elsewhere_are_not_understood() {
    let (_, findings) = account(&super::state(&[
        super::vpc(),
        super::subnet("a", "10.0.1.0/24"),
        resource(
            "aws_route_table_association.a",
            json!({ "id": "rtbassoc-1", "subnet_id": "subnet-a", "route_table_id": "rtb-elsewhere" }),
        ),
        resource(
            "aws_network_acl_association.a",
            json!({ "id": "aclassoc-1", "subnet_id": "subnet-a", "network_acl_id": "acl-elsewhere" }),
        ),
        resource(
            "aws_main_route_table_association.m",
            json!({ "id": "rtbassoc-2", "vpc_id": "vpc-1", "route_table_id": "rtb-elsewhere" }),
        ),
    ]));
    let found = lines(&findings);
    for (line, what) in found.iter().zip([
        "route table rtb-elsewhere, which subnet subnet-a has, is not in this source",
        "network ACL acl-elsewhere, which subnet subnet-a has, is not in this source",
        "route table rtb-elsewhere, the main one of VPC vpc-1, is not in this source",
    ]) {
        assert!(line.starts_with("not understood: ") && line.contains(what), "{found:?}");
    }
    assert_eq!(found.len(), 3);
}

#[test]
fn a_dynamic_route_whose_target_is_unknown_is_open() {
    let (account, findings) = account(&plan(
        &[
            new_vpc(),
            (
                resource("aws_route_table.t", json!({ "route": [{ "cidr_block": "0.0.0.0/0" }] })),
                json!({ "id": true, "vpc_id": true, "route": [{ "gateway_id": true }] }),
            ),
        ],
        json!({ "resources": [a_vpc(), in_vpc("aws_route_table", "t")] }),
    ));
    assert!(account.route_tables[0].routes.is_empty());
    assert_eq!(
        lines(&findings),
        [
            "not understood: aws_route_table: gateway_id is known only after the apply (state.json: aws_route_table.t.route[0].gateway_id)"
        ]
    );
}

#[test]
fn entries_of_an_acl_have_the_protocols_that_terraform_names() {
    let entry = |protocol: &str| json!({ "rule_no": 100, "action": "allow", "protocol": protocol, "cidr_block": "0.0.0.0/0", "from_port": 0, "to_port": 0 });
    let account = clean(&super::state(&[
        super::vpc(),
        resource(
            "aws_network_acl.n",
            json!({ "id": "acl-1", "vpc_id": "vpc-1", "subnet_ids": [], "ingress": [entry("gre"), entry("esp"), entry("ah")], "egress": [] }),
        ),
    ]));
    let protocols: Vec<&str> =
        account.network_acls[0].entries.iter().map(|entry| entry.protocol.as_str()).collect();
    assert_eq!(protocols, ["47", "50", "51"]);
}

#[test]
fn unknown_resources_of_a_vpc_are_left_out_and_listed() {
    let (_, findings) = account(&super::state(&[
        super::vpc(),
        super::subnet("a", "10.0.1.0/24"),
        resource(
            "aws_newthing_cluster.n",
            json!({ "id": "n-1", "network": [{ "subnet_ids": ["subnet-a"] }] }),
        ),
        resource("aws_newthing_policy.p", json!({ "id": "p-1", "subnet_ids": [] })),
        resource("aws_rds_cluster.serverless", json!({ "id": "c", "cluster_identifier": "c" })),
        resource(
            "aws_network_interface.far",
            json!({ "id": "eni-1", "subnet_id": "subnet-far", "security_groups": ["sg-1"] }),
        ),
    ]));
    assert_eq!(
        lines(&findings),
        [
            "left out: aws_newthing_cluster n-1: a type of resource that egret does not know, in a VPC (state.json: aws_newthing_cluster.n)",
            "left out: aws_rds_cluster c: a cluster without an instance in this source (state.json: aws_rds_cluster.serverless)",
            "left out: network interface eni-1: its subnet subnet-far is not in this source (state.json: aws_network_interface.far)",
        ]
    );
}
