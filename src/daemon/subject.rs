//! A lab's engine and configurations, for those who look at packets and flows without holding the lab itself.

use super::history::History;
use crate::pipeline::Engine;
use crate::vpc::{Generation, Snapshot};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// What there is to name positions by, whichever configuration they belong to.
#[derive(Clone)]
pub(super) struct Configurations {
    pub(super) current: Arc<ArcSwap<Snapshot>>,
    pub(super) history: Arc<ArcSwap<History>>,
}

impl Configurations {
    /// The configuration of a generation; of one that is forgotten, the one in force, which names what it can.
    pub(super) fn of(&self, generation: Generation) -> Arc<Snapshot> {
        let current = self.current.load_full();
        if current.generation == generation {
            return current;
        }
        self.history.load().of(generation).map_or(current, Arc::clone)
    }
}

/// What a stream needs of a lab.
pub(super) struct Subject {
    pub(super) engine: Arc<Engine>,
    pub(super) configurations: Configurations,
    pub(super) lab: String,
}
