//! No text of a configuration becomes a part of a picture's language.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::draw::{Tasks, draw};
use super::model::Graph;
use super::{dot, svg};
use crate::explain::testing::parts;
use crate::vpc::{Generation, Snapshot};
use regex::Regex;
use std::io::{self, Write};

/// Texts that mean something in XML, Mermaid, DOT, or a terminal.
const HOSTILE: [&str; 10] = [
    "<script>alert(1)</script>",
    "a\"]:::b --> n0[\"c",
    "a' onload='x",
    "&lt;&#60;#quot;#34;",
    "a\\\" b\\l\\N\\",
    "a\nb\r\n  end\n%% c",
    "\u{1b}]0;t\u{7}\u{9b}2K\u{202e}\0\u{ffff}",
    "]]> <!-- --> <![CDATA[ `md` **x**",
    "a|b|\"|{c}",
    "end",
];

/// Draws a configuration in which every name ends with `text`.
fn drawn(text: &str) -> Graph {
    let mut parts = parts();
    parts.lab.push_str(text);
    parts.vpcs.iter_mut().for_each(|own| own.id.push_str(text));
    let gateways = parts.vpcs.iter_mut().flat_map(|own| &mut own.internet_gateway);
    gateways.for_each(|own| own.id.push_str(text));
    parts.subnets.iter_mut().for_each(|own| own.id.push_str(text));
    parts.subnets.iter_mut().for_each(|own| own.availability_zone.push_str(text));
    parts.route_tables.iter_mut().for_each(|own| own.id.push_str(text));
    parts.security_groups.iter_mut().for_each(|own| own.id.push_str(text));
    parts.network_acls.iter_mut().for_each(|own| own.id.push_str(text));
    parts.nat_gateways.iter_mut().for_each(|own| own.id.push_str(text));
    parts.enis.iter_mut().for_each(|own| own.id.push_str(text));
    parts.connectors.iter_mut().for_each(|own| own.name.push_str(text));
    parts.services.iter_mut().for_each(|own| own.name.push_str(text));
    parts.resources.iter_mut().for_each(|own| own.name.push_str(text));
    parts.internet_hosts.iter_mut().for_each(|own| own.name.push_str(text));
    draw(&Snapshot::build(Generation(1), parts), Tasks::Planned)
}

fn mermaid(w: &mut dyn Write, graph: &Graph) -> io::Result<()> {
    super::mermaid(w, graph, false)
}

fn written(write: fn(&mut dyn Write, &Graph) -> io::Result<()>, graph: &Graph) -> String {
    let mut text = Vec::new();
    write(&mut text, graph).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn svg_has_the_same_elements_whatever_the_names_are() {
    let elements = |text: &str| {
        let svg = written(svg, &drawn(text));
        let document =
            roxmltree::Document::parse(&svg).unwrap_or_else(|why| panic!("{why}: {svg}"));
        let elements = document.descendants().filter(roxmltree::Node::is_element);
        let names = |node: roxmltree::Node<'_, '_>| {
            let attributes = node.attributes().map(|own| own.name().to_owned()).collect();
            (node.tag_name().name().to_owned(), attributes)
        };
        elements.map(names).collect::<Vec<(String, Vec<String>)>>()
    };
    let plain = elements("");
    assert!(plain.iter().all(|(name, _)| name != "script" && name != "a" && name != "image"));
    assert!(plain.iter().flat_map(|(_, own)| own).all(|name| !name.starts_with("on")));
    for text in HOSTILE {
        assert_eq!(elements(text), plain, "{text:?}");
    }
}

#[test]
fn svg_shows_names_as_they_are() {
    for text in ["<b>", "\"x\"", "a & b", "#quot;", "a 'b'"] {
        let svg = written(svg, &drawn(text));
        let document = roxmltree::Document::parse(&svg).unwrap();
        let mut texts = document.descendants().filter(|node| node.has_tag_name("text"));
        assert!(texts.any(|node| node.text() == Some(&format!("web{text}"))), "{svg}");
    }
}

/// Returns a text without what is between quotes.
fn without_strings(text: &str, string: &str) -> String {
    Regex::new(string).unwrap().replace_all(text, "\"\"").into_owned()
}

#[test]
fn mermaid_has_the_same_statements_whatever_the_names_are() {
    let statements = |text: &str| {
        let mermaid = written(mermaid, &drawn(text));
        let own = mermaid.replace("<br/>", "");
        assert!(!own.contains(['<', '&', '`', '\\', '\u{1b}', '\u{202e}']), "{mermaid}");
        without_strings(&mermaid, "\"[^\"\n]*\"")
    };
    let plain = statements("");
    for text in HOSTILE {
        assert_eq!(statements(text), plain, "{text:?}");
    }
}

#[test]
fn mermaid_writes_what_means_something_by_its_number() {
    let text = written(mermaid, &drawn("\"]<#;"));
    assert!(text.contains("n0[\"web#34;#93;#60;#35;#59;<br/>App Runner<br/>1 task\"]"), "{text}");
}

#[test]
fn dot_has_the_same_statements_whatever_the_names_are() {
    let statements = |text: &str| {
        let dot = written(dot, &drawn(text));
        without_strings(&dot, r#""(?:[^"\\\n]|\\.)*""#)
    };
    let plain = statements("");
    for text in HOSTILE {
        assert_eq!(statements(text), plain, "{text:?}");
    }
}

#[test]
fn dot_writes_escapes_and_entities_as_text() {
    let text = written(dot, &drawn("\\N&lt;\""));
    assert!(text.contains(r#"n0 [label="web\\N&amp;lt;\"\lApp Runner\l1 task\l"];"#), "{text}");
}
