//! Adds elements to a list in brackets, in the list's own style.

use super::splice::{Splice, indent, line_begin, line_break, line_end};
use std::ops::Range;

/// Adds elements to a list: behind the others on their line, or on lines of their own if the others
/// are.
pub(super) fn with_elements(
    text: &str,
    list: Range<usize>,
    old: &[Range<usize>],
    new: &[String],
) -> Vec<Splice> {
    let close = list.end - 1;
    let Some(last) = old.last() else { return first_elements(text, list.start + 1..close, new) };
    let before = old.len().checked_sub(2).and_then(|at| old.get(at));
    let before = before.map_or(list.start, |element| element.end);
    let comma = comma(text, last.end..close);
    let end = comma.map_or(last.end, |at| at + 1);
    let mut splices = Vec::new();
    if !text[before..last.start].contains('\n') {
        let (lead, trail) = if comma.is_some() { (" ", ",") } else { (", ", "") };
        let added = format!("{lead}{}{trail}", new.join(", "));
        return vec![Splice::insert(end, added)];
    }
    if comma.is_none() {
        splices.push(Splice::insert(last.end, ",".to_owned()));
    }
    let newline = line_break(text);
    let between = format!("{newline}{}", indent(text, last.start));
    let trail = if comma.is_some() { "," } else { "" };
    let added = format!("{between}{}{trail}", new.join(&format!(",{between}")));
    // A comment behind the last element stays with it.
    let at = line_end(text, end);
    splices.push(Splice::insert(if at < close { at } else { end }, added));
    splices
}

/// Fills an empty list, in which there may be comments.
fn first_elements(text: &str, inner: Range<usize>, new: &[String]) -> Vec<Splice> {
    if !text[inner.clone()].contains('\n') {
        return vec![Splice { at: inner, text: new.join(", ") }];
    }
    let newline = line_break(text);
    let begin = line_begin(text, inner.end);
    let indent = indent(text, inner.end);
    let lines = new.iter().map(|element| format!("{indent}    {element},{newline}"));
    vec![Splice::insert(begin, lines.collect())]
}

/// Returns the place of the comma behind an element, if there is one. Comments may have commas too.
fn comma(text: &str, tail: Range<usize>) -> Option<usize> {
    let mut is_comment = false;
    for (at, byte) in text[tail.clone()].bytes().enumerate() {
        match byte {
            b'#' => is_comment = true,
            b'\n' => is_comment = false,
            b',' if !is_comment => return Some(tail.start + at),
            _ => {}
        }
    }
    None
}
