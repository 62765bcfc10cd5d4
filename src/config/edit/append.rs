//! Adds sections at the end, or to a list that is written inline.

use super::list;
use super::splice::{Splice, line_break};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Adds `[[list]]` sections at the end. If the file has the list in brackets, no section may follow
/// it, so they are added to it as inline tables. Returns `None` if `sections` are no such sections.
/// as inline tables. `None` if they are none.
pub(super) fn appended(text: &str, root: &DeTable<'_>, sections: &str) -> Option<Vec<Splice>> {
    let added = DeTable::parse(sections).ok()?;
    let mut all: Vec<(&str, &Spanned<DeValue<'_>>)> = Vec::new();
    for (list, value) in added.get_ref() {
        let DeValue::Array(elements) = value.get_ref() else { return None };
        all.extend(elements.iter().map(|element| (list.get_ref().as_ref(), element)));
    }
    all.sort_by_key(|(_, element)| element.span().start);
    let mut splices = Vec::new();
    let mut at_end: Vec<&str> = Vec::new();
    for (at, (list, element)) in all.iter().enumerate() {
        if inline(text, root, list).is_none() {
            let end = all.get(at + 1).map_or(sections.len(), |(_, next)| next.span().start);
            at_end.push(sections[element.span().start..end].trim_end());
        }
    }
    for list in added.get_ref().keys() {
        if let Some((span, old)) = inline(text, root, list.get_ref()) {
            let own = all.iter().filter(|(own, _)| own == list.get_ref());
            let tables = own.map(|(_, element)| one_line(sections, element));
            splices.extend(list::with_elements(text, span, &old, &tables.collect::<Vec<_>>()));
        }
    }
    if !at_end.is_empty() {
        splices.push(at_the_end(text, &at_end.join("\n\n")));
    }
    Some(splices)
}

/// Returns the place of a list and of its elements, if the file has the list in brackets.
fn inline(text: &str, root: &DeTable<'_>, list: &str) -> Option<(Range<usize>, Vec<Range<usize>>)> {
    let own = root.get(list)?;
    let DeValue::Array(elements) = own.get_ref() else { return None };
    let spans: Vec<Range<usize>> = elements.iter().map(Spanned::span).collect();
    let is_inline = spans.first().is_none_or(|first| text[first.clone()].starts_with('{'));
    is_inline.then(|| (own.span(), spans))
}

/// Writes a value on one line, and a section as an inline table.
fn one_line(text: &str, value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::Table(table) => {
            let mut pairs: Vec<_> = table.iter().collect();
            pairs.sort_by_key(|(key, _)| key.span().start);
            let pair = |(key, value): (&Spanned<_>, _)| {
                format!("{} = {}", &text[key.span()], one_line(text, value))
            };
            format!("{{ {} }}", pairs.into_iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        DeValue::Array(elements) => {
            let elements = elements.iter().map(|element| one_line(text, element));
            format!("[{}]", elements.collect::<Vec<_>>().join(", "))
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => text[value.span()].to_owned(),
    }
}

fn at_the_end(text: &str, sections: &str) -> Splice {
    let newline = line_break(text);
    let text_end = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
    let gap = if text.trim().is_empty() { "" } else { newline };
    let sections = sections.replace('\n', newline);
    Splice::insert(text.len(), format!("{text_end}{gap}{sections}{newline}"))
}
