//! Epochs: the sign by which other threads learn that a device's workers have seen what was
//! published.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// The number of times that a batch of each queue began or ended: odd during a batch.
#[derive(Debug, Default)]
pub struct Epochs(Box<[AtomicU64]>);

/// The epochs of a device's workers at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch(Box<[u64]>);

/// A batch. Dropping it ends the batch, also when the worker panics in it: no thread waits for one
/// that has ended.
#[must_use]
#[derive(Debug)]
pub(super) struct Batch<'a> {
    epochs: &'a Epochs,
    queue: usize,
}

impl Epochs {
    pub(super) fn of(queues: usize) -> Self {
        Self((0..queues).map(|_| AtomicU64::new(0)).collect())
    }

    /// Returns the workers' present epochs. In any later epoch they see what was published before
    /// this call.
    #[must_use]
    pub fn now(&self) -> Epoch {
        // The caller has just published something: see `begin`.
        fence(Ordering::SeqCst);
        Epoch(self.0.iter().map(|epochs| epochs.load(Ordering::SeqCst)).collect())
    }

    /// Returns whether all batches that ran at that moment are over. Then every worker has seen
    /// what was published before it, or sees it before its next packet.
    #[must_use]
    pub fn grace_period_is_over(&self, then: &Epoch) -> bool {
        self.busy_since(then) == 0
    }

    /// Counts the workers that are still in the batch in which they were at that moment.
    #[must_use]
    pub fn busy_since(&self, then: &Epoch) -> usize {
        let is_busy = |(epochs, then): &(&AtomicU64, &u64)| {
            !then.is_multiple_of(2) && epochs.load(Ordering::SeqCst) == **then
        };
        self.0.iter().zip(&then.0).filter(is_busy).count()
    }

    /// Begins a batch. The fence keeps the batch's reads from happening before it: either
    /// [`Epochs::now`] sees this epoch, or the worker sees what its caller had published.
    pub(super) fn begin(&self, queue: usize) -> Batch<'_> {
        self.advance(queue);
        fence(Ordering::SeqCst);
        Batch { epochs: self, queue }
    }

    /// Advances a queue's epoch at both ends of a batch; called by the one thread that serves the
    /// queue.
    fn advance(&self, queue: usize) {
        if let Some(epochs) = self.0.get(queue) {
            epochs.store(epochs.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.epochs.advance(self.queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_is_over_with_the_batch_that_ran_or_at_once_without_one() {
        let epochs = Epochs::of(1);
        let idle = epochs.now();
        assert!(epochs.grace_period_is_over(&idle), "its next batch begins later");
        let batch = epochs.begin(0);
        let busy = epochs.now();
        assert!(!epochs.grace_period_is_over(&busy));
        drop(batch);
        assert!(epochs.grace_period_is_over(&busy));
        let _batch = epochs.begin(0);
        assert!(epochs.grace_period_is_over(&busy), "the next batch is another one");
        assert!(!epochs.grace_period_is_over(&epochs.now()));
    }

    #[test]
    fn a_grace_period_is_over_when_it_is_over_for_every_queue() {
        let epochs = Epochs::of(3);
        let (first, third) = (epochs.begin(0), epochs.begin(2));
        let then = epochs.now();
        let _second = epochs.begin(1);
        drop(first);
        assert!(!epochs.grace_period_is_over(&then), "the third is in the same batch");
        assert_eq!(epochs.busy_since(&then), 1);
        drop(third);
        assert!(
            epochs.grace_period_is_over(&then),
            "the second had none, and has seen what was published"
        );
    }
}
