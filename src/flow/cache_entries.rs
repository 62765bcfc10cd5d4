//! The flow cache's entries for one flow, as this layer sees them, and the sync of their counters.

use super::tcp::Window;
use super::{Instant, Side};
use std::fmt::Debug;

/// The flow cache's entries for one flow.
pub trait CacheEntries: Debug + Send + Sync {
    /// Returns the counters since the entries were made: from the task, and back to it.
    fn counters(&self) -> [CacheCounters; 2];

    /// Returns whether all entries could be made. If not, those that were made are withdrawn
    /// already.
    fn is_complete(&self) -> bool {
        true
    }

    /// Returns how many packets of a direction were punted because of its reordering barrier;
    /// `None` if it has none.
    fn punted(&self, side: Side) -> Option<u64>;

    /// Informs the tc programs of a direction's numbers in segments that user space has observed.
    /// The segments may not be sent on yet, so this takes back a release
    /// [`BarrierRelease::InSequence`] that no packet has used.
    fn tell(&self, side: Side, said: Window);

    /// Releases the reordering barrier of a direction. The caller has sent on all of its segments
    /// that [`CacheEntries::tell`] has reported.
    fn release_barrier(&self, side: Side, release: BarrierRelease);

    /// Removes the entries. A packet that is passing through one may still be counted for a moment.
    fn withdraw(&self);
}

/// The counters of a flow's cache entry, for one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Packets as they were handled.
    pub packets: u64,
    /// Packets as they are on a wire.
    pub segments: u64,
    /// Bytes on a wire, IP headers included.
    pub bytes: u64,
    /// Time of the last packet; before the first one, the flow's `last_seen` when the entry was
    /// made.
    pub last_seen: Instant,
    /// The last numbers that the direction sent, for TCP.
    pub window: Window,
}

/// The packet at which a reordering barrier ends; the packets after it pass too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierRelease {
    /// The next one, if no more than this many packets were punted by then.
    After(u64),
    /// Data that begins where the data that was sent on ends.
    InSequence,
    /// Any packet, even if it overtakes others.
    AtOnce,
}

/// The increase of a cache entry's counters since they were last synced.
#[derive(Clone, Copy, Debug)]
pub(super) struct CounterDelta {
    pub(super) packets: u64,
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) last_seen: Instant,
    /// The last numbers that the direction sent.
    pub(super) window: Window,
}

impl CacheCounters {
    fn since(&self, before: &Self) -> CounterDelta {
        CounterDelta {
            packets: self.packets.wrapping_sub(before.packets),
            segments: self.segments.wrapping_sub(before.segments),
            bytes: self.bytes.wrapping_sub(before.bytes),
            last_seen: self.last_seen,
            window: self.window,
        }
    }
}

/// Counters to which those of cache entries are added: a flow's, or its egress's when the flow has
/// ended.
pub(super) trait CounterSink: Debug + Send + Sync {
    /// Adds the increase of one direction.
    fn add_delta(&self, side: Side, delta: CounterDelta);
}

/// Adds to `sink` the counts since `synced`, and sets `synced` to the present counts.
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
