//! Reads `[access]`.

use crate::config::diagnostic::At;
use crate::config::form;
use crate::config::key::{Key, Table, Type};
use crate::config::reader::Section;
use crate::config::text;

pub(super) static ACCESS: Table = Table::new(
    "[access]",
    &[Key::required(
        "group",
        Type::Text(form::GROUP_NAME),
        "The group of this host whose members may read from the running lab, and change nothing.",
    )],
);

/// Reads the group whose members may read from the running lab.
pub(super) fn group(root: &Section<'_>) -> Option<At<String>> {
    let section = root.get("access").and_then(|v| v.table())?;
    section.required("group").and_then(|v| v.parse(text::group_name))
}
