//! The value of a template's expression. A template does not have the ids and addresses that AWS
//! will choose, so texts may contain references, and whole values may be unknown.

use super::fault::Fault;
use super::tree::Place;
use std::fmt;

/// The marks around a reference: non-characters of Unicode, which no template has.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';

/// Returns a text of the template or of the user in which nothing can be mistaken for a reference.
pub(super) fn without_marks(text: String) -> String {
    if text.contains([OPEN, CLOSE]) { text.replace([OPEN, CLOSE], "\u{fffd}") } else { text }
}

/// A value, and the place of its expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) place: Place,
    pub(super) kind: ValueKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// `AWS::NoValue`, or null: as if the property did not exist.
    Absent,
    Text(Text),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    Unknown(Unknown),
}

/// The reason why the template does not decide a value, and how to give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) what: String,
    pub(super) help: String,
}

impl Value {
    pub(super) fn absent(place: Place) -> Self {
        Self { place, kind: ValueKind::Absent }
    }

    pub(super) fn text(place: Place, text: impl Into<String>) -> Self {
        Self { place, kind: ValueKind::Text(Text::literal(text)) }
    }

    pub(super) fn reference(place: Place, resource: &str, attribute: Option<&str>) -> Self {
        Self { place, kind: ValueKind::Text(Text::reference(resource, attribute)) }
    }

    pub(super) fn unknown(place: Place, what: impl Into<String>, help: impl Into<String>) -> Self {
        let unknown = Unknown { what: what.into(), help: help.into() };
        Self { place, kind: ValueKind::Unknown(unknown) }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.kind == ValueKind::Absent
    }

    /// Returns its kind in words.
    pub(super) fn noun(&self) -> &'static str {
        match &self.kind {
            ValueKind::Absent => "nothing",
            ValueKind::Text(_) => "a string",
            ValueKind::List(_) => "a list",
            ValueKind::Map(_) => "a map",
            ValueKind::Unknown(_) => "an unknown value",
        }
    }
}

/// The result of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Holds,
    Fails,
    Unknown(Unknown),
}

impl From<bool> for State {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// A string with references to values that AWS will choose.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(String);

/// The physical id of a resource, or one of its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'t> {
    pub(super) resource: &'t str,
    pub(super) attribute: Option<&'t str>,
}

impl Text {
    pub(super) fn literal(text: impl Into<String>) -> Self {
        Self(without_marks(text.into()))
    }

    fn reference(resource: &str, attribute: Option<&str>) -> Self {
        let dot = if attribute.is_some() { "." } else { "" };
        Self(format!("{OPEN}{resource}{dot}{}{CLOSE}", attribute.unwrap_or_default()))
    }

    /// Returns all of it, if it has no reference.
    pub(super) fn as_literal(&self) -> Option<&str> {
        (!self.0.contains(OPEN)).then_some(&*self.0)
    }

    /// Returns the one reference that it consists of.
    pub(super) fn as_reference(&self) -> Option<Reference<'_>> {
        let inner = self.0.strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
        (!inner.contains(OPEN)).then(|| referenced(inner))
    }

    /// Returns the first resource that it refers to, if any.
    pub(super) fn first_reference(&self) -> Option<Reference<'_>> {
        let (_, rest) = self.0.split_once(OPEN)?;
        rest.split_once(CLOSE).map(|(inner, _)| referenced(inner))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn join(parts: &[Self], delimiter: &Self) -> Self {
        let parts: Vec<&str> = parts.iter().map(|part| &*part.0).collect();
        Self(parts.join(&delimiter.0))
    }

    pub(super) fn push(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Returns the parts between delimiters. Delimiters within references do not count.
    pub(super) fn split(&self, delimiter: &str) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut part = String::new();
        let mut rest = &*self.0;
        while let Some(first) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix(delimiter) {
                parts.push(Self(std::mem::take(&mut part)));
                rest = after;
                continue;
            }
            let end = match first {
                OPEN => rest.find(CLOSE).map_or(rest.len(), |at| at + CLOSE.len_utf8()),
                other => other.len_utf8(),
            };
            let (taken, after) = rest.split_at(end);
            part.push_str(taken);
            rest = after;
        }
        parts.push(Self(part));
        parts
    }
}

fn referenced(inner: &str) -> Reference<'_> {
    match inner.split_once('.') {
        Some((resource, attribute)) => Reference { resource, attribute: Some(attribute) },
        None => Reference { resource: inner, attribute: None },
    }
}

/// Shows references by the name of their object.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace([OPEN, CLOSE], ""))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.replace(OPEN, "\u{27e8}").replace(CLOSE, "\u{27e9}"))
    }
}

/// The literal text of a value, for a computation.
pub(super) enum Literal<'v> {
    Text(&'v str),
    Unknown(Unknown),
}

impl Value {
    /// Returns the literal text of an argument of a function.
    pub(super) fn literal(&self, of: &str) -> Result<Literal<'_>, Fault> {
        match &self.kind {
            ValueKind::Text(text) => Ok(match (text.as_literal(), text.first_reference()) {
                (Some(text), _) => Literal::Text(text),
                (None, reference) => Literal::Unknown(known_later(reference)),
            }),
            ValueKind::Unknown(unknown) => Ok(Literal::Unknown(unknown.clone())),
            ValueKind::Absent | ValueKind::List(_) | ValueKind::Map(_) => Err(Fault::new(
                self.place,
                format!("{of} is {} here", self.noun()),
                "a string or a number is expected",
            )),
        }
    }
}

/// Makes the unknown value of something that only a deployed stack has.
pub(super) fn known_later(reference: Option<Reference<'_>>) -> Unknown {
    let what = match reference {
        Some(Reference { resource, attribute: None }) => {
            format!(
                "it depends on the id of {resource}, which AWS chooses when the stack is created"
            )
        }
        Some(Reference { resource, attribute: Some(attribute) }) => format!(
            "it depends on {attribute} of {resource}, which is known when the stack is created"
        ),
        None => "it is known when the stack is created".to_owned(),
    };
    Unknown { what, help: "import the deployed VPC from aws ec2 describe-* output".to_owned() }
}

/// Returns the first unknown value within a value.
pub(super) fn unknown_in(value: &Value) -> Option<Unknown> {
    match &value.kind {
        ValueKind::Unknown(unknown) => Some(unknown.clone()),
        ValueKind::Absent => None,
        ValueKind::Text(text) => {
            text.first_reference().map(|reference| known_later(Some(reference)))
        }
        ValueKind::List(items) => items.iter().find_map(unknown_in),
        ValueKind::Map(members) => members.iter().find_map(|(_, value)| unknown_in(value)),
    }
}
