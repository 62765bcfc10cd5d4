//! Tests of reading text to a tree.

use super::super::tree::{Node, NodeKind};
use super::*;

fn shape(node: &Node) -> String {
    match &node.kind {
        NodeKind::Null => "null".to_owned(),
        NodeKind::Scalar(text) => format!("{text:?}"),
        NodeKind::List(items) => {
            format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(", "))
        }
        NodeKind::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}: {}", entry.key, shape(&entry.value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

#[track_caller]
fn read_shape(text: &str) -> String {
    match yaml::read(text) {
        Ok(node) => shape(&node),
        Err(fault) => format!("{}:{}: {}", fault.place.line, fault.place.column, fault.message),
    }
}

/// CloudFormation reads them as YAML 1.1.
#[test]
fn plain_scalars_are_those_of_yaml_1_1_and_quoted_ones_are_text() {
    let text = "[yes, 'yes', On, NO, ~, null, 'null', 010, '010', 0x1F, 0b101, 1_000, 22:22, -1, +5, 4.50, 2010-09-09, 089, 10.0.0.0/16, 0, 00]";
    assert_eq!(
        read_shape(text),
        r#"["true", "yes", "true", "false", null, null, "null", "8", "010", "31", "5", "1000", "1342", "-1", "5", "4.50", "2010-09-09", "089", "10.0.0.0/16", "0", "0"]"#
    );
    assert_eq!(read_shape("!!str 010"), "\"010\"");
    assert_eq!(read_shape("a:\n  b: |\n    yes\n"), "{a: {b: \"yes\\n\"}}");
}

#[test]
fn short_tags_are_long_keys() {
    assert_eq!(read_shape("!GetAtt Net.Id"), "{Fn::GetAtt: \"Net.Id\"}");
    assert_eq!(read_shape("!Condition A"), "{Condition: \"A\"}");
    assert_eq!(
        read_shape("!If [A, !Ref B, {c: !Sub d}]"),
        "{Fn::If: [\"A\", {Ref: \"B\"}, {c: {Fn::Sub: \"d\"}}]}"
    );
    assert_eq!(read_shape("!Base64\n  Fn::Sub: a"), "{Fn::Base64: {Fn::Sub: \"a\"}}");
    // These characters would be a reference's marks among values (`value::Text`).
    assert_eq!(
        read_shape("[\"\\uFDD0a\\uFDD1\", \u{fdd0}b]"),
        "[\"\u{fffd}a\u{fffd}\", \"\u{fffd}b\"]"
    );
    assert_eq!(read_shape("a: !Reff b"), "1:4: the tag \"!Reff\" is not one of CloudFormation's");
}

#[test]
fn aliases_and_merges_repeat() {
    assert_eq!(read_shape("a: &x {b: 1}\nc: *x"), "{a: {b: \"1\"}, c: {b: \"1\"}}");
    assert_eq!(
        read_shape("a: &x {b: 1, c: 2}\ny: &y {c: 3, d: 4}\nz: {<<: [*x, *y], b: 0}"),
        "{a: {b: \"1\", c: \"2\"}, y: {c: \"3\", d: \"4\"}, z: {b: \"0\", c: \"2\", d: \"4\"}}"
    );
    assert_eq!(read_shape("a: {<<: 1}"), "1:9: << merges maps, and this is not a map");
    assert_eq!(read_shape("a: &x [*x]"), "1:8: an alias is within the value that it repeats");
}

#[test]
fn json_is_read_with_the_same_places() {
    assert_eq!(
        read_shape("{\"a\":{\"b\":[1,true,null,\"\\u00e9\\/\\ud83c\\udfb5\"]}}"),
        "{a: {b: [\"1\", \"true\", null, \"\u{e9}/\u{1f3b5}\"]}}"
    );
    assert_eq!(read_shape("\u{feff}{\n\t\"a\" :\t[\n\t]\r\n}\r\n"), "{a: []}");
    let long = format!("{{\"{}\": 1}}", "k".repeat(5000));
    assert!(read_shape(&long).starts_with("{kkk"), "a long key");
    assert_eq!(
        read_shape("{\"a\": {\"b\": 1"),
        "1:13: this is not JSON: EOF while parsing an object"
    );
    assert_eq!(read_shape("{\"a\": [1, 2}"), "1:12: this is not JSON: expected `,` or `]`");
}

#[test]
fn errors_have_a_place() {
    assert_eq!(read_shape(""), "0:0: the file is empty");
    assert_eq!(read_shape("# nothing\n"), "0:0: the file is empty");
    assert_eq!(read_shape("a: 1\na: 2"), "2:1: \"a\" is here a second time");
    assert_eq!(read_shape("a: 1\n---\nb: 2"), "3:1: a second YAML document begins here");
    assert_eq!(read_shape("? [a]\n: b"), "1:3: a key is a list here");
    insta::assert_snapshot!(
        [
            read_shape("a: [1"),
            read_shape("a:\n b: 1\n  c: 2"),
            read_shape("a: 'x"),
            read_shape("a: *b"),
            read_shape("\ta: 1")
        ]
        .join("\n")
    );
}

/// A small file must not grow too large, nor too deep.
#[test]
fn bombs_do_not_go_off() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let repeated = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{repeated}]\n"));
    }
    assert!(read_shape(&bomb).ends_with("the aliases of this template make it too large"));
    let mut ladder = String::from("a0: &a0 [x]\n");
    for level in 1..200 {
        ladder.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(read_shape(&ladder).ends_with("the aliases of this template make it too large"));
    // Few values, each of which is large.
    let large = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 200].join(", "));
    assert!(read_shape(&large).ends_with("the aliases of this template make it too large"));
    // Anchors within anchors: a copy of each is kept.
    let kept: String = (0..80).map(|level| format!("{}- &a{level}\n", " ".repeat(level))).collect();
    let kept = format!("{kept}{}- [{}]\n", " ".repeat(80), vec!["x"; 20_000].join(", "));
    assert!(read_shape(&kept).ends_with("the aliases of this template make it too large"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read_shape(&deep).contains("this is not YAML"), "{}", read_shape(&deep));
    let deep =
        (0..100_000).map(|depth| format!("{}a:\n", " ".repeat(depth % 500))).collect::<String>();
    assert!(read_shape(&deep).contains(':'));
    let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    assert!(read_shape(&deep).contains("this is not"));
}

#[test]
fn paths_lead_from_the_root_to_a_place() {
    let root = yaml::read("a:\n  - b: 1\n    c: [x, !Ref y]\n").unwrap();
    let node = root.get("a").unwrap().list().unwrap()[0].get("c").unwrap();
    let second = &node.list().unwrap()[1];
    assert_eq!(root.path_to(second.place), "a[0].c[1]");
    assert_eq!(root.path_to(root.place), "");
    let first = &root.get("a").unwrap().list().unwrap()[0];
    assert_eq!(root.path_to(first.place), "a[0]");
    assert_eq!(root.path_to(first.map().unwrap()[0].place), "a[0].b");
}

#[test]
fn a_template_is_distinguished_from_other_documents() {
    let templates = [
        include_str!("templates/shop.yaml"),
        include_str!("templates/shop.json"),
        "Resources:\n  A: {Type: AWS::EC2::VPC}",
        "---\n  AWSTemplateFormatVersion: 2010-09-09\n  Resources: {}",
        "---\n# a comment\n'Resources': {}",
        "{\"Resources\": {\"A\": {\"Type\": \"AWS::EC2::VPC\", ",
        "{Resources: {A: {Type: \"AWS::EC2::VPC\"}}}",
    ];
    let others = [
        "",
        "{\"Vpcs\": []}",
        "{\"format_version\": \"1.0\", \"values\": {\"template_body\": \"AWSTemplateFormatVersion: x\\nResources:\"}}",
        "lab = \"a\"\n[[vpc]]\n",
        "  Resources: indented",
    ];
    templates.iter().for_each(|text| assert!(is_one(text), "{text}"));
    others.iter().for_each(|text| assert!(!is_one(text), "{text}"));
}
