//! Tests blocks by parsing them as HCL and applying them to the state, as `terraform apply` would.

use super::{example, explained, order, until_it_passes};
use crate::config::import::Imported;
use crate::explain::{Fix, Form};
use hcl::{Block, Body, Expression, Structure};
use serde_json::{Value, json};

const STATE: &str = "vpc-terraform.json";
/// The arguments of a route for its target, of which it has one.
const TARGETS: [&str; 5] = [
    "gateway_id",
    "nat_gateway_id",
    "vpc_peering_connection_id",
    "vpc_endpoint_id",
    "network_interface_id",
];

fn state() -> Value {
    serde_json::from_str(&example(STATE)).unwrap()
}

fn imported(state: &Value) -> Imported {
    Imported::from_text(&state.to_string(), &order(STATE, &[])).unwrap_or_else(|e| panic!("{e}"))
}

fn resources<'v>(state: &'v mut Value, module: &str) -> &'v mut Vec<Value> {
    let root = &mut state["values"]["root_module"];
    let module = match module {
        "the root module" => root,
        module => {
            let children = root["child_modules"].as_array_mut().unwrap();
            children.iter_mut().find(|child| child["address"] == module).unwrap()
        }
    };
    module["resources"].as_array_mut().unwrap()
}

/// Returns the values of the resource at an address, wherever it is.
fn values<'v>(state: &'v mut Value, address: &str) -> &'v mut Value {
    let module = match address.starts_with("module.network.") {
        true => "module.network",
        false => "the root module",
    };
    let mut all = resources(state, module).iter_mut();
    let found = all.find(|resource| resource["address"] == address);
    &mut found.unwrap_or_else(|| panic!("no {address}"))["values"]
}

fn remove(state: &mut Value, address: &str) {
    resources(state, "module.network").retain(|resource| resource["address"] != address);
}

/// Applies blocks to the module that the action names.
fn apply(state: &mut Value, fix: &Fix) {
    assert_eq!(fix.form, Form::Hcl);
    let body: Body = hcl::parse(&fix.rule).unwrap_or_else(|e| panic!("{e}:\n{}", fix.rule));
    for block in body.blocks() {
        let labels: Vec<&str> = block.labels().iter().map(|label| label.as_str()).collect();
        let ("resource", [kind, name]) = (block.identifier(), labels.as_slice()) else {
            panic!("not a resource: {block:?}")
        };
        let (action, changed) = match fix.action.split_once(", where ") {
            Some((action, changed)) => (action, changed.strip_suffix(" changes").unwrap()),
            None => (fix.action.as_str(), ""),
        };
        match action.split_once(" to ").or(action.split_once(" in ")) {
            Some(("add", module)) if format!("{kind}.{name}") == changed => {
                change(state, module, (kind, name), block);
            }
            Some(("add", module)) => add(state, module, (kind, name), block),
            Some(("change", module)) => change(state, module, (kind, name), block),
            _ => panic!("{}", fix.action),
        }
    }
}

fn add(state: &mut Value, module: &str, (kind, name): (&str, &str), block: &Block) {
    let address = whole(module, &format!("{kind}.{name}"));
    // Others refer to it by its id.
    let mut values = json!({ "id": address });
    for attribute in block.body().attributes() {
        values[attribute.key()] = value(state, module, attribute.expr());
    }
    for inner in block.body().blocks() {
        let (key, _, part) = part(state, module, &Structure::Block(inner.clone())).unwrap();
        let known = values[&key].as_array().cloned().unwrap_or_default();
        values[&key] = known.into_iter().chain([part]).collect();
    }
    let all = resources(state, module);
    assert!(all.iter().all(|other| other["address"] != address), "{address} is there already");
    all.push(json!({ "address": address, "mode": "managed", "type": kind, "name": name,
                     "values": values }));
}

fn change(state: &mut Value, module: &str, (kind, name): (&str, &str), block: &Block) {
    let changed: Vec<(String, Option<Value>, Value)> =
        block.body().iter().filter_map(|structure| part(state, module, structure)).collect();
    let mut found = false;
    for resource in resources(state, module) {
        if resource["type"] == kind && resource["name"] == name {
            found = true;
            changed.iter().for_each(|part| change_part(&mut resource["values"], part));
        }
    }
    assert!(found, "no {kind}.{name} in {module}");
}

/// Returns an attribute, or a block with the value that tells it from others of its name.
fn part(
    state: &mut Value,
    module: &str,
    structure: &Structure,
) -> Option<(String, Option<Value>, Value)> {
    match structure {
        Structure::Attribute(attribute) => {
            let value = value(state, module, attribute.expr());
            Some((attribute.key().to_owned(), None, value))
        }
        Structure::Block(block) if block.identifier() == "lifecycle" => None,
        Structure::Block(block) => {
            let mut values = json!({});
            for attribute in block.body().attributes() {
                values[attribute.key()] = value(state, module, attribute.expr());
            }
            let key = if block.identifier() == "route" {
                values["cidr_block"].clone()
            } else {
                json!(null)
            };
            Some((block.identifier().to_owned(), Some(key), values))
        }
    }
}

fn change_part(values: &mut Value, (key, block, value): &(String, Option<Value>, Value)) {
    match block {
        None => {
            if TARGETS.contains(&key.as_str()) {
                TARGETS.iter().for_each(|other| values[*other] = json!(""));
            }
            values[key] = value.clone();
        }
        Some(same) => {
            let list = values[key].as_array_mut().unwrap();
            list.retain(|other| same.is_null() || other["cidr_block"] != *same);
            list.push(value.clone());
        }
    }
}

/// Evaluates an expression within a module.
fn value(state: &mut Value, module: &str, expression: &Expression) -> Value {
    #[allow(clippy::wildcard_enum_match_arm, reason = "all others are wrong here")]
    match expression {
        Expression::String(text) => json!(text),
        Expression::Bool(is) => json!(is),
        Expression::Number(number) => json!(number.as_i64().unwrap()),
        Expression::Array(all) => all.iter().map(|one| value(state, module, one)).collect(),
        Expression::Traversal(_) => {
            let text = hcl::format::to_string(expression).unwrap();
            let (address, attribute) = text.rsplit_once('.').unwrap();
            let value = values(state, &whole(module, address))[attribute].clone();
            assert!(value.is_string(), "{text}: {value}");
            value
        }
        other => panic!("{other:?}"),
    }
}

fn whole(module: &str, address: &str) -> String {
    if module == "the root module" { address.to_owned() } else { format!("{module}.{address}") }
}

fn followed(state: &mut Value, service: &str, destination: &str) -> String {
    until_it_passes(state, (service, destination), &imported, &apply)
}

const PRIVATE: &str = "module.network.aws_route_table.private";
const NAT: &str = "module.network.aws_route.nat";
const S3: &str = "module.network.aws_vpc_endpoint.s3";

/// Returns a state without routes of the private subnets.
fn without_routes() -> Value {
    let mut state = state();
    remove(&mut state, NAT);
    values(&mut state, PRIVATE)["route"] = json!([]);
    state
}

#[test]
fn rules_are_written_as_the_group_and_the_acl_have_theirs() {
    insta::assert_snapshot!(followed(&mut state(), "web", "orders-db:6379"));
}

#[test]
fn rules_of_the_older_type_stay_of_that_type() {
    let mut state = state();
    values(&mut state, "aws_security_group_rule.cache_from_web")["from_port"] = json!(6380);
    values(&mut state, "aws_security_group_rule.cache_from_web")["to_port"] = json!(6380);
    insta::assert_snapshot!(followed(&mut state, "web", "sessions-001:6379"));
}

#[test]
fn a_missing_route_is_a_resource_in_the_module_of_its_table() {
    insta::assert_snapshot!(followed(&mut without_routes(), "web", "example:443"));
}

#[test]
fn a_wrong_route_is_changed_where_the_source_has_it() {
    let gateway = json!("igw-011f6ad8ec52a2984");
    let mut apart = state();
    for (key, value) in [("gateway_id", gateway.clone()), ("nat_gateway_id", json!(""))] {
        values(&mut apart, NAT)[key] = value;
    }
    let mut inline = without_routes();
    let route = json!({ "cidr_block": "0.0.0.0/0", "gateway_id": gateway });
    values(&mut inline, PRIVATE)["route"] = json!([route]);
    let texts =
        [followed(&mut apart, "web", "example:443"), followed(&mut inline, "web", "example:443")];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn a_table_is_added_to_an_endpoint_as_others_are() {
    let mut apart = without_routes();
    values(&mut apart, S3)["route_table_ids"] = json!([]);
    let mut inline = without_routes();
    values(&mut inline, S3)["route_table_ids"] = json!(["rtb-061c9b2b17db77a27"]);
    let texts = [followed(&mut apart, "web", "s3:443"), followed(&mut inline, "web", "s3:443")];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn an_entry_of_a_list_is_within_it_or_apart_and_the_list_grows() {
    let mut state = state();
    let mut rule = values(&mut state, "aws_security_group.web_egress")["egress"][0].clone();
    rule["cidr_blocks"] = json!([]);
    rule["prefix_list_ids"] = json!(["pl-0e6427457497fe0f4"]);
    let list = "aws_ec2_managed_prefix_list.offices";
    values(&mut state, "aws_security_group.web_egress")["egress"] = json!([rule]);
    let mut apart = state.clone();
    values(&mut state, list)["max_entries"] = json!(1);
    values(&mut apart, list)["entry"] = json!([]);
    let texts = [
        followed(&mut state, "web", "198.51.100.77:443"),
        followed(&mut apart, "web", "198.51.100.77:443"),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

/// The connector is in the root module, which can name the subnets of another one only by their
/// ids.
#[test]
fn a_connector_gets_other_subnets_before_the_old_one_ends() {
    let mut state = state();
    values(&mut state, "aws_apprunner_vpc_connector.shop")["subnets"] =
        json!(["subnet-0985884d6f2d9dc63", "subnet-0bae7a1bab0429d4e"]);
    insta::assert_snapshot!(followed(&mut state, "web", "example:443"));
}

#[test]
fn a_default_group_is_named_by_its_vpc() {
    let mut state = state();
    values(&mut state, "aws_apprunner_vpc_connector.shop")["security_groups"] = json!([]);
    insta::assert_snapshot!(followed(&mut state, "web", "orders-db:5432"));
}

/// Two groups with rules inside them cannot refer to each other.
#[test]
fn a_reference_that_would_be_a_cycle_is_the_id() {
    let mut state = state();
    resources(&mut state, "the root module")
        .retain(|resource| resource["address"] != "aws_vpc_security_group_egress_rule.web_to_db");
    let fix = explained(&imported(&state), "web", "orders-db:5432");
    let fix = fix.fix().unwrap();
    assert!(fix.rule.contains("# a reference would be a cycle\n"), "{}", fix.rule);
    assert!(fix.rule.contains(r#"security_groups = ["sg-09e69a81b106c1043"]"#), "{}", fix.rule);
    apply(&mut state, fix);
    assert!(followed(&mut state, "web", "orders-db:5432").is_empty());
}

/// A plan has no ids: an object of another module is passed in by a variable.
#[test]
fn a_plan_names_what_has_no_id_yet() {
    let mut state = as_planned(&state());
    values(&mut state, "aws_apprunner_vpc_connector.shop")["subnets"] =
        json!(["module.network.aws_subnet.public[0]", "module.network.aws_subnet.public[1]"]);
    let explained = explained(&imported(&state), "web", "example:443");
    insta::assert_snapshot!(explained.fix().unwrap().rule);
}

/// Removes the ids; references use addresses, as in a plan.
fn as_planned(state: &Value) -> Value {
    let mut text = state.to_string();
    let root = &state["values"]["root_module"];
    let children = root["child_modules"].as_array().unwrap().iter();
    for module in std::iter::once(root).chain(children) {
        let resources = module["resources"].as_array().unwrap().iter();
        for resource in resources.filter(|resource| resource["mode"] == "managed") {
            for id in ["id", "arn"].map(|key| &resource["values"][key]) {
                if id.is_string() {
                    let own = [format!("\"id\":{id},"), format!("\"arn\":{id},")];
                    own.iter().for_each(|own| text = text.replace(own, ""));
                    text = text.replace(&id.to_string(), &resource["address"].to_string());
                }
            }
        }
    }
    serde_json::from_str(&text).unwrap()
}

/// Returns a state whose VPC has only its endpoints; one more endpoint failed.
fn isolated(like: &str, word: &str) -> Value {
    let mut state = without_routes();
    values(&mut state, "module.network.aws_route_table.public")["route"] = json!([]);
    let all = resources(&mut state, "module.network");
    let mut own = all.iter().find(|resource| resource["address"] == like).unwrap().clone();
    own["address"] = json!(format!("module.network.aws_vpc_endpoint.{word}"));
    own["name"] = json!(word);
    own["values"]["id"] = json!("vpce-0000000000000fa11");
    own["values"]["service_name"] = json!(format!("com.amazonaws.us-east-1.{word}"));
    own["values"]["state"] = json!("failed");
    own["values"]["subnet_configuration"] = json!([]);
    all.push(own);
    state
}

const SECRETS: &str = "module.network.aws_vpc_endpoint.secrets";
const SQS: &str = "sqs.us-east-1.amazonaws.com:443";

#[test]
fn an_interface_endpoint_has_the_groups_of_the_others_or_a_new_one() {
    let mut others = isolated(SECRETS, "sqs");
    let mut alone = isolated(SECRETS, "sqs");
    remove(&mut alone, SECRETS);
    values(&mut alone, "module.network.aws_vpc.this")["enable_dns_hostnames"] = json!(false);
    let texts = [followed(&mut others, "web", SQS), followed(&mut alone, "web", SQS)];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn a_new_group_has_its_rules_within_it_if_the_group_that_they_name_does() {
    let mut state = isolated(SECRETS, "sqs");
    remove(&mut state, SECRETS);
    resources(&mut state, "the root module")
        .retain(|resource| resource["address"] != "aws_vpc_security_group_egress_rule.web_to_db");
    let text = followed(&mut state, "web", SQS);
    let (_, group) = text.split_once("resource \"aws_security_group\"").unwrap();
    let (group, _) = group.split_once("resource ").unwrap();
    insta::assert_snapshot!(group);
}

#[test]
fn a_gateway_endpoint_has_no_list() {
    insta::assert_snapshot!(followed(&mut isolated(S3, "dynamodb"), "web", "dynamodb:443"));
}
