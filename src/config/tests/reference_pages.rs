//! Keeps the reference pages in `docs/` true: their labs are labs, and the table of warnings has
//! every rule.

use super::*;

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
