//! Reads `[lint]`.

use crate::config::LINTS;
use crate::config::key::{Key, Table, Type};
use crate::config::reader::{Section, Value};

pub(super) static LINT: Table = Table::new(
    "[lint]",
    &[Key::optional(
        "allow",
        Type::list(&Type::Words(&LINTS)),
        "Rules of warnings and notes that are not reported.",
    )],
);

/// Reads the rules that are not reported.
pub(super) fn allowed(root: &Section<'_>) -> Vec<&'static str> {
    let Some(section) = root.get("lint").and_then(|v| v.table()) else { return Vec::new() };
    let words = LINTS.map(|rule| (rule, rule));
    let rule = |value: &Value<'_>| value.one_of(&words);
    section.list("allow", rule).into_iter().map(|at| at.value).collect()
}
