//! The memory that unread records of all watchers share. Beyond it, records are left out and counted.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of all records together that wait to be taken, at most, beyond what each watcher may have whatever the others do.
pub(super) const BUDGET: usize = 128 << 20;
/// Bytes of records that each watcher may have waiting whatever the others do: one that is read goes on beside any number of
/// others that are not.
pub(super) const OWN: usize = 256 << 10;

/// What the records that wait take together.
#[derive(Debug, Default)]
pub(super) struct Budget {
    watchers: AtomicUsize,
    waiting: AtomicUsize,
}

impl Budget {
    /// Counts one watcher more.
    pub(super) fn join(&self) {
        self.watchers.fetch_add(1, Relaxed);
    }

    /// Counts one watcher less.
    pub(super) fn leave(&self) {
        self.watchers.fetch_sub(1, Relaxed);
    }

    /// Adds a record that waits.
    pub(super) fn add(&self, bytes: usize) {
        self.waiting.fetch_add(bytes, Relaxed);
    }

    /// Subtracts a record that waits no more.
    pub(super) fn subtract(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Relaxed);
    }

    /// Returns the bytes that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Decides whether a watcher that has so much waiting may have so much more.
    pub(super) fn has_room(&self, own: usize, more: usize) -> bool {
        let own = own.saturating_add(more);
        let share = BUDGET / self.watchers.load(Relaxed).max(1);
        own <= OWN || own <= share && self.waiting.load(Relaxed).saturating_add(more) <= BUDGET
    }
}
