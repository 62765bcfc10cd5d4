//! Writes deciding rules for a column of a table, in short and in full.

use super::super::names::DecidedBy;
use super::super::text::short;

/// Returns a rule with its text and its place.
pub(in crate::explain) fn rule_in_full(rule: &DecidedBy) -> String {
    let places: Vec<&str> = match rule.groups.as_slice() {
        [] => rule.place.as_deref().into_iter().collect(),
        groups => groups.iter().filter_map(|group| group.place.as_deref()).collect(),
    };
    let place = match places.as_slice() {
        [] => rule.shown_place(&|line| format!("line {line}")),
        places => Some(places.join(", ")),
    };
    match place {
        Some(place) => format!("{rule} ({})", place.trim_matches(['(', ')'])),
        None => rule.to_string(),
    }
}

/// Returns a rule without its text; if no rule of an object decided, the object.
pub(in crate::explain) fn rule_in_short(rule: &DecidedBy) -> String {
    match rule.kind {
        "security-groups" => rule.id.replace(',', ", "),
        "network-acl-implicit-deny" | "route-table" => rule.id.clone(),
        _ => short(&rule.to_string()).to_owned(),
    }
}
