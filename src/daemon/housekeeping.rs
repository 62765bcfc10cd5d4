//! The housekeeping of a lab: expired flows end, counters are read, and dead workers are reported.

use super::aside::aside;
use super::running::Running;
use crate::flow::Instant;
use crate::linux::clock;
use crate::pipeline::DeviceId;
use std::time::Duration;

/// The interval between reads of the counters outside the engine: one call to the kernel for each
/// device.
const COUNTERS: Duration = Duration::from_secs(1);

impl Running {
    /// Runs housekeeping, and is called about once a second of the lab's own time: expired flows
    /// end. Counters are read once a second of real time. `say` gets a message for each worker that
    /// has died since.
    pub async fn tick(&mut self, say: &mut (dyn FnMut(&str) + Send)) {
        let now = Instant(clock::now());
        aside(|| self.engine.sweep(now, &self.current.load()));
        // A worker that hangs may still begin flows of the task that had an address: until the
        // worker goes on, no address has rested.
        if !self.has_hanging_worker() {
            for address in self.addresses.tick() {
                aside(|| self.engine.forget_task(now, &self.current.load(), address));
            }
        }
        if self.counted.is_none_or(|then| now.since(then) >= COUNTERS) {
            self.count_drops(now).await;
        }
        self.look_after_workers(say);
    }

    /// Reports each dead worker once, and brings back the devices of those that no longer hang.
    fn look_after_workers(&mut self, say: &mut (dyn FnMut(&str) + Send)) {
        let ids: Vec<DeviceId> = self.workers.keys().cloned().collect();
        self.hanging.since.retain(|id, _| self.workers.contains_key(id));
        self.hanging.reported.retain(|id, _| self.workers.contains_key(id));
        for id in ids {
            if self.has_come_back(&id) {
                self.come_back(&id, say);
            }
            let dead = self.dead_workers(&id);
            if self.hanging.reported.insert(id.clone(), dead).unwrap_or(0) < dead {
                say(&self.obituary(&id));
            }
        }
    }

    fn has_come_back(&self, id: &DeviceId) -> bool {
        self.hanging.since.get(id).is_some_and(|then| {
            let stats = self.workers.get(id).map(|worker| worker.stats());
            stats.is_some_and(|stats| stats.epochs.grace_period_is_over(then))
        })
    }

    /// Lets packets of a device leave again once its worker has ended the batch that hung.
    fn come_back(&mut self, id: &DeviceId, say: &mut (dyn FnMut(&str) + Send)) {
        let device = self.device_name(id);
        let then = self.hanging.since.remove(id);
        self.hanging.reported.remove(id);
        let Some(worker) = self.workers.get(id) else { return };
        match self.steer.reconnect(worker.device().ifindex()) {
            Ok(()) => say(&format!("the worker of {device} goes on: packets leave by it again")),
            Err(error) => {
                say(&format!(
                    "the worker of {device} goes on, but its packets do not leave: {error}"
                ));
                // The next round of housekeeping tries again.
                if let Some(then) = then {
                    self.hanging.since.insert(id.clone(), then);
                }
            }
        }
    }
}
