//! Deciding rules in short, for a column of a table.

use super::super::names::DecidedBy;
use super::super::text::short;

/// Names a rule without what it says; where no rule of an object decided, the object.
pub(in crate::explain) fn rule_in_short(rule: &DecidedBy) -> String {
    match rule.kind {
        "security-groups" => rule.id.replace(',', ", "),
        "network-acl-implicit-deny" | "route-table" => rule.id.clone(),
        _ => short(&rule.to_string()).to_owned(),
    }
}
