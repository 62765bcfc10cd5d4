//! Tests of the public addresses of a state's or a plan's objects.

use super::plan::{configured, new_subnet, new_vpc, plan, refers, to};
use super::*;
use crate::config::import::PublicAddress::{self, Known, None as Nothing, Unknown};

fn known(address: &str) -> PublicAddress {
    Known(address.parse().unwrap())
}

/// Returns the public addresses of the interfaces, by name.
fn public(account: &Account) -> Vec<(&str, PublicAddress)> {
    let interfaces = account.network_interfaces.iter();
    interfaces
        .map(|one| (one.name.as_deref().unwrap_or(&one.id), one.public_address_at(0)))
        .collect()
}

fn instance(name: &str, values: &[(&str, Value)]) -> Value {
    let mut all = json!({
        "id": format!("i-{name}"), "primary_network_interface_id": format!("eni-{name}"),
        "subnet_id": "subnet-a", "vpc_security_group_ids": ["sg-1"]
    });
    values.iter().for_each(|(key, value)| all[key] = value.clone());
    resource(&format!("aws_instance.{name}"), all)
}

#[test]
fn a_state_says_the_address_of_an_instance() {
    let account = clean(&state(&[
        vpc(),
        subnet("a", "10.0.0.0/24"),
        instance(
            "one",
            &[("public_ip", json!("192.0.2.1")), ("associate_public_ip_address", json!(true))],
        ),
        instance("two", &[("public_ip", json!("")), ("associate_public_ip_address", json!(false))]),
        instance("three", &[]),
        resource(
            "aws_eip.a",
            json!({ "id": "eipalloc-1", "public_ip": "192.0.2.2", "instance": "i-two", "network_interface": "eni-two" }),
        ),
        resource(
            "aws_eip.b",
            json!({ "id": "eipalloc-2", "public_ip": "192.0.2.3", "instance": "", "network_interface": "eni-of-nat" }),
        ),
        resource("aws_eip.c", json!({ "id": "eipalloc-3", "public_ip": "192.0.2.4" })),
        resource(
            "aws_eip_association.c",
            json!({ "id": "eipassoc-1", "allocation_id": "eipalloc-3", "instance_id": "i-three" }),
        ),
    ]));
    let expected =
        [("one", known("192.0.2.1")), ("two", known("192.0.2.2")), ("three", known("192.0.2.4"))];
    assert_eq!(public(&account), expected);
}

#[test]
fn an_elastic_ip_address_can_be_of_an_interface_and_of_a_secondary_address() {
    let interface = |name: &str| {
        resource(
            &format!("aws_network_interface.{name}"),
            json!({ "id": format!("eni-{name}"), "subnet_id": "subnet-a", "private_ip": "10.0.0.40",
                "private_ips": ["10.0.0.40", "10.0.0.41"], "security_groups": ["sg-1"] }),
        )
    };
    let account = clean(&state(&[
        vpc(),
        subnet("a", "10.0.0.0/24"),
        interface("one"),
        interface("two"),
        resource(
            "aws_eip.a",
            json!({ "id": "eipalloc-1", "public_ip": "192.0.2.2", "network_interface": "eni-one", "associate_with_private_ip": "10.0.0.41" }),
        ),
        resource(
            "aws_eip_association.b",
            json!({ "id": "eipassoc-1", "public_ip": "192.0.2.3", "network_interface_id": "eni-two", "private_ip_address": "10.0.0.40" }),
        ),
    ]));
    let of = |at: usize, position| account.network_interfaces[at].public_address_at(position);
    assert_eq!((of(0, 0), of(0, 1)), (Nothing, known("192.0.2.2")));
    assert_eq!((of(1, 0), of(1, 1)), (known("192.0.2.3"), Nothing));
}

#[test]
fn an_association_of_an_object_elsewhere_is_listed() {
    let (_, findings) = account(&state(&[
        vpc(),
        resource(
            "aws_eip_association.b",
            json!({ "id": "eipassoc-1", "public_ip": "192.0.2.3", "instance_id": "i-lost" }),
        ),
    ]));
    assert!(
        lines(&findings)[0].contains("i-lost, which it is a part of, is not in this source"),
        "{findings:?}"
    );
}

#[test]
fn a_plan_says_that_there_will_be_one() {
    let (mut open, open_unknown) = new_subnet("aws_subnet.open", "10.0.0.0/24");
    open["values"]["map_public_ip_on_launch"] = json!(true);
    let unknown = |given: bool| {
        let mut all = json!({ "id": true, "subnet_id": true, "public_ip": true, "private_ip": true,
            "primary_network_interface_id": true, "vpc_security_group_ids": true });
        if !given {
            all["associate_public_ip_address"] = json!(true);
        }
        all
    };
    let planned = |name: &str, says: Option<bool>| {
        let values = says.map_or(json!({}), |says| json!({ "associate_public_ip_address": says }));
        (resource(&format!("aws_instance.{name}"), values), unknown(says.is_some()))
    };
    let in_subnet = |subnet: &str| json!({ "subnet_id": to(&format!("aws_subnet.{subnet}")) });
    let says = |subnet: &str| json!({ "subnet_id": to(&format!("aws_subnet.{subnet}")), "associate_public_ip_address": { "constant_value": true } });
    let document = plan(
        &[
            new_vpc(),
            (open, open_unknown),
            new_subnet("aws_subnet.shut", "10.0.1.0/24"),
            planned("open", None),
            planned("shut", None),
            planned("asked", Some(true)),
            planned("refused", Some(false)),
            planned("elastic", None),
            (
                resource("aws_eip.it", json!({ "domain": "vpc" })),
                json!({ "id": true, "instance": true, "network_interface": true, "public_ip": true, "private_ip": true }),
            ),
        ],
        json!({ "resources": [
            configured("aws_vpc", "main", json!({})),
            configured("aws_subnet", "open", json!({ "vpc_id": to("aws_vpc.main") })),
            configured("aws_subnet", "shut", json!({ "vpc_id": to("aws_vpc.main") })),
            configured("aws_instance", "open", in_subnet("open")),
            configured("aws_instance", "shut", in_subnet("shut")),
            configured("aws_instance", "asked", says("shut")),
            configured("aws_instance", "refused", says("open")),
            configured("aws_instance", "elastic", in_subnet("shut")),
            configured("aws_eip", "it", json!({ "instance": refers(&["aws_instance.elastic.id", "aws_instance.elastic"]) })),
        ] }),
    );
    let (account, _) = account(&document);
    assert_eq!(
        public(&account),
        [
            ("open", Unknown("map_public_ip_on_launch of its subnet")),
            ("shut", Nothing),
            ("asked", Unknown("associate_public_ip_address")),
            ("refused", Nothing),
            ("elastic", Unknown("an Elastic IP address")),
        ]
    );
}

#[test]
fn databases_and_load_balancers_have_one_as_they_say() {
    let database = |name: &str, public: bool| {
        resource(
            &format!("aws_db_instance.{name}"),
            json!({ "id": name, "identifier": name, "db_subnet_group_name": "data", "port": 5432,
                "vpc_security_group_ids": ["sg-db"], "publicly_accessible": public }),
        )
    };
    let balancer = |name: &str, internal: bool, kind: &str| {
        resource(
            &format!("aws_lb.{name}"),
            json!({ "id": name, "name": name, "subnets": ["subnet-a"], "security_groups": ["sg-lb"],
                "internal": internal, "load_balancer_type": kind }),
        )
    };
    let account = clean(&state(&[
        vpc(),
        subnet("a", "10.0.0.0/24"),
        resource(
            "aws_db_subnet_group.data",
            json!({ "id": "data", "name": "data", "subnet_ids": ["subnet-a"] }),
        ),
        database("seen", true),
        database("hidden", false),
        balancer("outer", false, "application"),
        balancer("inner", true, "network"),
        balancer("inspecting", false, "gateway"),
    ]));
    let facing = Unknown("an internet-facing load balancer");
    assert_eq!(
        public(&account),
        [
            ("seen", Unknown("publicly_accessible")),
            ("hidden", Nothing),
            ("outer", facing),
            ("inner", Nothing),
            ("inspecting", Nothing),
        ]
    );
}

#[test]
fn a_data_source_of_an_interface_has_its_association() {
    let account = clean(&state(&[
        vpc(),
        subnet("a", "10.0.0.0/24"),
        resource(
            "data.aws_network_interface.x",
            json!({ "id": "eni-1", "subnet_id": "subnet-a", "private_ip": "10.0.0.40", "security_groups": ["sg-1"],
                "interface_type": "interface", "association": [{ "public_ip": "192.0.2.9" }] }),
        ),
    ]));
    assert_eq!(public(&account), [("eni-1", known("192.0.2.9"))]);
}

#[test]
fn dns_resolution_of_a_peering_connection_comes_from_it_or_from_its_options() {
    let peering = |values: Value| {
        let mut all = json!({ "id": "pcx-1", "vpc_id": "vpc-1", "peer_vpc_id": "vpc-2", "accept_status": "active" });
        values.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
        resource("aws_vpc_peering_connection.it", all)
    };
    let allows = json!([{ "allow_remote_vpc_dns_resolution": true }]);
    let of = |resources: &[Value]| {
        let account = clean(&state(resources));
        let peering = &account.peering_connections[0];
        (peering.requester_dns_resolution, peering.accepter_dns_resolution)
    };
    assert_eq!(of(&[vpc(), peering(json!({}))]), (false, false));
    assert_eq!(of(&[vpc(), peering(json!({ "requester": allows }))]), (true, false));
    let options = resource(
        "aws_vpc_peering_connection_options.it",
        json!({ "id": "pcx-1", "vpc_peering_connection_id": "pcx-1", "accepter": allows }),
    );
    assert_eq!(of(&[vpc(), peering(json!({ "requester": allows })), options]), (true, true));
}
