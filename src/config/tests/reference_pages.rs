//! Keeps the reference pages in `docs/` true: their labs are labs, and the table of warnings has
//! every rule.

use super::*;
use crate::config::key::{Key, List, Table, Type};
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
        ("[[resource]]", &["listen"]),
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
        ("[access]", &[]),
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

/// What the page says of a key.
struct Item {
    heading: String,
    name: String,
    /// Its type, `required` or its default, in parentheses.
    stated: String,
    text: String,
}

/// Returns the items of keys, in the page's order.
fn items() -> Vec<Item> {
    let mut found: Vec<Item> = Vec::new();
    let (mut heading, mut is_item) = ("", false);
    for line in LAB_FILE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title.trim_matches(['`', '[', ']']);
        }
        if let Some(item) = line.trim_start().strip_prefix("- ") {
            let named = item.strip_prefix('`').and_then(|item| item.split_once("` ("));
            is_item = named.is_some();
            found.extend(named.map(|(name, text)| Item {
                heading: heading.to_owned(),
                name: name.to_owned(),
                stated: String::new(),
                text: text.to_owned(),
            }));
        } else if line.trim().is_empty() {
            is_item = false;
        } else if let Some(last) = found.last_mut().filter(|_| is_item) {
            last.text = format!("{} {}", last.text, line.trim());
        }
    }
    for item in &mut found {
        item.stated = item.text.split(')').next().unwrap_or_default().to_owned();
    }
    found
}

/// Returns the types that the page may give a key.
fn types_on_page(value: &Type) -> Vec<String> {
    match value {
        Type::Text(form) => vec![form.page.0.to_owned()],
        Type::TextOrInteger(form, _) => vec![format!("{} or integer", form.page.0)],
        Type::TextOrTable(form, _) => vec![format!("{} or table", form.page.0)],
        Type::Boolean => vec!["boolean".to_owned()],
        Type::Integer(low, high) => vec![format!("integer from {low} to {high}")],
        Type::Number(low, high) => vec![format!("number from {low} to {high}")],
        Type::Words(_) => vec!["string".to_owned()],
        Type::List(list) => {
            let form = match list.of {
                Type::Text(form) => form,
                Type::TextOrTable(..) => return vec!["list of strings and tables".to_owned()],
                Type::TextOrInteger(..)
                | Type::Boolean
                | Type::Integer(..)
                | Type::Number(..)
                | Type::Words(_)
                | Type::List(_)
                | Type::Table(_)
                | Type::Tables(_) => return vec!["list of strings".to_owned()],
            };
            let (one, several) = form.page;
            let lists = [format!("{one} or list"), format!("list of {several}")];
            [lists.as_slice(), &[several.to_owned(), one.to_owned()]].concat()
        }
        Type::Table(_) | Type::Tables(_) => vec!["list of tables".to_owned()],
    }
}

/// Returns the default that an item states, if it is a value.
fn literal(stated: &str) -> Option<&str> {
    let default = stated.split_once("default ")?.1;
    let value = default.trim_matches('`').trim_matches('"');
    let quoted = format!("`\"{value}\"`");
    let is_value = default == quoted && !value.contains('`')
        || ["true", "false"].contains(&default)
        || default.parse::<f64>().is_ok();
    is_value.then_some(value)
}

/// Adds the faults of what the page says of a key.
fn compare(item: &Item, table: &Table, key: &Key, faults: &mut Vec<String>) {
    let mut fault = |what: String| faults.push(format!("{}.{}: {what}", item.heading, item.name));
    let stated = item.stated.as_str();
    let types = types_on_page(&key.value);
    let rest = types.iter().filter_map(|name| stated.strip_prefix(name.as_str()));
    if !rest.clone().any(|rest| rest.starts_with(", required") || rest.starts_with(", default")) {
        fault(format!("({stated}) is none of {types:?}"));
    }
    if stated.contains("required") && !table.may_require(&item.name) {
        fault(format!("({stated}): it is not required"));
    }
    if key.is_required && !stated.contains("required") {
        fault(format!("({stated}): it is required"));
    }
    if stated.ends_with("required") && !key.is_required {
        fault(format!("({stated}): it is not always required"));
    }
    if let Type::Words(words) = key.value {
        let missing = words.iter().filter(|word| !item.text.contains(&format!("\"{word}\"")));
        missing.for_each(|word| fault(format!("the word {word} is missing")));
    }
    if let Some(default) = literal(stated).filter(|default| !key.about.contains(default)) {
        fault(format!("the default is {default}; the schema says: {}", key.about));
    }
}

/// Returns the tables whose keys the page lists below a heading.
fn tables_below(section: &Key) -> Vec<&'static Table> {
    let (Type::Table(own) | Type::Tables(own)) = section.value else { return Vec::new() };
    let nested = own.keys.iter().filter_map(|key| match key.value {
        Type::Tables(table) => Some(table),
        Type::List(List { of: Type::TextOrTable(_, table), .. }) => Some(*table),
        Type::Text(_)
        | Type::TextOrInteger(..)
        | Type::TextOrTable(..)
        | Type::Boolean
        | Type::Integer(..)
        | Type::Number(..)
        | Type::Words(_)
        | Type::List(_)
        | Type::Table(_) => None,
    });
    std::iter::once(own).chain(nested).collect()
}

#[test]
fn the_page_gives_each_key_the_type_that_the_table_of_keys_has() {
    let (mut faults, mut compared) = (Vec::new(), 0);
    for item in items() {
        let section = read::LAB_FILE.key(&item.heading);
        let tables = section.map_or_else(|| vec![&read::LAB_FILE], tables_below);
        let named = tables.iter().filter_map(|table| Some((*table, table.key(&item.name)?)));
        // A section and a table in it may both have the key; the page then has two items.
        let candidates: Vec<Vec<String>> = named
            .map(|(table, key)| {
                let mut faults = Vec::new();
                compare(&item, table, key, &mut faults);
                faults
            })
            .collect();
        compared += 1;
        match candidates.iter().min_by_key(|faults| faults.len()) {
            Some(fewest) => faults.extend(fewest.iter().cloned()),
            None => faults.push(format!("{}.{}: no such key", item.heading, item.name)),
        }
    }
    assert!(compared > 120, "{compared}");
    assert!(faults.is_empty(), "docs/reference/lab-file.md:\n{}", faults.join("\n"));
}
