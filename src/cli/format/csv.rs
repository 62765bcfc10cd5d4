//! Writes rows as comma-separated values (RFC 4180).
//!
//! A column is a key of a row; keys of nested objects have dots between. Items of a list have `;`
//! between, those of a list in a list a blank. A range is `FROM-TO`, after its protocol if it has
//! one. Other objects in a list are JSON, unless columns name their keys.

use super::rows::Rows;
use csv::{Terminator, Writer, WriterBuilder};
use serde_json::{Map, Value};
use std::io::{self, Write};

/// Writes the heading and the rows of an answer.
pub(super) fn write(w: &mut dyn Write, rows: &Rows, answer: &Value) -> io::Result<()> {
    heading(w, rows)?;
    lines(w, rows, answer, 1)
}

/// Writes the heading.
pub(super) fn heading(w: &mut dyn Write, rows: &Rows) -> io::Result<()> {
    let mut csv = writer();
    csv.write_record(rows.document.iter().chain(rows.columns))?;
    hand_over(w, csv)
}

/// Writes the rows of an answer that is document `number` of a stream.
pub(super) fn lines(w: &mut dyn Write, rows: &Rows, answer: &Value, number: u64) -> io::Result<()> {
    let mut csv = writer();
    for row in rows.of(answer) {
        let number = rows.document.map(|_| number.to_string());
        csv.write_record(number.into_iter().chain(cells(rows, row)))?;
    }
    hand_over(w, csv)
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new())
}

/// Writes what is in memory. The crate's own errors would not say that a pipe is closed.
fn hand_over(w: &mut dyn Write, csv: Writer<Vec<u8>>) -> io::Result<()> {
    let text = csv.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    w.write_all(&text)
}

fn cells(rows: &Rows, row: &Value) -> impl Iterator<Item = String> {
    rows.columns.iter().map(|column| {
        let keys: Vec<&str> = column.split('.').collect();
        cell(row, &keys, &SEPARATORS)
    })
}

/// The separators of a list's items, and of the items of a list in a list.
const SEPARATORS: [&str; 2] = [";", " "];

fn cell(value: &Value, keys: &[&str], separators: &[&str]) -> String {
    match (value, keys) {
        (Value::Array(items), keys) => {
            let (separator, others) = separators.split_first().unwrap_or((&" ", &[]));
            let items: Vec<String> = items.iter().map(|item| cell(item, keys, others)).collect();
            items.join(separator)
        }
        (_, [key, keys @ ..]) => {
            value.get(key).map_or_else(String::new, |value| cell(value, keys, separators))
        }
        (Value::Null, []) => String::new(),
        (Value::String(text), []) => text.clone(),
        (Value::Object(fields), []) => range(fields).unwrap_or_else(|| value.to_string()),
        (Value::Bool(_) | Value::Number(_), []) => value.to_string(),
    }
}

/// Returns the range that an object describes, if it does: `10.0.1.4-10.0.1.9`, `tcp 443`, `icmp`.
fn range(fields: &Map<String, Value>) -> Option<String> {
    let is_known = |key: &String| ["protocol", "from", "to"].contains(&key.as_str());
    if fields.is_empty() || !fields.keys().all(is_known) {
        return None;
    }
    let text = |key| fields.get(key).map(|value| cell(value, &[], &SEPARATORS));
    let ends = match (text("from"), text("to")) {
        (Some(from), Some(to)) if from != to => Some(format!("{from}-{to}")),
        (from, to) => from.or(to),
    };
    Some(text("protocol").into_iter().chain(ends).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    fn written(columns: &'static [&'static str], answer: &Value) -> String {
        let mut text = Vec::new();
        let rows = Rows { lists: &["/rows"], columns, ..Rows::NONE };
        write(&mut text, &rows, answer).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn answer_without_rows_has_a_heading() {
        assert_eq!(written(&["id", "of.x"], &json!({"rows": []})), "id,of.x\r\n");
    }

    #[test]
    fn fields_that_need_it_are_quoted() {
        let answer = json!({"rows": [{"id": "a,b"}, {"id": "a \"b\"\nc"}, {"id": " d "}]});
        assert_eq!(written(&["id"], &answer), "id\r\n\"a,b\"\r\n\"a \"\"b\"\"\nc\"\r\n d \r\n");
    }

    #[test]
    fn nested_fields_have_columns_and_what_is_missing_is_empty() {
        let answer = json!({"rows": [
            {"id": 1, "by": {"id": "sg", "line": null}, "ok": true},
            {"id": 2, "by": null},
        ]});
        let text = written(&["id", "by.id", "by.line", "ok"], &answer);
        assert_eq!(text, "id,by.id,by.line,ok\r\n1,sg,,true\r\n2,,,\r\n");
    }

    #[test]
    fn lists_are_joined_and_ranges_are_short() {
        let answer = json!({"rows": [{
            "names": ["a", "b"],
            "paths": [["nat", "igw"], ["local"]],
            "by": [{"id": "r1", "line": 7}, {"id": "r2", "line": null}],
            "to": [{"from": "10.0.0.1", "to": "10.0.0.9"}, {"from": "10.0.1.1", "to": "10.0.1.1"}],
            "ports": [{"protocol": "tcp", "from": 1, "to": 2}, {"protocol": "icmp"}],
            "others": [{"name": "x"}],
        }]});
        let columns = &["names", "paths", "by.id", "by.line", "to", "ports", "others"];
        let text = written(columns, &answer);
        let wanted = "a;b,nat igw;local,r1;r2,7;,10.0.0.1-10.0.0.9;10.0.1.1,tcp 1-2;icmp,\
                      \"{\"\"name\"\":\"\"x\"\"}\"\r\n";
        assert_eq!(text.split_once("\r\n").unwrap().1, wanted);
    }
}
