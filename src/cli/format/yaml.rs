//! Answers as YAML, for readers of version 1.1 as well as 1.2: what either could take for something else is quoted.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use serde_saphyr::DoubleQuoted;
use std::io::{self, Write};

/// Writes one document, without a mark before it.
pub(in crate::cli) fn write(w: &mut dyn Write, value: &Value) -> io::Result<()> {
    let text = serde_saphyr::to_string(&Tree(value)).map_err(io::Error::other)?;
    w.write_all(text.as_bytes())
}

/// A value whose texts are texts for every reader.
struct Tree<'v>(&'v Value);

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => Text(text).serialize(serializer),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Tree)),
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(&Text(key), &Tree(value))?;
                }
                map.end()
            }
            other => other.serialize(serializer),
        }
    }
}

struct Text<'t>(&'t str);

/// The keys with a meaning of their own in YAML 1.1, which the serializer leaves without quotes.
const SPECIAL: [&str; 2] = ["=", "<<"];

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match SPECIAL.contains(&self.0) {
            true => DoubleQuoted(self.0).serialize(serializer),
            false => serializer.serialize_str(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    fn written(value: &Value) -> String {
        let mut text = Vec::new();
        write(&mut text, value).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn keys_keep_their_order_and_empty_lists_stay_lists() {
        let value = json!({"b": [{"id": "x", "line": null}, []], "a": {"f": 1.5, "n": {}}});
        assert_eq!(written(&value), "b:\n- id: x\n  line: null\n- []\na:\n  f: 1.5\n  n: {}\n");
    }

    #[test]
    fn texts_that_read_as_something_else_are_quoted() {
        for text in ["yes", "on", "010", "12:30:45", "1e3", "~", "", "=", "<<", "# x", "a: b"] {
            let line = written(&json!([text]));
            assert!(line.starts_with("- \"") || line.starts_with("- '"), "{line}");
            let key = written(&json!({text: 1}));
            assert!(key.starts_with('"') || key.starts_with('\''), "{key}");
        }
    }
}
