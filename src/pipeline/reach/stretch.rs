//! A part of a request's path, with the protocols and ports that pass it, as far as packets have
//! been judged.

use super::overlaps::{Overlap, Positions, overlaps};
use super::ports::cuts_of_kinds;
use super::ranges::Ranges;
use crate::pipeline::Denial;
use crate::vpc::TrafficMatch;

/// The number of a stretch, the kind of protocols, and the rules that match.
pub(super) type StretchKey = (usize, usize, Positions);

/// A part of a path. Between two cuts nothing on it tells packets apart.
pub(super) struct Stretch {
    cuts: Vec<u32>,
    /// Its number, and the rules that match in each cell.
    matching: (usize, Vec<Overlap>),
    known: Ranges,
    outcomes: Outcomes,
}

/// The verdicts on protocols and ports.
#[derive(Clone, Default)]
pub(super) struct Outcomes {
    /// The ports whose packets pass the stretch.
    pub(super) reached: Ranges,
    /// The ports whose packets do not.
    pub(super) denied: Vec<(Denial, Ranges)>,
}

impl Stretch {
    /// Begins a stretch whose rules match these ranges.
    pub(super) fn new(rules: impl Iterator<Item = (u32, u32)>) -> Self {
        let (known, outcomes) = (Ranges::default(), Outcomes::default());
        Self { cuts: cuts_of_kinds(rules), matching: (0, Vec::new()), known, outcomes }
    }

    /// Begins a stretch with a number, of which only these rules decide, by their positions.
    pub(super) fn of_rules(number: usize, rules: Vec<(u32, TrafficMatch)>) -> Self {
        let overlaps = overlaps(&rules, &Ranges::of(0, u32::MAX));
        let (known, outcomes) = (Ranges::default(), Outcomes::default());
        let cuts = overlaps.iter().map(|overlap| overlap.cell.0).collect();
        Self { cuts, matching: (number, overlaps), known, outcomes }
    }

    /// Returns the key by which stretches with the same number agree on a packet.
    pub(super) fn key(&self, position: u32) -> StretchKey {
        let (number, overlaps) = &self.matching;
        let cell = self.cuts.partition_point(|cut| *cut <= position);
        let overlap = cell.checked_sub(1).and_then(|cell| overlaps.get(cell));
        let (kind, rules) =
            overlap.map_or_else(Default::default, |found| (found.kind, found.rules.clone()));
        (*number, kind, rules)
    }

    /// Returns the outcome for a packet, if it is known.
    pub(super) fn outcome(&self, position: u32) -> Option<Result<(), Denial>> {
        let Outcomes { reached, denied } = &self.outcomes;
        if reached.contains(position) {
            return Some(Ok(()));
        }
        let mut denied = denied.iter();
        denied.find(|(_, ranges)| ranges.contains(position)).map(|(denial, _)| Err(*denial))
    }

    /// Lists one position of each cell that contains some of these and has no known outcome.
    pub(super) fn unknown(&self, of: &Ranges) -> Vec<u32> {
        let unknown = of.difference(&self.known);
        let mut found: Vec<u32> = Vec::new();
        let mut last = None;
        for (first, _) in unknown.cells(&self.cuts) {
            let cell = self.cell(first);
            if last != Some(cell) {
                found.push(first);
                last = Some(cell);
            }
        }
        found
    }

    /// Records the outcome for all packets of a cell; the first record stays.
    pub(super) fn note(&mut self, position: u32, outcome: Result<(), Denial>) {
        if self.known.contains(position) {
            return;
        }
        let (first, last) = self.cell(position);
        let cell = Ranges::of(first, last);
        self.known = self.known.union(&cell);
        let Outcomes { reached, denied } = &mut self.outcomes;
        match outcome {
            Ok(()) => *reached = reached.union(&cell),
            Err(denial) => match denied.iter_mut().find(|(known, _)| *known == denial) {
                Some((_, ranges)) => *ranges = ranges.union(&cell),
                None => denied.push((denial, cell)),
            },
        }
    }

    pub(super) fn of(&self, ports: &Ranges) -> Outcomes {
        let denied = self.outcomes.denied.iter();
        let denied = denied.map(|(denial, ranges)| (*denial, ranges.intersection(ports)));
        Outcomes {
            reached: self.outcomes.reached.intersection(ports),
            denied: denied.filter(|(_, ranges)| !ranges.is_empty()).collect(),
        }
    }

    fn cell(&self, position: u32) -> (u32, u32) {
        let next = self.cuts.partition_point(|cut| *cut <= position);
        let first = next.checked_sub(1).and_then(|at| self.cuts.get(at)).copied().unwrap_or(0);
        (first, self.cuts.get(next).map_or(u32::MAX, |cut| cut - 1))
    }
}
