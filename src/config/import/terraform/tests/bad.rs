//! Tests of files that are no state, no plan, or not Terraform's output.

use super::{read, resource, state, vpc};
use crate::config::import::{Options, terraform::import};
use serde_json::{Value, json};

#[track_caller]
fn error(document: &Value) -> String {
    read(document).map(|_| ()).unwrap_err().to_string()
}

fn error_of(text: &str) -> String {
    import(text, "state.json", &Options::default()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_file_that_is_not_terraforms_json_is_named_with_the_way_out() {
    assert_eq!(
        error_of("{\"format_version\": "),
        "state.json: not the JSON of `terraform show -json`: EOF while parsing a value at line 1 column 19\n  \
         write it whole: terraform show -json > state.json, or terraform show -json PLAN > plan.json"
    );
    assert_eq!(
        error(&json!({ "version": 4, "lineage": "x", "resources": [] })),
        "state.json: this is Terraform's state file, whose format is its own\n  give the output of: terraform show -json [PLAN]"
    );
    assert_eq!(
        error(&json!({ "format_version": "2.0", "values": {} })),
        "state.json: format_version: format version \"2.0\" is not known: egret reads 0.x and 1.x\n  \
         show it with a Terraform whose format is 1.x (1.1 and later)"
    );
    assert_eq!(
        error(&json!({ "format_version": "1.0", "terraform_version": "1.11.4" })),
        "state.json: it has neither values nor planned_values: the state is empty\n  apply or plan first, then: terraform show -json [PLAN]"
    );
    assert!(
        error(&json!({ "format_version": 1 })).contains("format_version: a number, not a version")
    );
    assert!(error(&json!([])).contains("no format_version"));
}

#[test]
fn wrong_types_are_all_said_with_address_and_attribute() {
    let text = error(&state(&[
        vpc(),
        resource(
            "aws_subnet.a",
            json!({ "id": "subnet-a", "vpc_id": ["vpc-1"], "cidr_block": "10.0.0.0/24" }),
        ),
        resource(
            "aws_subnet.b",
            json!({ "id": "subnet-b", "vpc_id": "vpc-1", "cidr_block": "10.0.0.0/33" }),
        ),
        resource("aws_subnet.c", json!({ "id": "subnet-c", "vpc_id": "vpc-1" })),
        resource(
            "aws_security_group.s",
            json!({
                "id": "sg-1", "vpc_id": "vpc-1", "ingress": [{ "protocol": "tcp", "from_port": "x", "to_port": 1, "cidr_blocks": ["10.0.0.0/8"] }],
                "egress": {}
            }),
        ),
        resource("aws_network_acl.n", json!({ "id": "acl-1", "vpc_id": "vpc-1", "ingress": [7] })),
        resource(
            "aws_nat_gateway.n",
            json!({ "id": "nat-1", "subnet_id": "subnet-a", "private_ip": "10.0.0.256" }),
        ),
    ]));
    for wanted in [
        "state.json: aws_subnet.a.vpc_id: a list where a string belongs",
        "state.json: aws_subnet.b.cidr_block:",
        "state.json: aws_subnet.c: no cidr_block",
        "state.json: aws_security_group.s.ingress[0].from_port: \"x\" is not a whole number",
        "state.json: aws_network_acl.n.ingress[0]: a number where an object belongs",
        "state.json: aws_nat_gateway.n.private_ip:",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
}

#[test]
fn a_resource_without_what_every_resource_has() {
    let text = error(&json!({
        "format_version": "1.0", "values": { "root_module": { "resources": [{ "type": "aws_vpc" }, 3], "child_modules": "x" } }
    }));
    assert!(text.contains("values.root_module.resources[0]: a resource without address"), "{text}");
    assert!(
        text.contains("values.root_module.child_modules: a string where a list belongs"),
        "{text}"
    );
}

#[test]
fn nesting_without_end_is_an_error() {
    let deep =
        format!("{}{}", "{\"format_version\":\"1.0\",\"values\":".repeat(400), "}".repeat(400));
    assert!(error_of(&deep).contains("recursion limit"));
    let lists = format!("{{\"format_version\":\"1.0\",\"values\":{}", "[".repeat(100_000));
    assert!(error_of(&lists).contains("recursion limit"));
}

#[test]
fn any_piece_of_a_state_has_an_answer() {
    let whole = state(&[
        vpc(),
        resource("aws_security_group.s", json!({ "id": "sg-1", "vpc_id": "vpc-1" })),
    ])
    .to_string();
    for end in 0..whole.len() {
        assert!(import(&whole[..end], "s", &Options::default()).is_err());
    }
    assert!(import(&whole, "s", &Options::default()).is_ok());
}
