//! Checks pages of the documentation against the code.

use super::pages::pages;
use super::root;
use regex::Regex;
use std::collections::BTreeSet;
use std::path::Path;

/// The attack table names its tests: each is there.
#[test]
fn every_attack_has_tests_that_exist() {
    let text = &pages()[Path::new("docs/concepts/security.md")];
    let rows: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("| attack |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    let sources = ["src", "netns-tests"].map(|folder| super::files(&root().join(folder), &["rs"]));
    let code: String =
        sources.iter().flatten().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let mut faults = Vec::new();
    for row in rows {
        let tests = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        let mut names = tests.split('`').skip(1).step_by(2).peekable();
        if names.peek().is_none() {
            faults.push(format!("no test: {row}"));
        }
        faults
            .extend(names.filter(|name| !code.contains(&format!("fn {name}("))).map(str::to_owned));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_environment_variable_of_the_program_is_on_its_page() {
    let text = &pages()[Path::new("docs/reference/environment.md")];
    let read =
        Regex::new(r#"env::var(?:_os)?\("([A-Z_]+)"\)|VARIABLE: &str = "([A-Z_]+)""#).unwrap();
    let mut names = BTreeSet::new();
    for file in super::files(&root().join("src"), &["rs"]) {
        let code = std::fs::read_to_string(&file).unwrap();
        for found in read.captures_iter(&code) {
            names.extend(found.get(1).or(found.get(2)).map(|name| name.as_str().to_owned()));
        }
    }
    assert!(names.len() > 4, "{names:?}");
    names.retain(|name| !text.contains(&format!("`{name}`")));
    assert!(names.is_empty(), "docs/reference/environment.md lacks {names:?}");
}

#[test]
fn readme_is_short() {
    let text = &pages()[Path::new("README.md")];
    assert!(text.lines().count() < 250, "{} lines", text.lines().count());
    assert!(text.len() < 14 * 1024, "{} bytes", text.len());
}
