//! Reads a resource's attributes: known, absent, or unknown until the apply and then the objects
//! that its expression refers to.

use super::address::{Index, Step};
use super::document::{Resource, wrong_type};
use super::references::{Candidate, References};
use crate::config::import::{Findings, ImportError, Origin};
use ipnetwork::Ipv4Network;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The reason why an attribute has no value.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The document is wrong.
    Error(ImportError),
    /// The plan does not know it yet, and its configuration leaves it open.
    Unknown {
        /// Its place.
        origin: Origin,
        /// The fact, such as `subnet_id is known only after the apply (local.subnets)`.
        what: String,
    },
    /// An IPv6 block where an IPv4 one could be.
    Ipv6 {
        /// Its place.
        origin: Origin,
    },
}

impl From<ImportError> for Trouble {
    fn from(error: ImportError) -> Self {
        Self::Error(error)
    }
}

/// A resource, or a block within one.
#[derive(Clone)]
pub(super) struct Block<'a> {
    pub(super) resource: &'a Resource,
    references: &'a References<'a>,
    /// The guesses that were made.
    guesses: &'a RefCell<Findings>,
    values: &'a Value,
    unknown: &'a Value,
    path: Vec<Step>,
    /// The number of blocks of its name.
    siblings: usize,
    /// Its place in the source.
    pub(super) origin: Origin,
}

impl<'a> Block<'a> {
    pub(super) fn of(
        resource: &'a Resource,
        references: &'a References<'a>,
        guesses: &'a RefCell<Findings>,
    ) -> Self {
        Self {
            resource,
            references,
            guesses,
            values: &resource.values,
            unknown: &resource.unknown,
            path: Vec::new(),
            siblings: 1,
            origin: resource.origin.clone(),
        }
    }

    /// Returns an attribute's value, if it is known and not null.
    fn value(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Decides whether an attribute, or a part of it, is known only after the apply.
    fn is_unknown(&self, key: &str) -> bool {
        fn has_true(value: &Value) -> bool {
            match value {
                Value::Bool(unknown) => *unknown,
                Value::Array(elements) => elements.iter().any(has_true),
                Value::Object(members) => members.values().any(has_true),
                Value::Null | Value::Number(_) | Value::String(_) => false,
            }
        }
        if *self.unknown == Value::Bool(true) {
            return self.value(key).is_none();
        }
        self.unknown.get(key).is_some_and(has_true)
    }

    /// Returns a string; numbers and booleans are converted as Terraform does. `None` if it is null
    /// or empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Trouble> {
        match self.value(key) {
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(value)) => Ok(Some(value.to_string())),
            Some(other) => Err(wrong_type(&self.origin.member(key), other, "a string").into()),
            None if self.is_open(key) => Err(self.open(key, None)),
            None => Ok(None),
        }
    }

    /// Returns a string that is only a label: an unknown one counts as absent.
    pub(super) fn label(&self, key: &str) -> Option<String> {
        Some(self.value(key)?.as_str()?.to_owned()).filter(|text| !text.is_empty())
    }

    /// Returns the `Name` tag.
    pub(super) fn name(&self) -> Option<String> {
        let tags = self.value("tags").or_else(|| self.value("tags_all"))?;
        Some(tags.get("Name")?.as_str()?.to_owned()).filter(|name| !name.is_empty())
    }

    /// Returns the id of one other object, of one of these types.
    pub(super) fn id(&self, key: &str, kinds: &[&str]) -> Result<Option<String>, Trouble> {
        if !self.is_unknown(key) {
            return self.text(key);
        }
        let Some(mut candidates) = self.candidates(key, kinds)? else { return self.text(key) };
        if candidates.ids.len() > 1 {
            let why = format!("it may be {}", candidates.ids.join(" or "));
            return Err(self.open(key, Some(&why)));
        }
        if candidates.guessed {
            self.guess(key, &candidates.ids);
        }
        Ok(candidates.ids.pop())
    }

    /// Returns an id that must exist.
    pub(super) fn needed_id(&self, key: &str, kinds: &[&str]) -> Result<String, Trouble> {
        self.id(key, kinds)?.ok_or_else(|| self.lacks(key))
    }

    /// Returns ids of other objects. A list keeps a null for each unknown element; a set with one
    /// of them is unknown as a whole.
    pub(super) fn ids(&self, key: &str, kinds: &[&str]) -> Result<Vec<String>, Trouble> {
        if !self.is_unknown(key) {
            return self.strings(key);
        }
        let Some(candidates) = self.candidates(key, kinds)? else { return self.strings(key) };
        let (found, elements) = (candidates.ids.len(), self.elements(key)?);
        let nulls = elements.iter().filter(|element| element.is_null()).count();
        let guess = match (nulls, &candidates.known) {
            (0, Some(known)) => {
                let why = format!("its expression also has {known}, which may choose or add");
                return Err(self.open(key, Some(&why)));
            }
            (0, None) if candidates.shared && found > 1 && self.siblings > 1 => {
                let all = candidates.ids.join(", ");
                let why = format!("it may be any of {all}, which all its like have together");
                return Err(self.open(key, Some(&why)));
            }
            (0, None) => candidates.guessed || candidates.sources > 1,
            (nulls, _) if nulls == found => candidates.guessed,
            (nulls, _) => {
                let why = format!("{nulls} of {}", candidates.ids.join(", "));
                return Err(self.open(key, Some(&why)));
            }
        };
        if guess {
            self.guess(key, &candidates.ids);
        }
        let mut ids = self.known_strings(key)?;
        for id in candidates.ids {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Returns strings, all of which must be known; none if AWS computes them.
    pub(super) fn strings(&self, key: &str) -> Result<Vec<String>, Trouble> {
        if self.is_unknown(key) && (self.value(key).is_some() || self.is_open(key)) {
            return Err(self.open(key, None));
        }
        self.known_strings(key)
    }

    fn elements(&self, key: &str) -> Result<&'a [Value], Trouble> {
        match self.value(key) {
            None => Ok(&[]),
            Some(Value::Array(elements)) => Ok(elements),
            Some(other) => {
                Err(wrong_type(&self.origin.member(key), other, "a list of strings").into())
            }
        }
    }

    fn known_strings(&self, key: &str) -> Result<Vec<String>, Trouble> {
        let place = self.origin.member(key);
        let elements = self.elements(key)?;
        let mut found = Vec::with_capacity(elements.len());
        for (position, element) in elements.iter().enumerate().filter(|(_, e)| !e.is_null()) {
            let place = place.element(position);
            let text = element.as_str().ok_or_else(|| wrong_type(&place, element, "a string"))?;
            found.push(text.to_owned());
        }
        Ok(found)
    }

    /// Returns the objects that an unknown attribute refers to, at least one; `None` if its
    /// expression is not in the configuration.
    fn candidates(&self, key: &str, kinds: &[&str]) -> Result<Option<Found>, Trouble> {
        let mut path = self.path.clone();
        path.push(Step::Name(key.to_owned()));
        let Some(candidates) = self.references.of_attribute(self.resource, &path) else {
            return Ok(None);
        };
        let of_a_kind =
            |one: &Candidate| one.kind.as_deref().is_none_or(|kind| kinds.contains(&kind));
        let found: Vec<_> = candidates.found.into_iter().filter(of_a_kind).collect();
        if let Some(lost) = candidates.lost {
            return Err(self.open(key, Some(&format!("its expression has {lost}"))));
        }
        if found.is_empty() {
            return Err(self.open(key, None));
        }
        let sources: BTreeSet<&str> = found.iter().map(|one| one.source.as_str()).collect();
        Ok(Some(Found {
            sources: sources.len(),
            ids: found.into_iter().map(|one| one.id).collect(),
            known: candidates.known,
            shared: candidates.shared,
            guessed: candidates.guessed,
        }))
    }

    fn guess(&self, key: &str, ids: &[String]) {
        self.guesses.borrow_mut().assumed(
            self.object(),
            &self.origin.member(key),
            format!("{key} is known only after the apply"),
            format!("{}, as its expression refers to them", ids.join(", ")),
        );
    }

    /// Decides whether an attribute is unknown although it was given: AWS computes the others.
    fn is_open(&self, key: &str) -> bool {
        self.is_unknown(key) && self.is_given(key)
    }

    /// Decides whether the user set an attribute. The configuration does not show `dynamic` blocks;
    /// those of [`GIVEN`] have nothing that AWS would compute.
    fn is_given(&self, key: &str) -> bool {
        if let Some(Step::Name(first)) = self.path.first()
            && GIVEN.contains(&first.as_str())
        {
            return true;
        }
        let mut path = self.path.clone();
        path.push(Step::Name(key.to_owned()));
        self.references.of_attribute(self.resource, &path).is_some()
    }

    /// Returns a number, if it exists; Terraform has some as strings.
    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, Trouble> {
        let place = self.origin.member(key);
        match self.value(key) {
            Some(Value::Number(number)) => match number.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(place.error(format!("{number} is not a whole number"), WAY_OUT).into()),
            },
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => {
                    Err(place.error(format!("{text:?} is not a whole number"), WAY_OUT).into())
                }
            },
            Some(other) => Err(wrong_type(&place, other, "a number").into()),
            None if self.is_open(key) => Err(self.open(key, None)),
            None => Ok(None),
        }
    }

    /// Returns a boolean, if it exists.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Trouble> {
        match self.value(key) {
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong_type(&self.origin.member(key), other, "a boolean").into()),
            None if self.is_open(key) => Err(self.open(key, None)),
            None => Ok(None),
        }
    }

    /// Returns an IPv4 block.
    pub(super) fn cidr(&self, key: &str) -> Result<Option<Ipv4Network>, Trouble> {
        self.text(key)?.map(|text| cidr(&self.origin.member(key), &text)).transpose()
    }

    /// Returns an IPv4 block that must exist.
    pub(super) fn needed_cidr(&self, key: &str) -> Result<Ipv4Network, Trouble> {
        self.cidr(key)?.ok_or_else(|| self.lacks(key))
    }

    /// Returns an IPv4 address.
    pub(super) fn address(&self, key: &str) -> Result<Option<Ipv4Addr>, Trouble> {
        match self.text(key)? {
            Some(text) => Ok(Some(self.origin.member(key).address(&text)?)),
            None => Ok(None),
        }
    }

    /// Returns the blocks of one name; a single block may also be an object.
    pub(super) fn blocks(&self, key: &str) -> Result<Vec<Self>, Trouble> {
        let unknown = self.unknown.get(key).unwrap_or(&Value::Null);
        let place = self.origin.member(key);
        match self.value(key) {
            None if self.is_open(key) => Err(self.open(key, None)),
            None => Ok(Vec::new()),
            Some(values @ Value::Object(_)) => Ok(vec![self.inner(key, 0, values, unknown, place)]),
            Some(Value::Array(elements)) => elements
                .iter()
                .enumerate()
                .map(|(position, values)| {
                    let place = place.element(position);
                    if values.is_null() && unknown.get(position) == Some(&Value::Bool(true)) {
                        return Err(self.open(key, None));
                    }
                    if !values.is_object() {
                        return Err(wrong_type(&place, values, "an object").into());
                    }
                    let unknown = unknown.get(position).unwrap_or(&Value::Null);
                    let inner = self.inner(key, position, values, unknown, place);
                    Ok(Self { siblings: elements.len(), ..inner })
                })
                .collect(),
            Some(other) => Err(wrong_type(&place, other, "a list of objects").into()),
        }
    }

    fn inner(
        &self,
        key: &str,
        position: usize,
        values: &'a Value,
        unknown: &'a Value,
        origin: Origin,
    ) -> Self {
        let mut path = self.path.clone();
        path.push(Step::Name(key.to_owned()));
        path.push(Step::Index(Index::Count(position as u64)));
        Self { values, unknown, path, origin, ..self.clone() }
    }

    /// Returns kind and id, for findings.
    pub(super) fn object(&self) -> String {
        object(self.resource)
    }

    /// Returns the trouble of a missing attribute.
    pub(super) fn lacks(&self, key: &str) -> Trouble {
        if self.is_unknown(key) {
            return self.open(key, None);
        }
        self.origin.error(format!("no {key}"), WAY_OUT).into()
    }

    fn open(&self, key: &str, why: Option<&str>) -> Trouble {
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        Trouble::Unknown {
            origin: self.origin.member(key),
            what: format!("{key} is known only after the apply{why}"),
        }
    }
}

/// The result of an unknown attribute's references.
struct Found {
    /// Each once, in the expression's order.
    ids: Vec<String>,
    /// The number of resources that they are of; instances count once.
    sources: usize,
    /// A known value that the expression has too.
    known: Option<String>,
    /// Says that all blocks of the name have one expression.
    shared: bool,
    /// Says that instances were taken together, or one of them by its index.
    guessed: bool,
}

/// Attributes that are written as blocks (Terraform's "attributes as blocks"): AWS computes the
/// whole of one, or nothing.
const GIVEN: [&str; 3] = ["ingress", "egress", "route"];

const WAY_OUT: &str = "give the unchanged output of: terraform show -json [PLAN]";

/// Parses an IPv4 block; an IPv6 one is a trouble of its own.
pub(super) fn cidr(origin: &Origin, text: &str) -> Result<Ipv4Network, Trouble> {
    if text.contains(':') && text.parse::<ipnetwork::Ipv6Network>().is_ok() {
        return Err(Trouble::Ipv6 { origin: origin.clone() });
    }
    Ok(origin.cidr(text)?)
}

/// Returns kind and id, such as `aws_subnet subnet-0a1b (module.net.aws_subnet.a)`. The origin adds
/// the address.
pub(super) fn object(resource: &Resource) -> String {
    let data = if resource.data { "data " } else { "" };
    let id = resource.id();
    if id == resource.address {
        return format!("{data}{}", resource.kind);
    }
    format!("{data}{} {id}", resource.kind)
}
