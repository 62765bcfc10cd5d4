//! Converts ids and names of a source to words that a lab file can have. AWS's own ids stay
//! unchanged.

use crate::config::names::ObjectKind;
use std::collections::{BTreeMap, BTreeSet};

/// Characters of the longest word. The lab file takes 64, but a name of a namespace or of DNS is
/// best kept short.
const LONGEST: usize = 60;
/// Characters of the longest `ServiceName` and `VpcConnectorName` (spec 1.4).
const LONGEST_APP_RUNNER: usize = 40;
/// Characters of the longest number behind a word: a hyphen and seven digits.
const LONGEST_NUMBER: usize = 8;

/// The words given so far.
#[derive(Debug, Default)]
pub(super) struct Words {
    taken: BTreeSet<(u8, String)>,
    given: BTreeMap<(ObjectKind, String), String>,
    /// The next number behind a word, by the start of the words that it is added to, so that many
    /// equal names take no search.
    next: BTreeMap<(u8, String), usize>,
}

impl Words {
    /// Returns the word of an object, the same one each time.
    pub(super) fn of(&mut self, kind: ObjectKind, id: &str) -> String {
        if let Some(word) = self.given.get(&(kind, id.to_owned())) {
            return word.clone();
        }
        let word = self.free(kind, id);
        self.given.insert((kind, id.to_owned()), word.clone());
        word
    }

    /// Gives an object a word that is made from its name.
    pub(super) fn name(&mut self, kind: ObjectKind, id: &str, called: &str) {
        if !self.given.contains_key(&(kind, id.to_owned())) {
            let word = self.free(kind, called);
            self.given.insert((kind, id.to_owned()), word);
        }
    }

    /// Returns the ids by their words.
    pub(super) fn ids(self) -> BTreeMap<(ObjectKind, String), String> {
        self.given.into_iter().map(|((kind, id), word)| ((kind, word), id)).collect()
    }

    /// Returns a word like this one that no other object has.
    pub(super) fn free(&mut self, kind: ObjectKind, like: &str) -> String {
        let word = word(kind, like);
        let namespace = kind.namespace();
        if self.taken.insert((namespace, word.clone())) {
            return word;
        }
        let beginning = cut(&word, longest(kind) - LONGEST_NUMBER).to_owned();
        let next = self.next.entry((namespace, beginning)).or_insert(2);
        loop {
            let suffix = format!("-{next}");
            let candidate = format!("{}{suffix}", cut(&word, longest(kind) - suffix.len()));
            *next += 1;
            if self.taken.insert((namespace, candidate.clone())) {
                return candidate;
            }
        }
    }
}

/// Returns the word nearest to a text that a kind can have.
fn word(kind: ObjectKind, text: &str) -> String {
    let is_app_runner = matches!(kind, ObjectKind::Connector | ObjectKind::Service);
    let valid = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || (c == '.' && !is_app_runner)
    };
    let mut word = String::new();
    for c in text.chars() {
        if valid(c) {
            word.push(c);
        } else if !word.ends_with('-') {
            word.push('-');
        }
    }
    let word = word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let word = cut(word.trim_end_matches(['-', '.']), longest(kind));
    match word {
        "" => kind.noun().replace(' ', "-").to_lowercase(),
        // These have another meaning in a route, or are namespaces of egret's own.
        "local" | "blackhole" | "router" | "internet" | "services" => format!("{word}-1"),
        _ => word.to_owned(),
    }
}

const fn longest(kind: ObjectKind) -> usize {
    match kind {
        ObjectKind::Connector | ObjectKind::Service => LONGEST_APP_RUNNER,
        ObjectKind::Vpc
        | ObjectKind::Subnet
        | ObjectKind::RouteTable
        | ObjectKind::InternetGateway
        | ObjectKind::NatGateway
        | ObjectKind::VpcEndpoint
        | ObjectKind::Peering
        | ObjectKind::NetworkInterface
        | ObjectKind::SecurityGroup
        | ObjectKind::PrefixList
        | ObjectKind::NetworkAcl
        | ObjectKind::Resource
        | ObjectKind::InternetHost => LONGEST,
    }
}

/// Returns the start of an ASCII word.
fn cut(word: &str, length: usize) -> &str {
    word.get(..length).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text;

    #[test]
    fn ids_of_aws_stay_and_others_become_words() {
        let mut words = Words::default();
        assert_eq!(words.of(ObjectKind::Subnet, "subnet-0a1b"), "subnet-0a1b");
        let planned = "module.net[\"eu\"].aws_subnet.private[0]";
        assert_eq!(words.of(ObjectKind::Subnet, planned), "module.net-eu-.aws_subnet.private-0");
        assert_eq!(words.of(ObjectKind::Subnet, planned), "module.net-eu-.aws_subnet.private-0");
        assert_eq!(words.of(ObjectKind::Service, "my.service"), "my-service");
        assert_eq!(words.of(ObjectKind::Vpc, "router"), "router-1");
        assert_eq!(words.of(ObjectKind::Vpc, "\u{00fc}\u{00fc}"), "vpc");
    }

    #[test]
    fn nothing_shares_a_word_where_a_route_or_a_rule_could_mean_either() {
        let mut words = Words::default();
        assert_eq!(words.of(ObjectKind::NatGateway, "gateway"), "gateway");
        assert_eq!(words.of(ObjectKind::InternetGateway, "gateway"), "gateway-2");
        assert_eq!(words.of(ObjectKind::SecurityGroup, "gateway"), "gateway");
    }

    /// Names of people, and long ones that differ at the end, may be equal a hundred thousand
    /// times.
    #[test]
    fn equal_names_are_no_work() {
        let mut words = Words::default();
        let long = "x".repeat(LONGEST - 3);
        let count = 50_000;
        for number in 0..count {
            words.free(ObjectKind::Resource, "db");
            words.free(ObjectKind::Resource, &format!("{long}{}", number % 1000));
        }
        assert_eq!(words.free(ObjectKind::Resource, "db"), format!("db-{}", count + 1));
        assert_eq!(words.taken.len(), 2 * count + 1);
    }

    #[test]
    fn any_text_becomes_one_word() {
        let mut words = Words::default();
        for id in ["", "-", "x".repeat(99).as_str(), "\n", ".a.", "a b", "1"] {
            for kind in [ObjectKind::Vpc, ObjectKind::Resource, ObjectKind::Connector] {
                for _ in 0..3 {
                    let word = words.free(kind, id);
                    assert!(text::word(&word).is_ok(), "{id:?}: {word:?}");
                    assert!(kind != ObjectKind::Connector || text::apprunner_name(&word).is_ok());
                }
            }
        }
    }
}
