//! Text that others wrote never controls the terminal, the CI system or the lab file that egret
//! writes to. Each string of each source in turn contains a title sequence, a bell, a sequence that
//! clears the line, a line break and a character that reverses the text.

use super::{LAB, command, egret, stderr, stdout};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

/// The payload as a TOML or JSON string writes it.
const WRITTEN: &str = r"x\u001b]0;t\u0007\u001b[2K\r\nFORGED\u202ey\u009b31m\u001b[31m";
/// The payload as an argument has it.
const GIVEN: &str = "x\x1b]0;t\x07\x1b[2K\r\nFORGED\u{202e}y\u{9b}31m\x1b[31m";

fn is_hidden(c: char) -> bool {
    let is_bidi =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_bidi || (c.is_control() && !matches!(c, '\n' | '\t'))
}

#[track_caller]
fn assert_harmless(output: &Output, what: &str) {
    for said in [stdout(output), stderr(output)] {
        assert!(!said.contains(is_hidden), "{what}: {said:?}");
        let forged = said.lines().any(|line| line.trim_start().starts_with("FORGED"));
        assert!(!forged, "{what}: {said}");
    }
    assert!(output.status.code().is_some_and(|code| code < 100), "{what}: {output:?}");
}

/// Returns texts with the payload in one string each: in one value of each key, and in each key
/// itself.
fn variants(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(begin) = text[from..].find('"').map(|at| from + at + 1) {
        let Some(end) = text[begin..].find('"').map(|at| begin + at) else { break };
        from = end + 1;
        let line = text[..begin].lines().next_back().unwrap_or_default();
        let key = line.trim().split([' ', '=', ':']).next().unwrap_or_default();
        if seen.insert((key.to_owned(), text[from..].starts_with(':'))) {
            found.push(format!("{}{WRITTEN}{}", &text[..end], &text[end..]));
        }
    }
    found
}

fn written(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn strings_of_lab_files_are_refused_or_shown_by_their_numbers() {
    let mut tried = 0;
    for example in ["walkthrough", "dns", "public-endpoint", "three-az"] {
        let text = std::fs::read_to_string(format!("examples/{example}.toml")).unwrap();
        for text in variants(&text) {
            let (_directory, path) = written("lab.toml", &text);
            for more in [&["check"][..], &["check", "--json"], &["test", "--github"]] {
                let output = egret(&[more, &[&path]].concat());
                assert_harmless(&output, &format!("{more:?} {example}: {text}"));
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn raw_control_characters_of_a_lab_file_are_not_in_the_excerpt() {
    let text = std::fs::read_to_string(LAB).unwrap();
    for raw in ["\x1b]0;t\x07", "\u{9b}2K", "\u{202e}", "\x7f", "\u{e0041}"] {
        let given = text.replace("\"vpc-demo\"", &format!("\"vpc-{raw}demo\""));
        let (_directory, path) = written("lab.toml", &format!("# {raw}\nx{raw} = 1\n{given}"));
        let output = egret(&["check", &path]);
        assert_eq!(output.status.code(), Some(1));
        assert_harmless(&output, raw);
    }
}

#[test]
fn strings_of_sources_are_refused_or_shown_by_their_numbers() {
    let mut tried = 0;
    let mut folder: Vec<_> = std::fs::read_dir("examples/vpc").unwrap().flatten().collect();
    folder.sort_by_key(std::fs::DirEntry::path);
    let files = ["vpc-cloudformation.json", "vpc-terraform.json"];
    let files = files.map(|name| Path::new("examples").join(name));
    for file in folder.iter().map(std::fs::DirEntry::path).chain(files) {
        if file.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for text in variants(&text) {
            let (_directory, path) = written("source.json", &text);
            let output = egret(&["import", &path, "--lenient"]);
            assert_harmless(&output, &format!("{}: {text}", file.display()));
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

/// Returns YAML texts with the payload in one value of each key, and in the key itself.
fn yaml_variants(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some((before, value)) = line.split_once(": ") else { continue };
        let key = before.trim_start_matches([' ', '-', '{']);
        if !seen.insert(key) {
            continue;
        }
        let indent = &before[..before.len() - key.len()];
        let forged = [
            format!("{before}: \"{}{WRITTEN}\"", value.trim_matches('"').replace('"', "")),
            format!("{indent}\"{key}{WRITTEN}\": {value}"),
        ];
        for forged in forged {
            let with = |(other, line): (usize, &&str)| {
                if other == at { forged.clone() } else { (*line).to_owned() }
            };
            found.push(lines.iter().enumerate().map(with).collect::<Vec<_>>().join("\n"));
        }
    }
    found
}

#[test]
fn strings_of_yaml_templates_are_refused_or_shown_by_their_numbers() {
    let text = std::fs::read_to_string("examples/vpc-cloudformation.yaml").unwrap();
    let all = yaml_variants(&text);
    assert!(all.len() > 40, "{}", all.len());
    for text in all {
        let (_directory, path) = written("template.yaml", &text);
        for words in [&["import", "--lenient"][..], &["check", "--from"]] {
            let output = egret(&[words, &[&path]].concat());
            assert_harmless(&output, &format!("{words:?}: {text}"));
        }
    }
}

#[test]
fn arguments_are_shown_by_their_numbers() {
    let lines: &[&[&str]] = &[
        &[GIVEN],
        &["check", GIVEN],
        &["check", LAB, GIVEN],
        &["check", LAB, "--allow", GIVEN],
        &["check", "--from", GIVEN],
        &["explain", GIVEN, "orders-db", "--config", LAB],
        &["explain", "web", GIVEN, "--config", LAB],
        &["explain", "web", "orders-db", "--config", GIVEN],
        &["explain", "web", "orders-db", "--config", LAB, "--protocol", GIVEN],
        &["reach", GIVEN, "--config", LAB],
        &["reach", "--to", GIVEN, "--config", LAB],
        &["diff", GIVEN, LAB],
        &["diff", LAB, GIVEN],
        &["test", GIVEN],
        &["test", LAB, "--junit", GIVEN],
        &["import", GIVEN],
        &["import", "examples/vpc", "--region", GIVEN],
        &["import", "examples/vpc", "--connector", GIVEN],
        &["import", "examples/vpc-cloudformation.yaml", "--parameter", GIVEN],
        &["ps", "--lab", GIVEN],
        &["ps", "-o", GIVEN],
        &["up", GIVEN],
        &["apply", GIVEN],
        &["capture", GIVEN, "-w", "-", "--lab", "no-such-lab"],
        &["--color", GIVEN, "ps"],
        &["bench", "table", GIVEN],
    ];
    for words in lines {
        assert_harmless(&egret(words), &format!("{words:?}"));
        let json = [words, &["--json"][..]].concat();
        assert_harmless(&egret(&json), &format!("{json:?}"));
    }
    let assigned = format!("--lab={GIVEN}");
    assert_harmless(&egret(&["ps", &assigned]), "--lab=");
    let parameter = format!("{GIVEN}={GIVEN}");
    let source = "examples/vpc-cloudformation.yaml";
    assert_harmless(&egret(&["import", source, "--parameter", &parameter]), "--parameter");
    let connector = format!("{GIVEN}=subnet-1");
    assert_harmless(&egret(&["import", "examples/vpc", "--connector", &connector]), "--connector");
}

/// clap colours its errors, and the argument is not taken for such colours.
#[test]
fn colours_in_an_argument_are_shown_where_the_argument_is() {
    for (words, place) in [
        (&["flows", "--sort", "\x1b[31m"][..], "egret: invalid value '\\u001b[31m'"),
        (&["flows", "--sort", "\x1b[31merror"], "egret: invalid value '\\u001b[31merror'"),
        (&["\x1b[1m"], "egret: unrecognized subcommand '\\u001b[1m'"),
    ] {
        let said = stderr(&egret(words));
        assert!(said.starts_with(place), "{said}");
    }
}

#[test]
fn environment_is_shown_by_its_numbers() {
    for words in [&["ps"][..], &["ps", "--help"], &["check", LAB], &["up", "--help"]] {
        let output =
            command(words).env("EGRET_LAB", GIVEN).env("SUDO_UID", GIVEN).output().unwrap();
        assert_harmless(&output, &format!("{words:?}"));
    }
}

#[test]
fn file_name_of_a_test_is_data_in_junit_and_github_formats() {
    let text = std::fs::read_to_string(LAB).unwrap();
    let expect = "[[expect]]\nfrom = \"web\"\nto = \"orders-db:22\"\nis = \"reachable\"\n";
    let (directory, path) =
        written("x\u{1b}\u{202e}\n::error::FORGED.toml", &format!("{text}\n{expect}"));
    let xml = directory.path().join("out.xml");
    let output = egret(&["test", &path, "--github", "--junit", xml.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_harmless(&output, "github");
    assert!(!stdout(&output).lines().any(|line| line.starts_with("::error::")), "{output:?}");
    let xml = std::fs::read_to_string(xml).unwrap();
    assert!(!xml.contains(is_hidden), "{xml:?}");
}
