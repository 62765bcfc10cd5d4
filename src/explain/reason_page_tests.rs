//! Checks that the table of drop reasons in `docs/reference/drop-reasons.md` equals that of the
//! code.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::pipeline::Reason;

const PAGE: &str = include_str!("../../docs/reference/drop-reasons.md");

/// Returns the row that a reason should have: name, stage, code, sentence.
fn row(reason: Reason) -> String {
    let code = reason.code().map(|code| format!("`{code}`")).unwrap_or_default();
    let (name, stage, sentence) = (reason.name(), reason.stage().name(), reason.sentence());
    format!("| `{name}` | {stage} | {code} | {sentence} |")
}

#[test]
fn every_reason_is_in_the_table_and_nothing_else() {
    let (_, table) = PAGE.split_once("\n## Drop reasons\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let found: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted: Vec<String> = Reason::ALL.iter().map(|&reason| row(reason)).collect();
    let missing: Vec<&String> =
        wanted.iter().filter(|row| !found.contains(&row.as_str())).collect();
    let stale: Vec<&&str> = found.iter().filter(|row| !wanted.iter().any(|w| w == **row)).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/reference/drop-reasons.md: add {missing:#?}, remove {stale:#?}"
    );
    assert_eq!(found.len(), wanted.len(), "docs/reference/drop-reasons.md: a row is there twice");
}
