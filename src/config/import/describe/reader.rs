//! The account while it is read, and readers of parts that several answers share.

use super::super::json::Node;
use super::super::{Account, Findings, ImportError, Origin, SecurityGroupRule};
use ipnetwork::Ipv4Network;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The account while it is read.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) account: Account,
    pub(super) findings: Findings,
    pub(super) errors: Vec<ImportError>,
    pub(super) seen: BTreeSet<&'static str>,
    /// The first answer about an object, by kind and id.
    pub(super) ids: BTreeMap<(&'static str, String), Value>,
    /// Entries of prefix lists, by list: each call is for one.
    pub(super) entries: BTreeMap<String, (Origin, Vec<Ipv4Network>)>,
    /// `EnableDnsSupport` and `EnableDnsHostnames`, by VPC: each call is for one attribute.
    pub(super) dns: BTreeMap<(String, &'static str), bool>,
    /// Rules of `describe-security-group-rules`, for groups without rules of their own.
    pub(super) rules: Vec<FlatRule>,
    /// Services that `list-services` names and no `describe-service` describes.
    pub(super) listed_services: BTreeMap<String, Origin>,
}

/// A rule of `describe-security-group-rules`.
pub(super) struct FlatRule {
    pub(super) group: String,
    pub(super) is_egress: bool,
    pub(super) rule: SecurityGroupRule,
}

impl Reader {
    /// Decides whether an object is found for the first time: pages and merged files can repeat
    /// one.
    pub(super) fn is_new(&mut self, kind: &'static str, id: &str, node: &Node<'_>) -> bool {
        let key = (kind, id.to_owned());
        let Some(first) = self.ids.get(&key) else {
            self.ids.insert(key, node.value().clone());
            return true;
        };
        let (object, consequence) = (format!("{kind} {id}"), "the first one counts");
        if first == node.value() {
            self.findings.left_out(object, node.origin(), "it is there twice", consequence);
        } else {
            let what = "it is there twice, with differences: were they fetched at different times?";
            self.findings.not_understood(object, node.origin(), what, consequence);
        }
        false
    }
}

/// Reads the `Name` tag, of `Tags` or `TagSet`.
pub(super) fn name_tag(node: &Node<'_>) -> Result<Option<String>, ImportError> {
    let name = tags(node)?.into_iter().find(|(key, _)| key == "Name");
    Ok(name.map(|(_, value)| value).filter(|value| !value.is_empty()))
}

pub(super) fn tags(node: &Node<'_>) -> Result<Vec<(String, String)>, ImportError> {
    let mut tags = node.list("Tags")?;
    tags.extend(node.list("TagSet")?);
    let pair = |tag: &Node<'_>| {
        Ok((tag.string("Key")?.unwrap_or_default(), tag.string("Value")?.unwrap_or_default()))
    };
    tags.iter().map(pair).collect()
}

/// Reads a string two levels down, such as `Status.Code`.
pub(super) fn inner(
    node: &Node<'_>,
    outer: &str,
    key: &str,
) -> Result<Option<String>, ImportError> {
    match node.get(outer)? {
        Some(node) => node.string(key),
        None => Ok(None),
    }
}
