//! The lab of these tests: without findings, with a network ACL on every subnet, so that each test
//! introduces one fault.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::of_packets;
use crate::config::{Diagnostic, Lab, Severity, Span};
use crate::vpc::Generation;

/// A connector in two private subnets, a NAT gateway, a database, a gateway endpoint.
pub(super) const SOUND: &str = include_str!("testing.toml");

/// Replaces the only occurrence of a part of the lab.
pub(super) fn spoiled(part: &str, by: &str) -> String {
    replaced(SOUND, part, by)
}

pub(super) fn replaced(text: &str, part: &str, by: &str) -> String {
    assert_eq!(text.matches(part).count(), 1, "{part}");
    text.replace(part, by)
}

/// Returns the findings about packets.
pub(super) fn found(text: &str) -> Vec<Diagnostic> {
    let lab = Lab::parse("lab.toml", text).unwrap();
    lab.located(of_packets(&lab, &lab.lower(Generation::default()), &mut |_| {}))
}

/// Returns the only finding, and asserts that it is of this rule and not an error.
pub(super) fn only(text: &str, rule: &str) -> Diagnostic {
    let mut found = found(text);
    assert_eq!(rules(&found), [rule], "{found:#?}");
    let one = found.remove(0);
    assert_ne!(one.severity, Severity::Error);
    assert!(one.line > 0 && !one.message.is_empty() && !one.help.is_empty(), "{one:#?}");
    one
}

/// Returns the names of the findings' rules, sorted.
pub(super) fn rules(found: &[Diagnostic]) -> Vec<&'static str> {
    let mut rules: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules
}

/// Asserts that a message has all of these words.
#[track_caller]
pub(super) fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
}

#[test]
fn a_sound_lab_has_no_findings() {
    assert_eq!(rules(&found(SOUND)), [""; 0], "{:#?}", found(SOUND));
}

#[test]
fn a_long_check_hears_which_connector_is_asked() {
    let more = "[[vpc_connector]]\nname = \"d\"\nsubnets = [\"private-a\"]\nsecurity_groups = [\"sg-app\"]\n";
    let lab = Lab::parse("lab.toml", &format!("{SOUND}{more}")).unwrap();
    let mut heard: Vec<String> = Vec::new();
    super::check_saying(&lab, &mut |title| {
        heard.push(title.to_owned());
        heard.dedup();
    });
    assert_eq!(heard, ["connector \"c\"", "connector \"d\""]);
}

#[test]
fn objects_of_the_api_are_named_where_no_line_can_be_shown() {
    let without_route = spoiled(
        "cidr = \"10.0.2.0/24\"\nroute_table = \"rtb-private\"\n",
        "cidr = \"10.0.2.0/24\"\n",
    );
    let mut lab = Lab::parse("lab.toml", &without_route).unwrap();
    for connector in &mut lab.spec.connectors {
        connector.name.span = Span::NOWHERE;
        connector.subnets.iter_mut().for_each(|id| id.span = Span::NOWHERE);
    }
    let found = lab.located(of_packets(&lab, &lab.lower(Generation::default()), &mut |_| {}));
    assert_eq!((rules(&found), found[0].line), (vec!["subnets-differ"], 0));
    says(&found[0].message, &["connector \"c\"", "\"private-b\"", "vpc-0/main"]);
}
