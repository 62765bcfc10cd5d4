//! A lab's engine and configurations, for streams that show packets and flows without holding the
//! lab itself.

use super::history::History;
use crate::pipeline::Engine;
use crate::vpc::{Generation, Snapshot};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The configurations that positions refer to: the committed one, and earlier ones.
#[derive(Clone)]
pub(super) struct Configurations {
    pub(super) current: Arc<ArcSwap<Snapshot>>,
    pub(super) history: Arc<ArcSwap<History>>,
}

impl Configurations {
    /// Returns the configuration of a generation; for a forgotten one the committed one, which may
    /// lack some of the names.
    pub(super) fn of(&self, generation: Generation) -> Arc<Snapshot> {
        let current = self.current.load_full();
        if current.generation == generation {
            return current;
        }
        self.history.load().of(generation).map_or(current, Arc::clone)
    }
}

/// The parts of a lab that a stream needs.
pub(super) struct Subject {
    pub(super) engine: Arc<Engine>,
    pub(super) configurations: Configurations,
    pub(super) lab: String,
}
