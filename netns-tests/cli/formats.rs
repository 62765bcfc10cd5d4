//! The formats of the commands that need no root all have the same content.
#![allow(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests panic about what they do not expect"
)]

use super::{LAB, THREE_AZ, VPC, command, egret, expectation, expectations, stderr, stdout};
use granit_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::process::{Output, Stdio};

/// Reads YAML by the core schema, with a parser that is independent of the writer.
fn documents(text: &str) -> Vec<Value> {
    let mut events = Parser::new_from_str(text);
    let mut found = Vec::new();
    while let Some(event) = next(&mut events) {
        if event.is_node() {
            found.push(node(event, &mut events));
        }
    }
    found
}

fn next<'t>(events: &mut Parser<'t, StrInput<'t>>) -> Option<Event<'t>> {
    events.next_event().map(|event| event.unwrap().0)
}

fn node<'t>(event: Event<'t>, events: &mut Parser<'t, StrInput<'t>>) -> Value {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => {
            serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.into_owned()))
        }
        Event::Scalar(text, ..) => Value::from(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            while let Some(event) = next(events).filter(|event| *event != Event::SequenceEnd) {
                items.push(node(event, events));
            }
            Value::from(items)
        }
        Event::MappingStart(..) => {
            let mut fields = Map::new();
            while let Some(event) = next(events).filter(|event| *event != Event::MappingEnd) {
                let Value::String(key) = node(event, events) else { panic!("a key is a text") };
                let value = next(events).unwrap();
                fields.insert(key, node(value, events));
            }
            Value::from(fields)
        }
        other => panic!("no value: {other:?}"),
    }
}

fn run(arguments: &[&str], format: &str) -> Output {
    egret(&[arguments, &["-o", format]].concat())
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_slice(&run(arguments, "json").stdout).unwrap()
}

/// Returns the heading and the rows.
fn csv(text: &str) -> (Vec<String>, Vec<csv::StringRecord>) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let heading = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (heading, reader.records().collect::<Result<_, _>>().unwrap())
}

/// Lists the keys of a row, nested ones with dots between.
fn keys(value: &Value, key: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                keys(field, &key, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| keys(item, key, found));
        }
        _ => drop(found.insert(key.to_owned())),
    }
}

/// Lists the keys of rows that have no column, neither their own nor one of the object around them.
fn without_column(rows: &[&Value], heading: &[String]) -> Vec<String> {
    let mut all = BTreeSet::new();
    rows.iter().for_each(|row| keys(row, "", &mut all));
    let covers = |column: &String, key: &str| {
        key.strip_prefix(column.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            // An object that is null has nothing to show.
            || column.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
    };
    all.retain(|key| !heading.iter().any(|column| covers(column, key)));
    all.into_iter().collect()
}

/// A command, and the parts of its answer that the formats share.
struct Case {
    arguments: Vec<&'static str>,
    /// JSON pointers to the rows.
    lists: &'static [&'static str],
    /// The keys that csv leaves out, with everything below them.
    left_out: &'static [&'static str],
}

fn cases() -> Vec<Case> {
    let case = |line: &'static str, lists, left_out| Case {
        arguments: line.split(' ').collect(),
        lists,
        left_out,
    };
    let steps: &[&str] = &["steps"];
    vec![
        case("explain web orders-db --config examples/three-az.toml", &["/classes"], steps),
        case("explain web orders-db:22 --config examples/three-az.toml", &["/classes"], steps),
        case("explain web internet:* --config examples/three-az.toml", &["/classes"], steps),
        case("explain web sessions-001 --from examples/vpc", &["/classes"], steps),
        case("reach --config examples/three-az.toml", &["/rows"], &[]),
        case("reach --drops --config examples/three-az.toml", &["/rows"], &[]),
        case("reach --to orders-db --from examples/vpc", &["/rows"], &[]),
        case("diff examples/minimal.toml examples/three-az.toml", &["/rows", "/names"], &[]),
        case("diff examples/vpc examples/vpc", &["/rows", "/names"], &[]),
        case("test examples/three-az.toml", &["/expectations"], &["failures.explanation"]),
        case("check examples/minimal.toml", &["/errors", "/warnings", "/notes"], &[]),
        case("check examples/dns.toml", &["/errors", "/warnings", "/notes"], &[]),
    ]
}

#[test]
fn yaml_is_the_data_of_json() {
    for Case { arguments, .. } in cases() {
        let output = run(&arguments, "yaml");
        let text = stdout(&output);
        assert_eq!(documents(&text), [json(&arguments)], "{arguments:?}: {text}");
        assert_eq!(output.status.code(), run(&arguments, "json").status.code(), "{arguments:?}");
    }
}

#[test]
fn csv_has_a_row_for_each_row_of_json_and_a_column_for_each_key() {
    for Case { arguments, lists, left_out } in cases() {
        let answer = json(&arguments);
        let rows: Vec<&Value> =
            lists.iter().filter_map(|list| answer.pointer(list)?.as_array()).flatten().collect();
        let text = stdout(&run(&arguments, "csv"));
        let (heading, records) = csv(&text);
        assert_eq!(records.len(), rows.len(), "{arguments:?}: {text}");
        assert!(heading.len() > 5 && text.ends_with("\r\n"), "{arguments:?}: {text}");
        let mut missing = without_column(&rows, &heading);
        missing.retain(|key| !left_out.iter().any(|own| key.starts_with(own)));
        assert!(missing.is_empty(), "{arguments:?} has no column for {missing:?}");
    }
}

#[test]
fn csv_shows_the_values_of_json() {
    let reach = ["reach", "web", "--config", THREE_AZ];
    let (heading, records) = csv(&stdout(&run(&reach, "csv")));
    let cell = |row: usize, name: &str| {
        records[row].get(heading.iter().position(|column| column == name).unwrap()).unwrap()
    };
    let answer = json(&reach);
    let rows = answer["rows"].as_array().unwrap();
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(Some(cell(at, "verdict")), row["verdict"].as_str());
        assert_eq!(Some(cell(at, "decided_by.rule")), row["decided_by"][0]["rule"].as_str());
        assert_eq!(cell(at, "decided_by.line"), row["decided_by"][0]["line"].to_string());
        assert_eq!(cell(at, "share").parse().ok(), row["share"].as_f64());
    }
    assert_eq!((cell(0, "destinations"), cell(0, "ports")), ("10.0.48.10", "tcp 5432"));
    assert!(rows.len() > 3);
}

#[test]
fn names_stand_alone_one_a_line() {
    let names = |arguments: &[&str]| {
        let output = run(arguments, "name");
        assert_eq!(stderr(&output), "", "{arguments:?}");
        stdout(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&["reach", "web", "--config", THREE_AZ]), ["orders-db", "tools", "internet"]);
    let to = ["reach", "--to", "orders-db", "--config", THREE_AZ];
    assert_eq!(names(&to), ["web", "api", "trap", "isolated"], "public does not reach it");
    let rows = json(&["diff", LAB, THREE_AZ]);
    assert!(rows["services_only_after"].as_array().unwrap().contains(&"api".into()));
    assert!(names(&["diff", LAB, THREE_AZ]).contains(&"api".to_owned()));
    assert!(names(&["diff", THREE_AZ, THREE_AZ]).is_empty());
    let text =
        expectation("web", "orders-db", "reachable") + &expectation("web", "cache", "reachable");
    let (_folder, file) = expectations(&text);
    assert_eq!(names(&["test", &file, "--config", THREE_AZ]), [format!("{file}:5")]);
    assert_eq!(names(&["check", "examples/dns.toml"]), ["single-zone"]);
}

#[test]
fn wide_leaves_nothing_out() {
    let drops = ["reach", "--drops", "--config", THREE_AZ];
    let (table, wide) = (stdout(&run(&drops, "table")), stdout(&run(&drops, "wide")));
    assert_eq!(table, stdout(&egret(&drops)));
    assert!(table.contains(" +") && table.lines().all(|line| line.chars().count() <= 100));
    assert!(!wide.contains(" +") && !wide.contains('…'), "{wide}");
    let answer = json(&drops);
    let rules = answer["rows"].as_array().unwrap().iter().flat_map(|row| {
        row["decided_by"].as_array().unwrap().iter().filter_map(|rule| rule["rule"].as_str())
    });
    for rule in rules {
        assert!(wide.contains(rule), "{rule} is missing: {wide}");
    }
    let block = ["explain", "web", "10.0.0.0/16:*", "--config", THREE_AZ];
    let (table, wide) = (stdout(&run(&block, "table")), stdout(&run(&block, "wide")));
    assert!(table.contains("… and ") && !wide.contains("… and "), "{wide}");
    assert!(wide.lines().nth(1).unwrap().contains("DECIDED BY"), "{wide}");
}

#[test]
fn json_may_be_asked_for_in_two_ways() {
    for Case { arguments, .. } in cases() {
        let short = egret(&[&arguments[..], &["--json"]].concat());
        assert_eq!(stdout(&short), stdout(&run(&arguments, "json")), "{arguments:?}");
        let both = egret(&[&arguments[..], &["--json", "-o", "yaml"]].concat());
        assert_eq!((both.status.code(), stdout(&both).as_str()), (Some(2), ""));
    }
}

#[test]
fn format_that_a_command_lacks_is_a_usage_error_with_those_it_has() {
    for (arguments, format, formats) in [
        (&["bench", "paths"][..], "csv", "table, wide, json, yaml]"),
        (&["demo"], "name", "table, wide, json, yaml]"),
        (&["flows"], "name", "table, wide, json, yaml, csv]"),
        (&["explain", "web", "db"], "name", "table, wide, json, yaml, csv]"),
        (&["ps"], "xml", "table, wide, json, yaml, csv, name]"),
    ] {
        let refused = run(arguments, format);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&refused).contains(formats), "{arguments:?}: {}", stderr(&refused));
    }
    let github = egret(&["test", THREE_AZ, "--github", "-o", "csv"]);
    assert_eq!(github.status.code(), Some(2), "annotations are no csv");
}

#[test]
fn errors_have_the_format_of_the_answer() {
    let failing = [
        (vec!["explain", "web", "orders-bd", "--config", THREE_AZ], "is neither"),
        (vec!["reach", "--lab", "no-such-lab"], "no lab `no-such-lab`"),
        (vec!["ps", "--no-such-option"], "unexpected argument '--no-such-option'"),
        (vec!["check", "no-such-file.toml"], "1 error in the lab file"),
    ];
    for (arguments, message) in failing {
        let output = run(&arguments, "json");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert!(error["error"].as_str().unwrap().contains(message), "{error}");
        assert_eq!((&error["exit_code"], output.status.code()), (&2.into(), Some(2)), "{error}");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert_eq!(documents(&stderr(&run(&arguments, "yaml"))), [error]);
        let text = stderr(&run(&arguments, "csv"));
        assert!(text.contains(message) && !text.contains("exit_code"), "{text}");
    }
}

#[test]
fn errors_for_programs_have_the_errors_of_the_file() {
    let (_folder, file) = expectations("[[vpc]]\nid = \"vpc\"\ncidr = \"10.0.0.0/16\"\nfoo = 1\n");
    let output = run(&["explain", "web", "db", "--config", &file], "json");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((&error["errors"][0]["line"], &error["exit_code"]), (&4.into(), &2.into()));
    let (_folder, misspelt) = expectations(&expectation("web", "orders-bd", "blocked"));
    let output = run(&["test", &misspelt, "--config", THREE_AZ], "json");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["errors"][0]["rule"], "unknown-name");
}

#[test]
fn import_keeps_its_output_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("json");
    let written = egret(&["import", VPC, "-o", file.to_str().unwrap(), "--json"]);
    assert_eq!((written.status.code(), stdout(&written).as_str()), (Some(0), ""));
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("# Written by `egret import`"));
    let findings: Value = serde_json::from_slice(&written.stderr).unwrap();
    assert_eq!(findings[0]["kind"], "assumed");
}

#[test]
fn closed_pipe_ends_each_format_without_an_error() {
    for format in ["wide", "yaml", "csv", "name"] {
        let arguments = ["reach", "--drops", "--config", THREE_AZ, "-o", format];
        let mut child =
            command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{format}");
    }
}
