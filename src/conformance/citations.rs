//! Checks the citations of the specification: each section that the code cites is one heading in
//! `docs/specification/`, and each id of `netns-tests/CONFORMANCE.md` is one item there.

use super::{NAT, STATEMENTS, SURPRISES, files, root};
use regex::Regex;
use std::collections::BTreeMap;

/// Counts how often each section number heads a section, by number.
fn sections(pages: &str) -> BTreeMap<&str, usize> {
    let heading = Regex::new(r"(?m)^#{1,3} (\d+(?:\.\d+)*)\.? +\S").unwrap();
    let mut count = BTreeMap::new();
    for found in heading.captures_iter(pages) {
        *count.entry(found.get(1).unwrap().as_str()).or_default() += 1;
    }
    count
}

/// Lists the section numbers that a text cites, such as `spec 4.4, 5` or `spec 6 "Who may use it"`.
fn cited(text: &str) -> Vec<String> {
    let citation = Regex::new(
        r#"\b[Ss]pec(?:ification's section)? (\d+(?:\.\d+)*(?:(?: "[^"]*")?, \d+(?:\.\d+)*)*)"#,
    );
    let (quoted, number) =
        (Regex::new(r#""[^"]*""#).unwrap(), Regex::new(r"\d+(?:\.\d+)*").unwrap());
    let mut numbers = Vec::new();
    for found in citation.unwrap().captures_iter(text) {
        let bare = quoted.replace_all(found.get(1).unwrap().as_str(), "").into_owned();
        numbers.extend(number.find_iter(&bare).map(|number| number.as_str().to_owned()));
    }
    numbers
}

/// Joins the lines of comments, since a citation may be broken at the end of a line.
fn joined(source: &str) -> String {
    let lines = source.lines().map(|line| line.trim().trim_start_matches(['/', '!']).trim());
    lines.collect::<Vec<_>>().join(" ")
}

fn specification() -> String {
    let pages = files(&root().join("docs/specification"), &["md"]);
    pages.iter().map(|page| std::fs::read_to_string(page).unwrap() + "\n").collect()
}

#[test]
fn every_citation_of_the_specification_is_one_of_its_sections() {
    let pages = specification();
    let sections = sections(&pages);
    let mut faults = Vec::new();
    let mut count = 0;
    for folder in ["src", "netns-tests", "benches"] {
        for file in files(&root().join(folder), &["rs", "h", "c", "md"]) {
            // Its examples are citations that do not resolve.
            if file.ends_with("conformance/citations.rs") {
                continue;
            }
            for number in cited(&joined(&std::fs::read_to_string(&file).unwrap())) {
                count += 1;
                let found = sections.get(number.as_str()).copied().unwrap_or_default();
                if found != 1 {
                    faults.push(format!("{}: spec {number} is {found} sections", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 200, "only {count} citations were found");
}

#[test]
fn every_id_of_the_conformance_tables_is_one_item_of_the_specification() {
    let pages = specification();
    let item = Regex::new(r"(?m)^- \*\*([^*]+?)\.?\*\*").unwrap();
    let items: Vec<&str> =
        item.captures_iter(&pages).map(|found| found.get(1).unwrap().as_str()).collect();
    let surprises = (1..=SURPRISES).map(|number| format!("Surprise {number}"));
    let statements = (1..=STATEMENTS).map(|number| format!("Statement {number}"));
    let ids = NAT.iter().map(ToString::to_string).chain(surprises).chain(statements);
    let count = |id: &str| items.iter().filter(|item| **item == id).count();
    let faults: Vec<String> = ids.filter(|id| count(id) != 1).collect();
    assert!(faults.is_empty(), "not one item each in docs/specification: {faults:?}");
}

#[test]
fn citations_are_found_in_each_of_their_forms() {
    for (text, numbers) in [
        ("/// as AWS has it (spec 4.4).", vec!["4.4"]),
        ("/// Spec 4.4, 5: both.", vec!["4.4", "5"]),
        ("/// (spec\n    /// 3.3)", vec!["3.3"]),
        ("/// spec 6 \"Who may use it\", 7.1", vec!["6", "7.1"]),
        ("/// the specification's section 14", vec!["14"]),
        ("/// inspect 4 packets", vec![]),
    ] {
        assert_eq!(cited(&joined(text)), numbers, "{text}");
    }
    assert_eq!(sections("# 4. Groups\n### 4.4 State\n## Other\n").len(), 2);
}
