//! Counters of a flow, and of all flows with one egress.

use super::Side;
use super::cache_entries::{CounterDelta, CounterSink};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of a flow for one direction. Only the worker of the queue from which this direction
/// is read writes them, so plain loads and stores suffice. Offloaded packets are counted apart and
/// added when read.
#[derive(Debug, Default)]
pub struct Counters {
    packets: AtomicU64,
    segments: AtomicU64,
    bytes: AtomicU64,
    offloaded: [AtomicU64; 3],
}

impl Counters {
    /// Counts one packet of this many wire segments and bytes.
    #[inline]
    pub fn add(&self, segments: u32, bytes: u64) {
        let add = |counter: &AtomicU64, n: u64| {
            counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed)
        };
        add(&self.packets, 1);
        add(&self.segments, u64::from(segments));
        add(&self.bytes, bytes);
    }

    /// Counts one packet as [`Counters::add`] does, where several threads count.
    fn add_shared(&self, segments: u32, bytes: u64) {
        self.packets.fetch_add(1, Relaxed);
        self.segments.fetch_add(u64::from(segments), Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Adds offloaded packets.
    pub(super) fn add_offloaded(&self, packets: u64, segments: u64, bytes: u64) {
        for (counter, more) in self.offloaded.iter().zip([packets, segments, bytes]) {
            counter.fetch_add(more, Relaxed);
        }
    }

    /// Returns the counts of user space and those of offloaded packets.
    pub(super) fn counted(&self) -> Counted {
        let offloaded =
            [self.offloaded_packets(), self.offloaded_segments(), self.offloaded_bytes()];
        let all = [self.packets(), self.segments(), self.bytes()];
        let [packets, segments, bytes] = [0, 1, 2].map(|at: usize| all[at] - offloaded[at]);
        Counted { own: [packets, segments, bytes], offloaded }
    }

    /// Adds the counts of another process.
    pub(super) fn add_counted(&self, counted: &Counted) {
        let [packets, segments, bytes] = counted.own;
        for (counter, more) in
            [&self.packets, &self.segments, &self.bytes].into_iter().zip([packets, segments, bytes])
        {
            counter.fetch_add(more, Relaxed);
        }
        let [packets, segments, bytes] = counted.offloaded;
        self.add_offloaded(packets, segments, bytes);
    }

    /// Adds another's counts; several threads may do so at once.
    fn gather(&self, other: &Self) {
        for (own, other) in self.all().into_iter().zip(other.all()) {
            own.fetch_add(other.load(Relaxed), Relaxed);
        }
    }

    /// Raises each counter to another's if that is greater, and returns the result.
    fn raise(&self, other: &Self) -> Self {
        let greater = Self::default();
        for ((own, other), greater) in self.all().into_iter().zip(other.all()).zip(greater.all()) {
            let n = other.load(Relaxed);
            greater.store(own.fetch_max(n, Relaxed).max(n), Relaxed);
        }
        greater
    }

    fn all(&self) -> [&AtomicU64; 6] {
        let Self { packets, segments, bytes, offloaded: [a, b, c] } = self;
        [packets, segments, bytes, a, b, c]
    }

    /// Returns the number of packets as they were handled; a super-packet is one.
    #[inline]
    pub fn packets(&self) -> u64 {
        self.packets.load(Relaxed) + self.offloaded_packets()
    }

    /// Returns the number of packets as they are on a wire.
    pub fn segments(&self) -> u64 {
        self.segments.load(Relaxed) + self.offloaded_segments()
    }

    /// Returns the number of bytes on a wire, IP headers included.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed) + self.offloaded_bytes()
    }

    /// Returns the number of [`Counters::packets`] that were offloaded.
    #[inline]
    pub fn offloaded_packets(&self) -> u64 {
        self.offloaded[0].load(Relaxed)
    }

    /// Returns the number of [`Counters::segments`] that were offloaded.
    pub fn offloaded_segments(&self) -> u64 {
        self.offloaded[1].load(Relaxed)
    }

    /// Returns the number of [`Counters::bytes`] that were offloaded.
    pub fn offloaded_bytes(&self) -> u64 {
        self.offloaded[2].load(Relaxed)
    }
}

/// The counts of one direction, as values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Through user space: packets, segments and bytes.
    pub own: [u64; 3],
    /// Offloaded: packets, segments and bytes.
    pub offloaded: [u64; 3],
}

/// The counters of several flows together.
#[derive(Debug, Default)]
pub struct SummedCounters {
    /// From tasks.
    pub sent: Counters,
    /// Back to tasks.
    pub received: Counters,
}

impl SummedCounters {
    /// Adds the counts of a flow, or of several.
    pub fn gather(&self, sent: &Counters, received: &Counters) {
        self.sent.gather(sent);
        self.received.gather(received);
    }
}

/// The totals of one egress, an ENI and the NAT behind it. Each flow counts for itself and adds its
/// counts here when it ends, so that its packets cost nothing here, and no two workers write to the
/// same cache line for them.
#[derive(Debug, Default)]
pub struct EgressTotals {
    /// Counts of the flows that have ended, and of the packets that belong to no flow.
    pub ended: SummedCounters,
    /// Numbers of flows that began, were established, and were idle for too long.
    pub lives: Lives,
    shown: SummedCounters,
}

impl EgressTotals {
    /// Returns the counts of all flows. `all` is the sum over the flows that have ended and those
    /// that live, which were read later. A flow that ended in between is in neither, so the result
    /// is never less than the one before.
    pub fn total(&self, all: &SummedCounters) -> SummedCounters {
        SummedCounters {
            sent: self.shown.sent.raise(&all.sent),
            received: self.shown.received.raise(&all.received),
        }
    }
}

impl EgressTotals {
    /// Counts a packet that belongs to no flow, of this many wire segments and bytes. Several
    /// workers may do so at once.
    pub fn count_without_flow(&self, side: Side, segments: u32, bytes: u64) {
        self.ended_of(side).add_shared(segments, bytes);
    }

    fn ended_of(&self, side: Side) -> &Counters {
        match side {
            Side::Egress => &self.ended.sent,
            Side::Return => &self.ended.received,
        }
    }
}

impl CounterSink for EgressTotals {
    fn add_delta(&self, side: Side, delta: CounterDelta) {
        self.ended_of(side).add_offloaded(delta.packets, delta.segments, delta.bytes);
    }
}

/// The numbers of TCP flows that began and were established, and of flows of any protocol that
/// expired. Counted when a flow begins and when it ends, so that packets in between cost nothing.
#[derive(Debug, Default)]
pub struct Lives {
    attempts: AtomicU64,
    established: AtomicU64,
    idle_timeouts: AtomicU64,
}

impl Lives {
    /// Returns the number of TCP flows that began.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Relaxed)
    }

    /// Returns the number of TCP flows whose handshake was completed and that have ended.
    pub fn established_and_over(&self) -> u64 {
        self.established.load(Relaxed)
    }

    /// Returns the number of flows that were idle for too long.
    pub fn idle_timeouts(&self) -> u64 {
        self.idle_timeouts.load(Relaxed)
    }

    pub(super) fn count_attempt(&self) {
        self.attempts.fetch_add(1, Relaxed);
    }

    pub(super) fn count_established(&self) {
        self.established.fetch_add(1, Relaxed);
    }

    pub(super) fn count_idle_timeout(&self) {
        self.idle_timeouts.fetch_add(1, Relaxed);
    }
}
