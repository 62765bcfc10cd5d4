//! Offloads flows: tc forwards their packets by the flow cache, without user space.
//!
//! The engine asks for a flow to be offloaded ([`Flow::ask_for_offload`]). A layer above makes its
//! entries in the flow cache ([`Flow::offload`]) and returns [`CacheEntries`], by which they are
//! read and withdrawn. Their counters are synced with the flow's own whenever the flow is read
//! ([`Flow::sync_counters`]), so that readers see no difference. User space and the flow cache both
//! keep the numbers of a TCP connection, and each informs the other: see `tcp.rs`.
//!
//! Entries begin with a reordering barrier in each direction: packets are punted, and counted,
//! until their worker reports that it has sent on all of them ([`Flow::release_barrier`]). So no
//! packet is overtaken by one that tc forwards.

use super::cache_entries::{BarrierRelease, CacheCounters, CacheEntries, sync_counters};
use super::offload_state::{
    ASKED, ActiveEntries, DECLINED, DeferredFree, NEVER, OFFLOADED, OPEN, OVER, RetiredEntries,
    WATCHED,
};
use super::{Flow, Instant, Side};
use crate::packet::Protocol;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The number of packets of a direction that were punted since a flow's present entries were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Punted {
    offload: u32,
    packets: u64,
}

/// Packets between a flow's first back-off and its next entries, and the greatest number of
/// doublings.
const FIRST_BACK_OFF: u64 = 16;
const MOST_DOUBLINGS: u32 = 3;

impl Flow {
    /// Permits offloading the flow.
    pub(super) fn allow_offload(&self, deferred_free: &Arc<DeferredFree>) {
        // The engine calls this once, before the flow is in the table.
        let _ = self.offload.deferred_free.set(Arc::clone(deferred_free));
        self.offload.state.store(OPEN, Relaxed);
    }

    /// Returns whether the flow is offloaded.
    #[inline]
    pub fn is_offloaded(&self) -> bool {
        self.offload.is(OFFLOADED)
    }

    /// Asks for the flow to be offloaded. Returns whether that is permitted and this is the first
    /// request.
    #[inline]
    pub fn ask_for_offload(&self) -> bool {
        self.offload.is(OPEN) && self.offload.change(OPEN, ASKED)
    }

    /// Returns whether the engine may ask for offloading.
    #[inline]
    pub fn may_be_offloaded(&self) -> bool {
        self.offload.is(OPEN)
    }

    /// Returns whether the flow is to be offloaded as soon as possible, because only offloaded
    /// flows survive the process.
    pub fn offloads_at_once(&self) -> bool {
        self.offload
            .deferred_free
            .get()
            .is_some_and(|deferred_free| deferred_free.at_once.load(Relaxed))
    }

    /// Declines the request: there are no entries before the next sweep.
    pub fn decline_offload(&self) {
        self.offload.change(ASKED, DECLINED);
    }

    /// Declines the request because the flow is watched: there are no entries before a watch ends,
    /// or the next sweep. `watches_ended` is the number of watches that had ended before the watch
    /// was found.
    pub fn decline_offload_while_watched(&self, watches_ended: u32) {
        self.offload.watches_ended.store(watches_ended, Relaxed);
        self.offload.change(ASKED, WATCHED);
    }

    /// Returns whether the last request was declined because the flow was watched.
    #[inline]
    pub fn was_watched(&self) -> bool {
        self.offload.is(WATCHED)
    }

    /// Permits asking again if a watch has ended since the request was declined because the flow
    /// was watched.
    pub fn reopen_offload_after_watch(&self, watches_ended: u32) {
        if self.offload.watches_ended.load(Relaxed) != watches_ended {
            self.offload.change(WATCHED, OPEN);
        }
    }

    /// Offloads the flow by the entries that `make` makes, whose counters begin with its argument.
    /// Makes none if the flow has ended meanwhile, or if offloading was not asked for. Returns
    /// whether the flow is offloaded.
    ///
    /// `idle` is the time for which the flow may be idle before tc punts its packets again.
    pub fn offload(
        &self,
        idle: Duration,
        make: impl FnOnce([CacheCounters; 2]) -> Option<Box<dyn CacheEntries>>,
    ) -> bool {
        let mut active = self.offload.active();
        if !self.offload.is(ASKED) {
            return false;
        }
        let last_seen = self.last_seen();
        let begin = self.tcp.windows().map(|window| CacheCounters {
            last_seen,
            window,
            ..CacheCounters::default()
        });
        let made = match make(begin) {
            Some(entries) if !entries.is_complete() => {
                // A packet may be passing through the entries that were made.
                self.offload.retire(RetiredEntries {
                    entries,
                    synced: begin,
                    flow: Weak::<Self>::new(),
                    totals: Arc::clone(&self.totals),
                });
                None
            }
            made => made,
        };
        self.offload.release_requested.store(0, Relaxed);
        self.offload.times_offloaded.fetch_add(1, Relaxed);
        self.offload.state.store(if made.is_some() { OFFLOADED } else { DECLINED }, Relaxed);
        *active = made.map(|entries| Box::new(ActiveEntries { entries, synced: begin, idle }));
        active.is_some()
    }

    /// Asks for the release of a direction's reordering barrier. Returns whether this is the first
    /// request.
    pub fn request_barrier_release(&self, side: Side) -> bool {
        self.offload.release_requested.fetch_or(bit(side), Relaxed) & bit(side) == 0
    }

    /// Clears the request of a direction, whose barrier cannot be released now: its next packet
    /// asks again.
    pub fn clear_barrier_request(&self, side: Side) {
        self.offload.release_requested.fetch_and(!bit(side), Relaxed);
    }

    /// Returns how many packets of a direction were punted because of its reordering barrier;
    /// `None` if it has none.
    pub fn punted(&self, side: Side) -> Option<Punted> {
        let active = self.offload.active();
        let packets = active.as_ref()?.entries.punted(side)?;
        Some(Punted { offload: self.offload.times_offloaded.load(Relaxed), packets })
    }

    /// Releases the reordering barrier of a direction if no packet was punted since `by_then`;
    /// otherwise the barrier stays and the flow asks again. The caller, the direction's worker, has
    /// sent on all packets that were punted by then.
    pub fn release_barrier(&self, side: Side, by_then: Punted) {
        self.clear_barrier_request(side);
        self.release_barrier_for(side, by_then, BarrierRelease::After(by_then.packets));
    }

    /// Releases the reordering barrier of a TCP direction at the segment that continues the data
    /// that was sent on. The caller has sent on all packets that it has read.
    pub fn release_barrier_in_sequence(&self, side: Side, by_then: Punted) {
        if self.egress.tuple().protocol == Protocol::Tcp {
            self.release_barrier_for(side, by_then, BarrierRelease::InSequence);
        }
    }

    /// Releases the reordering barrier of a direction although some of its packets may still be
    /// queued.
    pub fn release_barrier_at_once(&self, side: Side, by_then: Punted) {
        self.release_barrier_for(side, by_then, BarrierRelease::AtOnce);
    }

    fn release_barrier_for(&self, side: Side, by_then: Punted, release: BarrierRelease) {
        let active = self.offload.active();
        if let Some(active) = active.as_ref()
            && by_then.offload == self.offload.times_offloaded.load(Relaxed)
        {
            self.tell(side, &*active.entries);
            active.entries.release_barrier(side, release);
        }
    }

    /// Adds the counters of the flow's cache entries to its own.
    #[inline]
    pub fn sync_counters(&self) {
        if self.is_offloaded() {
            self.sync_offloaded();
        }
    }

    #[cold]
    fn sync_offloaded(&self) {
        if let Some(active) = self.offload.active().as_deref_mut() {
            sync_counters(&*active.entries, &mut active.synced, self);
        }
    }

    /// Returns whether the flow was idle for longer than its cache entries allow: tc punts its
    /// packets, and the entries are useless.
    pub(crate) fn offload_is_stale(&self, now: Instant) -> bool {
        let active = self.offload.active();
        active.as_ref().is_some_and(|active| now.since(self.last_seen()) > active.idle)
    }

    /// Withdraws the flow from the flow cache and syncs its counters. Offloading may be asked for
    /// again.
    #[inline]
    pub fn withdraw_offload(self: &Arc<Self>) {
        if !self.offload.is(NEVER) && !self.offload.is(OPEN) {
            self.end_offload(OPEN);
        }
    }

    /// Withdraws a flow that has ended from the flow cache, permanently.
    pub(super) fn finish_offload(self: &Arc<Self>) {
        if !self.offload.is(NEVER) {
            self.end_offload(OVER);
        }
    }

    #[cold]
    fn end_offload(self: &Arc<Self>, next: u8) {
        let mut active = self.offload.active();
        if !self.offload.is(OVER) {
            self.offload.state.store(next, Relaxed);
        }
        let Some(taken) = active.take() else { return };
        let ActiveEntries { entries, mut synced, .. } = *taken;
        entries.withdraw();
        sync_counters(&*entries, &mut synced, &**self);
        let (flow, totals): (Weak<Self>, _) = (Arc::downgrade(self), Arc::clone(&self.totals));
        self.offload.retire(RetiredEntries { entries, synced, flow, totals });
    }

    /// Withdraws the flow from the flow cache because of a packet that tc cannot forward and that
    /// may not be the last of its kind. The engine may ask for offloading again after a number of
    /// packets that doubles each time, up to a limit.
    pub fn back_off(self: &Arc<Self>) {
        self.withdraw_offload();
        let times = self.offload.back_offs.fetch_add(1, Relaxed).min(MOST_DOUBLINGS);
        let passed = self.sent.packets() + self.received.packets();
        self.offload.backs_off_until.store(passed + (FIRST_BACK_OFF << times), Relaxed);
    }

    /// Returns how many packets, both ways, the flow must have before offloading is worth asking
    /// for again.
    #[inline]
    pub fn backs_off_until(&self) -> u64 {
        self.offload.backs_off_until.load(Relaxed)
    }

    /// Permits asking again after a request that was declined.
    pub(super) fn reopen_offload(&self) {
        if !self.offload.change(DECLINED, OPEN) {
            self.offload.change(WATCHED, OPEN);
        }
    }
}

const fn bit(side: Side) -> u8 {
    match side {
        Side::Egress => 1,
        Side::Return => 2,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::flow::{FlowKey, FlowStart, FlowTable, Space, Window};
    use crate::packet::{TcpFacts, TcpFlags, Tuple};
    use crate::vpc::{Generation, RuleRef, ServiceIx, Timeouts};
    use std::net::Ipv4Addr;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    /// A model of the kernel's entries, whose counters a test moves.
    #[derive(Debug, Default)]
    struct Kernel {
        counters: Mutex<[CacheCounters; 2]>,
        withdrawn: AtomicUsize,
        /// The number of packets from the task that were punted.
        punted: Mutex<Option<u64>>,
        reported: Mutex<Vec<(Side, Window)>>,
        released: Mutex<Vec<(Side, BarrierRelease)>>,
    }

    impl CacheEntries for Arc<Kernel> {
        fn counters(&self) -> [CacheCounters; 2] {
            *self.counters.lock().unwrap()
        }

        fn punted(&self, side: Side) -> Option<u64> {
            self.punted.lock().unwrap().filter(|_| side == Side::Egress)
        }

        fn tell(&self, side: Side, said: Window) {
            self.reported.lock().unwrap().push((side, said));
        }

        fn release_barrier(&self, side: Side, release: BarrierRelease) {
            self.released.lock().unwrap().push((side, release));
        }

        fn withdraw(&self) {
            self.withdrawn.fetch_add(1, Relaxed);
        }
    }

    impl Kernel {
        fn forwards(&self, side: usize, bytes: u64, at: u64) {
            let way = &mut self.counters.lock().unwrap()[side];
            way.packets += 1;
            way.segments += 2;
            way.bytes += bytes;
            way.last_seen = Instant(at);
            way.window.end += bytes;
        }

        fn withdrawn(&self) -> usize {
            self.withdrawn.load(Relaxed)
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn table() -> (FlowTable<u8>, Arc<Flow>) {
        table_of(Protocol::Tcp)
    }

    fn table_of(protocol: Protocol) -> (FlowTable<u8>, Arc<Flow>) {
        let (task, server) = (Ipv4Addr::new(100, 64, 0, 1), Ipv4Addr::new(203, 0, 113, 10));
        let tuple = Tuple { protocol, src: task, dst: server, sport: 1, dport: 443 };
        let start = FlowStart {
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
        };
        let flow = Arc::new(Flow::new(Instant::ZERO, start));
        let table = FlowTable::new(1);
        table.put(&flow, Generation(1), 1, 2);
        (table, flow)
    }

    fn offloaded() -> (FlowTable<u8>, Arc<Flow>, Arc<Kernel>) {
        offload(table())
    }

    fn offload(
        (table, flow): (FlowTable<u8>, Arc<Flow>),
    ) -> (FlowTable<u8>, Arc<Flow>, Arc<Kernel>) {
        table.allow_offload(&flow);
        let kernel = Arc::new(Kernel::default());
        assert!(flow.ask_for_offload() && !flow.ask_for_offload());
        assert!(offload_by(&flow, &kernel));
        (table, flow, kernel)
    }

    fn offload_by(flow: &Flow, kernel: &Arc<Kernel>) -> bool {
        flow.offload(MINUTE, |begin| {
            *kernel.counters.lock().unwrap() = begin;
            Some(Box::new(Arc::clone(kernel)))
        })
    }

    #[test]
    fn offloaded_packets_are_counted_once_wherever_they_are_read() {
        let (table, flow, kernel) = offloaded();
        flow.count(Instant(5), Side::Egress, 1, 40);
        kernel.forwards(0, 3000, 7);
        for _ in 0..3 {
            table.for_each(|entry| {
                let sent = &entry.flow.sent;
                assert_eq!((sent.packets(), sent.segments(), sent.bytes()), (2, 3, 3040));
                assert_eq!((sent.offloaded_segments(), sent.offloaded_bytes()), (2, 3000));
            });
        }
        kernel.forwards(1, 100, 9);
        let found = table.get(&flow.returned).unwrap();
        assert_eq!((found.flow.received.bytes(), found.flow.last_seen()), (100, Instant(9)));
    }

    /// A packet that was passing through the entries when they were withdrawn is counted to its
    /// flow, or to the totals of its egress if the flow has ended.
    #[test]
    fn packets_on_their_way_at_the_withdrawal_are_counted_later() {
        let (table, flow, kernel) = offloaded();
        kernel.forwards(0, 10, 1);
        flow.withdraw_offload();
        assert_eq!((flow.sent.bytes(), kernel.withdrawn()), (10, 1));
        kernel.forwards(0, 1, 2);
        table.sweep(Instant(3), &Timeouts::default(), |_| {});
        assert_eq!(flow.sent.bytes(), 10, "others may still be on their way");
        kernel.forwards(0, 1, 4);
        table.sweep(Instant(5), &Timeouts::default(), |_| {});
        assert_eq!(flow.sent.bytes(), 12);
        assert_eq!(Arc::strong_count(&kernel), 1, "the entries are freed");

        let again = Arc::new(Kernel::default());
        assert!(flow.ask_for_offload() && offload_by(&flow, &again));
        again.forwards(0, 100, 6);
        table.remove(&flow);
        again.forwards(0, 1000, 7);
        let totals = Arc::clone(&flow.totals);
        assert_eq!((flow.sent.bytes(), flow.is_offloaded()), (112, false));
        drop(flow);
        for _ in 0..2 {
            table.sweep(Instant(8), &Timeouts::default(), |_| {});
        }
        assert_eq!((totals.ended.sent.bytes(), totals.ended.sent.offloaded_bytes()), (1112, 1112));
    }

    #[test]
    fn a_barrier_is_released_once_for_its_own_entries_after_the_punted_packets() {
        let (_table, flow, kernel) = offloaded();
        assert!(
            flow.request_barrier_release(Side::Egress)
                && !flow.request_barrier_release(Side::Egress)
        );
        assert!(flow.request_barrier_release(Side::Return), "each on its own");
        assert_eq!(flow.punted(Side::Egress), None, "it has no barrier");
        *kernel.punted.lock().unwrap() = Some(3);
        let punted = flow.punted(Side::Egress).unwrap();
        assert_ne!(Some(punted), {
            *kernel.punted.lock().unwrap() = Some(4);
            flow.punted(Side::Egress)
        });
        let said = Window { end: 100, ack: 70, claimed: 0 };
        flow.tcp.catch_up(true, said);
        flow.release_barrier_in_sequence(Side::Egress, punted);
        assert!(!flow.request_barrier_release(Side::Egress), "the first request is pending");
        flow.release_barrier(Side::Egress, punted);
        assert!(
            flow.request_barrier_release(Side::Egress),
            "a packet punted since keeps the barrier"
        );
        flow.release_barrier_at_once(Side::Egress, punted);
        let released =
            [BarrierRelease::InSequence, BarrierRelease::After(3), BarrierRelease::AtOnce];
        assert_eq!(*kernel.released.lock().unwrap(), released.map(|how| (Side::Egress, how)));
        assert_eq!(*kernel.reported.lock().unwrap(), [(Side::Egress, said); 3]);

        flow.withdraw_offload();
        assert_eq!(flow.punted(Side::Egress), None);
        assert!(flow.ask_for_offload() && offload_by(&flow, &kernel));
        assert_ne!(flow.punted(Side::Egress), Some(punted));
        flow.release_barrier(Side::Egress, punted);
        assert_eq!(kernel.released.lock().unwrap().len(), 3, "those entries are withdrawn");
    }

    #[test]
    fn regression_a_punted_packet_without_tcp_numbers_takes_no_lock() {
        for protocol in [Protocol::Udp, Protocol::Icmp] {
            let (_table, flow, kernel) = offload(table_of(protocol));
            let locked = flow.offload.active();
            let (done, counted) = std::sync::mpsc::channel();
            let other = Arc::clone(&flow);
            let thread = std::thread::spawn(move || {
                other.count(Instant(5), Side::Egress, 1, 100);
                done.send(other.sent.packets()).unwrap();
            });
            assert_eq!(counted.recv_timeout(MINUTE), Ok(1), "{protocol}");
            drop(locked);
            thread.join().unwrap();
            assert!(flow.is_offloaded() && kernel.reported.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn regression_incomplete_entries_are_freed_late_like_any_others() {
        #[derive(Debug)]
        struct Half(#[expect(dead_code, reason = "its users are counted")] Arc<()>);
        impl CacheEntries for Half {
            fn counters(&self) -> [CacheCounters; 2] {
                [CacheCounters::default(); 2]
            }
            fn is_complete(&self) -> bool {
                false
            }
            fn punted(&self, _side: Side) -> Option<u64> {
                None
            }
            fn tell(&self, _side: Side, _said: Window) {}
            fn release_barrier(&self, _side: Side, _release: BarrierRelease) {}
            fn withdraw(&self) {}
        }
        let (table, flow) = table();
        table.allow_offload(&flow);
        let place = Arc::new(());
        assert!(flow.ask_for_offload());
        assert!(!flow.offload(MINUTE, |_| Some(Box::new(Half(Arc::clone(&place))))));
        assert!(!flow.is_offloaded() && !flow.ask_for_offload());
        table.sweep(Instant(1), &Timeouts::default(), |_| {});
        assert_eq!(Arc::strong_count(&place), 2, "a packet may be on its way through it");
        table.sweep(Instant(2), &Timeouts::default(), |_| {});
        assert_eq!((Arc::strong_count(&place), flow.sent.packets()), (1, 0));
    }

    #[test]
    fn regression_a_flow_that_backs_off_repeatedly_waits_longer_each_time() {
        let (_table, flow, kernel) = offloaded();
        assert_eq!(flow.backs_off_until(), 0);
        let waits: Vec<u64> = (0..20)
            .map(|_| {
                flow.back_off();
                assert!(flow.ask_for_offload() && offload_by(&flow, &kernel));
                flow.backs_off_until()
            })
            .collect();
        assert_eq!(waits[..4], [16, 32, 64, 128]);
        assert_eq!(waits[19], 128);
    }

    #[test]
    fn every_end_of_a_flow_takes_its_entries_out_and_none_are_made_after_it() {
        let timeouts = Timeouts::default();
        for end in 0..4 {
            let (table, flow, kernel) = offloaded();
            match end {
                0 => table.remove(&flow),
                1 => table.expire(Instant(1), &flow),
                2 => assert_eq!(table.remove_where(|_| true), 1),
                _ => {
                    let late = Instant::ZERO + timeouts.longest() + MINUTE;
                    assert_eq!(table.sweep(late, &timeouts, |_| {}), 1);
                }
            }
            assert_eq!(kernel.withdrawn(), 1, "{end}");
            assert!(!flow.ask_for_offload() && !offload_by(&flow, &kernel));
        }
        let (table, flow, kernel) = offloaded();
        table.update(&flow, Generation(2), 3, 4);
        assert!(kernel.withdrawn() == 1 && flow.ask_for_offload(), "a new outcome, a new request");
        table.remove(&flow);
        assert!(!offload_by(&flow, &kernel), "it ended before who was asked came to it");
    }

    #[test]
    fn a_flow_that_only_user_space_finds_idle_does_not_expire() {
        let (table, flow, kernel) = offloaded();
        let timeouts = Timeouts::default();
        let late = Instant::ZERO + timeouts.longest() * 2;
        kernel.forwards(1, 100, late.0);
        assert_eq!(table.sweep(late, &timeouts, |_| {}), 0);
        assert!(!flow.offload_is_stale(late) && flow.offload_is_stale(late + MINUTE * 2));
    }

    #[test]
    fn a_declined_offload_is_asked_for_after_the_next_sweep() {
        let (table, flow) = table();
        assert!(!flow.ask_for_offload(), "not permitted yet");
        table.allow_offload(&flow);
        assert!(flow.ask_for_offload());
        assert!(!flow.offload(MINUTE, |_| None) && !flow.may_be_offloaded());
        table.sweep(Instant(1), &Timeouts::default(), |_| {});
        assert!(flow.ask_for_offload());
        flow.decline_offload();
        assert!(!flow.ask_for_offload());
    }

    /// The tc programs judge segments by the other side's numbers, so they must learn what user
    /// space observes.
    #[test]
    fn regression_the_cache_is_informed_of_what_user_space_observes() {
        let (_table, flow, kernel) = offloaded();
        let said = Window { end: 100, ack: 70, claimed: 0 };
        flow.tcp.catch_up(false, said);
        flow.count(Instant(5), Side::Return, 1, 40);
        flow.count_only(Side::Return, 1, 40);
        assert_eq!(*kernel.reported.lock().unwrap(), [(Side::Return, said); 2]);
        flow.withdraw_offload();
        flow.count(Instant(6), Side::Return, 1, 40);
        assert_eq!(kernel.reported.lock().unwrap().len(), 2, "the flow is offloaded no longer");
    }

    /// The counters of a packet that was passing through the entries when they were withdrawn are
    /// synced after newer ones.
    #[test]
    fn a_late_sync_sets_nothing_back_and_is_not_lost() {
        let (table, flow, kernel) = offloaded();
        let said = |side: usize| flow.tcp.windows()[side];
        kernel.forwards(0, 1000, 1);
        flow.withdraw_offload();
        assert_eq!(said(0).end, 1000);
        let newer = Window { end: 5000, ack: 0, claimed: 0 };
        flow.tcp.catch_up(true, newer);
        kernel.forwards(0, 500, 2);
        kernel.forwards(1, 3 << 30, 2);
        for _ in 0..2 {
            table.sweep(Instant(3), &Timeouts::default(), |_| {});
        }
        assert_eq!((said(0), said(1).end), (newer, 3 << 30));
    }

    /// A RST is judged by the numbers of both sides, whether their segments were offloaded or not.
    #[test]
    fn offloaded_segments_widen_the_window() {
        let (_, flow, kernel) = offloaded();
        let segment = |flags, seq, ack| TcpFacts { flags, seq, ack, window: 9, payload_len: 0 };
        let (syn, ack) = (TcpFlags::SYN, TcpFlags::ACK);
        flow.withdraw_offload();
        flow.tcp.observe(&segment(syn, 100, 0), true);
        flow.tcp.observe(&segment(syn.with(ack), 500, 101), false);
        flow.tcp.observe(&segment(ack, 101, 501), true);
        assert!(flow.ask_for_offload() && offload_by(&flow, &kernel));
        kernel.forwards(0, 5000, 1);
        flow.sync_counters();
        assert!(!flow.tcp.observe(&segment(TcpFlags::RST, 5102, 0), true));
        assert!(flow.tcp.is_steady() && flow.tcp.observe(&segment(TcpFlags::RST, 5101, 0), true));
        assert!(!flow.tcp.is_steady());
    }
}
