//! Finds the packets that the groups of an ENI admit, toward destinations that match certain rules
//! of them.

use super::answer::Interrupted;
use super::judge::{Packet, Walks};
use super::map::HashMap;
use super::overlaps::{Positions, overlaps};
use super::ranges::Ranges;
use super::rule_sets::{MatchId, Matches, RuleSetId};
use super::sameness::Sameness;
use crate::pipeline::Denial;
use crate::vpc::RuleRef;
use std::hash::Hash;
use std::rc::Rc;

/// The packets that the ENI's groups admit.
pub(super) struct Egress {
    pub(super) number: usize,
    /// The admitted ports by rule, in the order of the ports.
    pub(super) admitted: Vec<(RuleRef, Ranges)>,
    pub(super) all: Ranges,
    pub(super) denied: Vec<(Denial, Ranges)>,
}

/// A rule set, the kind of protocols, and the rules that match: packets that match the same rules
/// have the same outcome.
type RulesKey = (RuleSetId, usize, Positions);

/// Results of the ENI's groups, each computed once.
#[derive(Default)]
pub(super) struct Found {
    all: Vec<Rc<Egress>>,
    by_destination: HashMap<MatchId, Rc<Egress>>,
    by_rules: HashMap<RulesKey, Result<RuleRef, Denial>>,
}

impl Found {
    /// Returns what rules admit, by the number that they have together.
    pub(super) fn admitted(&self, number: usize) -> &[(RuleRef, Ranges)] {
        self.all.get(number).map_or(&[], |egress| &egress.admitted)
    }

    /// Returns what App Runner's own egress admits: everything, as it has no groups.
    pub(super) fn without_groups(&mut self, ports: &Ranges) -> Rc<Egress> {
        let admitted = vec![(RuleRef::AppRunner, ports.clone())];
        self.add(Egress { number: 0, admitted, all: ports.clone(), denied: Vec::new() })
    }

    fn add(&mut self, egress: Egress) -> Rc<Egress> {
        let egress = Rc::new(Egress { number: self.all.len(), ..egress });
        self.all.push(egress.clone());
        egress
    }
}

/// Computes what the ENI's groups admit.
pub(super) struct Asking<'f, 'a> {
    pub(super) found: &'f mut Found,
    pub(super) matches: &'f Matches<'a>,
    pub(super) sameness: &'f Sameness<'a>,
    pub(super) walks: &'f mut Walks<'a>,
    /// The protocols and ports of the question.
    pub(super) ports: &'f Ranges,
}

impl Asking<'_, '_> {
    /// Finds what the groups of an ENI admit. `packet` is for one of the destinations.
    pub(super) fn find(
        &mut self,
        matching: MatchId,
        packet: Packet,
    ) -> Result<Rc<Egress>, Interrupted> {
        if let Some(known) = self.found.by_destination.get(&matching) {
            return Ok(known.clone());
        }
        let rule_set = self.matches.rule_set(matching);
        let cells = overlaps(self.matches.traffic(matching), self.ports);
        let (mut admitted, mut denied, mut all) =
            (Sorted::default(), Sorted::default(), Vec::new());
        for overlap in cells {
            let packet = Packet { port: overlap.cell.0, ..packet };
            match self.outcome((rule_set, overlap.kind, overlap.rules), &packet)? {
                Ok(rule) => {
                    all.push(overlap.cell);
                    admitted.add(rule, overlap.cell);
                }
                Err(Denial { reason, decided_by }) => {
                    denied.add((reason, decided_by), overlap.cell);
                }
            }
        }
        let denial = |((reason, decided_by), ranges)| (Denial { reason, decided_by }, ranges);
        let egress = self.found.add(Egress {
            number: 0,
            admitted: admitted.ranges().collect(),
            all: Ranges::new(all),
            denied: denied.ranges().map(denial).collect(),
        });
        self.found.by_destination.insert(matching, egress.clone());
        Ok(egress)
    }

    fn outcome(
        &mut self,
        key: RulesKey,
        packet: &Packet,
    ) -> Result<Result<RuleRef, Denial>, Interrupted> {
        if let Some(known) = self.found.by_rules.get(&key) {
            return Ok(*known);
        }
        let judged = self.walks.judge(packet)?;
        let outcome = match (judged.egress, judged.request) {
            (Some(rule), _) | (None, Ok(rule)) => Ok(rule),
            (None, Err(denial)) => Err(self.sameness.denial(denial)),
        };
        self.found.by_rules.insert(key, outcome);
        Ok(outcome)
    }
}

/// Cells by outcome, in the order in which the outcomes come first.
struct Sorted<K> {
    known: HashMap<K, usize>,
    cells: Vec<(K, Vec<(u32, u32)>)>,
}

impl<K> Default for Sorted<K> {
    fn default() -> Self {
        Self { known: HashMap::default(), cells: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> Sorted<K> {
    fn add(&mut self, outcome: K, cell: (u32, u32)) {
        let at = *self.known.entry(outcome).or_insert_with(|| {
            self.cells.push((outcome, Vec::new()));
            self.cells.len() - 1
        });
        self.cells[at].1.push(cell);
    }

    fn ranges(self) -> impl Iterator<Item = (K, Ranges)> {
        self.cells.into_iter().map(|(outcome, cells)| (outcome, Ranges::new(cells)))
    }
}
