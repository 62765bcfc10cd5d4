//! The text of a lab file as excerpts show it: without secrets, and without commands to a terminal.
//! Each byte keeps its place, so that faults can be underlined.

use crate::edge::is_hidden;
use regex::Regex;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// Names of a secret's key, or parts of such names; they also match with one letter too many, too
/// few or wrong.
const SECRETS: [&str; 6] =
    ["secret", "password", "passphrase", "credential", "credentials", "token"];
/// Shorter parts of such names, which must match exactly.
const SHORT: [&str; 7] = ["secret", "passw", "passwd", "pwd", "token", "credential", "privatekey"];
/// The section of access keys, of which only the ids are shown. It also matches with one letter too
/// many, too few or wrong.
const KEYS: &str = "accesskey";

/// A section's header, or a key with the characters between it and its value.
static KEY: LazyLock<Result<Regex, regex::Error>> = LazyLock::new(|| {
    Regex::new(
        r#"(?m)^[ \t]*\[\[?(?<section>[^\]\n]*)\]|(?<key>(?:[\w-]|"(?:\\.|[^"\\\n])*"|'[^'\n]*')(?:[\w.\t -]|"(?:\\.|[^"\\\n])*"|'[^'\n]*')*)[=:]"#,
    )
});

/// A value. One that is not closed goes on to the end of its line, or of the file.
static VALUE: LazyLock<Result<Regex, regex::Error>> = LazyLock::new(|| {
    Regex::new(
        r#"^\s*("""[\s\S]*?(?:"""|\z)|'''[\s\S]*?(?:'''|\z)|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|\[[^\]]*\]?|\{[^}]*\}?|[^\n,}]*)"#,
    )
});

/// A key whose `=` is missing, and what follows it on its line.
static WITHOUT_SIGN: LazyLock<Result<Regex, regex::Error>> = LazyLock::new(|| {
    Regex::new(
        r#"(?m)(?:^|[{,])[ \t]*((?:[\w.-]|"[^"\n]*"|'[^'\n]*')+?)(?:[ \t]+|\b)(["'][^\n]*|[^\s=:\["'][^=:\n]*$)"#,
    )
});

/// The secret of an AWS access key, under any key.
static AWS_SECRET: LazyLock<Result<Regex, regex::Error>> =
    LazyLock::new(|| Regex::new(r"(?:^|[^A-Za-z0-9/+])([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"));

/// Returns the text that is shown of a lab file.
pub(super) fn of(text: &str) -> Arc<str> {
    // A test compiles them. Without them nothing is shown.
    let (Ok(key), Ok(value), Ok(bare), Ok(aws)) =
        (KEY.as_ref(), VALUE.as_ref(), WITHOUT_SIGN.as_ref(), AWS_SECRET.as_ref())
    else {
        return "".into();
    };
    let mut bytes = text.as_bytes().to_owned();
    let values = values_of_secrets(text, key, value);
    let keys = aws.captures_iter(text).filter_map(|found| Some(found.get(1)?.range()));
    let bare = bare.captures_iter(text).filter(|found| is_secret_key(&found[1]));
    let bare = bare.filter_map(|found| Some(found.get(2)?.range()));
    values.into_iter().chain(keys).chain(bare).for_each(|range| hide(&mut bytes, range));
    let text = String::from_utf8_lossy(&bytes);
    if text.contains(is_hidden_in_file) { visible(&text).into() } else { text.into() }
}

fn values_of_secrets(text: &str, key: &Regex, value: &Regex) -> Vec<Range<usize>> {
    let mut is_of_keys = false;
    let mut found = Vec::new();
    for at in key.captures_iter(text) {
        if let Some(section) = at.name("section") {
            let path = letters(section.as_str());
            is_of_keys = is_secret_path(&path) || path.contains(KEYS);
            continue;
        }
        let name = at.name("key").map_or_else(String::new, |name| letters(name.as_str()));
        let is_secret = is_secret_path(&name) || (is_of_keys && last(&name) != "id");
        let after = at.get(0).map_or(0, |whole| whole.end());
        let rest = text.get(after..).unwrap_or_default();
        if let Some(value) = value.captures(rest).filter(|_| is_secret).and_then(|v| v.get(1)) {
            found.push(after + value.start()..after + value.end());
        }
    }
    found
}

/// Returns the letters and dots of a key, with its escapes resolved, in lower case.
fn letters(key: &str) -> String {
    let mut letters = String::new();
    let mut rest = key.chars();
    while let Some(c) = rest.next() {
        let digits = match c {
            '\\' => match rest.next() {
                Some('x') => 2,
                Some('u') => 4,
                Some('U') => 8,
                Some(_) | None => 0,
            },
            c => {
                letters.extend(c.to_lowercase());
                continue;
            }
        };
        let number: String = rest.by_ref().take(digits).collect();
        letters.extend(
            u32::from_str_radix(&number, 16)
                .ok()
                .and_then(char::from_u32)
                .map(|c| c.to_ascii_lowercase()),
        );
    }
    letters.retain(|c| c.is_alphabetic() || c == '.');
    letters
}

/// Returns the last name of a dotted key.
fn last(letters: &str) -> &str {
    letters.rsplit('.').next().unwrap_or_default()
}

/// Decides whether a key is that of a secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    is_secret_path(&letters(key))
}

/// Decides whether any name of a dotted key is that of a secret: what is below it is secret too.
fn is_secret_path(letters: &str) -> bool {
    letters.split('.').any(is_secret)
}

fn is_secret(name: &str) -> bool {
    if strsim::damerau_levenshtein(name, KEYS) <= 1 || SHORT.iter().any(|part| name.contains(part))
    {
        return true;
    }
    // A window as long as the word, one longer or one shorter: for a letter that is missing, added
    // or exchanged.
    SECRETS.iter().any(|word| {
        (word.len() - 1..=word.len() + 1).any(|length| {
            let windows = name.as_bytes().windows(length);
            let likely = if word.len() > 6 { 2 } else { 1 };
            windows.filter_map(|window| std::str::from_utf8(window).ok()).any(|window| {
                window.starts_with(&word[..1])
                    && strsim::damerau_levenshtein(window, word) <= likely
            })
        })
    })
}

fn hide(bytes: &mut [u8], range: Range<usize>) {
    let hidden = bytes.get_mut(range).into_iter().flatten();
    hidden.filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
}

fn is_hidden_in_file(c: char) -> bool {
    is_hidden(c) && !matches!(c, '\n' | '\t')
}

/// Returns a text with each hidden character replaced by a mark of the same length.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let ends_line = c == '\r' && characters.peek() == Some(&'\n');
        match c.len_utf8() {
            _ if ends_line => shown.push(' '),
            _ if !is_hidden_in_file(c) => shown.push(c),
            3 => shown.push('\u{fffd}'),
            length => shown.extend(std::iter::repeat_n('?', length)),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SECRET: &str = "hunter2 correct";

    #[test]
    fn secrets_are_hidden_however_their_key_is_written() {
        let keys = [
            "secret",
            "Secret",
            "secret_acces_key",
            "secrt",
            "scret_access_key",
            "sekret",
            "aws_secret",
            "password",
            "passwrod",
            "db_pasword",
            "session_token",
            r#""secret\u005faccess_key""#,
            r#""s\u0065cret""#,
            r#""\U00000073ecret_x""#,
            r#""\x73ecret""#,
            "'secret_x'",
            "private-key",
            "key.secret",
            "a . secret",
            "secret.key",
            "\"my.secret.value\"",
            "secret_access_key.x",
            "acces_key",
            r#"a."sec\u0072et""#,
            "credentails",
        ];
        for key in keys {
            for value in [
                format!("\"{SECRET}\""),
                format!("'{SECRET}'"),
                SECRET.to_owned(),
                format!("\"{SECRET}"),
                format!("\"\"\"\n{SECRET}\"\"\""),
                format!("[\"{SECRET}\"]"),
                format!("\"\\\"{SECRET}\""),
                format!("{{ x = \"{SECRET}\" }}"),
            ] {
                for text in [
                    format!("{key} = {value}"),
                    format!("a = {{ id = \"b\", {key}={value}, c = 1 }}"),
                    format!("x = [\n{key} : {value}"),
                ] {
                    let shown = of(&text);
                    assert!(!shown.contains("hunter2"), "{text}: {shown}");
                    assert_eq!(shown.len(), text.len());
                }
            }
        }
    }

    #[test]
    fn secret_whose_sign_is_missing_is_hidden() {
        assert_eq!(&*of("a = 1\nsecret \"hunter2\"\n"), "a = 1\nsecret *********\n");
        for text in [
            "secret hunter2",
            "secret\"hunter2\"",
            "\"secret\" \"hunter2\"",
            "x = { id = \"a\", secret \"hunter2\" }",
            "[apprunner.secret]\nx = \"hunter2\"",
            "[credentials]\nx = \"hunter2\"",
            "[apprunner.access_key.x]\ny = \"hunter2\"",
        ] {
            assert!(!of(text).contains("hunter2"), "{text}: {}", of(text));
        }
        assert_eq!(&*of("region \"us-east-1\"\n"), "region \"us-east-1\"\n");
    }

    #[test]
    fn other_keys_are_shown() {
        for text in [
            "id = \"hunter2\"",
            "secrets_manager_is_no_key",
            "region = \"us-east-1\"",
            "security_groups = [\"sg-1\"]",
            "[[security_group]]\nid = \"a\"",
            "tasks = 2",
            "subnets = [\"a\"]",
            "description = \"a secret\"",
            "store = \"x\"",
            "section = 1",
            "selected = 2",
            "access = 1",
        ] {
            assert_eq!(&*of(text), text);
        }
    }

    #[test]
    fn of_access_keys_the_ids_alone_are_shown_and_of_others_no_aws_secret() {
        let text = "[[apprunner.\"access\\u005fkey\"]]\nid = \"AKIA\"\nmystery = \"hunter2\"\n[x]\nmystery = \"shown\"";
        assert_eq!(
            &*of(text),
            "[[apprunner.\"access\\u005fkey\"]]\nid = \"AKIA\"\nmystery = *********\n[x]\nmystery = \"shown\""
        );
        let key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert!(!of(&format!("id = \"{key}\"")).contains("wJalr"));
    }

    #[test]
    fn escaped_control_characters_keep_their_length() {
        let text = "# \x1b]0;\u{9b}\u{202e}\u{e0041}\r\n\tx";
        assert_eq!(&*of(text), "# ?]0;??\u{fffd}???? \n\tx");
        assert_eq!(of(text).len(), text.len());
    }
}
