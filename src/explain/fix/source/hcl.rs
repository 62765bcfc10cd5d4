//! Writes blocks of HCL, in the layout of `terraform fmt`.

use std::fmt::Write;

/// An item of a block's body.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// `key = value`, where the value is an expression.
    Attribute(String, String),
    /// `head { … }`
    Block(String, Vec<Item>),
    /// A comment on a line of its own.
    Comment(String),
}

impl Item {
    pub(super) fn attribute(key: &str, value: impl Into<String>) -> Self {
        Self::Attribute(key.to_owned(), value.into())
    }

    pub(super) fn text(key: &str, value: impl AsRef<str>) -> Self {
        Self::attribute(key, quoted(value.as_ref()))
    }
}

pub(super) fn block(head: &str, body: &[Item]) -> String {
    let mut text = String::new();
    write_block(&mut text, 0, head, body);
    text.trim_end().to_owned()
}

fn write_block(text: &mut String, indent: usize, head: &str, body: &[Item]) {
    let margin = " ".repeat(indent);
    let _ = writeln!(text, "{margin}{head} {{");
    for (at, item) in body.iter().enumerate() {
        match item {
            Item::Attribute(key, value) => {
                let width = width_of_keys(body, at);
                let _ = writeln!(text, "{margin}  {key:width$} = {value}");
            }
            Item::Block(head, body) => {
                if at > 0 && !text.ends_with("\n\n") {
                    text.push('\n');
                }
                write_block(text, indent + 2, head, body);
            }
            Item::Comment(comment) => {
                let line = comment.replace(char::is_control, " ");
                let _ = writeln!(text, "{margin}  # {line}");
            }
        }
    }
    let _ = writeln!(text, "{margin}}}");
}

/// Returns the widest key among the attributes that are adjacent to one.
fn width_of_keys(body: &[Item], at: usize) -> usize {
    let key = |item: &Item| match item {
        Item::Attribute(key, _) => Some(key.len()),
        Item::Block(..) | Item::Comment(_) => None,
    };
    let (before, after) = body.split_at(at);
    let before = before.iter().rev().map_while(key);
    before.chain(after.iter().map_while(key)).max().unwrap_or(0)
}

/// Writes a string literal without templates.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted.replace("${", "$${").replace("%{", "%%{")
}

/// Makes an identifier of a text.
pub(super) fn identifier(text: &str) -> String {
    let mut word = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => word.push(c.to_ascii_lowercase()),
            _ if word.is_empty() || word.ends_with('_') => {}
            _ => word.push('_'),
        }
    }
    let word = word.trim_end_matches('_');
    match word.starts_with(|c: char| c.is_ascii_digit()) || word.is_empty() {
        true => format!("x{word}"),
        false => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_stand_together_are_aligned() {
        let body = [
            Item::text("a", "x${y}\"\n"),
            Item::attribute("long", "1"),
            Item::Comment("why".to_owned()),
            Item::attribute("b", "aws_vpc.main.id"),
            Item::Block("ingress".to_owned(), vec![Item::attribute("c", "[]")]),
        ];
        let expected = "resource \"t\" \"n\" {\n  a    = \"x$${y}\\\"\\u000a\"\n  long = 1\n  # why\n  \
                        b = aws_vpc.main.id\n\n  ingress {\n    c = []\n  }\n}";
        assert_eq!(block("resource \"t\" \"n\"", &body), expected);
    }

    #[test]
    fn identifiers_have_letters_digits_and_underscores() {
        let words = ["Web-Group", "10.20.0.0/16", "--", "a__b", "\u{fc}x"].map(identifier);
        assert_eq!(words, ["web_group", "x10_20_0_0_16", "x", "a_b", "x"]);
    }
}
