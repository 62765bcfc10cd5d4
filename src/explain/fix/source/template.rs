//! Writes a fragment of a CloudFormation template, as YAML or JSON. Functions are given in JSON
//! form, `{"Ref": "Vpc"}`, and get their short form in YAML.

use serde_json::{Map, Value};
use std::fmt::Write;

/// Writes a fragment as JSON, functions on one line.
pub(super) fn json(fragment: &Value) -> String {
    json_at(fragment, 0)
}

fn json_at(value: &Value, indent: usize) -> String {
    let (ends, parts): ([char; 2], Vec<String>) = match value {
        Value::Object(map) if function(value).is_none() => {
            let part = |(key, value): (&String, &Value)| {
                format!("{}: {}", Value::from(key.as_str()), json_at(value, indent + 2))
            };
            (['{', '}'], map.iter().map(part).collect())
        }
        Value::Object(map) => {
            let part = |(key, argument): (&String, &Value)| {
                format!("{{ {}: {} }}", Value::from(key.as_str()), on_one_line(argument))
            };
            return map.iter().map(part).collect();
        }
        Value::Array(all) => (['[', ']'], all.iter().map(|one| json_at(one, indent + 2)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return value.to_string();
        }
    };
    let margin = " ".repeat(indent);
    let lines = parts.iter().map(|part| format!("\n{margin}  {part}"));
    let lines: Vec<String> = lines.collect();
    format!("{}{}\n{margin}{}", ends[0], lines.join(","), ends[1])
}

fn on_one_line(value: &Value) -> String {
    let Value::Array(all) = value else { return value.to_string() };
    let all: Vec<String> = all.iter().map(Value::to_string).collect();
    format!("[{}]", all.join(", "))
}

/// Writes a fragment as YAML.
pub(super) fn yaml(fragment: &Value) -> String {
    let mut text = String::new();
    if let Value::Object(map) = fragment {
        write_map(&mut text, 0, map);
    }
    text.trim_end().to_owned()
}

fn write_map(text: &mut String, indent: usize, map: &Map<String, Value>) {
    for (at, (key, value)) in map.iter().enumerate() {
        // The first key of an element follows its dash.
        let margin = if at == 0 && text.ends_with("- ") { 0 } else { indent };
        let _ = write!(text, "{:margin$}{key}:", "");
        write_value(text, indent, value);
    }
}

/// Writes the value after a key, and ends the line.
fn write_value(text: &mut String, indent: usize, value: &Value) {
    match (function(value), value) {
        (Some(function), _) => {
            let _ = writeln!(text, " {function}");
        }
        (None, Value::Object(map)) => {
            text.push('\n');
            write_map(text, indent + 2, map);
        }
        (None, Value::Array(elements)) => {
            text.push('\n');
            elements.iter().for_each(|element| write_element(text, indent + 2, element));
        }
        (None, value) => {
            let _ = writeln!(text, " {}", scalar(value));
        }
    }
}

fn write_element(text: &mut String, indent: usize, element: &Value) {
    let _ = write!(text, "{:indent$}- ", "");
    match (function(element), element) {
        (Some(function), _) => {
            let _ = writeln!(text, "{function}");
        }
        (None, Value::Object(map)) => write_map(text, indent + 2, map),
        (None, value) => {
            let _ = writeln!(text, "{}", scalar(value));
        }
    }
}

/// Returns the short form of a function.
fn function(value: &Value) -> Option<String> {
    let (name, argument) = value.as_object().filter(|map| map.len() == 1)?.iter().next()?;
    match (name.as_str(), argument) {
        ("Ref", Value::String(name)) => Some(format!("!Ref {name}")),
        ("Fn::GetAtt", Value::Array(parts)) => {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            Some(format!("!GetAtt {}", parts.join(".")))
        }
        _ => None,
    }
}

/// Writes a scalar so that YAML reads it with its own type.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "./:-_".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_number = text.parse::<f64>().is_ok() || text.starts_with("0x");
    let is_word = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    match begins && !is_number && !is_word && !text.ends_with(':') && text.chars().all(is_plain) {
        true => text.clone(),
        false => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_has_short_functions_and_quotes_what_would_be_something_else() {
        let fragment = json!({ "Resources": {
            "Rule": { "Type": "AWS::EC2::NetworkAclEntry", "Properties": {
                "NetworkAclId": { "Fn::GetAtt": ["Vpc", "DefaultNetworkAcl"] },
                "Protocol": "-1", "Name": "no", "CidrBlock": "10.0.0.0/8", "Egress": true,
                "Entries": [{ "Cidr": "192.0.2.0/28", "Description": "a: b" }, { "Ref": "Other" }],
            } },
        } });
        let expected = "Resources:\n  Rule:\n    Type: AWS::EC2::NetworkAclEntry\n    Properties:\n      \
                        NetworkAclId: !GetAtt Vpc.DefaultNetworkAcl\n      Protocol: \"-1\"\n      Name: \"no\"\n      \
                        CidrBlock: 10.0.0.0/8\n      Egress: true\n      Entries:\n        - Cidr: 192.0.2.0/28\n          \
                        Description: \"a: b\"\n        - !Ref Other";
        assert_eq!(yaml(&fragment), expected);
        assert_eq!(serde_json::from_str::<Value>(&json(&fragment)).unwrap(), fragment);
    }
}
