//! Between a worker and the engine: one snapshot and one look at the clock per batch.

use crate::flow::Instant;
use crate::linux::clock;
use crate::linux::worker::{Action, Judge};
use crate::packet::VnetHeader;
use crate::pipeline::{Device, Engine, Verdict};
use crate::vpc::Snapshot;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Judges the packets of one device.
pub(super) struct EngineJudge {
    engine: Arc<Engine>,
    current: Arc<ArcSwap<Snapshot>>,
    device: Device,
    snapshot: Arc<Snapshot>,
    now: Instant,
}

impl EngineJudge {
    pub(super) fn new(
        engine: Arc<Engine>,
        current: Arc<ArcSwap<Snapshot>>,
        device: Device,
    ) -> Self {
        let snapshot = current.load_full();
        Self { engine, current, device, snapshot, now: Instant(clock::now()) }
    }
}

impl Judge for EngineJudge {
    fn begin_batch(&mut self) {
        self.now = Instant(clock::now());
        let current = self.current.load();
        if !Arc::ptr_eq(&current, &self.snapshot) {
            self.snapshot = Arc::clone(&current);
        }
    }

    #[inline]
    fn judge(&mut self, packet: &mut [u8], vnet: VnetHeader, reply: &mut [u8]) -> Action {
        let judged = self.engine.judge(self.now, &self.snapshot, self.device, packet, vnet, reply);
        match judged.verdict {
            Verdict::Forward { .. } => Action::Forward { len: judged.len, vnet },
            Verdict::Reply { len, .. } => Action::Reply { len },
            Verdict::Drop { .. } => Action::Drop,
        }
    }
}
