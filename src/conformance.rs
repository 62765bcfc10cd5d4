//! Checks `netns-tests/CONFORMANCE.md`: every row that a table must have exists, and every test
//! that it names exists and cites the row's id in its doc comment or its name.
//!
//! A table is the rows under a `## ` heading: id, requirement, state, tests. Tests are named
//! `module::function`, as `cargo test` prints them, or `netns::file::function` for those in
//! `netns-tests`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod citations;
mod pages;
mod reference;
mod words;

use std::path::{Path, PathBuf};

/// The rows of the NAT checklist. Doc comments cite ids in full, because a dash before a number
/// would be a range.
const NAT: &[&str] = &[
    "U1", "U2", "U3", "U3a", "U4", "U5", "U5a", "U6", "U7", "U8", "U9", "U10", "U11", "U12", "U13",
    "U14", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9", "T10", "T+", "I1", "I2", "I3",
    "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "7857-2", "7857-RST", "7857-3", "7857-4",
    "7857-5", "7857-6", "7857-7", "7857-8", "7857-9", "7857-10", "RFC 3022", "SG", "5.1", "5.2",
    "5.3", "5.4", "5.5", "5.6", "5.7", "5.8",
];

/// The surprises of the specification's section 14.
const SURPRISES: u32 = 19;

/// The statements of App Runner's documentation on VPC access.
const STATEMENTS: u32 = 46;

struct Row {
    id: String,
    state: String,
    tests: Vec<String>,
}

/// Returns the rows of the table whose heading begins with `heading`.
fn table(heading: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("netns-tests/CONFORMANCE.md")).unwrap();
    let begin = format!("## {heading}");
    let section = text.lines().skip_while(|line| !line.starts_with(&begin)).skip(1);
    section
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| ") && !line.starts_with("| id |"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 4, "four columns: {line}");
            let tests = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            Row { id: cells[0].to_owned(), state: cells[2].to_owned(), tests }
        })
        .collect()
}

/// Lists the faults of a table that must have exactly these rows, in any order.
fn faults(rows: &[Row], ids: &[&str]) -> Vec<String> {
    let count = |id: &str| rows.iter().filter(|row| row.id == id).count();
    let missing = ids.iter().filter(|id| count(id) != 1);
    let missing = missing.map(|id| format!("{id} has {} rows, not one", count(id)));
    let unknown = rows.iter().filter(|row| !ids.contains(&row.id.as_str()));
    let unknown = unknown.map(|row| format!("{} is no id", row.id));
    missing.chain(unknown).chain(rows.iter().flat_map(faults_of)).collect()
}

fn faults_of(row: &Row) -> Vec<String> {
    let named = !row.tests.is_empty();
    let sound = match row.state.as_str() {
        "met" | "AWS deviates (implemented)" => named,
        state => state.strip_prefix("not applicable, because ").is_some_and(|why| !why.is_empty()),
    };
    let mut faults = Vec::new();
    if !sound {
        faults.push(format!("{}: {:?} is no state, or has no test", row.id, row.state));
    }
    for test in &row.tests {
        match doc_of(test) {
            None => faults.push(format!("{}: there is no test {test}", row.id)),
            Some(doc) if !cites(&doc, &row.id) && !is_named_after(test, &row.id) => {
                faults.push(format!(
                    "{}: {test} does not cite it, by its doc comment or its name",
                    row.id
                ));
            }
            Some(_) => {}
        }
    }
    faults
}

/// Returns the doc comment of a test, or `None` if there is no such test.
fn doc_of(test: &str) -> Option<String> {
    let (module, function) = test.rsplit_once("::")?;
    let namespaces = module.starts_with("netns::");
    let text = candidates(module).iter().find_map(|file| std::fs::read_to_string(file).ok())?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let found = lines.iter().position(|line| {
        let line = line.strip_prefix("pub(super) ").unwrap_or(line);
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").is_some_and(|rest| rest.strip_prefix(function).is_some_and(opens))
    })?;
    let above = lines[..found].iter().rev();
    let above: Vec<&str> =
        above.take_while(|l| l.starts_with("///") || l.starts_with("#[")).copied().collect();
    // A macro makes tests of functions in netns-tests, by their names.
    let listed = lines.iter().any(|line| line.trim_end_matches(',') == function)
        || lines.iter().any(|l| l.starts_with("for_both_kinds!(") && l.contains(function));
    let is_marked = above.iter().any(|line| matches!(*line, "#[test]" | "#[tokio::test]"));
    let is_test = is_marked || (namespaces && listed);
    let doc = above.iter().rev().filter_map(|line| line.strip_prefix("///"));
    is_test.then(|| doc.collect::<Vec<_>>().join(" "))
}

fn opens(rest: &str) -> bool {
    rest.starts_with('(')
}

/// Lists the files that may contain a module. Its last part may be a `mod tests` in its parent's
/// file.
fn candidates(module: &str) -> Vec<PathBuf> {
    if let Some(file) = module.strip_prefix("netns::") {
        return vec![root().join("netns-tests").join(format!("{}.rs", file.replace("::", "/")))];
    }
    let path = module.replace("::", "/");
    let inline = path.rsplit_once('/').map_or(path.as_str(), |(parent, _)| parent);
    let files = [path.as_str(), inline];
    let of = |file: &str| [format!("src/{file}.rs"), format!("src/{file}/mod.rs")];
    files.into_iter().flat_map(of).map(|file| root().join(file)).collect()
}

/// Returns whether a test's function has an id of two words in its name, as `statement_3_…` has
/// Statement 3.
fn is_named_after(test: &str, id: &str) -> bool {
    let function = test.rsplit("::").next().unwrap_or_default();
    let word = format!("_{}_", id.to_lowercase().replace(' ', "_"));
    id.contains(' ') && format!("_{function}").contains(&word)
}

/// Returns whether a doc comment names an id, and not only a longer one that begins or ends like
/// it.
fn cites(doc: &str, id: &str) -> bool {
    doc.match_indices(id).any(|(at, _)| {
        let before = doc[..at].chars().next_back();
        let mut after = doc[at + id.len()..].chars();
        let (next, second) = (after.next(), after.next());
        let joins = |c: char| c.is_alphanumeric() || c == '-' || c == '+';
        // A full stop ends a sentence, unless a digit follows.
        let goes_on = next == Some('.') && second.is_some_and(|c| c.is_ascii_digit());
        !before.is_some_and(|c| joins(c) || c == '.') && !next.is_some_and(joins) && !goes_on
    })
}

/// Lists the files below a folder with one of these endings.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, endings));
        } else if endings.iter().any(|ending| path.extension().is_some_and(|own| own == *ending)) {
            found.push(path);
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_row_of_the_nat_checklist_has_its_tests() {
    let faults = faults(&table("NAT checklist"), NAT);
    assert!(faults.is_empty(), "netns-tests/CONFORMANCE.md:\n{}", faults.join("\n"));
}

#[test]
fn every_surprise_has_its_tests_or_a_reason() {
    let ids: Vec<String> = (1..=SURPRISES).map(|n| format!("Surprise {n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let faults = faults(&table("Surprises"), &ids);
    assert!(faults.is_empty(), "netns-tests/CONFORMANCE.md:\n{}", faults.join("\n"));
}

#[test]
fn every_statement_of_app_runners_documentation_has_its_tests() {
    let ids: Vec<String> = (1..=STATEMENTS).map(|n| format!("Statement {n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let faults = faults(&table("App Runner's statements"), &ids);
    assert!(faults.is_empty(), "netns-tests/CONFORMANCE.md:\n{}", faults.join("\n"));
}

#[test]
fn a_name_has_the_whole_number_of_an_id() {
    let test = "netns::statements::statement_5_and_statement_16_hold";
    for id in ["Statement 5", "Statement 16"] {
        assert!(is_named_after(test, id), "{id}");
    }
    for id in ["Statement 1", "Statement 6", "Statement 55", "5", "U5"] {
        assert!(!is_named_after(test, id), "{id}");
    }
    assert!(!is_named_after("netns::statement_7_::other", "Statement 7"));
}

#[test]
fn an_id_is_cited_in_full_or_not_at_all() {
    for (doc, id) in
        [("Checklist I6, U12.", "I6"), ("Checklist I6, U12.", "U12"), ("T+: MSS", "T+")]
    {
        assert!(cites(doc, id), "{doc} {id}");
    }
    for (doc, id) in [
        ("Checklist U12.", "U1"),
        ("Checklist U3a.", "U3"),
        ("U1-U14", "U1"),
        ("Checklist 7857-10", "7857-1"),
        ("15.7 s", "5.7"),
        ("5.71", "5.7"),
    ] {
        assert!(!cites(doc, id), "{doc} {id}");
    }
}

#[test]
fn a_row_that_promises_too_much_is_found() {
    let row = |id: &str, state: &str, test: &str| Row {
        id: id.to_owned(),
        state: state.to_owned(),
        tests: if test.is_empty() { vec![] } else { vec![test.to_owned()] },
    };
    let own = "conformance::tests::an_id_is_cited_in_full_or_not_at_all";
    for (row, fault) in [
        (row("U1", "met", ""), "has no test"),
        (row("U1", "perhaps", own), "is no state"),
        (row("U1", "not applicable, because ", ""), "is no state"),
        (row("U1", "met", "conformance::no_such_test"), "there is no test"),
        (row("U1", "met", "conformance::cites"), "there is no test"),
        (row("U1", "met", "pipeline::tests::icmp::errors_about_nothing_are_dropped"), "not cite"),
        (row("U2", "met", own), "is no id"),
    ] {
        let faults = faults(&[row], &["U1"]).join("\n");
        assert!(faults.contains(fault), "{faults}");
    }
    assert_eq!(faults(&[], &["U1"]), ["U1 has 0 rows, not one"]);
}
