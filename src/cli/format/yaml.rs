//! Answers as YAML, for readers of version 1.1 as well as 1.2: texts that either could read as
//! another type are quoted.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use serde_saphyr::DoubleQuoted;
use std::io::{self, Write};

/// Writes one document, without a mark before it.
pub(in crate::cli) fn write(w: &mut dyn Write, value: &Value) -> io::Result<()> {
    let text = serde_saphyr::to_string(&Tree(value)).map_err(io::Error::other)?;
    w.write_all(text.as_bytes())
}

/// A value whose texts stay texts for every reader.
struct Tree<'v>(&'v Value);

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => Text(text).serialize(serializer),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Tree)),
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, &Tree(value))?;
                }
                map.end()
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => {
                other.serialize(serializer)
            }
        }
    }
}

struct Text<'t>(&'t str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match is_ambiguous(self.0) {
            true => DoubleQuoted(self.0).serialize(serializer),
            false => serializer.serialize_str(self.0),
        }
    }
}

/// Returns whether a text may be a number, a time or an operator to a reader of YAML 1.1, beyond
/// what the serializer quotes by itself: `12:30` is 750, `2026-11-30` a date, `=` a default, `<<` a
/// merge.
fn is_ambiguous(text: &str) -> bool {
    let begins_like_one = |first: char| first.is_ascii_digit() || "+-.=<".contains(first);
    text.starts_with(begins_like_one) || text.trim().is_empty()
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
        let value = json!({"b": [{"id": "x", "line": null}, []], "a": {"f": 1.5, "g": {}}});
        assert_eq!(written(&value), "b:\n- id: x\n  line: null\n- []\na:\n  f: 1.5\n  g: {}\n");
    }

    #[test]
    fn texts_that_read_as_something_else_are_quoted() {
        let texts = [
            "yes",
            "on",
            "~",
            "null",
            "",
            "\n",
            "010",
            "12:30:45",
            "1e3",
            "1__0",
            "+1",
            ".5",
            "=",
            "<<",
            "2026-11-30",
            "2026-11-30T01:09:22.123Z",
            "# x",
            "a: b",
            "- a",
            "*a",
            "&a",
            "!a",
        ];
        for text in texts {
            let line = written(&json!([text]));
            assert!(line.starts_with("- \"") || line.starts_with("- '"), "{line}");
        }
    }
}
