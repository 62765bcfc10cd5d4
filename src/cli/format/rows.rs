//! The places of an answer's rows, for csv and name.

use serde_json::Value;
use std::collections::HashSet;
use std::io::{self, Write};

/// The rows of an answer, and its names.
pub(in crate::cli) struct Rows {
    /// JSON pointers to the rows: lists, or objects that are one row.
    pub lists: &'static [&'static str],
    /// The columns: the keys of a row, those of nested objects with dots between.
    pub columns: &'static [&'static str],
    /// The heading of a column that counts the documents of a stream, if each has many rows.
    pub document: Option<&'static str>,
    /// A function that lists the names in an answer.
    pub names: fn(&Value) -> Vec<String>,
}

impl Rows {
    /// An answer without rows and names.
    pub(in crate::cli) const NONE: Self =
        Self { lists: &[], columns: &[], document: None, names: |_| Vec::new() };

    /// Returns the rows of an answer.
    pub(super) fn of<'a>(&self, answer: &'a Value) -> impl Iterator<Item = &'a Value> {
        self.lists.iter().flat_map(move |list| items(answer, list))
    }

    /// Writes the names, each once.
    pub(super) fn write_names(&self, w: &mut dyn Write, answer: &Value) -> io::Result<()> {
        let mut written = HashSet::new();
        for name in (self.names)(answer) {
            if written.insert(name.clone()) {
                writeln!(w, "{name}")?;
            }
        }
        Ok(())
    }
}

/// Returns the items of a list, or an object by itself.
fn items<'a>(answer: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    let (many, one) = match answer.pointer(list) {
        Some(Value::Array(items)) => (items.as_slice(), None),
        Some(object @ Value::Object(_)) => (&[][..], Some(object)),
        Some(_) | None => (&[][..], None),
    };
    many.iter().chain(one)
}

/// Names each row of a list by the texts of its keys, with slashes between; a key with a list gives
/// a name for each item.
pub(in crate::cli) fn each(answer: &Value, list: &str, keys: &[&str]) -> Vec<String> {
    let name = |row: &Value| {
        let texts: Vec<Vec<String>> = keys.iter().map(|key| texts(row.get(key))).collect();
        match texts.as_slice() {
            [many] => many.clone(),
            several => vec![several.concat().join("/")],
        }
    };
    items(answer, list).flat_map(name).collect()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().flat_map(|item| texts(Some(item))).collect(),
        Some(Value::String(text)) => vec![text.clone()],
        Some(other) => vec![other.to_string()],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_written_once_in_the_order_of_rows() {
        let rows = Rows { names: |answer| each(answer, "/rows", &["services"]), ..Rows::NONE };
        let answer = json!({"rows": [{"services": ["web", "api"]}, {"services": ["web"]}]});
        let mut text = Vec::new();
        rows.write_names(&mut text, &answer).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "web\napi\n");
    }

    #[test]
    fn several_keys_make_one_name() {
        let answer = json!([{"service": "web", "task": 2}, {"service": "api", "task": 1}]);
        assert_eq!(each(&answer, "", &["service", "task"]), ["web/2", "api/1"]);
    }

    #[test]
    fn rows_are_of_each_list_or_of_an_object() {
        let two = Rows { lists: &["/errors", "/warnings", "/others"], ..Rows::NONE };
        let answer = json!({"errors": [1], "warnings": [2, 3]});
        assert_eq!(two.of(&answer).collect::<Vec<_>>(), [&json!(1), &json!(2), &json!(3)]);
        let one = Rows { lists: &[""], ..Rows::NONE };
        assert_eq!(one.of(&answer).collect::<Vec<_>>(), [&answer]);
    }
}
