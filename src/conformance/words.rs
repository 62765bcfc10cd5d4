//! Checks that neither a page of the documentation nor a message has a word that the project does
//! not use.

use super::pages::pages;
use super::root;
use crate::pipeline::Reason;
use regex::Regex;

/// Words that the project does not use, as regular expressions.
const RETIRED: &[&str] = &[
    r"as ever",
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
    r"gone on with",
    r"(is|are|was|were) told",
    r"anew",
    r"sgr \d+",
];

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
    // A string goes on after `\` at the end of a line.
    let continued = Regex::new(r"\\\n\s*").unwrap();
    let text = |token: &str| continued.replace_all(token, "").into_owned();
    found.map(|token| (line(token.start()), text(token.as_str()))).collect()
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
                  let d = \"fo\\\n   ur\";\n#[cfg(test)]\nmod tests { \"five\" }\n";
    let texts: Vec<_> = literals(source);
    let wanted = [(2, r#""one \" two""#), (3, "r#\"th\"ree\"#"), (4, "\"four\"")];
    assert_eq!(texts, wanted.map(|(line, text)| (line, text.to_owned())));
}
