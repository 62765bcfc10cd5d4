//! Checks the pages of the documentation: each is in the table of contents, each link leads to a
//! page and a heading, and prose keeps to the project's width.

use super::root;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Columns of a line of prose. Tables and blocks of code may be wider.
const WIDTH: usize = 100;
/// Pages beside those in `docs/`.
const AT_THE_TOP: &[&str] =
    &["README.md", "README.ja.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
/// A page: its path from the repository's top, and its text.
pub(super) type Pages = BTreeMap<PathBuf, String>;

pub(super) fn pages() -> Pages {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    };
    let top = AT_THE_TOP.iter().map(PathBuf::from);
    let docs = super::files(&root().join("docs"), &["md"]).into_iter();
    let docs = docs.map(|page| page.strip_prefix(root()).unwrap().to_owned());
    top.chain(docs).map(read).collect()
}

/// Lists the lines of a page that are neither code nor a program's output, each with its number.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let (mut is_code, mut is_output) = (false, false);
    let lines = text.lines().zip(1..).map(|(line, number)| (number, line));
    lines
        .filter(|(_, line)| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            is_output |= line.contains("<!-- bench: begin -->");
            is_output &= !line.contains("<!-- bench: end -->");
            !is_code && !is_fence && !is_output
        })
        .collect()
}

/// Lists the targets of a page's links.
fn links(text: &str) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    // A link's text may be broken at the end of a line.
    let text: String = prose(text).iter().map(|(_, line)| format!("{line}\n")).collect();
    link.captures_iter(&text).map(|found| found[1].to_owned()).collect()
}

/// Lists the anchors of a page, as GitHub makes them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    };
    let mut found = BTreeSet::new();
    for (_, heading) in headings {
        let first = anchor(heading);
        let mut own = first.clone();
        for again in 1.. {
            if found.insert(own.clone()) {
                break;
            }
            own = format!("{first}-{again}");
        }
    }
    found
}

/// Resolves `.` and `..` without asking the file system.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}

/// Says what is wrong with a link from a page, if anything.
fn fault(pages: &Pages, page: &Path, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, a)| (path, Some(a)));
    let target = match path {
        "" => page.to_owned(),
        _ => plain(&page.parent().unwrap_or(Path::new("")).join(path)),
    };
    if !root().join(&target).exists() {
        return Some(format!("{}: {link}: there is no {}", page.display(), target.display()));
    }
    let has = |anchor: &str| pages.get(&target).is_some_and(|text| anchors(text).contains(anchor));
    match anchor {
        Some(anchor) if !has(anchor) => {
            Some(format!("{}: {link}: no such heading", page.display()))
        }
        _ => None,
    }
}

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let pages = pages();
    let mut faults = Vec::new();
    for (page, text) in &pages {
        faults.extend(links(text).iter().filter_map(|link| fault(&pages, page, link)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut listed = links(&summary);
    listed.sort();
    let pages = pages();
    let own = pages.keys().filter_map(|page| page.strip_prefix("docs").ok());
    let own = own.map(|page| page.to_str().unwrap().to_owned());
    let there: Vec<String> = own.filter(|page| page != "SUMMARY.md").collect();
    assert_eq!(listed, there);
}

#[test]
fn prose_is_at_most_a_hundred_columns_wide() {
    let mut faults = Vec::new();
    for (page, text) in pages() {
        let wide = prose(&text).into_iter().filter(|(_, line)| {
            // A row of a table cannot be broken.
            line.chars().count() > WIDTH && !line.starts_with('|')
        });
        faults.extend(wide.map(|(number, _)| format!("{}:{number}", page.display())));
    }
    assert!(faults.is_empty(), "wider than {WIDTH}: {}", faults.join("\n"));
}

#[test]
fn links_and_anchors_are_read_as_a_reader_sees_them() {
    let text =
        "# A `b` c\n[x\ny](a.md#b) and [z](../c.md)\n```text\n[no](nowhere)\n```\n## A b c\n";
    assert_eq!(links(text), ["a.md#b", "../c.md"]);
    assert!(anchors(text).iter().eq(["a-b-c", "a-b-c-1"]), "{:?}", anchors(text));
    assert_eq!(plain(Path::new("docs/guides/../a.md")), Path::new("docs/a.md"));
    let page = Path::new("README.md").to_owned();
    let pages = Pages::from([(page.clone(), "# One\n".to_owned())]);
    assert!(fault(&pages, &page, "nowhere.md").is_some());
    assert!(fault(&pages, &page, "#two").is_some());
    assert_eq!(fault(&pages, &page, "#one"), None);
}
