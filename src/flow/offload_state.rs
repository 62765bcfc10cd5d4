//! The state of offloading a flow: its cache entries, and those that were withdrawn.

use super::EgressTotals;
use super::cache_entries::{CacheCounters, CacheEntries, CounterSink, sync_counters};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// Offloading is not permitted.
pub(super) const NEVER: u8 = 0;
/// Offloading may be asked for.
pub(super) const OPEN: u8 = 1;
/// The engine has asked for the flow to be offloaded.
pub(super) const ASKED: u8 = 2;
/// The flow is offloaded.
pub(super) const OFFLOADED: u8 = 3;
/// The request was declined: the next one is permitted after the next sweep.
pub(super) const DECLINED: u8 = 4;
/// The flow has ended.
pub(super) const OVER: u8 = 5;
/// The request was declined because the flow is watched: the next one is permitted when a watch has
/// ended.
pub(super) const WATCHED: u8 = 6;

/// The offloading of one flow. Changes are made under the lock; the state alone may be read without
/// it.
#[derive(Debug, Default)]
pub(super) struct Offload {
    pub(super) state: AtomicU8,
    active: Mutex<Option<Box<ActiveEntries>>>,
    /// The directions for which a barrier release was requested, as bits.
    pub(super) release_requested: AtomicU8,
    /// The number of times that the flow was offloaded, which tells one set of entries from the
    /// next.
    pub(super) times_offloaded: AtomicU32,
    /// The number of back-offs so far, and the number of packets until which the last one holds.
    pub(super) back_offs: AtomicU32,
    /// The number of watches that had ended when the request was declined because the flow was
    /// watched.
    pub(super) watches_ended: AtomicU32,
    pub(super) backs_off_until: AtomicU64,
    pub(super) deferred_free: OnceLock<Arc<DeferredFree>>,
}

#[derive(Debug)]
pub(super) struct ActiveEntries {
    pub(super) entries: Box<dyn CacheEntries>,
    pub(super) synced: [CacheCounters; 2],
    /// The time for which the flow may be idle before tc punts its packets again.
    pub(super) idle: Duration,
}

impl Offload {
    #[inline]
    pub(super) fn is(&self, state: u8) -> bool {
        self.state.load(Relaxed) == state
    }

    /// Locks the entries. They are complete or absent even if a thread panicked while it held the
    /// lock.
    pub(super) fn active(&self) -> MutexGuard<'_, Option<Box<ActiveEntries>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state if it is `from`, and returns whether it was.
    #[inline]
    pub(super) fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Relaxed, Relaxed).is_ok()
    }

    /// Gives withdrawn entries to the deferred free.
    pub(super) fn retire(&self, retired: RetiredEntries) {
        if let Some(deferred_free) = self.deferred_free.get() {
            deferred_free.defer(retired);
        }
    }
}

/// Frees withdrawn entries one whole round of housekeeping later, when no packet can be passing
/// through them, and syncs their counters for the last time.
#[derive(Debug, Default)]
pub(super) struct DeferredFree {
    retired: Mutex<[Vec<RetiredEntries>; 2]>,
    /// Set if flows are to be offloaded as soon as possible.
    pub(super) at_once: AtomicBool,
}

/// Entries that were withdrawn and are not freed yet.
#[derive(Debug)]
pub(super) struct RetiredEntries {
    pub(super) entries: Box<dyn CacheEntries>,
    pub(super) synced: [CacheCounters; 2],
    /// The flow, to which their counters are added while it lives; afterwards they are added to
    /// `totals`.
    pub(super) flow: Weak<dyn CounterSink>,
    pub(super) totals: Arc<EgressTotals>,
}

impl DeferredFree {
    fn defer(&self, retired: RetiredEntries) {
        let [recent, _] = &mut *self.lock();
        recent.push(retired);
    }

    /// Frees the entries that were withdrawn before the last call. The caller calls this once per
    /// round.
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
