//! Merges cells with the same verdict: two that differ in one dimension become one.

use super::answer::Interrupted;
use super::caller::Caller;
use super::map::HashMap;
use super::ranges::Ranges;
use crate::pipeline::{Denial, Reason};
use crate::vpc::RuleRef;

/// The verdict on a cell's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CellVerdict {
    /// They or their replies are dropped.
    Denied(Reason, RuleRef),
    /// They pass: by this rule, on the path with this number.
    Passes(RuleRef, usize),
    /// They pass on the path with this number, by any rules of the ENI's groups; those have a
    /// number too.
    Admitted(usize, usize),
    /// They are dropped, and do not count: no interface has their destinations.
    Unowned(Reason, RuleRef),
}

impl From<Denial> for CellVerdict {
    fn from(Denial { reason, decided_by }: Denial) -> Self {
        Self::Denied(reason, decided_by)
    }
}

/// Numbers of one dimension, of several kinds; empty if the dimension does not apply.
pub(super) type Side = Vec<(u32, Ranges)>;

/// The dimensions of a cell.
pub(super) const DIMENSIONS: usize = 6;
pub(super) const ENI_ADDRESSES: usize = 0;
pub(super) const GATEWAY_ADDRESSES: usize = 1;
pub(super) const ENI_PORTS: usize = 2;
pub(super) const GATEWAY_PORTS: usize = 3;
pub(super) const DESTINATIONS: usize = 4;
pub(super) const PORTS: usize = 5;

/// The order in which dimensions are merged: ports first, as most cells differ in them.
const ORDER: [usize; DIMENSIONS] =
    [PORTS, GATEWAY_PORTS, ENI_PORTS, GATEWAY_ADDRESSES, ENI_ADDRESSES, DESTINATIONS];

/// The order after a split by rules: one rule admits the same ports to many destinations.
const DESTINATIONS_FIRST: [usize; DIMENSIONS] =
    [DESTINATIONS, PORTS, GATEWAY_PORTS, ENI_PORTS, GATEWAY_ADDRESSES, ENI_ADDRESSES];

/// A side by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SideId(u32);

/// A cell, or several that were merged: all combinations of the values on its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cell {
    pub(super) verdict: CellVerdict,
    pub(super) sides: [SideId; DIMENSIONS],
}

/// The cells so far.
#[derive(Default)]
pub(super) struct Cells {
    cells: Vec<Cell>,
    sides: Vec<Side>,
    known: HashMap<Side, SideId>,
    /// The numbers of the verdicts.
    verdicts: HashMap<CellVerdict, u32>,
    /// The number of cells after the last merge.
    merged: usize,
}

/// The number of new cells after which cells are merged again: this bounds memory.
const BETWEEN_MERGES: usize = 1 << 16;

impl Cells {
    pub(super) fn side(&mut self, side: Side) -> SideId {
        if let Some(id) = self.known.get(&side) {
            return *id;
        }
        let id = SideId(u32::try_from(self.sides.len()).unwrap_or(u32::MAX));
        self.sides.push(side.clone());
        self.known.insert(side, id);
        id
    }

    /// Returns a side with numbers of one kind.
    pub(super) fn plain(&mut self, ranges: Ranges) -> SideId {
        let side = if ranges.is_empty() { Vec::new() } else { vec![(0, ranges)] };
        self.side(side)
    }

    pub(super) fn get(&self, id: SideId) -> &Side {
        const NONE: &Side = &Vec::new();
        self.sides.get(id.0 as usize).unwrap_or(NONE)
    }

    pub(super) fn push(&mut self, cell: Cell, caller: &mut Caller<'_>) -> Result<(), Interrupted> {
        self.cells.push(cell);
        if self.cells.len() > self.merged * 2 + BETWEEN_MERGES {
            self.merge(caller)?;
        }
        Ok(())
    }

    /// Splits the packets that pass by the rules that admit them: by those with a number, each with
    /// the ports that it admits.
    pub(super) fn split<'r>(
        &mut self,
        rules: impl Fn(usize) -> &'r [(RuleRef, Ranges)],
        caller: &mut Caller<'_>,
    ) -> Result<(), Interrupted> {
        self.merge(caller)?;
        for cell in std::mem::take(&mut self.cells) {
            let CellVerdict::Admitted(admitting, path) = cell.verdict else {
                self.cells.push(cell);
                continue;
            };
            let ports = self.get(cell.sides[PORTS]).first().map(|(_, ports)| ports.clone());
            for (rule, admitted) in rules(admitting) {
                caller.step()?;
                let ports = ports.as_ref().map(|ports| ports.intersection(admitted));
                if let Some(ports) = ports.filter(|ports| !ports.is_empty()) {
                    let mut cell = Cell { verdict: CellVerdict::Passes(*rule, path), ..cell };
                    cell.sides[PORTS] = self.plain(ports);
                    self.cells.push(cell);
                }
            }
            if self.cells.len() > self.merged * 2 + BETWEEN_MERGES {
                self.merge_in_order(DESTINATIONS_FIRST, caller)?;
            }
        }
        self.merge_in_order(DESTINATIONS_FIRST, caller)?;
        Ok(())
    }

    /// Merges until no two cells differ in one dimension alone.
    pub(super) fn merge(&mut self, caller: &mut Caller<'_>) -> Result<&[Cell], Interrupted> {
        self.merge_in_order(ORDER, caller)
    }

    fn merge_in_order(
        &mut self,
        order: [usize; DIMENSIONS],
        caller: &mut Caller<'_>,
    ) -> Result<&[Cell], Interrupted> {
        let mut without_effect = 0;
        for dimension in order.into_iter().cycle() {
            let before = self.cells.len();
            self.merge_in(dimension, caller)?;
            without_effect = if self.cells.len() < before { 1 } else { without_effect + 1 };
            // After a dimension has merged cells, cells may have become equal in the others; not in
            // this one.
            if without_effect == DIMENSIONS {
                break;
            }
        }
        self.merged = self.cells.len();
        Ok(&self.cells)
    }

    fn merge_in(&mut self, dimension: usize, caller: &mut Caller<'_>) -> Result<(), Interrupted> {
        let cells = std::mem::take(&mut self.cells);
        let mut known: HashMap<[u32; DIMENSIONS + 1], usize> = HashMap::default();
        known.reserve(cells.len());
        let mut groups: Vec<(Cell, Vec<SideId>)> = Vec::new();
        for cell in cells {
            caller.step()?;
            let at = *known.entry(self.key(&cell, dimension)).or_insert(groups.len());
            match groups.get_mut(at) {
                Some((_, others)) => others.push(cell.sides[dimension]),
                None => groups.push((cell, Vec::new())),
            }
        }
        for (mut cell, mut others) in groups {
            caller.step()?;
            if !others.is_empty() {
                others.push(cell.sides[dimension]);
                let union = self.union(&others);
                cell.sides[dimension] = self.side(union);
            }
            self.cells.push(cell);
        }
        Ok(())
    }

    /// Returns the part that is equal in cells that differ in one dimension alone.
    fn key(&mut self, cell: &Cell, dimension: usize) -> [u32; DIMENSIONS + 1] {
        let next = u32::try_from(self.verdicts.len()).unwrap_or(u32::MAX);
        let verdict = *self.verdicts.entry(cell.verdict).or_insert(next);
        let [a, b, c, d, e, f] = cell.sides.map(|id| id.0);
        let mut key = [a, b, c, d, e, f, verdict];
        key[dimension] = 0;
        key
    }

    fn union(&self, ids: &[SideId]) -> Side {
        let mut all: Vec<(u32, (u32, u32))> = Vec::new();
        for (kind, ranges) in ids.iter().flat_map(|id| self.get(*id)) {
            all.extend(ranges.iter().map(|range| (*kind, range)));
        }
        all.sort_unstable();
        let kinds = all.chunk_by(|(a, _), (b, _)| a == b);
        kinds
            .filter_map(|chunk| {
                let (kind, _) = chunk.first()?;
                Some((*kind, Ranges::new(chunk.iter().map(|(_, range)| *range))))
            })
            .collect()
    }
}
