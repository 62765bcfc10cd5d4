//! Reads `name_tag`, the tag `Name` of an object: tables show it in place of the object's id.

use crate::config::form;
use crate::config::key::{Key, Type};
use crate::config::reader::Section;
use crate::config::text;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The key of the sections whose objects have tags in AWS.
pub(super) const NAME_TAG: Key = Key::optional(
    "name_tag",
    Type::Text(form::STRING),
    "The value of the object's tag Name, which tables show in place of its id.",
);

/// The names of objects, by their ids.
pub(super) type NameTags = RefCell<BTreeMap<String, String>>;

/// Reads the sections of objects with tags.
pub(super) fn tagged<'a, T>(
    root: &Section<'a>,
    tags: &NameTags,
    key: &'static str,
    read: fn(&Section<'a>) -> Option<T>,
) -> Vec<T> {
    let sections = root.get(key).map(|value| value.tables()).unwrap_or_default();
    for section in &sections {
        let tag = section.get("name_tag").and_then(|value| value.parse(text::name_tag));
        let id = section.get("id").and_then(|value| value.text());
        if let (Some(id), Some(tag)) = (id, tag) {
            tags.borrow_mut().insert(id.to_owned(), tag.value);
        }
    }
    sections.iter().filter_map(read).collect()
}
