//! The reordering barriers of one worker: directions of offloaded flows whose packets are punted
//! until this worker, which reads them, has sent on all that were queued. So tc overtakes none of
//! them.
//!
//! A barrier is released in one of four cases:
//!
//! - no packet of the direction was punted between a moment and a later one at which the queue was
//!   empty;
//! - none was punted while so many full batches were read that all packets queued before them are
//!   read;
//! - a TCP segment continues the data that were sent on: its sequence number says what comes before
//!   it;
//! - the barrier has stood for [`LONGEST_WAIT`]. A flow that always has packets in a queue that is
//!   never empty comes to none of the other cases, and it is the flow that most needs offloading.
//!   Its queued packets are overtaken once.

use crate::flow::{Flow, Punted, Side};
use crate::linux::tun::QUEUE_LENGTH;
use crate::linux::worker::BATCH;
use std::sync::Arc;

/// Full batches after which the queue holds no packet that was in it before them.
const WHOLE_QUEUE: usize = (QUEUE_LENGTH as usize).div_ceil(BATCH);
/// Full batches after which a barrier is released in any case: twice as many packets as a queue
/// holds, so that a flow that pauses can be released in order.
const LONGEST_WAIT: usize = 2 * WHOLE_QUEUE;
/// The most barriers of one worker. A direction beyond keeps its barrier until one of its packets
/// finds room.
const MOST: usize = 1024;

/// The reordering barriers of one worker.
#[derive(Debug)]
pub(super) struct ReorderingBarriers(Vec<ReorderingBarrier>);

#[derive(Debug)]
struct ReorderingBarrier {
    flow: Arc<Flow>,
    side: Side,
    punted: Punted,
    /// Full batches since a packet of the direction was punted.
    quiet: usize,
    /// Full batches since the barrier was added.
    waited: usize,
}

impl ReorderingBarriers {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(MOST))
    }

    /// Adds the barrier of a direction, whose packet is the first to request its release.
    pub(super) fn add(&mut self, flow: Arc<Flow>, side: Side) {
        if self.0.len() >= MOST {
            flow.clear_barrier_request(side);
        } else if let Some(punted) = flow.punted(side) {
            self.0.push(ReorderingBarrier { flow, side, punted, quiet: 0, waited: 0 });
        }
    }

    /// Notes how many packets were punted by now, before the packets of a batch are read.
    #[inline]
    pub(super) fn begin_batch(&mut self) {
        if !self.0.is_empty() {
            self.update();
        }
    }

    /// Releases the barriers that have come to their end, when all packets that were read are sent
    /// on; `drained` is true if nothing was left to read.
    #[inline]
    pub(super) fn end_batch(&mut self, drained: bool) {
        if !self.0.is_empty() {
            self.0.retain_mut(|barrier| !barrier.end_batch(drained));
        }
    }

    #[cold]
    fn update(&mut self) {
        self.0.retain_mut(|barrier| barrier.update().is_some());
    }
}

impl ReorderingBarrier {
    /// Notes how many packets were punted by now, and returns whether the number is unchanged;
    /// `None` if the direction has no barrier any more.
    fn update(&mut self) -> Option<bool> {
        let punted = self.flow.punted(self.side)?;
        let unchanged = punted == self.punted;
        if !unchanged {
            self.punted = punted;
            self.quiet = 0;
        }
        Some(unchanged)
    }

    /// Releases the barrier if it has come to its end, and returns whether it needs no further
    /// batch.
    fn end_batch(&mut self, drained: bool) -> bool {
        let Some(unchanged) = self.update() else { return true };
        let full = usize::from(!drained);
        self.waited += full;
        self.quiet += full;
        let in_order = unchanged && (drained || self.quiet > WHOLE_QUEUE);
        if in_order {
            self.flow.release_barrier(self.side, self.punted);
        } else if self.waited >= LONGEST_WAIT {
            self.flow.release_barrier_at_once(self.side, self.punted);
        } else {
            self.flow.release_barrier_in_sequence(self.side, self.punted);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::flow::{
        BarrierRelease, CacheCounters, CacheEntries, FlowKey, FlowStart, FlowTable, Instant, Space,
        Window,
    };
    use crate::packet::{Protocol, Tuple};
    use crate::vpc::{Generation, RuleRef, ServiceIx};
    use std::net::Ipv4Addr;
    use std::sync::Mutex;
    use std::time::Duration;

    /// Cache entries with a barrier: the number of punted packets, and how the barrier was
    /// released.
    #[derive(Debug, Default)]
    struct Entries {
        punted: Mutex<u64>,
        released: Mutex<Vec<BarrierRelease>>,
    }

    impl CacheEntries for Arc<Entries> {
        fn counters(&self) -> [CacheCounters; 2] {
            [CacheCounters::default(); 2]
        }

        fn punted(&self, _side: Side) -> Option<u64> {
            Some(*self.punted.lock().unwrap())
        }

        fn tell(&self, _side: Side, _said: Window) {}

        fn release_barrier(&self, _side: Side, release: BarrierRelease) {
            self.released.lock().unwrap().push(release);
        }

        fn withdraw(&self) {}
    }

    impl Entries {
        fn punt(&self) {
            *self.punted.lock().unwrap() += 1;
        }

        fn released(&self) -> Vec<BarrierRelease> {
            self.released.lock().unwrap().clone()
        }
    }

    /// Makes the barrier of a flow of which one packet was punted.
    fn barriers() -> (ReorderingBarriers, Arc<Entries>, Arc<Flow>) {
        let (task, host) = (Ipv4Addr::new(100, 64, 0, 1), Ipv4Addr::new(203, 0, 113, 10));
        let tuple = Tuple { protocol: Protocol::Udp, src: task, dst: host, sport: 1, dport: 53 };
        let flow = Arc::new(Flow::new(
            Instant::ZERO,
            FlowStart {
                egress: FlowKey::new(Space::TASKS, tuple),
                returned: FlowKey::new(Space::INTERNET, tuple.reversed()),
                service: ServiceIx(0),
                eni: None,
                nat: None,
                endpoint: None,
                admitted_by: RuleRef::Packet,
                untracked: false,
                admitted_under: Generation(1),
                totals: Arc::default(),
            },
        ));
        let table: FlowTable<()> = FlowTable::new(1);
        table.allow_offload(&flow);
        assert!(flow.ask_for_offload());
        let entries = Arc::new(Entries::default());
        let made = Box::new(Arc::clone(&entries));
        assert!(flow.offload(Duration::MAX, |_| Some(made)));
        entries.punt();
        let mut barriers = ReorderingBarriers::new();
        barriers.add(Arc::clone(&flow), Side::Egress);
        (barriers, entries, flow)
    }

    #[test]
    fn an_empty_queue_releases_a_barrier_after_the_packets_punted_before() {
        let (mut barriers, entries, _) = barriers();
        barriers.end_batch(false);
        barriers.begin_batch();
        entries.punt();
        barriers.end_batch(true);
        assert_eq!(
            entries.released(),
            [],
            "that packet may have come after the queue was last read"
        );
        barriers.begin_batch();
        barriers.end_batch(true);
        assert_eq!(entries.released(), [BarrierRelease::After(2)]);
        barriers.end_batch(true);
        assert_eq!(entries.released(), [BarrierRelease::After(2)], "once");
    }

    #[test]
    fn a_queue_that_is_never_empty_releases_a_quiet_flow_in_order_and_a_busy_one_at_once() {
        let (mut barriers, entries, _) = barriers();
        for _ in 0..WHOLE_QUEUE {
            barriers.begin_batch();
            barriers.end_batch(false);
        }
        assert_eq!(entries.released(), []);
        barriers.begin_batch();
        barriers.end_batch(false);
        assert_eq!(entries.released(), [BarrierRelease::After(1)]);

        let (mut barriers, entries, _) = self::barriers();
        for _ in 1..LONGEST_WAIT {
            barriers.begin_batch();
            entries.punt();
            barriers.end_batch(false);
        }
        assert_eq!(entries.released(), []);
        barriers.end_batch(false);
        assert_eq!(entries.released(), [BarrierRelease::AtOnce]);
    }

    #[test]
    fn a_withdrawn_flow_has_no_barrier() {
        let (mut barriers, entries, flow) = barriers();
        flow.withdraw_offload();
        barriers.begin_batch();
        assert!(barriers.0.is_empty());
        assert_eq!(entries.released(), []);
    }
}
