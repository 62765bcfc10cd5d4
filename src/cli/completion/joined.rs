//! Completes for bash, which splits words at `=` and `:` as well: `--lab=x` arrives as `--lab`,
//! `=` and `x`. They are joined again, and a candidate is what replaces the last part.

use crate::edge::is_hidden;
use clap_complete::engine;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

/// Writes the candidates for the word at the cursor.
pub(super) fn write(
    command: &mut clap::Command,
    words: Vec<OsString>,
    folder: Option<&Path>,
    w: &mut dyn Write,
) -> io::Result<()> {
    let number = env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok());
    let number = number.unwrap_or(words.len().saturating_sub(1));
    let (words, number) = joined(&words, number);
    let word = words.get(number).map(|word| word.to_string_lossy().into_owned());
    let word = word.unwrap_or_default();
    let found = engine::complete(command, words, number, folder)?;
    let found = found.iter().map(|candidate| candidate.get_value().to_string_lossy());
    // A name with hidden characters could command the terminal.
    let found = found.filter(|candidate| !candidate.contains(is_hidden));
    let found: Vec<String> = found.map(|candidate| candidate.into_owned()).collect();
    let has_values = found.iter().any(|candidate| !candidate.starts_with('-'));
    let separator = env::var("_CLAP_IFS").unwrap_or_else(|_| "\n".to_owned());
    let before = before_last_part(&word);
    let shown: Vec<String> = found
        .iter()
        // Options are offered where nothing else fits, or behind a `-`.
        .filter(|candidate| !(word.is_empty() && has_values && candidate.starts_with('-')))
        .map(|candidate| quoted(candidate.strip_prefix(before).unwrap_or(candidate)))
        .collect();
    w.write_all(shown.join(&separator).as_bytes())
}

/// Returns the part of a word that bash does not replace: that up to its last `=` or `:`.
fn before_last_part(word: &str) -> &str {
    let end = word.rfind(['=', ':']).map_or(0, |at| at + 1);
    word.get(..end).unwrap_or_default()
}

/// Joins the words that bash has split, and returns the number of the word at the cursor among
/// them.
fn joined(words: &[OsString], number: usize) -> (Vec<OsString>, usize) {
    let mut all: Vec<OsString> = Vec::new();
    let mut cursor = words.len();
    let mut goes_on = false;
    for (at, word) in words.iter().enumerate() {
        let is_separator = is_separator(word);
        match all.last_mut() {
            Some(last) if goes_on || is_separator => last.push(word),
            Some(_) | None => all.push(word.clone()),
        }
        goes_on = is_separator;
        if at == number {
            cursor = all.len() - 1;
        }
    }
    (all, cursor)
}

fn is_separator(word: &OsString) -> bool {
    let word = word.to_string_lossy();
    !word.is_empty() && word.chars().all(|character| matches!(character, '=' | ':'))
}

/// Writes a word so that bash reads it as one.
fn quoted(word: &str) -> String {
    let mut text = String::new();
    for character in word.chars() {
        let is_plain = character.is_alphanumeric() || "/._-=:,+@%~".contains(character);
        if !is_plain {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn words_that_bash_has_split_are_joined_and_the_cursor_follows() {
        let (all, cursor) = joined(&words("egret ps --lab = eg"), 4);
        assert_eq!((all, cursor), (words("egret ps --lab=eg"), 2));
        let (all, cursor) = joined(&words("egret diff lab : eg x"), 5);
        assert_eq!((all, cursor), (words("egret diff lab:eg x"), 3));
        let (all, cursor) = joined(&words("egret ps "), 2);
        assert_eq!((all, cursor), (words("egret ps "), 2));
    }

    #[test]
    fn candidate_replaces_the_part_behind_the_last_separator() {
        assert_eq!(before_last_part("--lab=eg"), "--lab=");
        assert_eq!(before_last_part("lab:"), "lab:");
        assert_eq!(before_last_part("web/1"), "");
    }

    #[test]
    fn file_with_blanks_is_one_word() {
        assert_eq!(quoted("my lab.toml"), "my\\ lab.toml");
        assert_eq!(quoted("a;b"), "a\\;b");
        assert_eq!(quoted("../web/1"), "../web/1");
    }
}
