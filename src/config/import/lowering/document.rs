//! The text of a lab file: sections with comments, and the place in the source that each line comes
//! from.

use super::super::Origin;
use crate::edge::is_hidden;
use crate::vpc::Line;
use std::collections::BTreeMap;
use std::fmt::Display;

/// The most elements of a list on one line; in a longer list each has its own.
const SHORT_LIST: usize = 5;

/// A lab file while it is written.
#[derive(Debug, Default)]
pub(super) struct Document {
    text: String,
    lines: Line,
    origins: BTreeMap<Line, Origin>,
}

impl Document {
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.lines += 1;
    }

    pub(super) fn comment(&mut self, text: &str) {
        let text = printable(text);
        self.line(format!("# {text}").trim_end());
    }

    /// Adds a heading, which divides the file for its readers.
    pub(super) fn heading(&mut self, text: &str) {
        self.line("");
        self.comment(&format!("==== {text}"));
    }

    pub(super) fn push(&mut self, section: Section) {
        self.line("");
        if let Some(title) = &section.title {
            self.comment(title);
        }
        self.comment(&section.origin.to_string());
        for note in &section.notes {
            self.comment(note);
        }
        self.mark(&section.origin);
        self.line(&format!("[[{}]]", section.kind));
        for entry in section.entries {
            self.entry(entry, &section.origin);
        }
    }

    fn entry(&mut self, entry: KeyValue, origin: &Origin) {
        let KeyValue { key, value } = entry;
        match value {
            Value::Plain(value) => self.line(&format!("{key} = {value}")),
            Value::Items(items) if items.is_empty() => self.line(&format!("{key} = []")),
            Value::Items(items) => {
                self.line(&format!("{key} = ["));
                for item in items {
                    self.mark(&item.origin);
                    let comment = item.comment.as_deref().map(printable);
                    let comment = comment.filter(|comment| !comment.is_empty());
                    let comment = comment.map_or_else(String::new, |c| format!("  # {c}"));
                    self.line(&format!("    {},{comment}", item.value));
                }
                self.mark(origin);
                self.line("]");
            }
        }
    }

    /// Records the place that the lines from here on come from.
    fn mark(&mut self, origin: &Origin) {
        self.origins.insert(self.lines + 1, origin.clone());
    }

    /// Returns the text, and the place of each range of lines, by its first line.
    pub(super) fn finish(self) -> (String, BTreeMap<Line, Origin>) {
        (self.text, self.origins)
    }
}

/// One `[[section]]`.
#[derive(Debug)]
pub(super) struct Section {
    kind: &'static str,
    title: Option<String>,
    origin: Origin,
    notes: Vec<String>,
    entries: Vec<KeyValue>,
}

#[derive(Debug)]
struct KeyValue {
    key: &'static str,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Plain(String),
    Items(Vec<Item>),
}

/// An element of a list that has a line of its own.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) value: String,
    pub(super) comment: Option<String>,
    pub(super) origin: Origin,
}

impl Section {
    /// Makes a section. The title is the object's name for people.
    pub(super) fn new(kind: &'static str, title: Option<&str>, origin: &Origin) -> Self {
        let title = title.map(str::to_owned);
        Self { kind, title, origin: origin.clone(), notes: Vec::new(), entries: Vec::new() }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(super) fn string(&mut self, key: &'static str, value: impl Display) {
        let value = Value::Plain(quoted(value));
        self.entries.push(KeyValue { key, value });
    }

    /// Adds the object's id, and its name if it has another one that a lab file can hold. A title
    /// that says no more than that is left out.
    pub(super) fn id(&mut self, id: impl Display, name: Option<&str>) {
        let id = id.to_string();
        self.string("id", &id);
        let is_name = |name: &&str| !name.is_empty() && *name != id && !name.contains(is_hidden);
        if let Some(name) = name.filter(is_name) {
            self.string("name_tag", name);
            self.title.take_if(|title| title == name);
        }
    }

    pub(super) fn boolean(&mut self, key: &'static str, value: bool) {
        self.entries.push(KeyValue { key, value: Value::Plain(value.to_string()) });
    }

    /// Adds a list of strings.
    pub(super) fn strings<T: Display>(&mut self, key: &'static str, values: &[T]) {
        let value = if values.len() <= SHORT_LIST {
            Value::Plain(list(values))
        } else {
            let item =
                |value| Item { value: quoted(value), comment: None, origin: self.origin.clone() };
            Value::Items(values.iter().map(item).collect())
        };
        self.entries.push(KeyValue { key, value });
    }

    /// Adds a list of strings, unless it is empty.
    pub(super) fn some_strings<T: Display>(&mut self, key: &'static str, values: &[T]) {
        if !values.is_empty() {
            self.strings(key, values);
        }
    }

    /// Adds a list with an element on each line.
    pub(super) fn items(&mut self, key: &'static str, items: Vec<Item>) {
        self.entries.push(KeyValue { key, value: Value::Items(items) });
    }
}

/// Returns `{ key = value, ... }`, of values that are rendered already.
pub(super) fn inline(fields: &[(&'static str, String)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", fields.join(", "))
}

/// Returns a list, such as `["a", "b"]`.
pub(super) fn list<T: Display>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(quoted).collect();
    format!("[{}]", values.join(", "))
}

/// Returns a TOML string.
pub(super) fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

/// Returns a text that can be in a comment: a name tag may hold anything, TOML accepts no control
/// characters there, and hidden characters are of no use.
fn printable(text: &str) -> String {
    text.split(is_hidden).map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_where_they_come_from_and_comments_cannot_break_out() {
        let file = Origin::file("a.json");
        let mut section = Section::new("route_table", Some("evil\nlab = \"x\""), &file.at("R[0]"));
        section.string("id", "rtb\"1");
        let route = Item {
            value: "{ }".into(),
            comment: Some("why\r\n\u{7f}so".into()),
            origin: file.at("R[0].Routes[1]"),
        };
        section.items("routes", vec![route]);
        let mut document = Document::default();
        document.push(section);
        let (text, origins) = document.finish();
        assert_eq!(
            text,
            "\n# evil lab = \"x\"\n# a.json: R[0]\n[[route_table]]\nid = 'rtb\"1'\nroutes = [\n    { },  # why   so\n]\n"
        );
        let at = |line: Line| origins.range(..=line).next_back().unwrap().1.path.as_str();
        assert_eq!((at(4), at(7), at(8)), ("R[0]", "R[0].Routes[1]", "R[0]"));
    }
}
