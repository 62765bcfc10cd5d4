//! `egret graph` draws a lab file or a source, and its errors are those of other commands.

use super::{LAB, THREE_AZ, VPC, command, egret, given, stderr, stdout};
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};

fn drawn(args: &[&str]) -> String {
    let output = egret(&[&["graph"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn mermaid_is_what_comes_without_an_option() {
    let text = drawn(&[THREE_AZ]);
    assert!(text.starts_with("flowchart LR\n"), "{text}");
    assert_eq!(drawn(&[THREE_AZ, "--mermaid"]), text);
    assert_eq!(drawn(&[THREE_AZ, "-o", "table"]), text);
    assert!(drawn(&[THREE_AZ, "--svg"]).starts_with("<svg xmlns="));
    assert!(drawn(&[THREE_AZ, "--dot"]).starts_with("digraph \"egret\" {\n"));
}

#[test]
fn lab_is_drawn_from_standard_input_and_from_a_source_too() {
    let text = std::fs::read_to_string(LAB).unwrap();
    let piped = given(&["graph", "-"], &text);
    assert_eq!(stdout(&piped), drawn(&[LAB]), "{}", stderr(&piped));
    let source = egret(&["graph", "--from", VPC, "--svg"]);
    assert_eq!(source.status.code(), Some(0));
    assert!(stdout(&source).contains("nat-086f7e437faa5a7fc"), "{}", stdout(&source));
    assert!(stderr(&source).contains("`egret import examples/vpc` lists them"));
}

#[test]
fn json_has_keys_that_its_edges_name() {
    let graph: Value = serde_json::from_str(&drawn(&[THREE_AZ, "--json"])).unwrap();
    let keys: Vec<&Value> =
        graph["nodes"].as_array().unwrap().iter().map(|node| &node["key"]).collect();
    let edges = graph["edges"].as_array().unwrap();
    assert!(edges.iter().all(|edge| keys.contains(&&edge["from"]) && keys.contains(&&edge["to"])));
    assert_eq!(drawn(&[THREE_AZ, "-o", "csv"]).lines().count(), edges.len() + 1);
    let names = drawn(&[THREE_AZ, "-o", "name"]);
    assert_eq!(names.lines().collect::<Vec<_>>(), keys);
    assert!(drawn(&[THREE_AZ, "-o", "yaml"]).contains("key: service/web"));
}

#[test]
fn usage_and_configuration_errors_exit_with_2_and_draw_nothing() {
    let wrong = |args: &[&str], said: &str| {
        let output = egret(&[&["graph"], args].concat());
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
    };
    wrong(&[], "<FILE>");
    wrong(&[LAB, "--from", VPC], "cannot be used with");
    wrong(&[LAB, "--lab", "egret"], "cannot be used with");
    wrong(&["--lab", "egret", "--from", VPC], "cannot be used with");
    wrong(&[LAB, "--svg", "--dot"], "cannot be used with");
    wrong(&[LAB, "--svg", "--json"], "cannot be used with");
    wrong(&[LAB, "--dot", "-o", "yaml"], "cannot be used with");
    wrong(&[LAB, "--lenient"], "--from");
    wrong(&["no-such-file.toml"], "cannot read no-such-file.toml");
    wrong(&["--from", "no-such-folder"], "no-such-folder");
    wrong(&["--lab", "no-such-lab"], "no lab `no-such-lab`");
    wrong(&["--lab", "../x"], "invalid value");
    let broken = given(&["graph", "-", "--svg"], "[[vpc]]\nid = \"vpc\"\n");
    assert_eq!((broken.status.code(), stdout(&broken).as_str()), (Some(2), ""));
    assert!(stderr(&broken).contains("cidr"), "{}", stderr(&broken));
}

#[test]
fn reader_that_closes_early_is_no_error() {
    let mut child = command(&["graph", THREE_AZ, "--svg"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn graphviz_accepts_the_picture() {
    let Ok(version) = Command::new("dot").arg("-V").output() else {
        writeln!(std::io::stderr(), "skipped: Graphviz is not installed").unwrap();
        return;
    };
    assert!(version.status.success());
    for example in [LAB, THREE_AZ, "examples/public-endpoint.toml"] {
        let text = drawn(&[example, "--dot"]);
        let mut dot = Command::new("dot");
        dot.arg("-Tplain").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = dot.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
        let is_node = |line: &&str| line.contains(" [label=\"") && !line.contains(" -> ");
        let nodes = text.lines().filter(is_node).count();
        let placed = stdout(&output).lines().filter(|line| line.starts_with("node n")).count();
        assert_eq!(placed, nodes, "{example}");
    }
}
