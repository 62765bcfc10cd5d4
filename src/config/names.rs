//! Collects all ids and names that the lab file declares, before anything else is read, so that a
//! broken object does not make each reference to it dangle.

use super::diagnostic::{At, Report, Span};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// The kind of object that an id or name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ObjectKind {
    Vpc,
    Subnet,
    RouteTable,
    InternetGateway,
    NatGateway,
    VpcEndpoint,
    Peering,
    NetworkInterface,
    SecurityGroup,
    PrefixList,
    NetworkAcl,
    Resource,
    InternetHost,
    Connector,
    Service,
}

impl ObjectKind {
    const ALL: [Self; 15] = [
        Self::Vpc,
        Self::Subnet,
        Self::RouteTable,
        Self::InternetGateway,
        Self::NatGateway,
        Self::VpcEndpoint,
        Self::Peering,
        Self::NetworkInterface,
        Self::SecurityGroup,
        Self::PrefixList,
        Self::NetworkAcl,
        Self::Resource,
        Self::InternetHost,
        Self::Connector,
        Self::Service,
    ];

    /// The kinds that a route may name.
    pub(super) const ROUTE_TARGETS: [Self; 5] = [
        Self::InternetGateway,
        Self::NatGateway,
        Self::VpcEndpoint,
        Self::Peering,
        Self::NetworkInterface,
    ];

    /// Returns the word for it.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Vpc => "VPC",
            Self::Subnet => "subnet",
            Self::RouteTable => "route table",
            Self::InternetGateway => "internet gateway",
            Self::NatGateway => "NAT gateway",
            Self::VpcEndpoint => "VPC endpoint",
            Self::Peering => "peering connection",
            Self::NetworkInterface => "network interface",
            Self::SecurityGroup => "security group",
            Self::PrefixList => "prefix list",
            Self::NetworkAcl => "network ACL",
            Self::Resource => "resource",
            Self::InternetHost => "internet host",
            Self::Connector => "VPC connector",
            Self::Service => "service",
        }
    }

    /// Returns the section that declares it, and the key of the id in it.
    const fn declared_by(self) -> (&'static str, &'static str) {
        match self {
            Self::Vpc => ("vpc", "id"),
            Self::Subnet => ("subnet", "id"),
            Self::RouteTable => ("route_table", "id"),
            Self::InternetGateway => ("vpc", "internet_gateway"),
            Self::NatGateway => ("nat_gateway", "id"),
            Self::VpcEndpoint => ("vpc_endpoint", "id"),
            Self::Peering => ("vpc_peering_connection", "id"),
            Self::NetworkInterface => ("resource", "network_interface"),
            Self::SecurityGroup => ("security_group", "id"),
            Self::PrefixList => ("prefix_list", "id"),
            Self::NetworkAcl => ("network_acl", "id"),
            Self::Resource => ("resource", "name"),
            Self::InternetHost => ("internet_host", "name"),
            Self::Connector => ("vpc_connector", "name"),
            Self::Service => ("service", "name"),
        }
    }

    /// Returns the number of its set of ids. Kinds with the same number may not share an id,
    /// because one key may name either.
    pub(super) const fn namespace(self) -> u8 {
        match self {
            Self::InternetGateway
            | Self::NatGateway
            | Self::VpcEndpoint
            | Self::Peering
            | Self::NetworkInterface => 0,
            Self::SecurityGroup | Self::PrefixList => 1,
            Self::Resource | Self::InternetHost => 2,
            Self::Vpc => 3,
            Self::Subnet => 4,
            Self::RouteTable => 5,
            Self::NetworkAcl => 6,
            Self::Connector => 7,
            Self::Service => 8,
        }
    }
}

/// The declared ids and names of each kind.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<ObjectKind, BTreeMap<String, Span>>);

impl Names {
    /// Collects them, and reports those declared twice.
    pub(super) fn collect(root: &DeTable<'_>, report: &Report) -> Self {
        let mut declared: Vec<(ObjectKind, At<&str>)> = ObjectKind::ALL
            .into_iter()
            .flat_map(|kind| {
                let (section, key) = kind.declared_by();
                tables(root, section)
                    .filter_map(move |table| string(table, key))
                    .map(move |at| (kind, at))
            })
            .collect();
        declared.sort_by_key(|(_, at)| at.span.start);
        let mut names = Self::default();
        for (kind, at) in declared {
            names.declare(kind, at, report);
        }
        names.imply_default_groups(root);
        names
    }

    fn declare(&mut self, kind: ObjectKind, at: At<&str>, report: &Report) {
        let earlier = ObjectKind::ALL
            .into_iter()
            .filter(|other| other.namespace() == kind.namespace())
            .find_map(|other| Some((other, *self.0.get(&other)?.get(at.value)?)));
        match earlier {
            Some((other, span)) => report.error(
                at.span,
                "duplicate-id",
                format!(
                    "{} {:?} is already the name of the {} on line {}",
                    kind.noun(),
                    at.value,
                    other.noun(),
                    report.line(span)
                ),
                "give one of the two another name",
            ),
            None => {
                self.0.entry(kind).or_default().insert(at.value.to_owned(), at.span);
            }
        }
    }

    /// Adds the default group of each VPC whose file names none (spec 4.2).
    fn imply_default_groups(&mut self, root: &DeTable<'_>) {
        let named: Vec<&str> = tables(root, "security_group")
            .filter(|table| {
                table.get("default").and_then(|v| v.get_ref().as_bool()).unwrap_or(false)
            })
            .filter_map(|table| Some(string(table, "vpc")?.value))
            .collect();
        let implied: Vec<_> = tables(root, "vpc")
            .filter_map(|table| string(table, "id"))
            .filter(|id| !named.contains(&id.value))
            .map(|id| (default_id(id.value), id.span))
            .collect();
        self.0.entry(ObjectKind::SecurityGroup).or_default().extend(implied);
    }

    /// Returns the kind of an id, of these kinds.
    pub(super) fn kind_of(&self, kinds: &[ObjectKind], id: &str) -> Option<ObjectKind> {
        kinds.iter().copied().find(|kind| self.0.get(kind).is_some_and(|ids| ids.contains_key(id)))
    }

    /// Reports an id that nothing declares.
    pub(super) fn report_dangling(&self, report: &Report, id: &At<String>, kinds: &[ObjectKind]) {
        let noun = match kinds {
            [only] => only.noun().to_owned(),
            [first, second] => format!("{} or {}", first.noun(), second.noun()),
            _ => "route target".to_owned(),
        };
        let valid: Vec<&str> = kinds
            .iter()
            .filter_map(|kind| self.0.get(kind))
            .flat_map(|ids| ids.keys().map(String::as_str))
            .collect();
        report.error(
            id.span,
            "dangling-id",
            format!("there is no {noun} {:?}", id.value),
            suggestion(&id.value, &valid),
        );
    }
}

/// Returns the name of the default security group and the default network ACL of a VPC.
pub(super) fn default_id(vpc: &str) -> String {
    format!("{vpc}/default")
}

/// Returns the valid word that the user probably meant.
pub(crate) fn nearest<'v>(word: &str, valid: &[&'v str]) -> Option<&'v str> {
    let alike = by_likeness(word, valid).pop().filter(|(likeness, _)| *likeness >= 0.6);
    let mut begun = valid.iter().filter(|valid| word.len() >= 3 && valid.starts_with(word));
    let alone = begun.next().filter(|_| begun.next().is_none()).copied();
    alike.map(|(_, word)| word).or(alone)
}

/// Sorts the valid words by their likeness to a word, from 0 to 1; the most alike is the last.
pub(crate) fn by_likeness<'v>(word: &str, valid: &[&'v str]) -> Vec<(f64, &'v str)> {
    let likeness = |valid| strsim::normalized_damerau_levenshtein(word, valid);
    let mut all: Vec<_> = valid.iter().map(|valid| (likeness(valid), *valid)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
}

/// The most valid words that are listed.
const MOST_VALID: usize = 40;

/// Returns "did you mean …" and the list of valid words.
pub(crate) fn suggestion(word: &str, valid: &[&str]) -> String {
    let mut list = valid.iter().take(MOST_VALID).copied().collect::<Vec<_>>().join(", ");
    if let Some(left_out) = valid.len().checked_sub(MOST_VALID).filter(|left_out| *left_out > 0) {
        list.push_str(&format!(" and {left_out} more"));
    }
    match nearest(word, valid) {
        _ if valid.is_empty() => "the lab file declares none".to_owned(),
        Some(nearest) => format!("did you mean {nearest:?}? Valid here: {list}"),
        None => format!("valid here: {list}"),
    }
}

/// Returns the end of a message about an unknown word: the known one that is meant, if there is one,
/// and all that are known. `introduction` is such as `it has`.
pub(crate) fn known(word: &str, introduction: &str, valid: &[&str]) -> String {
    let list = match valid.len().checked_sub(MOST_VALID) {
        _ if valid.is_empty() => "none".to_owned(),
        None | Some(0) => valid.join(", "),
        Some(left_out) => format!("{} and {left_out} more", valid[..MOST_VALID].join(", ")),
    };
    match nearest(word, valid) {
        Some(nearest) => format!("; did you mean `{nearest}`? ({introduction} {list})"),
        None => format!("; {introduction} {list}"),
    }
}

fn tables<'t, 'i>(
    root: &'t DeTable<'i>,
    section: &str,
) -> impl Iterator<Item = &'t DeTable<'i>> + use<'t, 'i> {
    let value = root.get(section).map(|value| value.get_ref());
    let one = value.and_then(DeValue::as_table);
    let many = value.and_then(DeValue::as_array);
    let many = many.into_iter().flat_map(|array| array.iter());
    many.filter_map(|value| value.get_ref().as_table()).chain(one)
}

fn string<'t>(table: &'t DeTable<'_>, key: &str) -> Option<At<&'t str>> {
    let value = table.get(key)?;
    Some(At { value: value.get_ref().as_str()?, span: value.span().into() })
}
