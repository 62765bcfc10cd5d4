//! The tables of a lab file's keys: the reader, `egret schema` and the test of the reference page
//! all take the keys from here.

use super::form::Form;

/// The most elements of a list of tables.
pub(super) const MOST_TABLES: usize = u16::MAX as usize;

/// A table of the lab file: a section, or a table in a key.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name as the user writes it, such as `[[subnet]]`, or what it is.
    pub(super) name: &'static str,
    pub(super) keys: &'static [Key],
    pub(super) conditions: &'static [Condition],
}

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) is_required: bool,
    pub(super) value: Type,
    /// What it is for, in one sentence.
    pub(super) about: &'static str,
}

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    Text(Form),
    /// A string, or an integer within bounds, both included, that stands for the string.
    TextOrInteger(Form, (i64, i64)),
    /// A string, or a table that says more.
    TextOrTable(Form, &'static Table),
    Boolean,
    /// An integer within bounds, both included.
    Integer(i64, i64),
    /// A number within bounds, both included.
    Number(f64, f64),
    /// One of a few words.
    Words(&'static [&'static str]),
    List(List),
    Table(&'static Table),
    /// A list of tables.
    Tables(&'static Table),
}

/// A list of values, which may be written as one value without brackets.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) of: &'static Type,
    /// Whether it has at least one element.
    pub(super) is_filled: bool,
    /// Whether it has each element once.
    pub(super) is_distinct: bool,
}

/// What follows from the value of one key for other keys of its table.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) when: When,
    /// Keys that must be there.
    pub(super) needs: &'static [&'static str],
    /// Keys of which one must be there.
    pub(super) needs_one_of: &'static [&'static str],
    /// Keys that must not be there.
    pub(super) refuses: &'static [&'static str],
}

/// The values of a key.
#[derive(Debug)]
pub(super) enum When {
    /// The key is there.
    Given(&'static str),
    /// The key is true.
    True(&'static str),
    /// The key has one of these words.
    Is(&'static str, &'static [&'static str]),
    /// The key has one of these words, or is not there.
    IsOrAbsent(&'static str, &'static [&'static str]),
    /// The key has one of these words, or this number.
    IsOrNumber(&'static str, &'static [&'static str], &'static [i64]),
}

impl Table {
    pub(super) const fn new(name: &'static str, keys: &'static [Key]) -> Self {
        Self { name, keys, conditions: &[] }
    }

    pub(super) const fn with(self, conditions: &'static [Condition]) -> Self {
        Self { conditions, ..self }
    }

    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Returns whether a key must be there, always or with certain values of others.
    pub(super) fn may_require(&self, name: &str) -> bool {
        self.key(name).is_some_and(|key| key.is_required)
            || self.conditions.iter().any(|condition| condition.needs.contains(&name))
    }
}

impl Key {
    pub(super) const fn required(name: &'static str, value: Type, about: &'static str) -> Self {
        Self { name, is_required: true, value, about }
    }

    pub(super) const fn optional(name: &'static str, value: Type, about: &'static str) -> Self {
        Self { name, is_required: false, value, about }
    }
}

impl Type {
    /// Returns one value of this type or a list of them.
    pub(super) const fn list(of: &'static Self) -> Self {
        Self::List(List { of, is_filled: false, is_distinct: false })
    }

    /// Returns one value of this type, or a list of at least one.
    pub(super) const fn filled(of: &'static Self) -> Self {
        Self::List(List { of, is_filled: true, is_distinct: false })
    }

    /// Returns one value of this type, or a list that has each once.
    pub(super) const fn distinct(of: &'static Self) -> Self {
        Self::List(List { of, is_filled: false, is_distinct: true })
    }

    /// Returns one value of this type, or a list of at least one that has each once.
    pub(super) const fn filled_distinct(of: &'static Self) -> Self {
        Self::List(List { of, is_filled: true, is_distinct: true })
    }
}

impl Condition {
    pub(super) const fn when(when: When) -> Self {
        Self { when, needs: &[], needs_one_of: &[], refuses: &[] }
    }

    pub(super) const fn needs(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }

    pub(super) const fn needs_one_of(self, needs_one_of: &'static [&'static str]) -> Self {
        Self { needs_one_of, ..self }
    }

    pub(super) const fn refuses(self, refuses: &'static [&'static str]) -> Self {
        Self { refuses, ..self }
    }
}

/// Returns the words of a table of words and their meanings.
pub(super) const fn words<T: Copy, const N: usize>(
    meanings: &[(&'static str, T); N],
) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = meanings[at].0;
        at += 1;
    }
    words
}

/// Returns the keys of two lists, the first of which is not empty.
pub(super) const fn joined<const A: usize, const B: usize, const BOTH: usize>(
    first: &[Key; A],
    second: &[Key; B],
) -> [Key; BOTH] {
    assert!(A + B == BOTH);
    let mut keys = [first[0]; BOTH];
    let mut at = 0;
    while at < BOTH {
        keys[at] = if at < A { first[at] } else { second[at - A] };
        at += 1;
    }
    keys
}
