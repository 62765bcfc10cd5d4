//! The handover of offloaded flows from a killed process to the next.

use super::flow_cache::{FlowCache, egress_slot, lock};
use super::steer_error::{SteerError, trouble};
use crate::flow::{CacheCounters, HandoverRecord};

/// An offloaded flow of the earlier process.
#[derive(Clone, Copy, Debug)]
pub struct HandedOver {
    /// The flow's record at the time of its offload.
    pub record: HandoverRecord,
    /// The counters of the kernel since then: from the task, and back to it.
    pub carried: [CacheCounters; 2],
}

impl FlowCache {
    /// Takes all flows of the earlier process out of the cache, and returns them. Must be called
    /// once, while no entry is used and before any is made.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn take_handed_over(&self) -> Result<Vec<HandedOver>, SteerError> {
        let Some(records) = &self.records else { return Ok(Vec::new()) };
        let (mut entries, records) = (lock(&self.entries), lock(records));
        let found = entries.iter().collect::<Result<Vec<_>, _>>().map_err(trouble("flow_cache"))?;
        let mut flows = Vec::new();
        for (key, entry) in found {
            // An entry without a record belongs to a flow whose offload was not complete.
            if let Some(slot) = egress_slot(&entry.0)
                && let Ok(kept) = records.get(&slot, 0)
            {
                let carried = [0, 1].map(|direction| self.read(slot, direction));
                flows.push(HandedOver { record: kept.0.into(), carried });
            }
            entries.remove(&key).map_err(trouble("flow_cache"))?;
        }
        Ok(flows)
    }
}
