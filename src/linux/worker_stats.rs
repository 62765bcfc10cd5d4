//! The figures of a device's workers, and which of them have ended.

use super::epochs::Epochs;
#[cfg(test)]
use crate::fail_point::FailPoint;
use nix::errno::Errno;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The figures of a device's workers so far. They are totals and only grow.
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Batches begun.
    pub batches: AtomicU64,
    /// Packets read.
    pub reads: AtomicU64,
    /// Packets written.
    pub writes: AtomicU64,
    /// Reads that failed.
    pub read_errors: AtomicU64,
    /// Writes that failed because the device was down, which passes.
    pub write_errors_down: AtomicU64,
    /// Writes that failed for another reason.
    pub write_errors_other: AtomicU64,
    /// Packets of a device that was not part of the configuration.
    pub unjudged: AtomicU64,
    /// Panics of the worker or its judge that it has survived; each cost at most one packet.
    pub panics: AtomicU64,
    /// The epoch of each worker.
    pub epochs: Epochs,
    /// The reason why each worker has ended; empty while it lives.
    deaths: Box<[OnceLock<WorkerDeath>]>,
    /// A fail point, passed in each batch, outside of all that survives a panic.
    #[cfg(test)]
    pub(crate) in_batch: FailPoint,
}

/// The reason why a worker has ended that was not stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkerDeath {
    /// It panicked.
    #[error("it panicked, which is a bug in egret")]
    Panicked,
    /// The kernel refused to let it wait for packets.
    #[error("waiting for packets: {0}")]
    Poll(Errno),
}

impl WorkerStats {
    pub(super) fn of(queues: usize) -> Self {
        Self {
            epochs: Epochs::of(queues),
            deaths: (0..queues).map(|_| OnceLock::new()).collect(),
            ..Self::default()
        }
    }

    /// Lists why workers have ended that were not stopped.
    pub fn deaths(&self) -> impl Iterator<Item = WorkerDeath> + '_ {
        self.deaths.iter().filter_map(|death| death.get().copied())
    }

    pub(super) fn died(&self, queue: usize, of: WorkerDeath) {
        if let Some(death) = self.deaths.get(queue) {
            // A thread ends once.
            let _ = death.set(of);
        }
    }
}

/// One batch's share of [`WorkerStats`], so that the atomics are touched once per batch.
#[derive(Default)]
pub(super) struct BatchStats {
    pub(super) batches: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    pub(super) read_errors: u64,
    pub(super) write_errors_down: u64,
    pub(super) write_errors_other: u64,
    pub(super) unjudged: u64,
    pub(super) panics: u64,
    pub(super) device_removed: bool,
}

impl BatchStats {
    pub(super) fn written(&mut self, result: &io::Result<()>) {
        match result {
            Ok(()) => self.writes += 1,
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => {
                self.write_errors_down += 1;
            }
            Err(_) => self.write_errors_other += 1,
        }
    }

    pub(super) fn add_to(&self, stats: &WorkerStats) {
        for (total, share) in [
            (&stats.batches, self.batches),
            (&stats.reads, self.reads),
            (&stats.writes, self.writes),
            (&stats.read_errors, self.read_errors),
            (&stats.write_errors_down, self.write_errors_down),
            (&stats.write_errors_other, self.write_errors_other),
            (&stats.unjudged, self.unjudged),
            (&stats.panics, self.panics),
        ] {
            if share != 0 {
                total.fetch_add(share, Ordering::Relaxed);
            }
        }
    }
}
