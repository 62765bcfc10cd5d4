//! Counts the packets lost between the kernel and the engine, before or after a verdict: packets
//! that the TUN's queue had no room for, and those that could not be read or written.

use super::steer_drops::{Seen, taken};
use crate::flow::Instant;
use crate::linux::WorkerStats;
use crate::pipeline::{DeviceId, Reason};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

/// The cause of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    /// The queue to the worker was full.
    Queue,
    /// No configuration had the device.
    Unknown,
    /// A read failed.
    Read,
    /// A write failed because the device was down.
    Down,
    /// A write failed for another reason.
    Write,
    /// The engine failed on the packet.
    Fault,
}

impl Loss {
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Queue => Reason::QueueFull,
            Self::Unknown => Reason::DeviceUnknown,
            Self::Read => Reason::ReadFailed,
            Self::Down | Self::Write => Reason::WriteFailed,
            Self::Fault => Reason::EngineFault,
        }
    }

    /// Describes the loss at the TUN device, in place of a rule.
    pub(super) fn told_of(self, tun: &str) -> String {
        match self {
            Self::Queue => format!("the queue of {tun} was full"),
            Self::Unknown => format!("a reload creates or removes {tun}"),
            Self::Read => format!("{tun} could not be read"),
            Self::Down => format!("{tun} was down"),
            Self::Write => format!("{tun} could not be written"),
            Self::Fault => "a bug in egret".to_owned(),
        }
    }
}

/// The losses by device and kind.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) seen: BTreeMap<(DeviceId, Loss), Seen>,
}

impl Losses {
    /// Counts the packets that the queues of the existing devices had no room for.
    pub(super) fn queue_full(&self) -> u64 {
        let full = self.seen.iter().filter(|((_, loss), _)| *loss == Loss::Queue);
        full.map(|(_, seen)| seen.packets).sum()
    }

    /// Takes the totals of a device: its worker's, and the packets that its queue had no room for,
    /// if that is known.
    pub(super) fn update(
        &mut self,
        now: Instant,
        device: &DeviceId,
        stats: &WorkerStats,
        queue: Option<u64>,
    ) {
        let totals = [
            (Loss::Queue, queue.unwrap_or(0)),
            (Loss::Unknown, stats.unjudged.load(Relaxed)),
            (Loss::Read, stats.read_errors.load(Relaxed)),
            (Loss::Down, stats.write_errors_down.load(Relaxed)),
            (Loss::Write, stats.write_errors_other.load(Relaxed)),
            (Loss::Fault, stats.panics.load(Relaxed)),
        ];
        for (loss, total) in totals.into_iter().filter(|(_, total)| *total > 0) {
            self.seen.entry((device.clone(), loss)).or_insert(Seen::new(now)).update(now, total);
        }
    }

    /// Takes out the losses of a device that is removed.
    pub(super) fn take(&mut self, device: &DeviceId) -> Vec<(Loss, Seen)> {
        taken(&mut self.seen, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_were_not_judged_are_listed_with_a_reason() {
        let (device, stats, mut losses) =
            (DeviceId::AppRunner, WorkerStats::default(), Losses::default());
        losses.update(Instant::ZERO, &device, &stats, None);
        assert!(losses.seen.is_empty());
        stats.unjudged.store(2, Relaxed);
        losses.update(Instant(7), &device, &stats, None);
        let listed: Vec<_> =
            losses.seen.iter().map(|((_, loss), seen)| (loss.reason(), seen.packets)).collect();
        assert_eq!(listed, [(Reason::DeviceUnknown, 2)]);
        let taken: Vec<_> =
            losses.take(&device).iter().map(|(loss, seen)| (*loss, seen.packets)).collect();
        assert_eq!(taken, [(Loss::Unknown, 2)]);
        assert!(losses.seen.is_empty(), "the next device of this id begins with nothing");
    }
}
