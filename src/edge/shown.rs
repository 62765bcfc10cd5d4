//! Makes text safe for a terminal. Text that others wrote may hold sequences that move the cursor,
//! change the title or reverse the line. Each such character is shown by its number, in the form of
//! JSON and TOML strings, so that a document with such strings stays valid.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// The sequence that begins a command to a terminal.
const ESCAPE: &str = "\x1b[";
/// The codes that egret's own text sends to a terminal: weight and foreground colour. None hides
/// text.
const STYLES: [&str; 12] = ["0", "1", "2", "3", "4", "31", "32", "33", "34", "35", "36", "39"];

/// Decides whether a terminal does not show a character as itself: controls, and characters that
/// are invisible or change the direction.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Returns a text on one line.
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.contains(is_hidden) { Cow::Owned(escaped(text, false)) } else { Cow::Borrowed(text) }
}

/// Returns a text on its own lines.
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    match text.contains(is_hidden_in_lines) {
        true => Cow::Owned(escaped(text, true)),
        false => Cow::Borrowed(text),
    }
}

/// Returns a text on its own lines, with egret's own colours.
pub fn painted(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden_in_lines) {
        return Cow::Borrowed(text);
    }
    let mut pieces = text.split(ESCAPE);
    let mut all = shown_lines(pieces.next().unwrap_or_default()).into_owned();
    for piece in pieces {
        let style = piece.split_once('m').filter(|(codes, _)| is_style(codes));
        let rest = match style {
            Some((codes, rest)) => {
                all.extend([ESCAPE, codes, "m"]);
                rest
            }
            None => {
                all.push_str(&shown(ESCAPE));
                piece
            }
        };
        all.push_str(&shown_lines(rest));
    }
    Cow::Owned(all)
}

/// Returns a text without egret's own colours.
pub fn without_colours(text: &str) -> String {
    let mut pieces = text.split(ESCAPE);
    let mut all = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once('m').filter(|(codes, _)| is_style(codes)) {
            Some((_, rest)) => all.push_str(rest),
            None => all.extend([ESCAPE, piece]),
        }
    }
    all
}

fn is_hidden_in_lines(c: char) -> bool {
    !matches!(c, '\n' | '\t') && is_hidden(c)
}

fn is_style(codes: &str) -> bool {
    codes.split(';').all(|code| STYLES.contains(&code))
}

fn escaped(text: &str, has_lines: bool) -> String {
    let mut all = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\n' | '\t' if has_lines => all.push(c),
            // CSV ends a line so.
            '\r' if has_lines && characters.peek() == Some(&'\n') => all.push(c),
            '\n' => all.push_str("\\n"),
            '\r' => all.push_str("\\r"),
            '\t' => all.push_str("\\t"),
            c if is_hidden(c) => number(&mut all, c),
            c => all.push(c),
        }
    }
    all
}

/// Adds the number of a character in JSON's form: a character beyond 16 bits is two numbers.
fn number(all: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = write!(all, "\\u{unit:04x}");
    }
}

/// Formats a number with commas between the thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Says that a list goes on: `… and 1,950 more errors`. Returns `None` if nothing is left out.
pub fn and_more(left_out: usize, what: &str) -> Option<String> {
    let number = thousands(u64::try_from(left_out).unwrap_or(u64::MAX));
    match left_out {
        0 => None,
        1 => Some(format!("… and 1 more {what}")),
        _ => Some(format!("… and {number} more {what}s")),
    }
}

/// Passes whole lines on as a terminal may show them, and the last line when it is flushed.
pub struct Shown<W: Write> {
    to: W,
    line: Vec<u8>,
    has_colours: bool,
}

impl<W: Write> Shown<W> {
    /// Writes to `to`, with egret's own colours where `has_colours`.
    pub fn new(to: W, has_colours: bool) -> Self {
        Self { to, line: Vec::new(), has_colours }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let text = String::from_utf8_lossy(&self.line);
        let text = if self.has_colours { painted(&text) } else { shown_lines(&text) };
        let written = self.to.write_all(text.as_bytes());
        self.line.clear();
        written
    }
}

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if bytes.contains(&b'\n') {
            let end = self.line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let rest = self.line.split_off(end);
            self.pass_on()?;
            self.line = rest;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Sequences that a terminal would act on: a title, a bell, a cleared line, C1's own
    /// introducer, a reversed line, a tag.
    const HOSTILE: &str = "a\x1b]0;t\x07\x1b[2K\r\u{9b}31m\u{202e}b\u{e0041}\n\tc\u{7f}";

    #[test]
    fn hostile_text_is_shown_by_numbers_and_stays_a_json_string() {
        let line = shown(HOSTILE);
        assert_eq!(line, r"a\u001b]0;t\u0007\u001b[2K\r\u009b31m\u202eb\udb40\udc41\n\tc\u007f");
        let read: String = serde_json::from_str(&format!("\"{line}\"")).unwrap();
        assert_eq!(read, HOSTILE);
        assert!(shown_lines(HOSTILE).contains("\n\tc"));
        assert_eq!(shown_lines("a,b\r\n\rc\x07\r\n"), "a,b\r\n\\rc\\u0007\r\n");
        for plain in ["", "web → db:5432 … é 漢 🦩", "a \"b\" \\"] {
            assert!(matches!(shown(plain), Cow::Borrowed(text) if text == plain));
        }
    }

    #[test]
    fn only_egrets_own_colours_reach_a_terminal() {
        let text = "\x1b[1;31mDROP\x1b[0m \x1b[8mhidden\x1b[0m \x1b[30;40mx\x1b[H\x1b[";
        assert_eq!(
            painted(text),
            "\x1b[1;31mDROP\x1b[0m \\u001b[8mhidden\x1b[0m \\u001b[30;40mx\\u001b[H\\u001b["
        );
    }

    #[test]
    fn pieces_of_a_line_are_shown_as_the_whole_line() {
        let mut to = Vec::new();
        let mut writer = Shown::new(&mut to, true);
        for byte in "é\x1b[32mok\x1b[0m\u{202e}\nend\x07".as_bytes() {
            writer.write_all(&[*byte]).unwrap();
        }
        writer.flush().unwrap();
        assert_eq!(String::from_utf8(to).unwrap(), "é\x1b[32mok\x1b[0m\\u202e\nend\\u0007");
    }
}
