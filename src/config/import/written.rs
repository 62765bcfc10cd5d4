//! How a source is written, and what it calls the objects of the lab: for changes in the source's own words.

use super::{Account, Format, Origin};
use crate::config::names::Kind;
use crate::vpc::Line;
use std::collections::{BTreeMap, BTreeSet};

/// What a source says of itself beyond what EC2 would say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The format; `None` of an account that no importer has read.
    pub format: Option<Format>,
    /// True of a CloudFormation template in JSON.
    pub is_json: bool,
    /// The names that are taken: logical ids of a template, addresses of Terraform without their indices.
    pub names: BTreeSet<String>,
    /// The ids of objects that have rules, routes or entries as resources of their own.
    pub apart: BTreeSet<String>,
    /// The ids of objects that have rules, routes or entries within them.
    pub inline: BTreeSet<String>,
    /// The conditions of a template's resources, by logical id.
    pub conditions: BTreeMap<String, String>,
    /// The ARNs of services, by name.
    pub service_arns: BTreeMap<String, String>,
    /// The versions of prefix lists, by id.
    pub list_versions: BTreeMap<String, i64>,
    /// The most entries that prefix lists may have, by id.
    pub list_sizes: BTreeMap<String, i64>,
}

/// A source with what the lab calls its objects.
#[derive(Clone, Debug)]
pub struct Source {
    /// The objects.
    pub account: Account,
    ids: BTreeMap<(Kind, String), String>,
    origins: BTreeMap<Line, Origin>,
}

impl Source {
    pub(super) fn new(
        account: Account,
        ids: BTreeMap<(Kind, String), String>,
        origins: BTreeMap<Line, Origin>,
    ) -> Self {
        Self { account, ids, origins }
    }

    /// Returns the id that an object of the lab has in the source; `None` if the source has no such object.
    pub fn id(&self, kind: Kind, word: &str) -> Option<&str> {
        self.ids.get(&(kind, word.to_owned())).map(String::as_str)
    }

    /// Returns the place in the source of what a line of the lab file says.
    pub fn place(&self, line: Line) -> Option<&Origin> {
        self.origins.range(..=line).next_back().map(|(_, origin)| origin)
    }
}
