//! One section of the lab file, as a `[[list]]` section or as an inline table.

use super::list;
use super::splice::{Splice, indent, line_break, line_end};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table of the file.
#[derive(Clone)]
pub(super) struct Found<'a> {
    pub(super) text: &'a str,
    pub(super) table: &'a DeTable<'a>,
    /// The inline table, or the header.
    pub(super) span: Range<usize>,
}

/// Finds the section of a list with an id or a name.
pub(super) fn find<'a>(
    root: &'a DeTable<'a>,
    text: &'a str,
    list: &str,
    name: &str,
) -> Option<Found<'a>> {
    let DeValue::Array(sections) = root.get(list)?.get_ref() else { return None };
    sections.iter().find_map(|section| {
        let DeValue::Table(table) = section.get_ref() else { return None };
        let own = table.get("id").or_else(|| table.get("name"))?;
        let is_it = own.get_ref().as_str() == Some(name);
        is_it.then(|| Found { text, table, span: section.span() })
    })
}

impl Found<'_> {
    fn is_inline(&self) -> bool {
        self.text[self.span.clone()].starts_with('{')
    }

    /// Sets the value of a key.
    pub(super) fn with_key(&self, key: &str, value: &str) -> Splice {
        if let Some(own) = self.table.get(key) {
            return Splice { at: own.span(), text: value.to_owned() };
        }
        let pair = format!("{key} = {value}");
        let newline = line_break(self.text);
        match self.last_pair() {
            Some((_, end)) if self.is_inline() => Splice::insert(end, format!(", {pair}")),
            Some((begin, end)) => {
                let indent = indent(self.text, begin);
                Splice::insert(line_end(self.text, end), format!("{newline}{indent}{pair}"))
            }
            None => Splice::insert(line_end(self.text, self.span.end), format!("{newline}{pair}")),
        }
    }

    /// Replaces one key by others; returns `None` if it does not exist.
    pub(super) fn with_keys_for(&self, key: &str, with: &[(&str, String)]) -> Option<Splice> {
        let (own, value) = self.table.get_key_value(key)?;
        let between = match self.is_inline() {
            true => ", ".to_owned(),
            false => format!("{}{}", line_break(self.text), indent(self.text, own.span().start)),
        };
        let pairs: Vec<String> =
            with.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        Some(Splice { at: own.span().start..value.span().end, text: pairs.join(&between) })
    }

    /// Adds elements to a list, and makes the list if there is none. Returns `None` if the key has
    /// a value of another shape.
    pub(super) fn with_elements(&self, key: &str, elements: &[String]) -> Option<Vec<Splice>> {
        let Some(own) = self.table.get(key) else {
            let between = format!(",{}    ", line_break(self.text));
            let value = match elements {
                [_] => format!("[{}]", elements.concat()),
                _ if self.is_inline() => format!("[{}]", elements.join(", ")),
                _ => {
                    let newline = line_break(self.text);
                    format!("[{newline}    {},{newline}]", elements.join(&between))
                }
            };
            return Some(vec![self.with_key(key, &value)]);
        };
        let DeValue::Array(old) = own.get_ref() else { return None };
        let spans: Vec<Range<usize>> = old.iter().map(Spanned::span).collect();
        match old.iter().last().filter(|last| is_section(self.text, last)) {
            Some(last) => {
                let DeValue::Table(table) = last.get_ref() else { return None };
                let last = Self { text: self.text, table, span: last.span() };
                Some(vec![last.followed_by(elements)?])
            }
            None => Some(list::with_elements(self.text, own.span(), &spans, elements)),
        }
    }

    /// Adds sections like this one behind it, each with the keys of an inline table.
    fn followed_by(&self, elements: &[String]) -> Option<Splice> {
        let newline = line_break(self.text);
        let header = &self.text[self.span.clone()];
        let end = self.last_pair().map_or(self.span.end, |(_, end)| end);
        let mut added = String::new();
        for element in elements {
            let text = format!("x = {element}");
            let root = DeTable::parse(&text).ok()?;
            let DeValue::Table(keys) = root.get_ref().get("x")?.get_ref() else { return None };
            let mut pairs: Vec<(Range<usize>, Range<usize>)> =
                keys.iter().map(|(key, value)| (key.span(), value.span())).collect();
            pairs.sort_by_key(|(key, _)| key.start);
            added.push_str(&format!("{newline}{newline}{header}"));
            for (key, value) in pairs {
                added.push_str(&format!("{newline}{}", &text[key.start..value.end]));
            }
        }
        Some(Splice::insert(line_end(self.text, end), added))
    }

    /// Returns the start of the table's last key and the end of its value, without the sections
    /// below it.
    fn last_pair(&self) -> Option<(usize, usize)> {
        let pairs = self.table.iter();
        let own = pairs.filter(|(_, value)| !is_section(self.text, value));
        own.map(|(key, value)| (key.span().start, end_of(value))).max_by_key(|(_, end)| *end)
    }
}

/// Decides whether a value is written as sections of its own, below a header.
fn is_section(text: &str, value: &Spanned<DeValue<'_>>) -> bool {
    match value.get_ref() {
        DeValue::Table(_) => text[value.span()].starts_with('['),
        DeValue::Array(elements) => elements.iter().any(|element| is_section(text, element)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

/// Returns the end of a value; a table of dotted keys has no text of its own.
fn end_of(value: &Spanned<DeValue<'_>>) -> usize {
    match value.get_ref() {
        DeValue::Table(table) => {
            table.iter().map(|(_, value)| end_of(value)).fold(value.span().end, usize::max)
        }
        DeValue::Array(_)
        | DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => value.span().end,
    }
}
