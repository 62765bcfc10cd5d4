//! Reads properties of resources as the types of the account. A wrong or unknown value is reported
//! where it is read, with the substitute of a lenient import.

use super::evaluate::Evaluate;
use super::fault::Fault;
use super::properties::{Stray, strays_of_part, strays_of_type};
use super::scope::Scope;
use super::template::Resource;
use super::tree::{Node, Place};
use super::value::{Text, Unknown, Value, ValueKind, known_later};
use crate::config::import::{Account, Findings, ImportError, Origin};
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The account that a template makes, while its resources are read.
pub(super) struct Mapper<'s, 't> {
    pub(super) scope: &'s Scope<'t>,
    pub(super) file: Origin,
    pub(super) account: Account,
    pub(super) findings: Findings,
    pub(super) faults: Vec<Fault>,
    /// Security groups that still have the egress rule of a new group in EC2.
    pub(super) default_egress: BTreeSet<String>,
    /// Database clusters that an instance of the template is in.
    pub(super) clusters: BTreeSet<String>,
    /// The logical ids of the account's private zones, in the same order.
    pub(super) zones: Vec<String>,
    /// The ports of load balancers, such as `443/tcp`.
    pub(super) listeners: BTreeMap<String, Vec<String>>,
}

/// A resource, or a part of one, whose properties have been evaluated.
pub(super) struct Object {
    /// The kind and id, such as `route table Private`.
    pub(super) label: String,
    /// The logical id.
    pub(super) id: String,
    pub(super) place: Place,
    pub(super) origin: Origin,
    /// The start of the paths of its properties.
    properties_origin: Origin,
    /// The substitute of a lenient import if this cannot be read.
    pub(super) otherwise: String,
    /// A property that has a fault has no value.
    properties: Vec<(String, Option<Value>)>,
}

/// Marks a missing value whose reason has been reported to the user.
pub(super) struct Reported;

/// A property's value, if it exists.
pub(super) type Property<T> = Result<Option<T>, Reported>;

impl<'s, 't> Mapper<'s, 't> {
    /// Evaluates the named properties of a resource.
    pub(super) fn object(&mut self, resource: &Resource<'t>, noun: &str, names: &[&str]) -> Object {
        let mut properties = Vec::new();
        for name in names {
            let Some(node) = resource.property(name) else { continue };
            let value = self.scope.value(node);
            let value = value.map_err(|fault| self.faults.push(fault)).ok();
            properties.push(((*name).to_owned(), value));
        }
        Object {
            label: format!("{noun} {}", resource.id),
            id: resource.id.to_owned(),
            place: resource.place,
            origin: self.origin(resource),
            properties_origin: self.origin(resource).member("Properties"),
            otherwise: format!("the {noun} is left out"),
            properties,
        }
    }

    /// Reports the properties of a resource that its type does not have.
    pub(super) fn properties_of_type(&mut self, resource: &Resource<'t>) {
        let label = format!("{} {}", resource.kind, resource.id);
        let origin = self.origin(resource).member("Properties");
        let entries = resource.properties().and_then(Node::map).unwrap_or_default();
        let named = entries.iter().map(|entry| (&*entry.key, entry.value.place));
        self.report_strays(&label, &origin, strays_of_type(resource.kind, named));
    }

    fn report_strays(&mut self, label: &str, origin: &Origin, strays: Vec<Stray>) {
        for stray in strays {
            match stray {
                Stray::Refused(fault) => self.faults.push(fault),
                Stray::Unlisted { key, what, consequence } => {
                    self.findings.not_understood(label, &origin.member(&key), what, consequence);
                }
            }
        }
    }

    pub(super) fn origin(&self, resource: &Resource<'_>) -> Origin {
        self.file.at(format!("Resources.{}", resource.id))
    }

    /// Returns the `Name` tag, as far as it is known.
    pub(super) fn name_tag(&self, resource: &Resource<'_>) -> Option<String> {
        let tags = resource.property("Tags")?.list()?;
        let name =
            tags.iter().find(|tag| tag.get("Key").and_then(|key| key.scalar()) == Some("Name"))?;
        self.aside(name.get("Value")?)
    }

    /// Returns a text that no verdict depends on, as far as it is known.
    pub(super) fn label(&self, resource: &Resource<'_>, property: &str) -> Option<String> {
        self.aside(resource.property(property)?)
    }

    fn aside(&self, node: &Node) -> Option<String> {
        let value = self.scope.aside(|| self.scope.value(node)).ok()?;
        match &value.kind {
            ValueKind::Text(text) => Some(text.to_string()),
            ValueKind::Absent | ValueKind::List(_) | ValueKind::Map(_) | ValueKind::Unknown(_) => {
                None
            }
        }
    }

    /// Returns a value unchanged, if it is known.
    fn known<'o>(&mut self, object: &'o Object, name: &str) -> Property<&'o Value> {
        let Some((_, value)) = object.properties.iter().find(|(property, _)| property == name)
        else {
            return Ok(None);
        };
        let value = value.as_ref().ok_or(Reported)?;
        match &value.kind {
            ValueKind::Absent => Ok(None),
            ValueKind::Unknown(unknown) => Err(self.unknown(object, name, unknown)),
            ValueKind::Text(_) | ValueKind::List(_) | ValueKind::Map(_) => Ok(Some(value)),
        }
    }

    /// Decides whether a property exists, known or not.
    pub(super) fn has(&self, object: &Object, name: &str) -> bool {
        let value = object.properties.iter().find(|(property, _)| property == name);
        value.is_some_and(|(_, value)| value.as_ref().is_none_or(|value| !value.is_absent()))
    }

    /// Returns a string that must be known.
    pub(super) fn text(&mut self, object: &Object, name: &str) -> Property<String> {
        let Some(value) = self.known(object, name)? else { return Ok(None) };
        let text = self.text_of(object, name, value)?;
        match text.as_literal() {
            Some(literal) => Ok(Some(literal.to_owned())),
            None => Err(self.unknown(object, name, &known_later(text.first_reference()))),
        }
    }

    /// Returns an id: of a resource of the template, or a literal one.
    pub(super) fn id(&mut self, object: &Object, name: &str) -> Property<String> {
        let Some(value) = self.known(object, name)? else { return Ok(None) };
        Ok(Some(self.text_of(object, name, value)?.to_string()))
    }

    pub(super) fn ids(&mut self, object: &Object, name: &str) -> Property<Vec<String>> {
        let Some(value) = self.known(object, name)? else { return Ok(None) };
        let items = match &value.kind {
            ValueKind::List(items) => items.as_slice(),
            ValueKind::Absent | ValueKind::Text(_) | ValueKind::Map(_) | ValueKind::Unknown(_) => {
                std::slice::from_ref(value)
            }
        };
        let mut ids = Vec::new();
        for item in items.iter().filter(|item| !item.is_absent()) {
            match &item.kind {
                ValueKind::Unknown(unknown) => return Err(self.unknown(object, name, unknown)),
                ValueKind::Absent | ValueKind::Text(_) | ValueKind::List(_) | ValueKind::Map(_) => {
                    ids.push(self.text_of(object, name, item)?.to_string());
                }
            }
        }
        Ok(Some(ids))
    }

    pub(super) fn integer(&mut self, object: &Object, name: &str) -> Property<i64> {
        self.parsed(object, name, "a whole number is expected", |text| text.trim().parse().ok())
    }

    pub(super) fn flag(&mut self, object: &Object, name: &str) -> Property<bool> {
        self.parsed(object, name, "true or false is expected", |text| {
            text.to_lowercase().parse().ok()
        })
    }

    pub(super) fn cidr(&mut self, object: &Object, name: &str) -> Property<Ipv4Network> {
        let Some(text) = self.text(object, name)? else { return Ok(None) };
        let cidr = object.property_origin(name).cidr(text.trim());
        cidr.map(Some).map_err(|error| self.refused(object, name, error))
    }

    pub(super) fn address(&mut self, object: &Object, name: &str) -> Property<Ipv4Addr> {
        let Some(text) = self.text(object, name)? else { return Ok(None) };
        let address = object.property_origin(name).address(text.trim());
        address.map(Some).map_err(|error| self.refused(object, name, error))
    }

    /// Returns the elements of a list of maps, each as an object of its own. Elements that are not
    /// known are reported as left out.
    pub(super) fn parts(
        &mut self,
        object: &Object,
        name: &str,
        noun: &str,
    ) -> Property<Vec<Object>> {
        let Some(value) = self.known(object, name)? else { return Ok(None) };
        let origin = object.property_origin(name);
        let (items, is_list) = match &value.kind {
            ValueKind::List(items) => (items.as_slice(), true),
            ValueKind::Absent | ValueKind::Text(_) | ValueKind::Map(_) | ValueKind::Unknown(_) => {
                (std::slice::from_ref(value), false)
            }
        };
        let mut parts = Vec::new();
        for (position, item) in items.iter().enumerate() {
            let origin = if is_list { origin.element(position) } else { origin.clone() };
            let properties = match &item.kind {
                ValueKind::Absent => continue,
                ValueKind::Map(members) => {
                    members.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
                }
                ValueKind::Unknown(_) => Vec::new(),
                ValueKind::Text(_) | ValueKind::List(_) => {
                    self.wrong(item.place, name, item.noun(), "a map is expected");
                    continue;
                }
            };
            let part = Object {
                label: object.label.clone(),
                id: object.id.clone(),
                place: item.place,
                properties_origin: origin.clone(),
                origin,
                otherwise: format!("the {noun} is left out"),
                properties,
            };
            if let ValueKind::Unknown(unknown) = &item.kind {
                self.not_known(&part, &part.origin, noun, unknown);
                continue;
            }
            self.report_strays(&part.label, &part.origin, strays_of_part(name, part.members()));
            parts.push(part);
        }
        Ok(Some(parts))
    }

    /// Returns a map as an object of its own.
    pub(super) fn part(&mut self, object: &Object, name: &str) -> Property<Object> {
        let parts = self.parts(object, name, name)?;
        Ok(parts
            .and_then(|parts| parts.into_iter().next())
            .map(|part| Object { otherwise: object.otherwise.clone(), ..part }))
    }

    /// Returns a property that must exist.
    pub(super) fn required<T>(
        &mut self,
        object: &Object,
        name: &str,
        property: Property<T>,
    ) -> Result<T, Reported> {
        property?.ok_or_else(|| {
            self.faults.push(Fault::new(
                object.place,
                format!("{} has no {name}", object.label),
                format!("CloudFormation wants {name} there"),
            ));
            Reported
        })
    }

    /// Reports that a verdict may be wrong.
    pub(super) fn not_understood(
        &mut self,
        object: &Object,
        what: impl Into<String>,
        consequence: impl Into<String>,
    ) {
        self.findings.not_understood(&object.label, &object.origin, what, consequence);
    }

    /// Reports a value of a form that CloudFormation would refuse.
    pub(super) fn wrong(&mut self, place: Place, name: &str, what: &str, wanted: &str) -> Reported {
        self.faults.push(Fault::new(place, format!("{name} is {what}"), wanted));
        Reported
    }

    fn text_of<'o>(
        &mut self,
        object: &Object,
        name: &str,
        value: &'o Value,
    ) -> Result<&'o Text, Reported> {
        match &value.kind {
            ValueKind::Text(text) => Ok(text),
            ValueKind::Absent | ValueKind::List(_) | ValueKind::Map(_) | ValueKind::Unknown(_) => {
                let _ = object;
                Err(self.wrong(value.place, name, value.noun(), "a string is expected"))
            }
        }
    }

    fn parsed<T>(
        &mut self,
        object: &Object,
        name: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Property<T> {
        let Some(text) = self.text(object, name)? else { return Ok(None) };
        match parse(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(self.wrong(place_of(object, name), name, &format!("{text:?}"), wanted)),
        }
    }

    fn refused(&mut self, object: &Object, name: &str, error: ImportError) -> Reported {
        self.faults.push(Fault::new(place_of(object, name), error.message, error.help));
        Reported
    }

    fn unknown(&mut self, object: &Object, name: &str, unknown: &Unknown) -> Reported {
        self.not_known(object, &object.property_origin(name), name, unknown)
    }

    fn not_known(
        &mut self,
        object: &Object,
        origin: &Origin,
        name: &str,
        unknown: &Unknown,
    ) -> Reported {
        let Unknown { what, help } = unknown;
        let consequence = format!("{}; {help}", object.otherwise);
        self.findings.not_understood(
            &object.label,
            origin,
            format!("{name} is not known: {what}"),
            consequence,
        );
        Reported
    }
}

impl Object {
    /// Lists the properties that have a value, by name, with their places.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, Place)> {
        self.properties.iter().filter_map(|(name, value)| {
            let value = value.as_ref().filter(|value| !value.is_absent())?;
            Some((name.as_str(), value.place))
        })
    }

    /// Returns the texts of a list, all of whose elements must be known and without references.
    pub(super) fn known_texts(&self, name: &str) -> Option<Vec<String>> {
        let (_, value) = self.properties.iter().find(|(property, _)| property == name)?;
        let ValueKind::List(items) = &value.as_ref()?.kind else { return None };
        let literal = |item: &Value| match &item.kind {
            ValueKind::Text(text) => text.as_literal().map(str::to_owned),
            ValueKind::Absent | ValueKind::List(_) | ValueKind::Map(_) | ValueKind::Unknown(_) => {
                None
            }
        };
        items.iter().map(literal).collect()
    }

    /// Decides whether a property is absent or a list without elements, known or not.
    pub(super) fn is_empty(&self, name: &str) -> bool {
        let found = self.properties.iter().find(|(property, _)| property == name);
        found.is_none_or(|(_, value)| match value.as_ref().map(|value| &value.kind) {
            Some(ValueKind::Absent) => true,
            Some(ValueKind::List(items)) => items.iter().all(Value::is_absent),
            Some(ValueKind::Text(_) | ValueKind::Map(_) | ValueKind::Unknown(_)) | None => false,
        })
    }

    pub(super) fn property_origin(&self, name: &str) -> Origin {
        self.properties_origin.member(name)
    }

    /// Returns a text that no verdict depends on, as far as it is known.
    pub(super) fn known_text(&self, name: &str) -> Option<String> {
        let (_, value) = self.properties.iter().find(|(property, _)| property == name)?;
        match &value.as_ref()?.kind {
            ValueKind::Text(text) => Some(text.to_string()),
            ValueKind::Absent | ValueKind::List(_) | ValueKind::Map(_) | ValueKind::Unknown(_) => {
                None
            }
        }
    }
}

fn place_of(object: &Object, name: &str) -> Place {
    let value = object.properties.iter().find(|(property, _)| property == name);
    value.and_then(|(_, value)| Some(value.as_ref()?.place)).unwrap_or(object.place)
}
