//! Reads `[[expect]]`.

use crate::config::diagnostic::At;
use crate::config::expectation::{Expectation, Expected};
use crate::config::form;
use crate::config::key::{Condition, Key, Table, Type, When, words};
use crate::config::reader::{Section, Value};
use crate::config::text;
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

const NAME: &str = "[[expect]]";

pub(super) static EXPECT: Table = Table::new(
    NAME,
    &[
        Key::required(
            "from",
            Type::filled(&Type::Text(form::SERVICE)),
            "The names of services; * is every service.",
        ),
        Key::required(
            "to",
            Type::filled(&Type::Text(form::DESTINATION)),
            "Destinations as egret explain takes them, such as db:5432 or internet:443.",
        ),
        Key::optional(
            "protocol",
            Type::TextOrInteger(form::TEXT, (i64::MIN, i64::MAX)),
            "The protocol, as --protocol of egret explain.",
        ),
        Key::required(
            "is",
            Type::Words(&words(&EXPECTED)),
            "Whether all packets pass, or none does.",
        ),
        Key::optional(
            "by",
            Type::Text(form::STRING),
            "What decides: a drop reason, or the id of a group, network ACL, route table or gateway.",
        ),
        Key::optional(
            "via",
            Type::filled(&Type::Text(form::ANY_ID)),
            "The ids of gateways, endpoints, peering connections and network interfaces of which \
             each packet passes one.",
        ),
        Key::optional(
            "seen_as",
            Type::list(&Type::Text(form::BLOCK)),
            "The source addresses that the destination sees.",
        ),
        Key::optional("note", Type::Text(form::TEXT), "What egret shows if the expectation fails."),
    ],
)
.with(&[Condition::when(When::Is("is", &["blocked"])).refuses(&["via", "seen_as"])]);

const EXPECTED: [(&str, Expected); 2] = [
    (Expected::Reachable.word(), Expected::Reachable),
    (Expected::Blocked.word(), Expected::Blocked),
];

pub(super) fn expect(section: &Section<'_>) -> Option<Expectation> {
    let from = names(section, "from");
    let to = names(section, "to");
    let is = section.required("is").and_then(|value| value.one_of(&EXPECTED));
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
