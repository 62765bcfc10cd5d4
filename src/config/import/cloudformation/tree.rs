//! The tree of a template's text: scalars, lists and maps with their places, for JSON and YAML
//! alike.

/// A place in the text: line and column from 1, and the byte that distinguishes two places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) line: usize,
    pub(super) column: usize,
    /// Says that it is a key's place: a map without braces begins at its first key.
    pub(super) is_key: bool,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: NodeKind,
}

/// The kind of a node. CloudFormation compares and passes on numbers and booleans as text, so they
/// are text here.
#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<MapMember>),
}

/// A member of a map.
#[derive(Clone, Debug)]
pub(super) struct MapMember {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar(text) => Some(text),
            NodeKind::Null | NodeKind::List(_) | NodeKind::Map(_) => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match &self.kind {
            NodeKind::List(items) => Some(items),
            NodeKind::Null | NodeKind::Scalar(_) | NodeKind::Map(_) => None,
        }
    }

    /// Returns the members of a map; null has none.
    pub(super) fn map(&self) -> Option<&[MapMember]> {
        match &self.kind {
            NodeKind::Map(entries) => Some(entries),
            NodeKind::Null => Some(&[]),
            NodeKind::Scalar(_) | NodeKind::List(_) => None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.map()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Returns the only member of a map that has one member.
    pub(super) fn only(&self) -> Option<&MapMember> {
        match self.map()? {
            [entry] => Some(entry),
            _ => None,
        }
    }

    /// Returns its kind in words.
    pub(super) fn noun(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Scalar(_) => "a scalar",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a map",
        }
    }

    /// Returns the path of the node at a place, such as `Resources.Net.Properties.Tags[0]`; empty
    /// for the root, and if no node is there. A node that an alias repeats has the path of the
    /// original.
    pub(super) fn path_to(&self, place: Place) -> String {
        let mut path = String::new();
        if self.find(place, &mut path) { path } else { String::new() }
    }

    /// Adds the path to a place; leaves `path` unchanged if the place is not in this node.
    fn find(&self, place: Place, path: &mut String) -> bool {
        if self.place == place {
            return true;
        }
        let before = path.len();
        match &self.kind {
            NodeKind::Null | NodeKind::Scalar(_) => return false,
            NodeKind::List(items) => {
                for (position, item) in items.iter().enumerate() {
                    path.push_str(&format!("[{position}]"));
                    if item.find(place, path) {
                        return true;
                    }
                    path.truncate(before);
                }
            }
            NodeKind::Map(entries) => {
                for entry in entries {
                    let dot = if before == 0 { "" } else { "." };
                    path.push_str(&format!("{dot}{}", entry.key));
                    if entry.place == place || entry.value.find(place, path) {
                        return true;
                    }
                    path.truncate(before);
                }
            }
        }
        false
    }
}
