//! Finds the rules that match at each protocol and port.

use super::ports::{self, KINDS, cuts_of_kinds};
use super::ranges::Ranges;
use crate::vpc::TrafficMatch;
use smallvec::SmallVec;

/// The positions of rules in their set, ascending.
pub(super) type Positions = SmallVec<[u32; 6]>;

/// Ports between two cuts, with the rules that match there.
pub(super) struct Overlap {
    pub(super) cell: (u32, u32),
    /// The kind of its protocols.
    pub(super) kind: usize,
    pub(super) rules: Positions,
}

/// Lists the cells of a set of ports, ascending.
pub(super) fn overlaps(rules: &[(u32, TrafficMatch)], ports: &Ranges) -> Vec<Overlap> {
    let always = rules.iter().filter(|(_, rule)| ports::of_requests(rule).is_none());
    let always: Positions = always.map(|(position, _)| *position).collect();
    let ranged = |(position, rule): &(u32, TrafficMatch)| {
        ports::of_requests(rule).map(|(first, last)| (first, last, *position))
    };
    let mut ranged: Vec<(u32, u32, u32)> = rules.iter().filter_map(ranged).collect();
    ranged.sort_unstable();
    let cuts = cuts_of_kinds(ranged.iter().map(|(first, last, _)| (*first, *last)));
    let mut coming = ranged.into_iter().peekable();
    let mut active: Vec<(u32, u32)> = Vec::new();
    let overlap = |cell: (u32, u32)| {
        while let Some((_, last, position)) = coming.next_if(|(first, ..)| *first <= cell.0) {
            active.push((last, position));
        }
        active.retain(|(last, _)| *last >= cell.0);
        let mut rules = always.clone();
        rules.extend(active.iter().map(|(_, position)| *position));
        rules.sort_unstable();
        Overlap { cell, kind: KINDS.partition_point(|kind| *kind <= cell.0), rules }
    };
    ports.cells(&cuts).map(overlap).collect()
}
