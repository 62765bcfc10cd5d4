//! Merges changes that differ in one property alone: in destinations, in ports, or in attachments.

use super::side::Attachments;
use crate::pipeline::reach::{Ports, Ranges};
use std::collections::HashMap;
use std::hash::Hash;

/// A change, with everything that tells it apart from others by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Merged {
    /// The verdicts and rules on either side, by name.
    pub(super) verdicts: [String; 2],
    /// Ports and gateway addresses of the source, if they are not all.
    pub(super) others: Vec<String>,
    pub(super) attachments: Attachments,
    pub(super) destinations: Ranges,
    pub(super) ports: Ports,
    /// The position of one of the changes.
    pub(super) first: usize,
}

/// Merges until nothing more can be.
pub(super) fn merge(mut all: Vec<Merged>) -> Vec<Merged> {
    loop {
        let before = all.len();
        all = by(
            all,
            |one| (one.attachments.clone(), one.ports.clone()),
            |one, others| {
                let union =
                    others.iter().map(|other| &other.destinations).chain([&one.destinations]);
                one.destinations = Ranges::new(union.flat_map(Ranges::iter));
            },
        );
        all = by(
            all,
            |one| (one.attachments.clone(), one.destinations.clone()),
            |one, others| {
                let union = |all: Ports, other: &Merged| all.union(&other.ports);
                one.ports = others.iter().fold(one.ports.clone(), union);
            },
        );
        all = by(
            all,
            |one| (one.destinations.clone(), one.ports.clone()),
            |one, others| {
                let others = others.iter().flat_map(|other| other.attachments.clone());
                one.attachments.extend(others);
            },
        );
        if all.len() == before {
            return all;
        }
    }
}

/// Joins those that have verdicts, sources and a key in common.
fn by<K: Hash + Eq>(
    all: Vec<Merged>,
    key: impl Fn(&Merged) -> K,
    join: impl Fn(&mut Merged, &[Merged]),
) -> Vec<Merged> {
    let mut groups: Vec<(Merged, Vec<Merged>)> = Vec::new();
    let mut known = HashMap::new();
    for one in all {
        let own = (one.verdicts.clone(), one.others.clone(), key(&one));
        let at = *known.entry(own).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, others)) => others.push(one),
            None => groups.push((one, Vec::new())),
        }
    }
    let joined = |(mut one, others): (Merged, Vec<Merged>)| {
        if !others.is_empty() {
            join(&mut one, &others);
        }
        one
    };
    groups.into_iter().map(joined).collect()
}
