//! Reads parameters: their types, defaults and constraints, and the values of `--parameter`.

use super::fault::Fault;
use super::template::Template;
use super::tree::{MapMember, Node, Place};
use crate::config::excerpt::is_secret_key;
use crate::config::import::secrets::Secrets;
use regex::Regex;
use std::collections::{BTreeMap, HashMap};

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Text(String),
    List(Vec<String>),
    /// It has no default and was not given.
    Missing,
    /// Its value is in Systems Manager, under this name.
    Stored(String),
}

const OF_SYSTEMS_MANAGER: &str = "AWS::SSM::Parameter::Value<";

/// Returns all parameters of a template by name, and their faults.
pub(super) fn all<'t>(
    template: &'t Template,
    given: &BTreeMap<String, String>,
) -> (HashMap<&'t str, Parameter>, Vec<Fault>) {
    let mut parameters = HashMap::new();
    let mut faults = Vec::new();
    for entry in template.section("Parameters") {
        match parameter(entry, given.get(&entry.key)) {
            Ok(parameter) => drop(parameters.insert(&*entry.key, parameter)),
            Err(fault) => faults.push(fault),
        }
    }
    (parameters, faults)
}

/// Returns the values of parameters that must not be shown, by `NoEcho` or by their names.
pub(super) fn secrets(template: &Template, given: &BTreeMap<String, String>) -> Secrets {
    let is_secret = |entry: &&MapMember| is_no_echo(entry) || is_secret_key(&entry.key);
    let entries = template.section("Parameters").iter().filter(is_secret);
    let values = entries.flat_map(|entry| {
        let default = entry.value.get("Default").and_then(Node::scalar).map(str::to_owned);
        default.into_iter().chain(given.get(&entry.key).cloned())
    });
    Secrets::new(values)
}

fn is_no_echo(entry: &MapMember) -> bool {
    entry.value.get("NoEcho").and_then(Node::scalar) == Some("true")
}

fn parameter(entry: &MapMember, given: Option<&String>) -> Result<Parameter, Fault> {
    let declaration = &entry.value;
    let kind = kind(entry)?;
    let default = declaration.get("Default").map(|node| default(entry, node)).transpose()?;
    let Some(value) = given.cloned().or_else(|| default.clone()) else {
        return Ok(Parameter::Missing);
    };
    let stored = kind.strip_prefix(OF_SYSTEMS_MANAGER).and_then(|rest| rest.strip_suffix('>'));
    if let (Some(_), None) = (stored, given) {
        return Ok(Parameter::Stored(value));
    }
    let place = if given.is_some() {
        entry.place
    } else {
        declaration.get("Default").map_or(entry.place, |node| node.place)
    };
    let kind = stored.unwrap_or(kind);
    let is_list = kind == "CommaDelimitedList" || kind.starts_with("List<");
    let values = match is_list {
        true => list(&value),
        false => vec![value.clone()],
    };
    let constraints = Constraints { entry, whole: &value, place, stored: stored.is_some() };
    let is_number = matches!(kind, "Number" | "List<Number>");
    values.iter().try_for_each(|value| constraints.check(value, is_number))?;
    Ok(match <[String; 1]>::try_from(values) {
        Ok([value]) if !is_list => Parameter::Text(value),
        Ok(values) => Parameter::List(values.into()),
        Err(values) => Parameter::List(values),
    })
}

fn kind(entry: &MapMember) -> Result<&str, Fault> {
    let node = entry.value.get("Type");
    let name = &entry.key;
    let Some(kind) = node.and_then(Node::scalar) else {
        return Err(Fault::new(
            entry.place,
            format!("the parameter {name} has no Type"),
            "give it one, such as String",
        ));
    };
    let inner = kind
        .strip_prefix(OF_SYSTEMS_MANAGER)
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(kind);
    let inner =
        inner.strip_prefix("List<").and_then(|rest| rest.strip_suffix('>')).unwrap_or(inner);
    let is_kind =
        matches!(inner, "String" | "Number" | "CommaDelimitedList") || inner.starts_with("AWS::");
    if !is_kind || inner.contains(['<', '>']) {
        let place = node.map_or(entry.place, |node| node.place);
        return Err(Fault::new(
            place,
            format!("{kind} is not a type of parameters"),
            "valid are String, Number, List<Number>, CommaDelimitedList, AWS::…::Id, List<AWS::…::Id>, AWS::SSM::Parameter::Value<…>",
        ));
    }
    Ok(kind)
}

fn default(entry: &MapMember, node: &Node) -> Result<String, Fault> {
    match node.scalar() {
        Some(text) => Ok(text.to_owned()),
        None if node.map().is_some_and(<[MapMember]>::is_empty) => Ok(String::new()),
        None => Err(Fault::new(
            node.place,
            format!("the default of the parameter {} is {}", entry.key, node.noun()),
            "a string is expected; the elements of a list stand in one string, with commas between",
        )),
    }
}

fn list(value: &str) -> Vec<String> {
    match value.trim() {
        "" => Vec::new(),
        value => value.split(',').map(|element| element.trim().to_owned()).collect(),
    }
}

/// The constraints of a declaration on a value.
struct Constraints<'t> {
    entry: &'t MapMember,
    /// The value as it was given: the elements of a list in one string.
    whole: &'t str,
    place: Place,
    /// Says that the value is from Systems Manager: it is not checked, as the constraints concern
    /// its name.
    stored: bool,
}

impl Constraints<'_> {
    fn check(&self, value: &str, is_number: bool) -> Result<(), Fault> {
        let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        if is_number && number.is_none() {
            return Err(self.violated(value, "it is not a number"));
        }
        if self.stored {
            return Ok(());
        }
        self.allowed_values(value)?;
        self.allowed_pattern(value)?;
        let length = value.chars().count() as f64;
        self.bound("MinLength", |least| length < least, value)?;
        self.bound("MaxLength", |most| length > most, value)?;
        if let Some(number) = number.filter(|_| is_number) {
            self.bound("MinValue", |least| number < least, value)?;
            self.bound("MaxValue", |most| number > most, value)?;
        }
        Ok(())
    }

    /// Checks `AllowedValues`: of a list, either each element or the whole of it is allowed.
    fn allowed_values(&self, value: &str) -> Result<(), Fault> {
        let allowed = self.entry.value.get("AllowedValues").and_then(Node::list);
        let Some(allowed) = allowed else { return Ok(()) };
        let allowed: Vec<&str> = allowed.iter().filter_map(Node::scalar).collect();
        if allowed.contains(&value) || allowed.contains(&self.whole) {
            return Ok(());
        }
        Err(self.violated(value, &format!("AllowedValues are {}", allowed.join(", "))))
    }

    /// Checks `AllowedPattern`, which must match the whole value. A pattern that only Java's
    /// expressions have, such as a look-around, is ignored.
    fn allowed_pattern(&self, value: &str) -> Result<(), Fault> {
        let Some(pattern) = self.entry.value.get("AllowedPattern").and_then(Node::scalar) else {
            return Ok(());
        };
        let whole = Regex::new(&format!("^(?:{pattern})$"));
        if whole.is_ok_and(|whole| !whole.is_match(value)) {
            return Err(self.violated(value, &format!("AllowedPattern is {pattern}")));
        }
        Ok(())
    }

    fn bound(&self, key: &str, is_beyond: impl Fn(f64) -> bool, value: &str) -> Result<(), Fault> {
        let bound = self.entry.value.get(key).and_then(Node::scalar);
        let Some(bound) = bound.and_then(|bound| bound.parse::<f64>().ok()) else { return Ok(()) };
        match is_beyond(bound) {
            true => Err(self.violated(value, &format!("{key} is {bound}"))),
            false => Ok(()),
        }
    }

    fn violated(&self, value: &str, why: &str) -> Fault {
        let name = &self.entry.key;
        let is_hidden = is_no_echo(self.entry) || is_secret_key(name);
        let shown = if is_hidden { "its value".to_owned() } else { format!("{value:?}") };
        let description = self.entry.value.get("ConstraintDescription").and_then(Node::scalar);
        let description = description.map_or(String::new(), |text| format!(" ({text})"));
        Fault::new(
            self.place,
            format!("the parameter {name} cannot be {shown}: {why}{description}"),
            format!("give another value with --parameter {name}=VALUE"),
        )
    }
}
