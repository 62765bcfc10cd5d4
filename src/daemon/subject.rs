//! A lab's engine and configurations, for streams that show packets and flows without holding the lab itself.

use super::history::History;
use crate::pipeline::Engine;
use crate::vpc::{Generation, Snapshot};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Holds the configurations that positions are named by: the committed one, and earlier ones.
#[derive(Clone)]
pub(super) struct Configurations {
    pub(super) current: Arc<ArcSwap<Snapshot>>,
    pub(super) history: Arc<ArcSwap<History>>,
}

impl Configurations {
    /// Returns the configuration of a generation; for a forgotten one the committed one, which names what it can.
    pub(super) fn of(&self, generation: Generation) -> Arc<Snapshot> {
        let current = self.current.load_full();
        if current.generation == generation {
            return current;
        }
        self.history.load().of(generation).map_or(current, Arc::clone)
    }
}

/// Holds what a stream needs of a lab.
pub(super) struct Subject {
    pub(super) engine: Arc<Engine>,
    pub(super) configurations: Configurations,
    pub(super) lab: String,
}
