//! Who carries a flow, user space or the kernel: the state, the kernel's entries, and those that were taken out.

use super::EgressTotals;
use super::cache_entries::{CacheCounters, CacheEntries, CounterSink, sync_counters};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// Nobody asks for it: offloading is off.
pub(super) const NEVER: u8 = 0;
/// User space carries it.
pub(super) const OPEN: u8 = 1;
/// User space carries it, and the engine has asked for entries.
pub(super) const ASKED: u8 = 2;
/// The kernel carries it.
pub(super) const OFFLOADED: u8 = 3;
/// There could be no entries: not before the next sweep.
pub(super) const DECLINED: u8 = 4;
/// The flow has ended.
pub(super) const OVER: u8 = 5;

/// Who carries a flow. Changes are made under the lock; the state alone may be looked at without.
#[derive(Debug, Default)]
pub(super) struct Offload {
    pub(super) state: AtomicU8,
    active: Mutex<Option<Box<ActiveEntries>>>,
    /// The directions that somebody is about to open, or need not, as bits.
    pub(super) release_requested: AtomicU8,
    /// How often entries were made.
    pub(super) times_offloaded: AtomicU32,
    /// How often it has backed off, and until how many packets there are no entries.
    pub(super) back_offs: AtomicU32,
    pub(super) backs_off_until: AtomicU64,
    pub(super) deferred_free: OnceLock<Arc<DeferredFree>>,
}

#[derive(Debug)]
pub(super) struct ActiveEntries {
    pub(super) entries: Box<dyn CacheEntries>,
    pub(super) synced: [CacheCounters; 2],
    /// How long the flow may be idle before the kernel leaves it to the engine.
    pub(super) idle: Duration,
}

impl Offload {
    #[inline]
    pub(super) fn is(&self, state: u8) -> bool {
        self.state.load(Relaxed) == state
    }

    /// A thread that failed while it held the lock left all entries behind, or none.
    pub(super) fn active(&self) -> MutexGuard<'_, Option<Box<ActiveEntries>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes one state to another; whether it was the one.
    #[inline]
    pub(super) fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Relaxed, Relaxed).is_ok()
    }

    /// Leaves entries that were taken out to the deferred free.
    pub(super) fn retire(&self, retired: RetiredEntries) {
        if let Some(deferred_free) = self.deferred_free.get() {
            deferred_free.defer(retired);
        }
    }
}

/// Frees entries that were taken out, a whole round of housekeeping later: no packet can be on its way through them by then,
/// so their counters are synced for the last time.
#[derive(Debug, Default)]
pub(super) struct DeferredFree {
    retired: Mutex<[Vec<RetiredEntries>; 2]>,
    /// Whether flows are to be offloaded as soon as they can be.
    pub(super) at_once: AtomicBool,
}

/// Entries that were taken out of the flow cache and are not freed yet.
#[derive(Debug)]
pub(super) struct RetiredEntries {
    pub(super) entries: Box<dyn CacheEntries>,
    pub(super) synced: [CacheCounters; 2],
    /// Whose counters they are added to, while it lives, and its path's afterwards.
    pub(super) flow: Weak<dyn CounterSink>,
    pub(super) totals: Arc<EgressTotals>,
}

impl DeferredFree {
    fn defer(&self, retired: RetiredEntries) {
        let [recent, _] = &mut *self.lock();
        recent.push(retired);
    }

    /// Frees the entries of the round before the last. The caller calls this once a round.
    pub(super) fn sweep(&self) {
        let old = {
            let [recent, old] = &mut *self.lock();
            std::mem::replace(old, std::mem::take(recent))
        };
        for RetiredEntries { entries, mut synced, flow, totals } in old {
            match flow.upgrade() {
                Some(flow) => sync_counters(&*entries, &mut synced, &*flow),
                None => sync_counters(&*entries, &mut synced, &*totals),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Vec<RetiredEntries>; 2]> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn census(&self, census: &mut super::Census) {
        census.add("offloads to be freed", self.lock().iter().map(Vec::len).sum());
    }
}
