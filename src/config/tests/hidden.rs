//! Tests that no string of a lab file has hidden characters.

use super::*;
use std::fs;

/// Returns the text with an escape in each of its strings, one after the other; comments stay
/// unchanged.
fn variants(text: &str, escape: &str) -> Vec<String> {
    let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
    let is_comment =
        |at: usize| text[..at].lines().next_back().is_some_and(|line| line.contains('#'));
    let ends = quotes.chunks_exact(2).map(|pair| pair[1]).filter(|end| !is_comment(*end));
    ends.map(|end| format!("{}{escape}{}", &text[..end], &text[end..])).collect()
}

#[test]
fn hidden_characters_are_refused_in_each_string() {
    let mut tried = 0;
    for (example, escape) in [
        ("minimal", r"\u001b]0;t\u0007"),
        ("minimal", r"\u009b2K"),
        ("minimal", r"\u202e"),
        ("dns", r"\nnameserver 10.9.9.9"),
        ("public-endpoint", r"\r"),
        ("walkthrough", r"\u202e"),
    ] {
        let text = fs::read_to_string(format!("examples/{example}.toml")).unwrap();
        assert_eq!(text.matches("\"\"\"").count(), 0);
        for variant in variants(&text, escape) {
            let errors = Lab::parse("lab.toml", &variant).map(|_| variant).unwrap_err();
            let said = errors.to_string();
            assert!(!said.contains(|c: char| c != '\n' && crate::edge::is_hidden(c)), "{said:?}");
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried}");
}

#[test]
fn strings_that_no_example_has_are_read_with_the_same_care() {
    let vpc = "[[vpc]]\nid = \"v\"\ncidr = \"10.0.0.0/16\"\n";
    for text in [
        "region = \"us-east-1\\nnameserver 10.9.9.9\"",
        "[apprunner]\nunsupported_availability_zones = [\"us-east-1a\\n\"]",
        "[apprunner]\nstore = \"a\\u001b]0;t\\u0007\"",
        "[apprunner]\nstartup_latency = \"1s\\u202e\"",
        "[lint]\nallow = [\"single-zone\\n\"]",
        "[access]\ngroup = \"egret\\u202e\"",
        "[[route_table]]\nid = \"r\"\nvpc = \"v\"\nroutes = [{ destination = \"0.0.0.0/0\", target = \"nat\\n\", state = \"blackhole\" }]",
        "[[route_table]]\nid = \"r\"\nvpc = \"v\"\nroutes = [{ destination = \"0.0.0.0/0\", target = \"nat 1\", state = \"blackhole\" }]",
        "[[subnet]]\nid = \"s\"\nvpc = \"v\"\ncidr = \"10.0.1.0/24\"\navailability_zone = \"us east\"",
        "[[vpc_endpoint]]\nid = \"e\"\nvpc = \"v\"\nkind = \"interface\"\nservice = \"com.amazonaws.us-east-1.s3/x\"",
        "[[private_zone]]\nname = \"z\"\nvpcs = [\"v\"]\nrecords = [{ name = \"t\", type = \"TXT\", values = [\"a\\u001b[2Jb\"] }]",
        "[[expect]]\nfrom = \"*\"\nto = \"a\"\nis = \"blocked\"\nnote = \"a\\u001b[2J\"",
        "[[expect]]\nfrom = \"*\"\nto = \"a\\u202e\"\nis = \"blocked\"",
    ] {
        let file = match text.starts_with('[') {
            true => format!("{vpc}{text}\n"),
            false => format!("{text}\n{vpc}"),
        };
        let errors = Lab::parse("lab.toml", &file).map(|_| file).unwrap_err();
        let rules = ["hidden-character", "bad-zone", "bad-service", "bad-name"];
        assert!(errors.iter().any(|error| rules.contains(&error.rule)), "{text}: {errors}");
    }
    let note =
        "[[expect]]\nfrom = \"*\"\nto = \"a\"\nis = \"blocked\"\nnote = \"two\\n\\tlines\"\n";
    Lab::parse("lab.toml", &format!("{vpc}{note}")).unwrap();
}

#[test]
fn text_for_others_than_root_has_no_secret_and_is_refused_if_one_cannot_be_hidden() {
    let vpc = "[[vpc]]\nid = \"hush\"\ncidr = \"10.0.0.0/16\"\n";
    let lab = |secret: &str| {
        let key = format!("[[apprunner.access_key]]\nid = \"AKIA\"\nsecret = {secret}\n");
        Lab::parse("lab.toml", &format!("{vpc}{key}")).unwrap()
    };
    for secret in ["\"hush-hush\"", "'hush-hush'", "\"\"\"hush-hush\"\"\""] {
        let own = lab(secret);
        let text = own.source_without_secrets().unwrap();
        assert!(!text.contains("hush-hush"), "{text}");
        assert_eq!(text.len(), own.source().len(), "every place in the file stays");
    }
    // Written with an escape.
    assert_eq!(lab("\"\\u0068ush-hush\"").source_without_secrets(), None);
    let without = Lab::parse("lab.toml", vpc).unwrap();
    assert_eq!(without.source_without_secrets().as_deref(), Some(vpc));
}
