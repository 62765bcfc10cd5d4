//! Tests of the output for people and programs.

use super::*;

const MISTAKES: &str = include_str!("mistakes.toml");

fn rendered(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        diagnostic.render(&mut out, false).unwrap();
    }
    out
}

#[test]
fn many_mistakes_at_once() {
    insta::assert_snapshot!(rendered(&errors(MISTAKES)));
}

#[test]
fn errors_come_by_line() {
    let lines: Vec<_> = errors(MISTAKES).iter().map(|e| e.line).collect();
    assert!(lines.is_sorted() && lines.len() >= 15, "{lines:?}");
}

#[test]
fn syntax_errors() {
    insta::assert_snapshot!(rendered(&errors("lab = \n[[vpc\nid = 'x'\nid = 'y'\n")));
}

#[test]
fn an_error_as_json() {
    let errors = errors("lab = \"x\"\n\n[[servce]]\nname = \"web\"\n");
    insta::assert_snapshot!(serde_json::to_string_pretty(&errors).unwrap());
}

#[test]
fn a_long_line_is_cut_around_the_text_that_is_underlined() {
    let routes: Vec<String> = (0..40)
        .map(|at| format!("{{ destination = \"192.0.{at}.0/24\", target = \"gone-{at}\" }}"))
        .collect();
    let text = format!(
        "[[vpc]]\nid = \"v\"\ncidr = \"10.0.0.0/16\"\n[[route_table]]\nid = \"r\"\nvpc = \"v\"\nroutes = [{}] # é\n",
        routes.join(", ")
    );
    let shown = rendered(&errors(&text));
    for at in 0..40 {
        assert!(shown.contains(&format!("target = \"gone-{at}\"")), "gone-{at}: {shown}");
    }
    let longest = shown.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(100), "{longest:?}: {shown}");
}

#[test]
fn colour_is_only_there_when_wanted() {
    let mut coloured = String::new();
    let errors = errors("mtu = 1");
    errors.render(&mut coloured, true).unwrap();
    assert!(coloured.contains('\u{1b}'));
    assert!(!errors.to_string().contains('\u{1b}'));
}

#[test]
fn lints_of_the_demo_lab() {
    insta::assert_snapshot!(rendered(&lab(THREE_AZ).lint()));
}
