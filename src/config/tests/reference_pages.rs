//! Keeps the reference pages in `docs/` true: their labs are labs, and the table of warnings has
//! every rule.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const LAB_FILE: &str = include_str!("../../../docs/reference/lab-file.md");
const WARNINGS: &str = include_str!("../../../docs/reference/warnings.md");

/// Returns the blocks of the page about the lab file that are a whole lab: those with a service.
fn whole_labs() -> Vec<&'static str> {
    let blocks = LAB_FILE.split("\n```toml\n").skip(1);
    let blocks = blocks.map(|rest| rest.split_once("\n```\n").expect("the block ends").0);
    blocks.filter(|block| block.lines().any(|line| line == "[[service]]")).collect()
}

#[test]
fn its_whole_labs_are_sound() {
    let labs = whole_labs();
    assert!(!labs.is_empty());
    for text in labs {
        assert_eq!(
            super::lints::found(text).iter().map(|w| &w.message).collect::<Vec<_>>(),
            [""; 0]
        );
    }
}

#[test]
fn the_smallest_is_the_one_among_the_examples() {
    let without_comments = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    };
    let minimal = without_comments(MINIMAL);
    assert!(whole_labs().into_iter().any(|lab| without_comments(lab) == minimal));
}

#[test]
fn the_table_of_warnings_has_every_rule_once() {
    let table = WARNINGS.split("| rule | what is doubtful |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut named: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    named.sort_unstable();
    let mut rules = LINTS.to_vec();
    rules.sort_unstable();
    assert_eq!(named, rules);
}

/// Stands for a key that no section has: the reader answers with those that it has.
const UNKNOWN: &str = "unknown_key_of_a_test";

/// Returns the keys that the reader names where it meets an unknown one, anywhere in a text.
fn valid_keys(text: &str) -> BTreeSet<String> {
    let wrong = errors(text);
    let unknown = wrong.iter().filter(|error| error.rule == "unknown-key");
    let lists = unknown.filter_map(|error| error.help.split_once("alid here: "));
    lists.flat_map(|(_, keys)| keys.split(", ").map(str::to_owned)).collect()
}

/// Returns the keys that the page lists below each heading, by the heading without its marks.
fn keys_by_heading() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut heading = String::new();
    for line in LAB_FILE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title.trim_matches(['`', '[', ']']).to_owned();
        }
        // Keys of a table in a key are indented.
        let Some(item) = line.trim_start().strip_prefix("- `") else { continue };
        // `a`, `b` (type): … or `a` (type): …; an item that says something else has no type.
        let names = item.split(['(', ':']).next().unwrap_or_default();
        if item.contains("` (") || item.contains("`: ") {
            let names = names.split('`').step_by(2).filter(|name| !name.is_empty());
            found.entry(heading.clone()).or_default().extend(names.map(str::to_owned));
        }
    }
    found
}

#[test]
fn the_page_about_the_lab_file_has_every_key_that_the_reader_takes() {
    let in_section = |section: &str, nested: &[&str]| {
        let inner = |key: &&str| format!("{key} = [{{ {UNKNOWN} = 1 }}]\n");
        let nested: String = nested.iter().map(inner).collect();
        // The records of a zone are read once it has its other keys.
        let zone =
            if section == "[[private_zone]]" { "name = \"a.b\"\nvpcs = \"v\"\n" } else { "" };
        valid_keys(&format!("{section}\n{UNKNOWN} = 1\n{zone}{nested}"))
    };
    let sections: &[(&str, &[&str])] = &[
        ("[[vpc]]", &[]),
        ("[[subnet]]", &[]),
        ("[[route_table]]", &["routes"]),
        ("[[nat_gateway]]", &[]),
        ("[[security_group]]", &["egress", "ingress"]),
        ("[[network_acl]]", &["egress"]),
        ("[[resource]]", &[]),
        ("[[internet_host]]", &[]),
        ("[[prefix_list]]", &[]),
        ("[[vpc_endpoint]]", &[]),
        ("[[vpc_peering_connection]]", &[]),
        ("[[private_zone]]", &["records"]),
        ("[[vpc_connector]]", &[]),
        ("[[service]]", &[]),
        ("[[expect]]", &[]),
        ("[apprunner]", &["access_key"]),
        ("[limits]", &[]),
        ("[timeouts]", &[]),
        ("[lint]", &[]),
    ];
    let page = keys_by_heading();
    let mut faults = Vec::new();
    let mut compare = |heading: &str, wanted: &BTreeSet<String>| {
        let listed = page.get(heading).cloned().unwrap_or_default();
        assert!(!wanted.is_empty(), "the reader names no keys of {heading}");
        faults.extend(wanted.difference(&listed).map(|key| format!("{heading}: add {key}")));
        faults.extend(listed.difference(wanted).map(|key| format!("{heading}: no key {key}")));
    };
    let mut top = valid_keys(&format!("{UNKNOWN} = 1\n"));
    for (section, nested) in sections {
        let name = section.trim_matches(['[', ']']);
        assert!(top.remove(name), "{name} is no section");
        compare(name, &in_section(section, nested));
    }
    compare("Before the first section", &top);
    assert!(faults.is_empty(), "docs/reference/lab-file.md:\n{}", faults.join("\n"));
}
