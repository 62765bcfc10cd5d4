//! The intrinsic functions.

use super::arguments::arguments;
use super::cidr;
use super::evaluate::Evaluate;
use super::fault::Fault;
use super::tree::{Node, Place};
use super::value::{
    Literal, Reference, State, Text, Unknown, Value, ValueKind, known_later, unknown_in,
};
use crate::config::names;
use crate::config::text;

const FUNCTIONS: [&str; 19] = [
    "Ref",
    "Fn::And",
    "Fn::Cidr",
    "Fn::Equals",
    "Fn::FindInMap",
    "Fn::GetAZs",
    "Fn::GetAtt",
    "Fn::If",
    "Fn::ImportValue",
    "Fn::Join",
    "Fn::Length",
    "Fn::Not",
    "Fn::Or",
    "Fn::Select",
    "Fn::Split",
    "Fn::Sub",
    "Fn::ToJsonString",
    "Fn::Base64",
    "Fn::Transform",
];

/// The zones of a region. An account may have others.
const ZONES: [char; 6] = ['a', 'b', 'c', 'd', 'e', 'f'];

impl<'t> dyn Evaluate<'t> + '_ {
    /// Applies a function by its long name.
    pub(super) fn function(
        &self,
        name: &str,
        argument: &Node,
        place: Place,
    ) -> Result<Value, Fault> {
        match name {
            "Ref" => self.reference_of(argument, place),
            "Fn::GetAtt" => self.get_att(argument, place),
            "Fn::Sub" => self.sub(argument, place),
            "Fn::Join" => self.join(argument, place),
            "Fn::Select" => self.select(argument, place),
            "Fn::Split" => self.split(argument, place),
            "Fn::GetAZs" => self.get_azs(argument, place),
            "Fn::Cidr" => self.cidr(argument, place),
            "Fn::FindInMap" => self.find_in_map(argument, place),
            "Fn::If" => self.choose(argument, place),
            "Fn::ImportValue" => self.import_value(argument, place),
            "Fn::Length" => self.length(argument, place),
            "Fn::Base64" | "Fn::ToJsonString" => {
                let value = self.value(argument)?;
                let unknown = unknown_in(&value);
                Ok(unknown.map_or_else(
                    || {
                        Value::unknown(
                            place,
                            format!("egret does not evaluate {name}"),
                            "write the value in its place",
                        )
                    },
                    |unknown| Value { place, kind: ValueKind::Unknown(unknown) },
                ))
            }
            "Fn::And" | "Fn::Or" | "Fn::Not" | "Fn::Equals" => Err(Fault::new(
                place,
                format!("{name} is used where a value is expected"),
                "it belongs in the Conditions section; Fn::If chooses a value by the name of a condition",
            )),
            _ => Err(Fault::new(
                place,
                format!("there is no function {name}"),
                names::suggestion(name, &FUNCTIONS),
            )),
        }
    }

    fn reference_of(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        match argument.scalar() {
            Some(name) => self.reference(name, place),
            None => Err(Fault::new(
                argument.place,
                format!("Ref names {}", argument.noun()),
                "it names a parameter or a resource",
            )),
        }
    }

    fn get_att(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        match self.attribute_named(argument)? {
            Ok((resource, attribute)) => self.attribute(&resource, &attribute, place),
            Err(unknown) => Ok(Value { place, kind: ValueKind::Unknown(unknown) }),
        }
    }

    /// Returns the resource and the attribute that `Fn::GetAtt` names.
    fn attribute_named(&self, argument: &Node) -> Result<Result<(String, String), Unknown>, Fault> {
        let wrong = || {
            Fault::new(
                argument.place,
                "Fn::GetAtt names a resource and one of its attributes",
                "write Resource.Attribute, or a list of both",
            )
        };
        match argument.list() {
            Some([resource, attribute]) => {
                let resource = resource.scalar().ok_or_else(wrong)?;
                let attribute = self.value(attribute)?;
                Ok(match attribute.literal("the attribute of Fn::GetAtt")? {
                    Literal::Text(attribute) => Ok((resource.to_owned(), attribute.to_owned())),
                    Literal::Unknown(unknown) => Err(unknown),
                })
            }
            Some(_) => Err(wrong()),
            None => {
                let names = argument.scalar().and_then(|text| text.split_once('.'));
                let (resource, attribute) = names.ok_or_else(wrong)?;
                Ok(Ok((resource.to_owned(), attribute.to_owned())))
            }
        }
    }

    fn choose(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let [condition, then, otherwise] = arguments(argument, "Fn::If", 3..=3)? else {
            return Ok(Value::absent(place));
        };
        let Some(name) = condition.scalar() else {
            return Err(Fault::new(
                condition.place,
                format!("the condition of Fn::If is {}", condition.noun()),
                "Fn::If takes the name of a condition of the Conditions section",
            ));
        };
        match self.condition(name, condition.place)? {
            State::Holds => self.value(then),
            State::Fails => self.value(otherwise),
            State::Unknown(unknown) => Ok(Value { place, kind: ValueKind::Unknown(unknown) }),
        }
    }

    fn join(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let [delimiter, list] = arguments(argument, "Fn::Join", 2..=2)? else {
            return Ok(Value::absent(place));
        };
        let delimiter = match self.text(delimiter, "the delimiter of Fn::Join")? {
            Ok(delimiter) => delimiter,
            Err(unknown) => return Ok(Value { place, kind: ValueKind::Unknown(unknown) }),
        };
        let items = match self.items(list, "Fn::Join")? {
            Ok(items) => items,
            Err(unknown) => return Ok(Value { place, kind: ValueKind::Unknown(unknown) }),
        };
        let mut texts = Vec::new();
        for item in items {
            match item.kind {
                ValueKind::Text(text) => texts.push(text),
                ValueKind::Unknown(_) => return Ok(Value { place, kind: item.kind }),
                ValueKind::Absent => {}
                ValueKind::List(_) | ValueKind::Map(_) => {
                    return Err(Fault::new(
                        item.place,
                        format!("Fn::Join has {} among its elements", item.noun()),
                        "it joins strings",
                    ));
                }
            }
        }
        let text = Text::join(&texts, &delimiter);
        self.scope().spend(text.len(), place)?;
        Ok(Value { place, kind: ValueKind::Text(text) })
    }

    fn select(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let [index, list] = arguments(argument, "Fn::Select", 2..=2)? else {
            return Ok(Value::absent(place));
        };
        let index = match self.number(index, "the index of Fn::Select")? {
            Ok(index) => index as usize,
            Err(unknown) => return Ok(Value { place, kind: ValueKind::Unknown(unknown) }),
        };
        let items = match self.items(list, "Fn::Select")? {
            Ok(items) => items,
            Err(unknown) => return Ok(Value { place, kind: ValueKind::Unknown(unknown) }),
        };
        let count = items.len();
        let chosen = items.into_iter().nth(index).ok_or_else(|| {
            Fault::new(
                place,
                format!("Fn::Select asks for element {index} of a list of {count}"),
                "the first element is 0; a list in a parameter or a mapping may be too short",
            )
        })?;
        Ok(Value { place, ..chosen })
    }

    fn split(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let [delimiter, source] = arguments(argument, "Fn::Split", 2..=2)? else {
            return Ok(Value::absent(place));
        };
        let delimiter = self.value(delimiter)?;
        let delimiter = match delimiter.literal("the delimiter of Fn::Split")? {
            Literal::Text("") => {
                return Err(Fault::new(
                    place,
                    "the delimiter of Fn::Split is empty",
                    "give one, such as \",\"",
                ));
            }
            Literal::Text(delimiter) => delimiter,
            Literal::Unknown(unknown) => {
                return Ok(Value { place, kind: ValueKind::Unknown(unknown) });
            }
        };
        let source = match self.text(source, "what Fn::Split splits")? {
            Ok(source) => source,
            Err(unknown) => return Ok(Value { place, kind: ValueKind::Unknown(unknown) }),
        };
        // An id that AWS chooses may contain such a delimiter.
        let is_of_ids =
            delimiter.contains(|c: char| c.is_ascii_alphanumeric() || "-_:/.".contains(c));
        if let Some(reference) = source.first_reference().filter(|_| is_of_ids) {
            return Ok(Value { place, kind: ValueKind::Unknown(known_later(Some(reference))) });
        }
        self.scope().spend(source.len(), place)?;
        let parts = source.split(delimiter).into_iter();
        let parts = parts.map(|part| Value { place, kind: ValueKind::Text(part) }).collect();
        Ok(Value { place, kind: ValueKind::List(parts) })
    }

    fn get_azs(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let region = self.value(argument)?;
        let region = match &region.kind {
            ValueKind::Absent => String::new(),
            ValueKind::Text(_) | ValueKind::List(_) | ValueKind::Map(_) | ValueKind::Unknown(_) => {
                match region.literal("the region of Fn::GetAZs")? {
                    Literal::Text(region) => region.to_owned(),
                    Literal::Unknown(unknown) => {
                        return Ok(Value { place, kind: ValueKind::Unknown(unknown) });
                    }
                }
            }
        };
        let region = if region.is_empty() { self.scope().region() } else { region };
        self.scope().assume("Fn::GetAZs", "the zones a to f of the region, in this order");
        let zones =
            ZONES.iter().map(|zone| Value::text(place, format!("{region}{zone}"))).collect();
        Ok(Value { place, kind: ValueKind::List(zones) })
    }

    fn cidr(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let given = arguments(argument, "Fn::Cidr", 2..=3)?;
        let [block, count, rest @ ..] = given else { return Ok(Value::absent(place)) };
        let [bits] = rest else {
            return Ok(Value::unknown(
                place,
                "Fn::Cidr without subnet bits",
                "give them as the third argument: 8 make a /24",
            ));
        };
        let block = self.value(block)?;
        let block = match block.literal("the block of Fn::Cidr")? {
            Literal::Text(block) => block,
            Literal::Unknown(unknown) => {
                return Ok(Value { place, kind: ValueKind::Unknown(unknown) });
            }
        };
        let (count, bits) = match (
            self.number(count, "the count of Fn::Cidr")?,
            self.number(bits, "the subnet bits of Fn::Cidr")?,
        ) {
            (Ok(count), Ok(bits)) => (count, bits),
            (Err(unknown), _) | (_, Err(unknown)) => {
                return Ok(Value { place, kind: ValueKind::Unknown(unknown) });
            }
        };
        if block.contains(':') {
            return Ok(Value::unknown(
                place,
                format!("egret does not divide the IPv6 block {block}"),
                "leave the IPv6 part out: egret carries IPv4 only",
            ));
        }
        let block =
            text::cidr(block).map_err(|fault| Fault::new(place, fault.message, fault.help))?;
        let blocks = cidr::blocks(block, count, bits).map_err(|error| {
            Fault::new(place, format!("Fn::Cidr: {error}"), "its arguments are a block, a count, and the subnet bits: 32 minus the prefix length")
        })?;
        self.scope().spend(blocks.len(), place)?;
        let blocks = blocks.iter().map(|block| Value::text(place, block.to_string())).collect();
        Ok(Value { place, kind: ValueKind::List(blocks) })
    }

    fn find_in_map(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let given = arguments(argument, "Fn::FindInMap", 3..=4)?;
        let [keys @ .., _] = given else { return Ok(Value::absent(place)) };
        let keys = if given.len() == 3 { given } else { keys };
        let default = given.get(3).and_then(|options| options.get("DefaultValue"));
        let mut texts = Vec::new();
        for key in keys {
            let key = self.value(key)?;
            match key.literal("a key of Fn::FindInMap")? {
                Literal::Text(key) => texts.push(key.to_owned()),
                Literal::Unknown(unknown) => {
                    return Ok(Value { place, kind: ValueKind::Unknown(unknown) });
                }
            }
        }
        let mut found = self.scope().template.root().get("Mappings");
        let mut path = String::from("Mappings");
        for key in &texts {
            let Some(next) = found.and_then(|map| map.get(key)) else {
                let valid = found.and_then(Node::map).unwrap_or_default();
                let valid: Vec<&str> = valid.iter().map(|entry| &*entry.key).collect();
                return match default {
                    Some(default) => self.value(default),
                    None => Err(Fault::new(
                        place,
                        format!("{path} has no {key}"),
                        names::suggestion(key, &valid),
                    )),
                };
            };
            found = Some(next);
            path = format!("{path}.{key}");
        }
        match found {
            Some(node) => Ok(Value { place, ..self.value(node)? }),
            None => Ok(Value::absent(place)),
        }
    }

    fn import_value(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let name = self.value(argument)?;
        Ok(match name.literal("the name of Fn::ImportValue")? {
            Literal::Text(name) => self.scope().import(name, place),
            Literal::Unknown(unknown) => Value { place, kind: ValueKind::Unknown(unknown) },
        })
    }

    fn length(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        Ok(match self.items(argument, "Fn::Length")? {
            Ok(items) => Value::text(place, items.len().to_string()),
            Err(unknown) => Value { place, kind: ValueKind::Unknown(unknown) },
        })
    }

    fn sub(&self, argument: &Node, place: Place) -> Result<Value, Fault> {
        let (pattern, variables) = match argument.list() {
            None => (argument, None),
            Some(_) => match arguments(argument, "Fn::Sub", 2..=2)? {
                [pattern, variables] => (pattern, Some(variables)),
                _ => (argument, None),
            },
        };
        let variables_are_map = variables.is_none_or(|variables| variables.map().is_some());
        let Some(text) = pattern.scalar().filter(|_| variables_are_map) else {
            return Err(Fault::new(
                argument.place,
                "Fn::Sub takes a string, or a list of a string and a map of variables",
                "write the string itself: it cannot come from another function",
            ));
        };
        let mut result = Text::literal("");
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) = rest.split_at(at);
            let Some((name, tail)) = after.get(2..).and_then(|after| after.split_once('}')) else {
                break;
            };
            result.push(&Text::literal(before));
            rest = tail;
            if let Some(literal) = name.strip_prefix('!') {
                result.push(&Text::literal(format!("${{{literal}}}")));
                continue;
            }
            let value = self.variable(name.trim(), variables, place)?;
            match value.kind {
                ValueKind::Text(text) => result.push(&text),
                ValueKind::Unknown(_) => return Ok(Value { place, kind: value.kind }),
                ValueKind::Absent | ValueKind::List(_) | ValueKind::Map(_) => {
                    return Err(Fault::new(
                        place,
                        format!("${{{name}}} of Fn::Sub is {}", value.noun()),
                        "only strings can be put into a string; Fn::Join makes one of a list",
                    ));
                }
            }
            self.scope().spend(result.len(), place)?;
        }
        result.push(&Text::literal(rest));
        Ok(Value { place, kind: ValueKind::Text(result) })
    }

    /// Returns the value of `${name}` of `Fn::Sub`: its own variable, or the value of `Ref` or
    /// `Fn::GetAtt`.
    fn variable(&self, name: &str, variables: Option<&Node>, place: Place) -> Result<Value, Fault> {
        if let Some(variable) = variables.and_then(|variables| variables.get(name)) {
            return self.value(variable);
        }
        match name.split_once('.') {
            Some((resource, attribute)) => self.attribute(resource, attribute, place),
            None => self.reference(name, place),
        }
    }

    /// Returns a string argument, or the reason why it is not known.
    fn text(&self, node: &Node, of: &str) -> Result<Result<Text, Unknown>, Fault> {
        let value = self.value(node)?;
        match value.kind {
            ValueKind::Text(text) => Ok(Ok(text)),
            ValueKind::Unknown(unknown) => Ok(Err(unknown)),
            ValueKind::Absent | ValueKind::List(_) | ValueKind::Map(_) => Err(Fault::new(
                node.place,
                format!("{of} is {} here", value.noun()),
                "a string is expected",
            )),
        }
    }

    /// Returns a list argument, or the reason why it is not known.
    fn items(&self, node: &Node, of: &str) -> Result<Result<Vec<Value>, Unknown>, Fault> {
        let value = self.value(node)?;
        match value.kind {
            ValueKind::List(items) => {
                Ok(Ok(items.into_iter().filter(|item| !item.is_absent()).collect()))
            }
            ValueKind::Unknown(unknown) => Ok(Err(unknown)),
            ValueKind::Text(ref text) if text.as_reference().is_some_and(is_attribute) => {
                Ok(Err(known_later(text.as_reference())))
            }
            ValueKind::Absent | ValueKind::Text(_) | ValueKind::Map(_) => Err(Fault::new(
                node.place,
                format!("{of} has {} where a list is expected", value.noun()),
                "give a list, or a parameter of a list type",
            )),
        }
    }

    /// Returns a whole number, or the reason why it is not known.
    fn number(&self, node: &Node, of: &str) -> Result<Result<u32, Unknown>, Fault> {
        let value = self.value(node)?;
        Ok(match value.literal(of)? {
            Literal::Text(text) => Ok(text.trim().parse().map_err(|_| {
                Fault::new(
                    node.place,
                    format!("{of} is {text:?}"),
                    "a whole number is expected, 0 or more",
                )
            })?),
            Literal::Unknown(unknown) => Err(unknown),
        })
    }
}

/// Decides whether a reference is to an attribute. Attributes may be lists, such as an endpoint's
/// interfaces; ids are not.
fn is_attribute(reference: Reference<'_>) -> bool {
    reference.attribute.is_some()
}
