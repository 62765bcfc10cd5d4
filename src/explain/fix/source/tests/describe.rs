//! Tests the text of commands of the AWS CLI. A test with namespaces runs them.

use super::{explained, order};
use crate::config::import::Imported;
use crate::explain::{Fix, Form};
use serde_json::{Value, json};
use std::path::Path;

/// A file of the example, and its change.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Value));

/// Imports the example with some of its answers changed.
fn imported(changes: &[Change<'_>], connectors: &[&str]) -> Imported {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/vpc");
    for file in std::fs::read_dir(example).unwrap() {
        let file = file.unwrap().path();
        let mut text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        for (_, change) in changes.iter().filter(|(of, _)| format!("{of}.json") == name) {
            let mut answer = serde_json::from_str(&text).unwrap();
            change(&mut answer);
            text = answer.to_string();
        }
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let order = order(folder.path().to_str().unwrap(), connectors);
    Imported::from_source(&order).unwrap_or_else(|e| panic!("{e}"))
}

fn fix(imported: &Imported, destination: &str) -> Fix {
    let explained = explained(imported, "web", destination);
    let fix = explained.fix().unwrap_or_else(|| panic!("no change:\n{}", imported.text())).clone();
    assert!(fix.rule.lines().all(|line| line.chars().count() <= 94), "{}", fix.rule);
    fix
}

fn commands(imported: &Imported, destination: &str) -> String {
    let fix = fix(imported, destination);
    assert_eq!((fix.form, &*fix.action, fix.note), (Form::AwsCli, "run", None));
    fix.rule
}

/// Returns an element of an answer, by its id.
fn find<'v>(answer: &'v mut Value, list: &str, (key, id): (&str, &str)) -> &'v mut Value {
    let all = answer[list].as_array_mut().unwrap();
    all.iter_mut().find(|one| one[key] == id).unwrap()
}

const PRIVATE: (&str, &str) = ("RouteTableId", "rtb-0e80721793c24ae14");

/// Removes all routes except the local one from the private table.
fn without_routes(answer: &mut Value) {
    let table = find(answer, "RouteTables", PRIVATE);
    table["Routes"].as_array_mut().unwrap().retain(|route| route["GatewayId"] == "local");
}

#[test]
fn rules_of_groups_and_acls_are_commands_with_the_accounts_ids() {
    let open = |answer: &mut Value| {
        let group = find(answer, "SecurityGroups", ("GroupId", "sg-005e081784b117b65"));
        group["IpPermissionsEgress"] =
            json!([{ "IpProtocol": "-1", "IpRanges": [{ "CidrIp": "0.0.0.0/0" }] }]);
    };
    let texts = [
        commands(&imported(&[], &[]), "orders-db:6379"),
        commands(&imported(&[("describe-security-groups", &open)], &[]), "orders-db:6379"),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn routes_are_created_and_replaced() {
    let wrong = |answer: &mut Value| {
        let table = find(answer, "RouteTables", PRIVATE);
        for route in table["Routes"].as_array_mut().unwrap() {
            if route.get("NatGatewayId").is_some() {
                *route = json!({ "DestinationCidrBlock": "0.0.0.0/0", "State": "active",
                                 "GatewayId": "igw-011f6ad8ec52a2984" });
            }
        }
    };
    let texts = [
        commands(&imported(&[("describe-route-tables", &without_routes)], &[]), "example:443"),
        commands(&imported(&[("describe-route-tables", &wrong)], &[]), "example:443"),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn a_table_is_added_to_an_endpoint() {
    let endpoint = |answer: &mut Value| {
        let id = ("VpcEndpointId", "vpce-0dd33a084ba223dd2");
        find(answer, "VpcEndpoints", id)["RouteTableIds"] = json!([]);
    };
    let changes: [Change<'_>; 2] =
        [("describe-route-tables", &without_routes), ("describe-vpc-endpoints", &endpoint)];
    insta::assert_snapshot!(commands(&imported(&changes, &[]), "s3:443"));
}

#[test]
fn an_entry_names_the_version_of_its_list_or_asks_for_it() {
    let rule = |answer: &mut Value| {
        let group = find(answer, "SecurityGroups", ("GroupId", "sg-005e081784b117b65"));
        group["IpPermissionsEgress"] = json!([{ "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
            "PrefixListIds": [{ "PrefixListId": "pl-0e6427457497fe0f4" }] }]);
    };
    let list = |key: &'static str, value: Value| {
        move |answer: &mut Value| {
            let id = ("PrefixListId", "pl-0e6427457497fe0f4");
            find(answer, "PrefixLists", id)[key] = value.clone();
        }
    };
    let text = |change: &dyn Fn(&mut Value)| {
        let changes: [Change<'_>; 2] =
            [("describe-security-groups", &rule), ("describe-managed-prefix-lists", change)];
        commands(&imported(&changes, &[]), "198.51.100.77:443")
    };
    let texts = [
        text(&list("Version", json!(7))),
        text(&list("Version", Value::Null)),
        text(&list("MaxEntries", json!(1))),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

const IN_PUBLIC: &str = "subnet-0985884d6f2d9dc63";

/// A connector cannot be changed.
#[test]
fn a_connector_is_replaced_and_its_services_use_the_new_one() {
    let moved = |answer: &mut Value| answer["VpcConnectors"][0]["Subnets"] = json!([IN_PUBLIC]);
    insta::assert_snapshot!(commands(
        &imported(&[("list-vpc-connectors", &moved)], &[]),
        "example"
    ));
}

#[test]
fn a_connector_of_the_command_line_is_the_users_to_move() {
    let connector = format!("trap={IN_PUBLIC}");
    let imported = imported(&[], &[&connector]);
    let explained = explained(&imported, "trap", "example:443");
    let fix = explained.fix().unwrap();
    let expected = "the command line makes VPC connector trap; it is not in the source: give --connector the \
                    other subnets; for the lab file, it is:";
    assert_eq!((fix.form, fix.note.as_deref()), (Form::Toml, Some(expected)));
}

#[test]
fn a_default_group_that_no_answer_has_is_asked_for() {
    let none = |answer: &mut Value| answer["VpcConnectors"][0]["SecurityGroups"] = json!([]);
    let all = |answer: &mut Value| {
        let groups = answer["SecurityGroups"].as_array_mut().unwrap();
        groups.retain(|group| group["GroupName"] != "default");
    };
    let changes: [Change<'_>; 2] =
        [("list-vpc-connectors", &none), ("describe-security-groups", &all)];
    insta::assert_snapshot!(commands(&imported(&changes, &[]), "orders-db:5432"));
}

/// Scripts recognise the kind of rule by the form.
#[test]
fn json_names_the_form() {
    let imported = imported(&[], &[]);
    let explained = explained(&imported, "web", "orders-db:6379");
    let json = serde_json::to_value(explained.explanation()).unwrap();
    assert_eq!(json["fix"]["form"], "aws-cli");
    assert_eq!(json["fix"]["id"], "sg-005e081784b117b65");
    assert!(
        json["fix"]["rule"]
            .as_str()
            .unwrap()
            .starts_with("aws ec2 authorize-security-group-egress")
    );
}

/// Removes all routes except the local ones from all tables: the VPC has only its endpoints.
fn isolated(answer: &mut Value) {
    for table in answer["RouteTables"].as_array_mut().unwrap() {
        table["Routes"].as_array_mut().unwrap().retain(|route| route["GatewayId"] == "local");
    }
}

/// Adds an endpoint that failed, so that the source names its service and nothing answers.
fn failed(answer: &mut Value, like: &str, word: &str) {
    let mut own = find(answer, "VpcEndpoints", ("VpcEndpointId", like)).clone();
    own["VpcEndpointId"] = json!("vpce-0000000000000fa11");
    own["ServiceName"] = json!(format!("com.amazonaws.us-east-1.{word}"));
    own["State"] = json!("failed");
    answer["VpcEndpoints"].as_array_mut().unwrap().push(own);
}

const SECRETS: &str = "vpce-03e76c24356d30b63";
const SQS: &str = "sqs.us-east-1.amazonaws.com:443";

#[test]
fn an_interface_endpoint_is_created_with_the_groups_of_the_others_or_a_new_one() {
    let others = |answer: &mut Value| failed(answer, SECRETS, "sqs");
    let alone = |answer: &mut Value| {
        failed(answer, SECRETS, "sqs");
        let all = answer["VpcEndpoints"].as_array_mut().unwrap();
        all.retain(|endpoint| endpoint["VpcEndpointId"] != SECRETS);
    };
    let no_hostnames =
        |answer: &mut Value| answer["EnableDnsHostnames"] = json!({ "Value": false });
    let (routes, endpoints) = ("describe-route-tables", "describe-vpc-endpoints");
    let with_others: [Change<'_>; 2] = [(routes, &isolated), (endpoints, &others)];
    let with_none: [Change<'_>; 3] = [
        (routes, &isolated),
        (endpoints, &alone),
        ("describe-vpc-attribute-enable-dns-hostnames", &no_hostnames),
    ];
    let texts =
        [commands(&imported(&with_others, &[]), SQS), commands(&imported(&with_none, &[]), SQS)];
    insta::assert_snapshot!(texts.join("\n\n"));
}

/// The prefix list of a service is AWS's own.
#[test]
fn a_gateway_endpoint_is_created_without_a_list() {
    let table = |answer: &mut Value| failed(answer, "vpce-0dd33a084ba223dd2", "dynamodb");
    let changes: [Change<'_>; 2] =
        [("describe-route-tables", &isolated), ("describe-vpc-endpoints", &table)];
    insta::assert_snapshot!(commands(&imported(&changes, &[]), "dynamodb:443"));
}
