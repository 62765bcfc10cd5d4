//! Edits of a lab file's text. They touch only what they change: comments, layout and line ends
//! stay.

mod append;
mod list;
mod patch;
mod section;
mod splice;

use append::appended;
pub use patch::{PatchError, diff, is_patch, patched};
use section::{Found, find};
use splice::{Splice, spliced};
use toml::de::{DeTable, DeValue};

/// A change of a lab file's text. Values are in TOML's syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds elements to a list of a section.
    Add {
        /// The section.
        section: SectionName,
        /// The list's key. The list is made if there is none.
        key: &'static str,
        /// The elements.
        elements: Vec<String>,
    },
    /// Sets the value of a key of a section.
    Set {
        /// The section.
        section: SectionName,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// Replaces one key by others.
    Replace {
        /// The section.
        section: SectionName,
        /// The key that is replaced.
        key: &'static str,
        /// The keys with their values.
        with: Vec<(&'static str, String)>,
    },
    /// Changes the target of a route of a table.
    Redirect {
        /// The table's id.
        table: String,
        /// The route's destination: a block or the id of a prefix list.
        destination: String,
        /// The target's id.
        target: String,
    },
    /// Adds sections at the end, or to the list if the file has it in brackets.
    Append(String),
}

/// Names an element of a list of sections, such as the `[[subnet]]` with `id = "subnet-a"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionName {
    /// The list, such as `subnet`.
    pub list: &'static str,
    /// The section's `id`, or its `name` where it has no id.
    pub name: String,
}

/// The reason why a text cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file does not have the section.
    #[error(
        "the lab file has no [[{}]] {:?} to change; what was made through the App Runner API is changed there",
        .0.list, .0.name
    )]
    NoSection(SectionName),
    /// A section does not have the key, or the key has a value of another shape.
    #[error("[[{}]] {:?} is not written as expected: see its key `{key}`", .section.list, .section.name)]
    OtherShape {
        /// The section.
        section: SectionName,
        /// The key.
        key: &'static str,
    },
    /// The text is not TOML.
    #[error("the lab file is not valid TOML")]
    Syntax,
}

/// Returns the text with all edits made, one after the other.
///
/// # Errors
/// The file does not have what an edit changes.
pub fn edited(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    edits.iter().try_fold(text.to_owned(), |text, edit| edit.made(&text))
}

impl Edit {
    fn made(&self, text: &str) -> Result<String, EditError> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(EditError::Syntax);
        }
        let of = |name: &SectionName| {
            let found = find(root.get_ref(), text, name.list, &name.name);
            found.ok_or_else(|| EditError::NoSection(name.clone()))
        };
        let splices = match self {
            Self::Add { section, key, elements } => {
                of(section)?.with_elements(key, elements).ok_or_else(|| other(section, key))?
            }
            Self::Set { section, key, value } => vec![of(section)?.with_key(key, value)],
            Self::Replace { section, key, with } => {
                vec![of(section)?.with_keys_for(key, with).ok_or_else(|| other(section, key))?]
            }
            Self::Redirect { table, destination, target } => {
                let section = SectionName { list: "route_table", name: table.clone() };
                redirected(of(&section)?, destination, target)
                    .ok_or_else(|| other(&section, "routes"))?
            }
            Self::Append(sections) => {
                appended(text, root.get_ref(), sections).ok_or(EditError::Syntax)?
            }
        };
        Ok(spliced(text, splices))
    }
}

fn other(section: &SectionName, key: &'static str) -> EditError {
    EditError::OtherShape { section: section.clone(), key }
}

/// Changes the target of the route for a destination. The route is no blackhole afterwards,
/// whatever its state was.
fn redirected(table: Found<'_>, destination: &str, target: &str) -> Option<Vec<Splice>> {
    let DeValue::Array(routes) = table.table.get("routes")?.get_ref() else { return None };
    let route = routes.iter().find_map(|route| {
        let DeValue::Table(keys) = route.get_ref() else { return None };
        let own = keys.get("destination")?.get_ref().as_str()?;
        let is_it = own == destination || canonical(own).as_deref() == Some(destination);
        is_it.then(|| Found { text: table.text, table: keys, span: route.span() })
    })?;
    let mut splices = vec![route.with_key("target", &format!("\"{target}\""))];
    if route.table.contains_key("state") {
        splices.push(route.with_key("state", "\"active\""));
    }
    Some(splices)
}

/// Returns the canonical text of a block.
fn canonical(block: &str) -> Option<String> {
    let block: ipnetwork::Ipv4Network = block.parse().ok()?;
    Some(format!("{}/{}", block.network(), block.prefix()))
}

#[cfg(test)]
mod tests;
