//! Checks the documentation: each page is in the table of contents, each link leads to a page and a
//! heading, and pages keep to the project's width and words.

use super::root;
use crate::pipeline::Reason;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Columns of a line of prose. Tables and blocks of code may be wider.
const WIDTH: usize = 100;
/// Pages beside those in `docs/`.
const AT_THE_TOP: &[&str] =
    &["README.md", "README.ja.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
/// Words that the project does not use, as regular expressions.
const RETIRED: &[&str] = &[
    r"as ever",
    r"judged anew",
    r"in a hurry",
    r"turns? round",
    r"mend(s|ed|ing)?",
    r"limbo",
    r"no kind of",
    r"a house of floors",
    r"check-floors",
    r"goes? up",
    r"went up",
    r"octets?",
    r"somebody",
    r"whoever",
    r"in force",
    r"fates?",
    r"is gone",
];

/// A page: its path from the repository's top, and its text.
type Pages = BTreeMap<PathBuf, String>;

fn pages() -> Pages {
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

fn retired() -> Regex {
    Regex::new(&format!(r"(?i)\b({})\b", RETIRED.join("|"))).unwrap()
}

#[test]
fn no_retired_word_is_on_any_page() {
    let retired = retired();
    let mut faults = Vec::new();
    for (page, text) in pages() {
        for (line, number) in text.lines().zip(1..) {
            if let Some(found) = retired.find(line) {
                faults.push(format!("{}:{number}: {}", page.display(), found.as_str()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Lists the string literals of a source file before its tests, each with its line.
fn literals(source: &str) -> Vec<(usize, String)> {
    let token =
        Regex::new(r##"//[^\n]*|'(?:\\.[^']*|[^'\\\n])'|r#"(?s:.*?)"#|r?"(?:[^"\\]|\\(?s:.))*""##);
    let tests = Regex::new(r"#\[cfg\(test\)\]\nmod \w+ \{").unwrap();
    let code = tests.split(source).next().unwrap_or(source);
    let found = token.unwrap();
    let found = found.find_iter(code).filter(|token| token.as_str().ends_with(['"', '#']));
    let found = found.filter(|token| !token.as_str().starts_with("//"));
    let line = |start: usize| 1 + code[..start].matches('\n').count();
    found.map(|token| (line(token.start()), token.as_str().to_owned())).collect()
}

/// The messages of the program are string literals of its source; the sentences and hints of drop
/// reasons and the help of commands are asked as they are printed.
#[test]
fn no_retired_word_is_in_any_message() {
    let retired = retired();
    let mut faults = Vec::new();
    let mut check = |place: String, text: &str| {
        faults.extend(retired.find(text).map(|found| format!("{place}: {}", found.as_str())));
    };
    for reason in Reason::ALL {
        check(reason.name().to_owned(), reason.sentence());
        check(reason.name().to_owned(), reason.hint());
    }
    for (name, page) in crate::cli::command_pages::pages() {
        page.lines().for_each(|line| check(name.clone(), line));
    }
    for file in super::files(&root().join("src"), &["rs"]) {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        if name.contains("tests") || name.contains("conformance") {
            continue;
        }
        for (line, text) in literals(&std::fs::read_to_string(&file).unwrap()) {
            check(format!("{name}:{line}"), &text);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn literals_are_the_strings_of_a_source_without_its_comments_and_tests() {
    let source = "// \"a\"\nlet b = ('\"', \"one \\\" two\");\nlet c = r#\"th\"ree\"#;\n\
                  #[cfg(test)]\nmod tests { \"four\" }\n";
    let texts: Vec<_> = literals(source);
    assert_eq!(texts, [(2, r#""one \" two""#.to_owned()), (3, "r#\"th\"ree\"#".to_owned())]);
}

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
