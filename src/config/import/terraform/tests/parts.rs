//! Tests of parts of objects: inline, as resources of their own, and both at once.

use super::{account, clean, count, lines, resource, routes, rules, state, subnet, vpc};
use crate::config::import::FindingKind;
use serde_json::{Value, json};

fn inline(protocol: &str, from: i64, to: i64, more: &Value) -> Value {
    let mut rule = json!({
        "protocol": protocol, "from_port": from, "to_port": to, "description": "", "self": false,
        "cidr_blocks": [], "ipv6_cidr_blocks": [], "prefix_list_ids": [], "security_groups": []
    });
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

#[test]
fn a_group_has_the_rules_that_are_listed_and_no_others() {
    let account = clean(&state(&[
        vpc(),
        resource(
            "aws_security_group.app",
            json!({
                "id": "sg-1", "name": "app", "description": "Managed by Terraform", "vpc_id": "vpc-1",
                "ingress": [inline("tcp", 443, 443, &json!({ "cidr_blocks": ["10.0.0.0/8", "172.16.0.0/12"], "self": true }))],
                "egress": []
            }),
        ),
        resource(
            "aws_security_group.open",
            json!({
                "id": "sg-2", "name": "open", "vpc_id": "vpc-1", "ingress": [],
                "egress": [inline("-1", 0, 0, &json!({ "cidr_blocks": ["0.0.0.0/0"], "prefix_list_ids": ["pl-1"] }))]
            }),
        ),
    ]));
    assert_eq!(
        rules(&account.security_groups[0]),
        [
            "ingress tcp 443-443 Cidr(Ipv4Network { addr: 10.0.0.0, prefix: 8 })",
            "ingress tcp 443-443 Cidr(Ipv4Network { addr: 172.16.0.0, prefix: 12 })",
            "ingress tcp 443-443 SecurityGroup(\"sg-1\")",
        ]
    );
    // Terraform writes 0 and 0, and means no ports at all.
    assert_eq!(
        rules(&account.security_groups[1]),
        [
            "egress -1 all Cidr(Ipv4Network { addr: 0.0.0.0, prefix: 0 })",
            "egress -1 all PrefixList(\"pl-1\")",
        ]
    );
}

#[test]
fn rules_of_their_own_and_inline_ones_are_there_once() {
    let (account, findings) = account(&state(&[
        vpc(),
        resource(
            "aws_security_group.app",
            json!({
                "id": "sg-1", "name": "app", "vpc_id": "vpc-1", "ingress": [],
                "egress": [inline("tcp", 5432, 5432, &json!({ "security_groups": ["sg-2"] }))]
            }),
        ),
        resource(
            "aws_security_group_rule.same",
            json!({
                "id": "sgrule-1", "type": "egress", "security_group_id": "sg-1", "protocol": "6",
                "from_port": 5432, "to_port": 5432, "source_security_group_id": "sg-2", "cidr_blocks": null, "self": false
            }),
        ),
        resource(
            "aws_security_group_rule.more",
            json!({
                "id": "sgrule-2", "type": "ingress", "security_group_id": "sg-1", "protocol": "tcp",
                "from_port": 80, "to_port": 90, "cidr_blocks": ["10.0.0.0/16"], "ipv6_cidr_blocks": ["::/0"], "self": true
            }),
        ),
        resource(
            "aws_vpc_security_group_egress_rule.dns",
            json!({
                "id": "sgr-1", "security_group_id": "sg-1", "ip_protocol": "udp", "from_port": 53, "to_port": 53, "cidr_ipv4": "10.0.0.2/32"
            }),
        ),
        resource(
            "aws_vpc_security_group_ingress_rule.all",
            json!({
                "id": "sgr-2", "security_group_id": "sg-1", "ip_protocol": "-1", "from_port": null, "to_port": null,
                "referenced_security_group_id": "123456789012/sg-peer"
            }),
        ),
        resource(
            "aws_vpc_security_group_egress_rule.list",
            json!({
                "id": "sgr-3", "security_group_id": "sg-1", "ip_protocol": "tcp", "from_port": 443, "to_port": 443, "prefix_list_id": "pl-1"
            }),
        ),
        resource(
            "aws_vpc_security_group_egress_rule.v6",
            json!({
                "id": "sgr-4", "security_group_id": "sg-1", "ip_protocol": "-1", "cidr_ipv6": "::/0"
            }),
        ),
        resource(
            "aws_vpc_security_group_egress_rule.elsewhere",
            json!({
                "id": "sgr-5", "security_group_id": "sg-unknown", "ip_protocol": "-1", "cidr_ipv4": "0.0.0.0/0"
            }),
        ),
    ]));
    assert_eq!(
        rules(&account.security_groups[0]),
        [
            "ingress tcp 80-90 Cidr(Ipv4Network { addr: 10.0.0.0, prefix: 16 })",
            "ingress tcp 80-90 SecurityGroup(\"sg-1\")",
            "ingress -1 all SecurityGroup(\"sg-peer\")",
            "egress tcp 5432-5432 SecurityGroup(\"sg-2\")",
            "egress udp 53-53 Cidr(Ipv4Network { addr: 10.0.0.2, prefix: 32 })",
            "egress tcp 443-443 PrefixList(\"pl-1\")",
        ]
    );
    assert_eq!(
        lines(&findings),
        [
            "left out: aws_vpc_security_group_egress_rule sgr-5: security group sg-unknown, which it is a part of, is not in this source (state.json: aws_vpc_security_group_egress_rule.elsewhere)",
            "left out: IPv6: 2 × security-group rule (state.json: aws_security_group_rule.more.ipv6_cidr_blocks[0])",
        ]
    );
}

#[test]
fn the_default_group_is_aws_own_where_only_its_id_is_there() {
    let (account, findings) = account(&state(&[
        vpc(),
        resource(
            "aws_security_group.app",
            json!({
                "id": "sg-1", "name": "app", "vpc_id": "vpc-1", "ingress": [],
                "egress": [inline("-1", 0, 0, &json!({ "security_groups": ["sg-default"] }))]
            }),
        ),
    ]));
    let default = &account.security_groups[1];
    assert!(default.default && default.id == "sg-default");
    assert_eq!(
        rules(default),
        [
            "ingress -1 all SecurityGroup(\"sg-default\")",
            "egress -1 all Cidr(Ipv4Network { addr: 0.0.0.0, prefix: 0 })",
        ]
    );
    assert_eq!(count(&findings, FindingKind::Assumed), 1);
}

#[test]
fn a_managed_default_group_has_only_what_is_listed() {
    let account = clean(&state(&[
        vpc(),
        resource(
            "aws_default_security_group.d",
            json!({
                "id": "sg-default", "name": "default", "vpc_id": "vpc-1", "ingress": [], "egress": []
            }),
        ),
    ]));
    assert!(account.security_groups[0].default);
    assert_eq!(rules(&account.security_groups[0]), Vec::<String>::new());
}

#[test]
fn routes_are_inline_or_of_their_own_and_the_main_table_is_made_for_them() {
    let account = clean(&state(&[
        vpc(),
        subnet("a", "10.0.0.0/24"),
        resource(
            "aws_route_table.private",
            json!({
                "id": "rtb-1", "vpc_id": "vpc-1", "propagating_vgws": [],
                "route": [
                    { "cidr_block": "0.0.0.0/0", "ipv6_cidr_block": "", "nat_gateway_id": "nat-1", "gateway_id": "" },
                    { "cidr_block": "", "destination_prefix_list_id": "pl-1", "transit_gateway_id": "tgw-1" }
                ]
            }),
        ),
        resource(
            "aws_route.same",
            json!({
                "id": "r-1", "route_table_id": "rtb-1", "destination_cidr_block": "0.0.0.0/0", "nat_gateway_id": "nat-1", "state": "active"
            }),
        ),
        resource(
            "aws_route.peer",
            json!({
                "id": "r-2", "route_table_id": "rtb-1", "destination_cidr_block": "10.9.0.0/16", "vpc_peering_connection_id": "pcx-1", "state": "blackhole"
            }),
        ),
        resource(
            "aws_route.main",
            json!({
                "id": "r-3", "route_table_id": "rtb-main", "destination_cidr_block": "0.0.0.0/0", "gateway_id": "igw-1"
            }),
        ),
        resource(
            "aws_route_table_association.a",
            json!({ "id": "a-1", "route_table_id": "rtb-1", "subnet_id": "subnet-a" }),
        ),
        resource(
            "aws_route_table_association.edge",
            json!({ "id": "a-2", "route_table_id": "rtb-1", "gateway_id": "igw-1" }),
        ),
    ]));
    let [private, main] = account.route_tables.as_slice() else { panic!("two tables") };
    assert_eq!(
        routes(private),
        [
            "Cidr(Ipv4Network { addr: 0.0.0.0, prefix: 0 }) NatGateway(\"nat-1\")",
            "PrefixList(\"pl-1\") Other { kind: \"transit gateway\", id: \"tgw-1\" }",
            "Cidr(Ipv4Network { addr: 10.9.0.0, prefix: 16 }) VpcPeeringConnection(\"pcx-1\")",
        ]
    );
    assert!(private.routes[2].blackhole);
    assert_eq!((private.subnets.len(), private.gateways.len(), private.main), (1, 1, false));
    assert_eq!((main.id.as_str(), main.main, main.routes.len()), ("rtb-main", true, 1));
}

#[test]
fn a_main_association_takes_the_place_of_the_default_table() {
    let account = clean(&state(&[
        vpc(),
        resource(
            "aws_default_route_table.d",
            json!({
                "id": "rtb-main", "default_route_table_id": "rtb-main", "vpc_id": "vpc-1", "route": []
            }),
        ),
        resource("aws_route_table.other", json!({ "id": "rtb-1", "vpc_id": "vpc-1", "route": [] })),
        resource(
            "aws_main_route_table_association.m",
            json!({ "id": "a", "vpc_id": "vpc-1", "route_table_id": "rtb-1" }),
        ),
    ]));
    let main: Vec<_> = account.route_tables.iter().map(|t| (t.id.as_str(), t.main)).collect();
    assert_eq!(main, [("rtb-main", false), ("rtb-1", true)]);
}

#[test]
fn propagated_routes_are_not_in_a_state() {
    let (_, findings) = account(&state(&[
        vpc(),
        resource(
            "aws_route_table.r",
            json!({ "id": "rtb-1", "vpc_id": "vpc-1", "route": [], "propagating_vgws": ["vgw-1"] }),
        ),
        resource(
            "aws_vpn_gateway_route_propagation.p",
            json!({ "id": "p", "route_table_id": "rtb-1", "vpn_gateway_id": "vgw-1" }),
        ),
    ]));
    assert_eq!(count(&findings, FindingKind::NotUnderstood), 2);
}

#[test]
fn network_acls_take_rules_and_associations_of_their_own() {
    let rule = |number: i64, action: &str, protocol: &str, from: i64, to: i64| {
        json!({
            "rule_no": number, "action": action, "protocol": protocol, "from_port": from, "to_port": to,
            "cidr_block": "10.0.0.0/16", "ipv6_cidr_block": "", "icmp_type": 0, "icmp_code": 0
        })
    };
    let account = clean(&state(&[
        vpc(),
        subnet("a", "10.0.0.0/24"),
        subnet("b", "10.0.1.0/24"),
        resource(
            "aws_default_network_acl.d",
            json!({
                "id": "acl-default", "default_network_acl_id": "acl-default", "vpc_id": "vpc-1",
                "subnet_ids": ["subnet-a", "subnet-b"], "ingress": [], "egress": []
            }),
        ),
        resource(
            "aws_network_acl.data",
            json!({
                "id": "acl-1", "vpc_id": "vpc-1", "subnet_ids": ["subnet-a"],
                "ingress": [rule(100, "allow", "tcp", 5432, 5432), rule(90, "deny", "-1", 0, 0)], "egress": []
            }),
        ),
        resource(
            "aws_network_acl_rule.same",
            json!({
                "id": "n-1", "network_acl_id": "acl-1", "rule_number": 100, "egress": false, "protocol": "6", "rule_action": "ALLOW",
                "cidr_block": "10.0.0.0/16", "from_port": 5432, "to_port": 5432, "icmp_type": null, "icmp_code": null
            }),
        ),
        resource(
            "aws_network_acl_rule.ping",
            json!({
                "id": "n-2", "network_acl_id": "acl-1", "rule_number": 100, "egress": true, "protocol": "icmp", "rule_action": "allow",
                "cidr_block": "0.0.0.0/0", "from_port": null, "to_port": null, "icmp_type": "8", "icmp_code": "-1"
            }),
        ),
        resource(
            "aws_network_acl_association.b",
            json!({ "id": "a", "network_acl_id": "acl-1", "subnet_id": "subnet-b" }),
        ),
    ]));
    let [default, data] = account.network_acls.as_slice() else { panic!("two lists") };
    assert!(default.default && default.subnets.is_empty() && default.entries.is_empty());
    assert_eq!(data.subnets, ["subnet-a", "subnet-b"]);
    let entries: Vec<String> = data
        .entries
        .iter()
        .map(|e| {
            format!(
                "{:?} {} {} {} {:?} {:?}",
                e.direction, e.rule_number, e.allow, e.protocol, e.ports, e.icmp
            )
        })
        .collect();
    assert_eq!(
        entries,
        [
            "Ingress 100 true 6 Some((5432, 5432)) None",
            "Ingress 90 false -1 None None",
            "Egress 100 true 1 None Some((8, -1))",
        ]
    );
}

#[test]
fn a_rule_of_the_default_list_is_added_to_what_aws_has_there() {
    let account = clean(&state(&[
        vpc(),
        resource(
            "aws_network_acl_rule.deny",
            json!({
                "id": "n-1", "network_acl_id": "acl-default", "rule_number": 50, "egress": true, "protocol": "-1", "rule_action": "deny",
                "cidr_block": "203.0.113.0/24", "from_port": 0, "to_port": 0
            }),
        ),
    ]));
    let acl = &account.network_acls[0];
    assert!(acl.default);
    assert_eq!(acl.entries.iter().map(|e| e.rule_number).collect::<Vec<_>>(), [100, 100, 50]);
}

#[test]
fn ten_thousand_rules_of_their_own() {
    let mut resources = vec![
        vpc(),
        resource(
            "aws_security_group.app",
            json!({ "id": "sg-1", "name": "app", "vpc_id": "vpc-1", "ingress": [], "egress": [] }),
        ),
    ];
    for n in 0..10_000 {
        resources.push(resource(&format!("aws_vpc_security_group_egress_rule.r[{n}]"), json!({
            "id": format!("sgr-{n}"), "security_group_id": "sg-1", "ip_protocol": "tcp", "from_port": 443, "to_port": 443,
            "cidr_ipv4": format!("10.{}.{}.0/24", n / 256, n % 256)
        })));
    }
    assert_eq!(clean(&state(&resources)).security_groups[0].egress.len(), 10_000);
}
