//! Pieces of a text that are replaced by others.

use std::ops::Range;

/// A piece of a text, and the text that replaces it; an empty piece is a place to insert at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

impl Splice {
    pub(super) fn insert(at: usize, text: String) -> Self {
        Self { at: at..at, text }
    }
}

/// Returns a text with pieces of it replaced. They do not overlap; of several at one place the
/// first comes first.
pub(super) fn spliced(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| splice.at.start);
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    for Splice { at, text: new } in splices {
        result.push_str(&text[done..at.start]);
        result.push_str(&new);
        done = at.end;
    }
    result.push_str(&text[done..]);
    result
}

/// Returns the line break that a text uses.
pub(super) fn line_break(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Returns the end of the line of a position, without its line break.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
    if text[at..end].ends_with('\r') { end - 1 } else { end }
}

/// Returns the white space at the start of the line of a position.
pub(super) fn indent(text: &str, at: usize) -> &str {
    let begin = line_begin(text, at);
    let line = &text[begin..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Returns the start of the line of a position.
pub(super) fn line_begin(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}
