//! Collects the values that Terraform marks as sensitive, which no message shows.

use crate::config::import::secrets::Secrets;
use serde_json::Value;

/// The keys of values, each with the key of the marks of the same shape beside it: `true` marks a
/// value and all below it (Terraform's "JSON Output Format").
const MARKED: [(&str, &str); 3] =
    [("values", "sensitive_values"), ("before", "before_sensitive"), ("after", "after_sensitive")];

/// Returns the sensitive strings of a state or a plan.
pub(super) fn secrets(document: &Value) -> Secrets {
    let mut found = Vec::new();
    collect(document, &mut found);
    Secrets::new(found)
}

/// Collects the marked values of an object, and of all objects below it.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (values, marks) in MARKED {
                if let (Some(values), Some(marks)) = (fields.get(values), fields.get(marks)) {
                    marked(values, marks, found);
                }
            }
            // Outputs and variables carry their mark themselves.
            if fields.get("sensitive") == Some(&Value::Bool(true)) {
                fields.get("value").into_iter().for_each(|value| strings(value, found));
            }
            // What is marked as a whole is collected already.
            let is_whole = |key: &str| {
                let marks = MARKED.iter().find(|(values, _)| *values == key);
                marks.is_some_and(|(_, marks)| fields.get(*marks) == Some(&Value::Bool(true)))
            };
            let others = fields.iter().filter(|(key, _)| !is_whole(key));
            others.for_each(|(_, field)| collect(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Collects the strings that marks of the same shape mark.
fn marked(value: &Value, marks: &Value, found: &mut Vec<String>) {
    match (value, marks) {
        (_, Value::Bool(true)) => strings(value, found),
        (Value::Object(fields), Value::Object(marks)) => {
            for (key, mark) in marks {
                fields.get(key).into_iter().for_each(|field| marked(field, mark, found));
            }
        }
        (Value::Array(items), Value::Array(marks)) => {
            items.iter().zip(marks).for_each(|(item, mark)| marked(item, mark, found));
        }
        _ => {}
    }
}

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
