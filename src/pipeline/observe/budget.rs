//! The memory that the unread records of all watchers share. Records beyond it are left out and
//! counted.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// The most bytes of all records that wait to be taken, beyond each watcher's own share.
pub(super) const BUDGET: usize = 128 << 20;
/// The most bytes of waiting records that a watcher may have whatever the others do: one that is
/// read works beside any number of others that are not.
pub(super) const OWN: usize = 256 << 10;

/// The bytes of the records that wait.
#[derive(Debug, Default)]
pub(super) struct Budget {
    watchers: AtomicUsize,
    waiting: AtomicUsize,
}

impl Budget {
    /// Counts one more watcher.
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

    /// Subtracts a record that no longer waits.
    pub(super) fn subtract(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Relaxed);
    }

    /// Returns the number of bytes that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Decides whether a watcher that has `own` bytes waiting may have `more`.
    pub(super) fn has_room(&self, own: usize, more: usize) -> bool {
        let own = own.saturating_add(more);
        let share = BUDGET / self.watchers.load(Relaxed).max(1);
        own <= OWN || own <= share && self.waiting.load(Relaxed).saturating_add(more) <= BUDGET
    }
}
