//! Shows objects in tables by their names, or by ids of AWS that are shortened as Docker does it with
//! ids of containers: `eni-0ca70d0fc6c6374b8` becomes `eni-0ca70d0f`. Objects that are different
//! look different.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::RwLock;

/// The number of hexadecimal digits in an id of AWS.
const DIGITS: usize = 17;
/// The number of digits that are left of one, if they are those of one id only. AWS's own ids had
/// as many before 2016, and the devices of ENIs have these in their names.
pub(super) const SHORT: usize = 8;
/// The longest name that is shown; an id takes the place of a longer one.
const LONGEST: usize = 32;

/// The names of objects, by their ids. A command has the objects of one lab, or of two that it
/// compares.
static NAMES: RwLock<BTreeMap<String, String>> = RwLock::new(BTreeMap::new());

/// Lets tables show these names in place of the ids that have them, beside those of earlier calls.
pub fn show_names(names: &BTreeMap<String, String>) {
    let mut all = NAMES.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    all.extend(names.iter().map(|(id, name)| (id.clone(), name.clone())));
}

/// What tables show in place of ids.
#[derive(Debug, Default)]
pub(super) struct ShownIds(BTreeMap<String, String>);

impl ShownIds {
    /// Finds the ids in texts.
    pub(super) fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let names = NAMES.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        Self::with(texts, &names)
    }

    fn with<'t>(texts: impl Iterator<Item = &'t str>, names: &BTreeMap<String, String>) -> Self {
        let words: BTreeSet<&str> = texts.flat_map(parts).collect();
        let ids: Vec<&str> = words.iter().copied().filter(|word| is_id(word)).collect();
        let mut shown = short(&ids);
        let named = words.iter().filter_map(|word| Some((*word, name(word, names)?)));
        shown.extend(named.map(|(id, name)| (id.to_owned(), name.to_owned())));
        Self(shown)
    }

    /// Returns a text with what is shown in place of each id.
    pub(super) fn show(&self, text: &str) -> String {
        parts(text).map(|part| self.0.get(part).map_or(part, String::as_str)).collect()
    }
}

/// Returns the name of an object that no other one has. Names with marks that separate the parts of
/// a cell are not shown.
fn name<'n>(id: &str, names: &'n BTreeMap<String, String>) -> Option<&'n str> {
    let name = names.get(id)?;
    let is_plain = !name.contains([',', '(', ')']) && name.chars().count() <= LONGEST;
    let is_unique = names.values().filter(|other| *other == name).count() == 1;
    (is_plain && is_unique).then_some(name)
}

/// Shortens sorted ids.
fn short(sorted: &[&str]) -> BTreeMap<String, String> {
    let short = |at: usize| {
        let id = sorted[at];
        let before = at.checked_sub(1).map(|before| sorted[before]);
        let others = [before, sorted.get(at + 1).copied()];
        let shared = others.into_iter().flatten().map(|other| common(id, other)).max();
        let least = id.len() - DIGITS + SHORT;
        let length = shared.map_or(least, |shared| least.max(shared + 1)).min(id.len());
        (id.to_owned(), id[..length].to_owned())
    };
    (0..sorted.len()).map(short).collect()
}

/// Splits a text between what an id may consist of and what it may not.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = is_part_of_id(rest.chars().next()?);
        let end = rest.find(|c| is_part_of_id(c) != first).unwrap_or(rest.len());
        let (part, others) = rest.split_at(end);
        rest = others;
        Some(part)
    })
}

fn is_part_of_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Returns whether a word is an id of AWS: `PREFIX-` and 17 hexadecimal digits. A namespace's name,
/// which may end in one, is none.
fn is_id(word: &str) -> bool {
    word.rsplit_once('-').is_some_and(|(prefix, digits)| {
        !prefix.is_empty()
            && prefix.bytes().all(|b| b.is_ascii_lowercase())
            && digits.len() == DIGITS
            && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// Returns the length of the beginning that two ids share.
fn common(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(texts: &[&str]) -> Vec<String> {
        let ids = ShownIds::with(texts.iter().copied(), &BTreeMap::new());
        texts.iter().map(|text| ids.show(text)).collect()
    }

    #[test]
    fn ids_lose_their_last_digits_wherever_they_are() {
        let shown = shortened(&[
            "eni-0ca70d0fc6c6374b8:5258",
            "rule 2 of sg-005e081784b117b65 (tcp 443 to pl-0e6427457497fe0f4)",
            "subnet-0a0803cf8ee70aa5f,subnet-0a12c06c22570308c",
        ]);
        assert_eq!(
            shown,
            [
                "eni-0ca70d0f:5258",
                "rule 2 of sg-005e0817 (tcp 443 to pl-0e642745)",
                "subnet-0a0803cf,subnet-0a12c06c"
            ]
        );
    }

    #[test]
    fn different_ids_stay_different() {
        let shown = shortened(&["eni-0ca70d0fc6c6374b8", "eni-0ca70d0fc6c7374b8"]);
        assert_eq!(shown, ["eni-0ca70d0fc6c6", "eni-0ca70d0fc6c7"]);
    }

    #[test]
    fn other_words_stay() {
        let words = ["sg-app", "eni-0ca70d0f", "lab-vpc-0ca70d0fc6c6374b8", "10.0.0.0/16", "é → ü"];
        assert_eq!(shortened(&words), words);
    }

    #[test]
    fn names_take_the_place_of_ids_unless_two_objects_have_one() {
        let names = [
            ("subnet-0a0803cf8ee70aa5f", "app-a"),
            ("sg-app", "Web servers"),
            ("rtb-1", "main"),
            ("rtb-2", "main"),
            ("acl-1", "a, b"),
        ];
        let names = names.map(|(id, name)| (id.to_owned(), name.to_owned())).into();
        let texts = ["subnet-0a0803cf8ee70aa5f", "rule 2 of sg-app (all)", "rtb-1,rtb-2", "acl-1"];
        let ids = ShownIds::with(texts.iter().copied(), &names);
        let shown = texts.map(|text| ids.show(text));
        assert_eq!(shown, ["app-a", "rule 2 of Web servers (all)", "rtb-1,rtb-2", "acl-1"]);
    }
}
