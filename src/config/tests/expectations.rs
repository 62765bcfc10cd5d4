//! Tests of `[[expect]]`: its content, its mandatory keys, and that it changes nothing else.

use super::errors::check;
use super::*;
use crate::config::changes::changes;
use crate::config::expectations::Expectations;

const WHOLE: &str = r#"[[expect]]
from = ["web", "api"]
to = "db:5432"
protocol = 6
is = "reachable"
by = "sg-app"
via = "nat-a"
seen_as = ["198.51.100.7", "10.0.0.0/16"]
note = "why"
"#;

#[test]
fn all_keys_are_read() {
    let read = Expectations::parse("e.toml", WHOLE).unwrap();
    let [expectation] = &read.list[..] else { panic!("{read:?}") };
    let names =
        |list: &[At<String>]| list.iter().map(|name| name.value.clone()).collect::<Vec<_>>();
    let name = |name: &Option<At<String>>| name.as_ref().map(|name| name.value.clone());
    assert_eq!(names(&expectation.from), ["web", "api"]);
    assert_eq!(names(&expectation.to), ["db:5432"]);
    assert_eq!(name(&expectation.protocol).as_deref(), Some("6"));
    assert_eq!(expectation.is, Expected::Reachable);
    assert_eq!(name(&expectation.by).as_deref(), Some("sg-app"));
    assert_eq!(names(&expectation.via), ["nat-a"]);
    let seen_as: Vec<String> = expectation.seen_as.iter().map(ToString::to_string).collect();
    assert_eq!(seen_as, ["198.51.100.7/32", "10.0.0.0/16"]);
    assert_eq!((expectation.note.as_deref(), expectation.line), (Some("why"), 1));
}

#[test]
fn each_mistake_is_reported_at_its_place() {
    let expect = |text: &str| format!("[[expect]]\n{text}");
    for (rule, at, text) in [
        ("unknown-key", "vai", "from = \"*\"\nto = \"x\"\nis = \"blocked\"\nvai = \"y\""),
        ("missing-key", "[[expect]]", "to = \"x\"\nis = \"blocked\""),
        ("missing-key", "[[expect]]", "from = \"*\"\nis = \"blocked\""),
        ("missing-key", "[[expect]]", "from = \"*\"\nto = \"x\""),
        ("unknown-word", "\"open\"", "from = \"*\"\nto = \"x\"\nis = \"open\""),
        ("empty-list", "[]", "from = []\nto = \"x\"\nis = \"blocked\""),
        ("empty-list", "[]", "from = \"*\"\nto = []\nis = \"blocked\""),
        ("bad-name", "\"\"", "from = \"\"\nto = \"x\"\nis = \"blocked\""),
        ("wrong-type", "5", "from = \"*\"\nto = [5]\nis = \"blocked\""),
        ("bad-cidr", "\"x\"", "from = \"*\"\nto = \"x\"\nis = \"reachable\"\nseen_as = \"x\""),
        (
            "only-if-reachable",
            "\"nat-a\"",
            "from = \"*\"\nto = \"x\"\nis = \"blocked\"\nvia = \"nat-a\"",
        ),
        (
            "only-if-reachable",
            "\"10.0.0.1\"",
            "from = \"*\"\nto = \"x\"\nis = \"blocked\"\nseen_as = \"10.0.0.1\"",
        ),
    ] {
        check(rule, at, &expect(text));
    }
    check("wrong-type", "[expect]", "[expect]\nfrom = \"*\"\nto = \"x\"\nis = \"blocked\"");
}

/// Names are looked up by the test of the expectation: a service may be one of the App Runner
/// API's.
#[test]
fn a_lab_file_is_sound_whatever_its_expectations_name() {
    let with = lab(&format!("{MINIMAL}\n{WHOLE}"));
    assert_eq!(Expectations::of_lab(&with).list.len(), 1);
    let without = lab(MINIMAL);
    assert_eq!(changes(&without, &with), []);
    assert_eq!(changes(&with, &without), []);
    assert_eq!(with.lint().len(), without.lint().len());
}

/// A lab file is a file of expectations about another lab.
#[test]
fn other_sections_are_not_looked_at_in_a_file_about_another_lab() {
    let text = format!("{WHOLE}\n[[service]]\nname = \"web\"\nvpc_connector = \"nowhere\"\n");
    assert_eq!(Expectations::parse("e.toml", &text).unwrap().list.len(), 1);
    let errors = Expectations::parse("e.toml", &format!("{WHOLE}\n[[expects]]\n")).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.rule).collect::<Vec<_>>(), ["unknown-key"]);
    assert!(errors[0].help.contains("did you mean \"expect\"?"), "{errors}");
}
