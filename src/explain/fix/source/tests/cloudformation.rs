//! Tests fragments by merging them into the template.

use super::{example, explained, order, until_it_passes};
use crate::config::import::Imported;
use crate::explain::{Fix, Form};
use serde_json::{Map, Value, json};

const TEMPLATE: &str = "vpc-cloudformation.json";

fn template() -> Value {
    serde_json::from_str(&example(TEMPLATE)).unwrap()
}

fn imported(template: &Value) -> Imported {
    Imported::from_text(&template.to_string(), &order(TEMPLATE, &[]))
        .unwrap_or_else(|e| panic!("{e}"))
}

fn apply(template: &mut Value, fix: &Fix) {
    assert_eq!(fix.form, Form::CloudFormation);
    let fragment: Value = serde_json::from_str(&fix.rule).unwrap();
    for (id, resource) in fragment["Resources"].as_object().unwrap() {
        let own = &mut template["Resources"][id];
        match fix.action.as_str() {
            "add to the template" if own.is_null() => *own = resource.clone(),
            "add to the template" => merge(own, resource),
            "change in the template" => {
                assert!(own.is_object(), "no {id}");
                let properties = resource["Properties"].as_object().unwrap().clone();
                own["Properties"].as_object_mut().unwrap().extend(properties);
            }
            "replace in the template, with all properties" => {
                assert_eq!(own["Type"], resource["Type"]);
                *own = resource.clone();
            }
            other => panic!("{other}"),
        }
    }
    if let Some(parameters) = fragment.get("Parameters").and_then(Value::as_object) {
        template["Parameters"].as_object_mut().unwrap().extend(parameters.clone());
    }
}

/// Adds the contents of a fragment: elements to lists, members to maps.
fn merge(own: &mut Value, fragment: &Value) {
    match (own, fragment) {
        (Value::Object(own), Value::Object(fragment)) => merge_maps(own, fragment),
        (Value::Array(own), Value::Array(fragment)) => own.extend(fragment.iter().cloned()),
        (own, fragment) => *own = fragment.clone(),
    }
}

fn merge_maps(own: &mut Map<String, Value>, fragment: &Map<String, Value>) {
    for (key, value) in fragment {
        merge(own.entry(key.clone()).or_insert(Value::Null), value);
    }
}

fn followed(template: &mut Value, service: &str, destination: &str) -> String {
    until_it_passes(template, (service, destination), &imported, &apply)
}

fn properties<'t>(template: &'t mut Value, id: &str) -> &'t mut Value {
    &mut template["Resources"][id]["Properties"]
}

fn remove(template: &mut Value, id: &str) {
    template["Resources"].as_object_mut().unwrap().remove(id).unwrap();
}

#[test]
fn rules_and_entries_are_resources_that_name_the_templates_own() {
    insta::assert_snapshot!(followed(&mut template(), "web", "orders-db:6379"));
}

/// Without the condition the fragment would name an object that is not made.
#[test]
fn a_resource_has_the_condition_of_the_one_that_it_belongs_to() {
    let mut template = template();
    template["Conditions"] = json!({ "Always": { "Fn::Equals": ["a", "a"] } });
    template["Resources"]["WebGroup"]["Condition"] = json!("Always");
    let text = followed(&mut template, "web", "internet:8443");
    assert!(text.contains("\"Condition\": \"Always\",\n"), "{text}");
}

#[test]
fn routes_are_added_and_replaced() {
    let mut missing = template();
    remove(&mut missing, "PrivateDefault");
    let mut wrong = template();
    let route = properties(&mut wrong, "PrivateDefault").as_object_mut().unwrap();
    route.remove("NatGatewayId");
    route.insert("GatewayId".to_owned(), json!({ "Ref": "InternetGateway" }));
    let texts =
        [followed(&mut missing, "web", "example:443"), followed(&mut wrong, "web", "example:443")];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn elements_are_added_to_the_lists_of_endpoints_and_prefix_lists() {
    let mut endpoint = template();
    remove(&mut endpoint, "PrivateDefault");
    properties(&mut endpoint, "S3")["RouteTableIds"] = json!([{ "Ref": "Public" }]);
    let mut list = template();
    let egress = json!([{ "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
                          "DestinationPrefixListId": { "Ref": "Offices" } }]);
    properties(&mut list, "WebGroup")["SecurityGroupEgress"] = egress;
    properties(&mut list, "Offices")["MaxEntries"] = json!(1);
    let texts =
        [followed(&mut endpoint, "web", "s3:443"), followed(&mut list, "web", "198.51.100.77:443")];
    insta::assert_snapshot!(texts.join("\n\n"));
}

/// CloudFormation does not replace a resource with a name of its own under the same name.
#[test]
fn a_connector_gets_other_subnets_and_another_name() {
    let mut template = template();
    properties(&mut template, "Connector")["Subnets"] =
        json!([{ "Ref": "PublicA" }, { "Ref": "PublicB" }]);
    insta::assert_snapshot!(followed(&mut template, "web", "example:443"));
}

#[test]
fn a_default_group_is_an_attribute_of_its_vpc() {
    let mut template = template();
    let group = json!([{ "Fn::GetAtt": ["Vpc", "DefaultSecurityGroup"] }]);
    properties(&mut template, "Connector")["SecurityGroups"] = group;
    insta::assert_snapshot!(followed(&mut template, "web", "orders-db:5432"));
}

/// A template cannot name the list of an AWS service: the user gives its id.
#[test]
fn the_list_of_a_service_is_a_parameter() {
    let mut template = template();
    let egress =
        json!([{ "IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIp": "0.0.0.0/0" }]);
    properties(&mut template, "WebGroup")["SecurityGroupEgress"] = egress;
    let explained = explained(&imported(&template), "web", "s3:443");
    insta::assert_snapshot!(explained.fix().unwrap().rule);
}

#[test]
fn a_main_table_has_no_name_in_a_template_and_the_answer_says_so() {
    let mut template = template();
    for id in ["PrivateOfA", "PrivateOfB", "PrivateDefault"] {
        remove(&mut template, id);
    }
    properties(&mut template, "S3")["RouteTableIds"] = json!([]);
    let explained = explained(&imported(&template), "web", "example:443");
    let fix = explained.fix().unwrap();
    let note = fix.note.as_deref().unwrap();
    assert!(note.starts_with("no template can name the main route table of Vpc"), "{note}");
    assert_eq!(fix.form, Form::Toml);
    let mut text = Vec::new();
    explained.text(&mut text, &|line| line.to_string(), false).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("no template can name the main route table of Vpc"), "{text}");
    assert!(text.contains("[[route_table]]"), "{text}");
}

/// The fragment is text to append to the template's last section, which is `Resources`.
#[test]
fn a_yaml_template_gets_yaml() {
    let name = "vpc-cloudformation.yaml";
    let import = |text: &String| {
        Imported::from_text(text, &order(name, &[])).unwrap_or_else(|e| panic!("{e}"))
    };
    let append = |text: &mut String, fix: &Fix| {
        text.push_str(fix.rule.strip_prefix("Resources:\n").unwrap());
        text.push('\n');
    };
    let question = ("web", "orders-db:6379");
    insta::assert_snapshot!(until_it_passes(&mut example(name), question, &import, &append));
}

/// Returns a template whose VPC has only its endpoints, and another VPC with an endpoint that this
/// one lacks.
fn isolated(service: &str, kind: &str) -> Value {
    let mut template = template();
    let resources = template["Resources"].as_object_mut().unwrap();
    resources.retain(|_, own| own["Type"] != "AWS::EC2::Route");
    let mut vpc = resources["Vpc"].clone();
    vpc["Properties"] = json!({ "CidrBlock": "10.99.0.0/16" });
    resources.insert("Other".to_owned(), vpc);
    let properties = json!({ "VpcId": { "Ref": "Other" }, "ServiceName": service,
                             "VpcEndpointType": kind });
    let endpoint = json!({ "Type": "AWS::EC2::VPCEndpoint", "Properties": properties });
    resources.insert("OfOther".to_owned(), endpoint);
    template
}

const SQS: &str = "com.amazonaws.us-east-1.sqs";

#[test]
fn an_interface_endpoint_has_the_groups_of_the_others_or_a_new_one() {
    let mut others = isolated(SQS, "Interface");
    let mut alone = isolated(SQS, "Interface");
    remove(&mut alone, "Secrets");
    properties(&mut alone, "Vpc")["EnableDnsHostnames"] = json!(false);
    let question = "sqs.us-east-1.amazonaws.com:443";
    let texts = [followed(&mut others, "web", question), followed(&mut alone, "web", question)];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn a_gateway_endpoint_has_no_list() {
    let mut template = isolated("com.amazonaws.us-east-1.dynamodb", "Gateway");
    insta::assert_snapshot!(followed(&mut template, "web", "dynamodb:443"));
}
