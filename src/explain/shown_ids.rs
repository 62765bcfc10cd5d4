//! Shows objects in tables by their names, or by ids of AWS that are shortened as Docker does it with
//! ids of containers: `eni-0ca70d0fc6c6374b8` becomes `eni-0ca70d0f`. Objects that are different
//! look different.

use super::width::columns_of;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::RwLock;

/// The number of hexadecimal digits in an id of AWS.
const DIGITS: usize = 17;
/// The number of digits that are left of one, if they are those of one id only. AWS's own ids had
/// as many before 2016, and the devices of ENIs have these in their names.
pub(super) const SHORT: usize = 8;
/// The longest name that is shown; an id takes the place of a longer one.
const LONGEST: usize = 32;
/// The cell of a row that has no value in a column.
const NO_VALUE: &str = "-";

/// The names of objects, by their ids. A command has the objects of one lab, or of two that it
/// compares.
static NAMES: RwLock<BTreeMap<String, String>> = RwLock::new(BTreeMap::new());

/// Lets tables show these names in place of the ids that have them, beside those of earlier calls.
pub fn show_names(names: &BTreeMap<String, String>) {
    let mut all = NAMES.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    all.extend(names.iter().map(|(id, name)| (id.clone(), name.clone())));
}

/// The words of a cell in whose place a name may stand. Ids are unique among the objects of one kind
/// only: a service can have the id of a security group. An id of AWS is unique everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// Ids of AWS.
    None,
    /// Every word.
    All,
    /// The words of a rule or a path that stand where its objects do.
    OfRule,
}

/// The names and short ids that tables show in place of ids.
#[derive(Debug, Default)]
pub(super) struct ShownIds {
    short: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
}

impl ShownIds {
    /// Finds the ids in texts.
    pub(super) fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let names = NAMES.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        Self::with(texts, &names)
    }

    fn with<'t>(texts: impl Iterator<Item = &'t str>, names: &BTreeMap<String, String>) -> Self {
        // A name can have blanks in it, as a whole text can.
        let words: BTreeSet<&str> = texts.flat_map(|text| parts(text).chain([text])).collect();
        let ids: Vec<&str> = words.iter().copied().filter(|word| is_id(word)).collect();
        let short = short(&ids);
        let is_other =
            |name: &str| words.contains(name) || short.values().any(|other| other == name);
        let named = words.iter().filter_map(|word| Some((*word, name(word, names)?)));
        let named = named.filter(|(_, name)| !is_other(name));
        let names = named.map(|(id, name)| (id.to_owned(), name.to_owned())).collect();
        Self { short, names }
    }

    /// Returns a text with what is shown in place of each id.
    pub(super) fn show(&self, text: &str, ids: Ids) -> String {
        let mut shown = String::new();
        let mut at = 0;
        for part in parts(text) {
            let (before, after) = (&text[..at], &text[at + part.len()..]);
            let may_be_named = is_id(part)
                || match ids {
                    Ids::None => false,
                    Ids::All => true,
                    Ids::OfRule => is_object_of_rule(before, after),
                };
            let name = self.names.get(part).filter(|_| may_be_named);
            shown.push_str(name.or_else(|| self.short.get(part)).map_or(part, String::as_str));
            at += part.len();
        }
        shown
    }
}

/// The ids of a text that goes on, so that none of them is shortened to what stood for another one.
#[derive(Debug, Default)]
pub(super) struct SeenIds(BTreeSet<String>);

impl SeenIds {
    /// Returns a rule with what is shown in place of each id.
    pub(super) fn show_rule(&mut self, rule: &str) -> String {
        self.0.extend(parts(rule).filter(|part| is_id(part)).map(str::to_owned));
        let texts = self.0.iter().map(String::as_str).chain([rule]);
        ShownIds::of(texts).show(rule, Ids::OfRule)
    }
}

/// Returns whether an object stands between these parts of a rule or a path: `rule 2 of sg-app (tcp
/// 443 to sg-db)`, `10.0.0.0/16 -> nat-a in rtb-1`, `drop: sg-app, sg-db`, `subnet-a > igw-1`.
fn is_object_of_rule(before: &str, after: &str) -> bool {
    let leads = ["of ", "to ", "from ", "in ", "on ", "> ", ", ", "blackhole ("];
    let is_first = before.is_empty() || before.ends_with(": ");
    let ends = [", ", " (", " > ", " -> "];
    leads.iter().any(|lead| before.ends_with(lead))
        || is_first && (after.is_empty() || ends.iter().any(|end| after.starts_with(end)))
}

/// Returns the name of an object that no other one has, as an id or as a name. Names with marks that
/// separate the parts of a cell are not shown.
fn name<'n>(id: &str, names: &'n BTreeMap<String, String>) -> Option<&'n str> {
    let name = names.get(id)?;
    let is_plain = !name.contains([',', '(', ')']) && columns_of(name) <= LONGEST;
    let is_id = names.contains_key(name) || is_id(name) || name == NO_VALUE;
    let is_unique = names.values().filter(|other| *other == name).count() == 1;
    (is_plain && !is_id && is_unique).then_some(name)
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
        texts.iter().map(|text| ids.show(text, Ids::OfRule)).collect()
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
    fn regression_an_id_is_not_shortened_to_what_stood_for_an_earlier_one() {
        let mut seen = SeenIds::default();
        let first = seen.show_rule("rule 1 of sg-0ca70d0fc6c6374b8");
        let second = seen.show_rule("rule 1 of sg-0ca70d0fc6c7374b8");
        assert_eq!([first, second], ["rule 1 of sg-0ca70d0f", "rule 1 of sg-0ca70d0fc6c7"]);
    }

    #[test]
    fn other_words_stay() {
        let words = ["sg-app", "eni-0ca70d0f", "lab-vpc-0ca70d0fc6c6374b8", "10.0.0.0/16", "é → ü"];
        assert_eq!(shortened(&words), words);
    }

    fn named(names: &[(&str, &str)], texts: &[(&str, Ids)]) -> Vec<String> {
        let names = names.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect();
        let ids = ShownIds::with(texts.iter().map(|(text, _)| *text), &names);
        texts.iter().map(|(text, kind)| ids.show(text, *kind)).collect()
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
        let texts = [
            ("subnet-0a0803cf8ee70aa5f", Ids::None),
            ("rule 2 of sg-app (all)", Ids::OfRule),
            ("rtb-1,rtb-2", Ids::All),
            ("acl-1", Ids::All),
        ];
        let expected = ["app-a", "rule 2 of Web servers (all)", "rtb-1,rtb-2", "acl-1"];
        assert_eq!(named(&names, &texts), expected);
    }

    #[test]
    fn regression_a_name_does_not_take_the_place_of_a_service_with_its_groups_id() {
        let names = [("web", "Web servers"), ("rule", "Rules")];
        let texts = [
            ("web/1", Ids::None),
            ("web", Ids::All),
            ("rule 2 of web (tcp 443 from web)", Ids::OfRule),
            ("drop: web, rule", Ids::OfRule),
            ("10.0.0.0/16 -> web in rule", Ids::OfRule),
            ("web (line 3)", Ids::OfRule),
            ("web (line 3)", Ids::None),
        ];
        let expected = [
            "web/1",
            "Web servers",
            "rule 2 of Web servers (tcp 443 from Web servers)",
            "drop: Web servers, Rules",
            "10.0.0.0/16 -> Web servers in Rules",
            "Web servers (line 3)",
            "web (line 3)",
        ];
        assert_eq!(named(&names, &texts), expected);
    }

    #[test]
    fn regression_a_name_that_means_something_else_is_not_shown() {
        let names = [
            ("sg-1", "sg-2"),
            ("sg-2", "db"),
            ("sg-3", "-"),
            ("sg-4", "forward"),
            ("sg-5", "eni-0ca70d0f"),
        ];
        let ids = ["sg-1", "sg-2", "sg-3", "sg-4", "sg-5"];
        let others = ["forward", "eni-0ca70d0fc6c6374b8"];
        let texts = ids.map(|id| (id, Ids::All)).into_iter().chain(others.map(|o| (o, Ids::None)));
        let shown = named(&names, &texts.collect::<Vec<_>>());
        assert_eq!(shown, ["sg-1", "db", "sg-3", "sg-4", "sg-5", "forward", "eni-0ca70d0f"]);
    }
}
