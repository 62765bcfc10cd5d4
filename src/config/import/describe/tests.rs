#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::super::{Finding, Imported, Order};
use std::path::Path;

fn order(source: impl AsRef<Path>) -> Order {
    Order { source: source.as_ref().to_owned(), ..Order::default() }
}

fn shown(findings: &[Finding]) -> String {
    let line = |f: &Finding| {
        format!("{} | {} | {} | {} | {}\n", f.kind, f.object, f.what, f.consequence, f.origin)
    };
    findings.iter().map(line).collect()
}

#[test]
fn a_folder_becomes_a_lab_file_for_people() {
    let imported = Imported::from_source(&order("examples/vpc")).unwrap_or_else(|e| panic!("{e}"));
    insta::assert_snapshot!("lab_of_the_example_folder", imported.text());
    insta::assert_snapshot!("findings_of_the_example_folder", shown(&imported.findings));
}
