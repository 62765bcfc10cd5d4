//! Tests of each intrinsic function, in the short YAML form and in JSON.

use super::super::value::{Value, ValueKind};
use super::*;

const BEFORE_YAML: &str = "
Parameters:
  Name: {Type: String, Default: shop}
  Count: {Type: Number, Default: 3}
  Zones: {Type: CommaDelimitedList, Default: 'a, b,c'}
  Wanted: {Type: String}
  Image: {Type: 'AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>', Default: /aws/ami}
Mappings:
  Blocks:
    prod: {Vpc: 10.0.0.0/16, Subnets: [10.0.0.0/24, 10.0.1.0/24]}
    '123': {Vpc: 10.9.0.0/16}
Conditions:
  IsShop: !Equals [!Ref Name, shop]
  IsNot: !Not [!Condition IsShop]
  Both: !And [!Condition IsShop, !Condition IsNot]
  Either: !Or [!Condition IsNot, !Condition IsShop]
  HasImage: !Equals [!Ref Image, ami-1]
  EitherImage: !Or [!Condition HasImage, !Condition IsShop]
  BothImage: !And [!Condition HasImage, !Condition IsShop]
Resources:
  Net: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: !FindInMap [Blocks, prod, Vpc]}}
  Sub: {Type: 'AWS::EC2::Subnet', Properties: {VpcId: !Ref Net, CidrBlock: !Select [1, !Cidr [!GetAtt Net.CidrBlock, 2, 8]]}}
  Gone: {Type: 'AWS::EC2::VPC', Condition: IsNot}
  It:
    Type: Test::It
    Properties:
      P: ";

fn text_of(value: &Value) -> String {
    match &value.kind {
        ValueKind::Absent => "-".to_owned(),
        ValueKind::Text(text) => format!("{text:?}").trim_matches('"').to_owned(),
        ValueKind::List(items) => {
            let items: Vec<String> = items.iter().map(text_of).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Map(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}: {}", text_of(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        ValueKind::Unknown(unknown) => format!("? {}", unknown.what),
    }
}

/// Returns the value of an expression in short YAML, and checks that the JSON form has the same
/// value.
#[track_caller]
fn both(yaml: &str, json: &str) -> String {
    let short = evaluated(yaml);
    assert_eq!(short, evaluated(json), "{yaml} and {json}");
    short
}

#[track_caller]
fn evaluated(expression: &str) -> String {
    try_evaluate(expression).unwrap_or_else(|fault| panic!("{}", fault.message))
}

fn try_evaluate(expression: &str) -> Result<String, Fault> {
    let root = yaml::read(&format!("{BEFORE_YAML}{expression}\n"))?;
    let template = Template::new(root)?;
    let options = options(&[]);
    let (parameters, faults) = parameters::all(&template, &options.parameters);
    assert_eq!(faults, []);
    let scope = Scope::new(&template, parameters, &options);
    let it = template.resource("It").unwrap();
    scope.value(it.property("P").unwrap()).map(|value| text_of(&value))
}

#[track_caller]
fn fault(expression: &str) -> String {
    match try_evaluate(expression) {
        Ok(value) => panic!("{expression} is {value}"),
        Err(fault) => format!("{} ({})", fault.message, fault.help),
    }
}

#[test]
fn ref_names_parameters_pseudo_parameters_and_resources() {
    assert_eq!(both("!Ref Name", r#"{"Ref": "Name"}"#), "shop");
    assert_eq!(both("!Ref Count", r#"{"Ref": "Count"}"#), "3");
    assert_eq!(both("!Ref Zones", r#"{"Ref": "Zones"}"#), "[a, b, c]");
    assert_eq!(both("!Ref Net", r#"{"Ref": "Net"}"#), "\u{27e8}Net\u{27e9}");
    assert_eq!(evaluated("!Ref AWS::Region"), "us-east-1");
    assert_eq!(evaluated("!Ref AWS::AccountId"), "123456789012");
    assert_eq!(evaluated("!Ref AWS::Partition"), "aws");
    assert_eq!(evaluated("!Ref AWS::URLSuffix"), "amazonaws.com");
    assert_eq!(evaluated("!Ref AWS::StackName"), "stack");
    assert_eq!(evaluated("!Ref AWS::NotificationARNs"), "[]");
    assert_eq!(evaluated("!Ref AWS::NoValue"), "-");
    assert!(
        evaluated("!Ref AWS::StackId")
            .starts_with("arn:aws:cloudformation:us-east-1:123456789012:stack/stack/")
    );
    assert_eq!(evaluated("!Ref Wanted"), "? the parameter Wanted has no value");
    assert_eq!(
        evaluated("!Ref Image"),
        "? the parameter Image is the value of /aws/ami in Systems Manager"
    );
    insta::assert_snapshot!(
        [fault("!Ref Nam"), fault("!Ref [Name]"), fault("!Ref Gone")].join("\n")
    );
}

#[test]
fn get_att_gives_ids_properties_and_what_only_aws_knows() {
    assert_eq!(
        both("!GetAtt Net.CidrBlock", r#"{"Fn::GetAtt": ["Net", "CidrBlock"]}"#),
        "10.0.0.0/16"
    );
    assert_eq!(evaluated("!GetAtt [Sub, CidrBlock]"), "10.0.1.0/24");
    assert_eq!(evaluated("!GetAtt Net.VpcId"), "\u{27e8}Net\u{27e9}");
    assert_eq!(evaluated("!GetAtt Sub.VpcId"), "\u{27e8}Net\u{27e9}");
    assert_eq!(
        evaluated("!GetAtt Net.DefaultSecurityGroup"),
        "\u{27e8}Net.DefaultSecurityGroup\u{27e9}"
    );
    assert_eq!(evaluated("!GetAtt Sub.AvailabilityZone"), "\u{27e8}Sub.AvailabilityZone\u{27e9}");
    insta::assert_snapshot!(
        [fault("!GetAtt Net"), fault("!GetAtt Nat.Id"), fault("!GetAtt [Net, a, b]")].join("\n")
    );
}

#[test]
fn sub_puts_values_into_text() {
    assert_eq!(
        both("!Sub '${Name}-${AWS::Region}'", r#"{"Fn::Sub": "${Name}-${AWS::Region}"}"#),
        "shop-us-east-1"
    );
    assert_eq!(
        both(
            "!Sub ['${A}/${Name}/${A}', {A: !Ref Count}]",
            r#"{"Fn::Sub": ["${A}/${Name}/${A}", {"A": {"Ref": "Count"}}]}"#
        ),
        "3/shop/3"
    );
    assert_eq!(evaluated("!Sub '${Net.CidrBlock}'"), "10.0.0.0/16");
    assert_eq!(evaluated("!Sub 'a-${Net}'"), "a-\u{27e8}Net\u{27e9}");
    assert_eq!(
        evaluated("!Sub 'cost: $5, ${!Literal}, ${unfinished'"),
        "cost: $5, ${Literal}, ${unfinished"
    );
    assert_eq!(
        evaluated("!Sub '${Image}'"),
        "? the parameter Image is the value of /aws/ami in Systems Manager"
    );
    insta::assert_snapshot!(
        [
            fault("!Sub '${Zones}'"),
            fault("!Sub '${Nobody}'"),
            fault("!Sub [a]"),
            fault("!Sub [a, b]"),
            fault("!Sub [!Ref Name, {}]")
        ]
        .join("\n")
    );
}

#[test]
fn join_select_and_split_are_about_lists() {
    assert_eq!(
        both("!Join ['-', [a, !Ref Name]]", r#"{"Fn::Join": ["-", ["a", {"Ref": "Name"}]]}"#),
        "a-shop"
    );
    assert_eq!(evaluated("!Join [',', !Ref Zones]"), "a,b,c");
    assert_eq!(evaluated("!Join ['', [a, !Ref AWS::NoValue, b]]"), "ab");
    assert_eq!(both("!Select [1, !Ref Zones]", r#"{"Fn::Select": ["1", {"Ref": "Zones"}]}"#), "b");
    assert_eq!(both("!Split ['|', 'a||b']", r#"{"Fn::Split": ["|", "a||b"]}"#), "[a, , b]");
    assert_eq!(
        evaluated("!Split [',', !Join [',', [!Ref Net, subnet-1, !Ref Sub]]]"),
        "[\u{27e8}Net\u{27e9}, subnet-1, \u{27e8}Sub\u{27e9}]"
    );
    assert_eq!(
        evaluated("!Select [1, !Split ['-', !Ref Net]]"),
        "? it depends on the id of Net, which AWS chooses when the stack is created"
    );
    assert_eq!(
        evaluated("!Select [0, !GetAtt Net.CidrBlockAssociations]"),
        "? it depends on CidrBlockAssociations of Net, which is known when the stack is created"
    );
    assert_eq!(evaluated("!Length [a, b]"), "2");
    insta::assert_snapshot!(
        [
            fault("!Join [a]"),
            fault("!Join [a, b]"),
            fault("!Join [',', [[a]]]"),
            fault("!Select [3, !Ref Zones]"),
            fault("!Select [x, [a]]"),
            fault("!Select [-1, [a]]"),
            fault("!Split ['', a]"),
            fault("!Split [',', [a]]"),
        ]
        .join("\n")
    );
}

#[test]
fn zones_are_those_of_the_region_in_order() {
    let zones = "[us-east-1a, us-east-1b, us-east-1c, us-east-1d, us-east-1e, us-east-1f]";
    assert_eq!(both("!GetAZs ''", r#"{"Fn::GetAZs": ""}"#), zones);
    assert_eq!(evaluated("!GetAZs {Ref: AWS::Region}"), zones);
    assert_eq!(evaluated("!Select [1, !GetAZs eu-west-1]"), "eu-west-1b");
    assert_eq!(evaluated("!GetAZs"), zones);
}

#[test]
fn cidr_divides_a_block() {
    assert_eq!(
        both("!Cidr [10.0.0.0/16, 3, 8]", r#"{"Fn::Cidr": ["10.0.0.0/16", "3", "8"]}"#),
        "[10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24]"
    );
    assert_eq!(evaluated("!Select [5, !Cidr [192.168.0.0/24, 6, 5]]"), "192.168.0.160/27");
    assert!(evaluated("!Cidr [10.0.0.0/16, 3]").starts_with("? Fn::Cidr without subnet bits"));
    assert!(
        evaluated("!Cidr ['2001:db8::/56', 3, 64]")
            .starts_with("? egret does not divide the IPv6 block")
    );
    assert!(
        evaluated("!Cidr [!Select [0, !GetAtt Net.Ipv6CidrBlocks], 3, 64]")
            .starts_with("? it depends on Ipv6CidrBlocks of Net")
    );
    insta::assert_snapshot!(
        [
            fault("!Cidr [10.0.0.0/16, 300, 8]"),
            fault("!Cidr [10.0.0.0/24, 3, 7]"),
            fault("!Cidr [10.0.0.0, 3, 7]"),
            fault("!Cidr 10.0.0.0/16")
        ]
        .join("\n")
    );
}

#[test]
fn find_in_map_has_two_keys_and_may_have_a_default() {
    assert_eq!(
        both("!FindInMap [Blocks, prod, Vpc]", r#"{"Fn::FindInMap": ["Blocks", "prod", "Vpc"]}"#),
        "10.0.0.0/16"
    );
    assert_eq!(evaluated("!FindInMap [Blocks, 123, Vpc]"), "10.9.0.0/16");
    assert_eq!(evaluated("!FindInMap [Blocks, prod, Subnets]"), "[10.0.0.0/24, 10.0.1.0/24]");
    assert_eq!(evaluated("!FindInMap [Blocks, !Ref Name, Vpc, {DefaultValue: none}]"), "none");
    insta::assert_snapshot!(
        [
            fault("!FindInMap [Blocks, prd, Vpc]"),
            fault("!FindInMap [Block, prod, Vpc]"),
            fault("!FindInMap [Blocks, prod]")
        ]
        .join("\n")
    );
}

#[test]
fn if_chooses_by_a_condition_even_with_unknown_values_about() {
    assert_eq!(both("!If [IsShop, a, b]", r#"{"Fn::If": ["IsShop", "a", "b"]}"#), "a");
    assert_eq!(evaluated("!If [IsNot, a, b]"), "b");
    assert_eq!(evaluated("!If [Both, a, b]"), "b");
    assert_eq!(evaluated("!If [Either, a, b]"), "a");
    assert_eq!(evaluated("!If [EitherImage, a, b]"), "a");
    assert_eq!(
        evaluated("!If [BothImage, a, b]"),
        "? the parameter Image is the value of /aws/ami in Systems Manager"
    );
    assert_eq!(evaluated("!If [IsNot, !Ref Gone, !Ref AWS::NoValue]"), "-");
    assert_eq!(evaluated("[a, !If [IsNot, b, !Ref AWS::NoValue]]"), "[a, -]");
    assert_eq!(evaluated("{a: !If [IsNot, b, !Ref AWS::NoValue]}"), "{}");
    insta::assert_snapshot!(
        [
            fault("!If [Shop, a, b]"),
            fault("!If [IsShop, a]"),
            fault("!If [[IsShop], a, b]"),
            fault("!Equals [a, b]")
        ]
        .join("\n")
    );
}

#[test]
fn values_beyond_a_template_are_unknown_and_say_so() {
    assert_eq!(
        both("!ImportValue net-Vpc", r#"{"Fn::ImportValue": "net-Vpc"}"#),
        "? another stack exports net-Vpc"
    );
    assert!(
        evaluated("!Transform {Name: AWS::Include}")
            .starts_with("? CloudFormation would expand Fn::Transform")
    );
    assert!(
        evaluated("{Fn::ForEach::X: [a, [b], {c: d}]}")
            .starts_with("? CloudFormation would expand Fn::ForEach::X")
    );
    assert!(evaluated("!Base64 text").starts_with("? egret does not evaluate Fn::Base64"));
    insta::assert_snapshot!([fault("{Fn::Ref: a}"), fault("{Fn::Join: [a, []], b: c}")].join("\n"));
}

#[test]
fn a_reference_is_not_looked_into() {
    let text = super::super::value::Text::literal("a\u{fdd0}Net\u{fdd1}");
    assert_eq!(text.as_literal(), Some("a\u{fffd}Net\u{fffd}"));
    assert_eq!(evaluated("!Split [e, !Sub 'fee-${Count}']"), "[f, , -3]");
}
