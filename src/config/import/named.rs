//! The source's names of the lab's objects, for changes in the source's own words.

use super::{Account, Origin};
use crate::config::names::ObjectKind;
use crate::vpc::Line;
use std::collections::BTreeMap;

/// A source with the lab's names of its objects.
#[derive(Clone, Debug)]
pub struct Source {
    /// The objects.
    pub account: Account,
    ids: BTreeMap<(ObjectKind, String), String>,
    origins: BTreeMap<Line, Origin>,
}

impl Source {
    pub(super) fn new(
        account: Account,
        ids: BTreeMap<(ObjectKind, String), String>,
        origins: BTreeMap<Line, Origin>,
    ) -> Self {
        Self { account, ids, origins }
    }

    /// Returns the id that an object of the lab has in the source; `None` if the source has no such
    /// object.
    pub fn id(&self, kind: ObjectKind, word: &str) -> Option<&str> {
        self.ids.get(&(kind, word.to_owned())).map(String::as_str)
    }

    /// Returns the place in the source that a line of the lab file comes from.
    pub fn place(&self, line: Line) -> Option<&Origin> {
        self.origins.range(..=line).next_back().map(|(_, origin)| origin)
    }
}
