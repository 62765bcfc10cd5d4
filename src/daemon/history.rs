//! The configurations that a lab has had. Flows, drops and trace records hold positions in the
//! configuration of a generation; the names of rules come from here.

use crate::vpc::{Generation, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The number of the newest configurations that are kept, even if nothing refers to them.
const KEPT: usize = 64;

/// The configurations by generation: the newest [`KEPT`], and older ones that live flows were
/// admitted under.
#[derive(Clone, Debug)]
pub(crate) struct History {
    snapshots: BTreeMap<Generation, Arc<Snapshot>>,
}

impl History {
    pub(crate) fn new(first: Arc<Snapshot>) -> Self {
        Self { snapshots: BTreeMap::from([(first.generation, first)]) }
    }

    /// Adds a configuration; `live` are the generations that must be kept.
    pub(super) fn record(&mut self, snapshot: Arc<Snapshot>, live: &BTreeSet<Generation>) {
        self.snapshots.insert(snapshot.generation, snapshot);
        let Some(&oldest) = self.snapshots.keys().rev().nth(KEPT - 1) else { return };
        self.snapshots.retain(|generation, _| *generation >= oldest || live.contains(generation));
    }

    /// Returns the configuration of a generation, if it is still known.
    pub(super) fn of(&self, generation: Generation) -> Option<&Arc<Snapshot>> {
        self.snapshots.get(&generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpc::Parts;

    fn snapshot(generation: u32) -> Arc<Snapshot> {
        Arc::new(Snapshot::build(Generation(generation), Parts::default()))
    }

    #[test]
    fn the_newest_are_kept_and_those_of_live_flows() {
        let mut history = History::new(snapshot(1));
        let live = BTreeSet::from([Generation(3)]);
        for generation in 2..=100 {
            history.record(snapshot(generation), &live);
        }
        let known: Vec<u32> = (1..=101).filter(|g| history.of(Generation(*g)).is_some()).collect();
        assert_eq!(known, std::iter::once(3).chain(37..=100).collect::<Vec<_>>());
        history.record(snapshot(101), &BTreeSet::new());
        assert!(history.of(Generation(3)).is_none(), "its flows have ended");
    }
}
