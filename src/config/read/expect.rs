//! Reads `[[expect]]`.

use crate::config::diagnostic::At;
use crate::config::expectation::{Expectation, Expected};
use crate::config::reader::{Section, Value};
use crate::config::text;
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

pub(super) const NAME: &str = "[[expect]]";

pub(super) const EXPECT: [&str; 8] =
    ["from", "to", "protocol", "is", "by", "via", "seen_as", "note"];

pub(super) fn expect(section: &Section<'_>) -> Option<Expectation> {
    let from = names(section, "from");
    let to = names(section, "to");
    let words = [Expected::Reachable, Expected::Blocked].map(|word| (word.word(), word));
    let is = section.required("is").and_then(|value| value.one_of(&words));
    if is.is_some_and(|is| *is == Expected::Blocked) {
        only_of_what_passes(section);
    }
    let by = section.get("by").and_then(|value| name(&value));
    let via = section.get("via").and_then(|value| names_in("via", &value)).unwrap_or_default();
    let seen_as = section.list("seen_as", |value| value.parse(block));
    Some(Expectation {
        from: from?,
        to: to?,
        protocol: section.get("protocol").and_then(|value| value.string_or_integer()),
        is: is?.value,
        by,
        via,
        seen_as: seen_as.into_iter().map(|at| at.value).collect(),
        note: section.get("note").and_then(|value| value.lines()).map(|at| at.value),
        span: section.span,
        line: section.line(),
    })
}

/// Reads one name or a list; `None` if it has no name.
fn names(section: &Section<'_>, key: &'static str) -> Option<Vec<At<String>>> {
    names_in(key, &section.required(key)?)
}

fn names_in(key: &'static str, value: &Value<'_>) -> Option<Vec<At<String>>> {
    let elements = value.elements();
    if elements.is_empty() {
        let message = format!("`{key}` of {NAME} is empty");
        value.error("empty-list", message, format!("name at least one in `{key}`"));
        return None;
    }
    let found: Vec<At<String>> = elements.iter().filter_map(name).collect();
    (found.len() == elements.len()).then_some(found)
}

fn name(value: &Value<'_>) -> Option<At<String>> {
    let name = value.string()?;
    if name.is_empty() {
        value.error("bad-name", "\"\" is not a name", "give a name, such as \"web\"");
        return None;
    }
    Some(name)
}

fn block(text: &str) -> Result<Ipv4Network, text::Fault> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => text::cidr(text),
    }
}

/// Reports keys about a path to its end, which dropped packets do not have.
fn only_of_what_passes(section: &Section<'_>) {
    for key in ["via", "seen_as"] {
        let Some(value) = section.get(key) else { continue };
        value.error(
            "only-if-reachable",
            format!("`{key}` is about packets that pass, and these are to be blocked"),
            format!("remove `{key}`; `by` says what blocks them"),
        );
    }
}
