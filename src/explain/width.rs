//! The width for which texts and tables are laid out, and the width of a text.

use std::sync::atomic::{AtomicUsize, Ordering};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The width without a terminal, in columns.
const USUAL: usize = 100;

/// The least width for which texts are laid out. On a narrower terminal lines are broken by it.
const LEAST: usize = 40;

static WIDTH: AtomicUsize = AtomicUsize::new(USUAL);

/// Sets the width of the output, in columns; `None` if it is no terminal.
pub fn set_width(columns: Option<usize>) {
    WIDTH.store(columns.unwrap_or(USUAL).max(LEAST), Ordering::Relaxed);
}

/// Returns the widest line, in columns.
pub fn width() -> usize {
    WIDTH.load(Ordering::Relaxed)
}

/// Returns the number of columns that a text takes: wide characters take two, marks on a letter none.
pub(super) fn columns_of(text: &str) -> usize {
    text.width()
}

/// Returns the number of columns that a character takes by itself.
pub(super) fn columns_of_character(character: char) -> usize {
    character.width().unwrap_or(1)
}

/// Returns the beginning of a text that fits so many columns.
pub fn fitting(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let is_beyond = |(_, character): &(usize, char)| {
        used += columns_of_character(*character);
        used > columns
    };
    let end = text.char_indices().find(is_beyond).map_or(text.len(), |(at, _)| at);
    let mut kept = &text[..end];
    // A mark can make the character before it wider than that is alone.
    while columns_of(kept) > columns {
        kept = kept.char_indices().next_back().map_or("", |(at, _)| &kept[..at]);
    }
    kept
}

/// Returns a text with as many blanks after it as it needs to take so many columns.
pub(super) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{:blanks$}", "", blanks = columns.saturating_sub(columns_of(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns_and_marks_none() {
        assert_eq!([columns_of("web"), columns_of("網路"), columns_of("e\u{301}t")], [3, 4, 2]);
        assert_eq!(padded("網路", 6), "網路  ");
        assert_eq!(padded("network", 6), "network");
    }

    #[test]
    fn no_beginning_takes_more_columns_than_there_are() {
        for text in ["network", "網路 a", "e\u{301}te\u{301}", "a\u{2764}\u{fe0f}b", ""] {
            for columns in 0..10 {
                let kept = fitting(text, columns);
                assert!(text.starts_with(kept) && columns_of(kept) <= columns, "{text}: {columns}");
            }
            assert_eq!(fitting(text, 10), text);
        }
        assert_eq!(fitting("網路", 3), "網");
    }
}
