//! The kernel's entries for a flow, as this layer sees them, and what it adds to its own counters of what they carried.

use super::tcp::Window;
use super::{Instant, Side};
use std::fmt::Debug;

/// The kernel's entries for one flow.
pub trait CacheEntries: Debug + Send + Sync {
    /// What was carried since the entries were made: from the task, and back to it.
    fn counters(&self) -> [CacheCounters; 2];

    /// Whether all entries could be made. Those of incomplete entries are out again.
    fn is_complete(&self) -> bool {
        true
    }

    /// How many packets of a direction went up because it is closed; `None` if it is open.
    fn punted(&self, side: Side) -> Option<u64>;

    /// Opens a direction, which has said this in what was sent on.
    fn release_barrier(&self, side: Side, release: BarrierRelease, said: Window);

    /// Takes the entries out. A packet that is on its way through one may still be counted for a moment.
    fn withdraw(&self);
}

/// What was carried in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Packets as they were handled.
    pub packets: u64,
    /// Packets as they are on a wire.
    pub segments: u64,
    /// Bytes on a wire, IP headers included.
    pub bytes: u64,
    /// When the last one passed; before the first, when the flow's last one had.
    pub last_seen: Instant,
    /// What it has said, for TCP.
    pub window: Window,
}

/// For which packet a direction is opened; those after it pass too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierRelease {
    /// For the one before which so many have gone up.
    After(u64),
    /// For data that begin where those end that were sent on.
    InSequence,
    /// For any, whatever it overtakes.
    AtOnce,
}

/// What the kernel carried in one direction since it was last asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct CounterDelta {
    pub(super) packets: u64,
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) last_seen: Instant,
    /// What the direction has said, if that is new.
    pub(super) window: Option<Window>,
}

impl CacheCounters {
    fn since(&self, before: &Self) -> CounterDelta {
        CounterDelta {
            packets: self.packets.wrapping_sub(before.packets),
            segments: self.segments.wrapping_sub(before.segments),
            bytes: self.bytes.wrapping_sub(before.bytes),
            last_seen: self.last_seen,
            window: (self.window != before.window).then_some(self.window),
        }
    }
}

/// Counters to which the kernel's are added: a flow's, or its path's when the flow is gone.
pub(super) trait CounterSink: Debug + Send + Sync {
    /// Adds what one direction carried.
    fn add_delta(&self, side: Side, delta: CounterDelta);
}

/// Adds to `sink` what was carried since `synced`, which becomes what is carried now.
pub(super) fn sync_counters(
    entries: &dyn CacheEntries,
    synced: &mut [CacheCounters; 2],
    sink: &dyn CounterSink,
) {
    let counters = entries.counters();
    for (side, (now, before)) in Side::BOTH.into_iter().zip(counters.iter().zip(synced.iter())) {
        sink.add_delta(side, now.since(before));
    }
    *synced = counters;
}
