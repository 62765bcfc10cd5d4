//! Flows that the kernel carries by itself: who may be, who is, and what was carried meanwhile.
//!
//! The engine asks for a flow that needs no more thought ([`Flow::ask_for_offload`]); a floor above makes the kernel's
//! entries for it ([`Flow::offload`]) and gives a [`Carrier`], by which they are read and taken out again. What was carried
//! is added to the flow's own figures whenever somebody looks ([`Flow::settle`]), so that they are the same either way.
//! What the sides of a TCP connection have said is kept in both places, and each tells the other: see `tcp.rs`.
//!
//! Entries begin closed: each direction's packets are punted, and counted, until whoever handles them says that all are sent
//! on ([`Flow::open`]). So nothing is overtaken by what the kernel carries.

use super::tcp::Window;
use super::{Flow, Instant, Side, Tally};
use crate::packet::Protocol;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// The kernel's entries for one flow.
pub trait Carrier: Debug + Send + Sync {
    /// What was carried since the entries were made: from the task, and back to it.
    fn carried(&self) -> [Passed; 2];

    /// Whether all entries could be made. Those of a carrier that is not whole are out again.
    fn is_whole(&self) -> bool {
        true
    }

    /// How many packets of a direction were punted because it is closed; `None` if it is open.
    fn punted(&self, side: Side) -> Option<u64>;

    /// Tells what a direction has said in segments that user space has observed. They may not be sent on yet: what
    /// [`Opening::InSequence`] allowed, it allows no more.
    fn tell(&self, side: Side, said: Window);

    /// Opens a direction, all of whose segments that were told of are sent on.
    fn open(&self, side: Side, opening: Opening);

    /// Takes the entries out. A packet that is on its way through one may still be counted for a moment.
    fn withdraw(&self);
}

/// What was carried in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Packets as they were handled.
    pub packets: u64,
    /// Packets as they are on a wire.
    pub segments: u64,
    /// Octets on a wire, IP headers included.
    pub bytes: u64,
    /// When the last one passed; before the first, when the flow's last one had.
    pub last_seen: Instant,
    /// What it has said, for TCP.
    pub window: Window,
}

/// For which packet a direction is opened; those after it pass too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// For the next one, if so many were punted by now.
    After(u64),
    /// For data that begin where those end that were sent on.
    InSequence,
    /// For any, whatever it overtakes.
    AtOnce,
}

/// How many packets of a direction were punted since a flow's present entries were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Punted {
    entries: u32,
    packets: u64,
}

/// Packets between a flow's giving way and its next entries, the first time; and how often that may double.
const REST: u64 = 16;
const MOST_DOUBLINGS: u32 = 3;

/// Nobody asks for it: offloading is off.
const NEVER: u8 = 0;
/// User space carries it.
const OPEN: u8 = 1;
/// User space carries it, and the engine has asked for entries.
const ASKED: u8 = 2;
/// The kernel carries it.
const CARRIED: u8 = 3;
/// There could be no entries: not before the next sweep.
const DECLINED: u8 = 4;
/// The flow has ended.
const OVER: u8 = 5;

/// Who carries a flow. Changes are made under the lock; the state alone may be looked at without.
#[derive(Debug, Default)]
pub(super) struct Offload {
    state: AtomicU8,
    entry: Mutex<Option<Box<Entry>>>,
    /// The directions that somebody is about to open, or need not, as bits.
    opening: AtomicU8,
    /// How often entries were made.
    entries: AtomicU32,
    /// How often it has given way, and until how many packets there are no entries.
    gave_way: AtomicU32,
    rests_until: AtomicU64,
    limbo: OnceLock<Arc<Limbo>>,
}

#[derive(Debug)]
struct Entry {
    carrier: Box<dyn Carrier>,
    folded: [Passed; 2],
    /// How long the flow may be idle before the kernel leaves it to the engine.
    idle: Duration,
}

impl Offload {
    #[inline]
    fn is(&self, state: u8) -> bool {
        self.state.load(Relaxed) == state
    }

    /// A thread that failed while it held the lock left a whole entry behind, or none.
    fn entry(&self) -> MutexGuard<'_, Option<Box<Entry>>> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flow {
    /// Lets the flow be offloaded, if anybody asks for it.
    pub(super) fn allow_offload(&self, limbo: &Arc<Limbo>) {
        // It is asked once, before anybody else knows the flow.
        let _ = self.offload.limbo.set(Arc::clone(limbo));
        self.offload.state.store(OPEN, Relaxed);
    }

    /// Whether the kernel carries it.
    #[inline]
    pub fn is_offloaded(&self) -> bool {
        self.offload.is(CARRIED)
    }

    /// Asks for the kernel's entries; whether nobody had before, and they may be.
    #[inline]
    pub fn ask_for_offload(&self) -> bool {
        self.offload.is(OPEN)
            && self.offload.state.compare_exchange(OPEN, ASKED, Relaxed, Relaxed).is_ok()
    }

    /// Whether entries may be asked for.
    #[inline]
    pub fn may_be_offloaded(&self) -> bool {
        self.offload.is(OPEN)
    }

    /// Whether it is to be offloaded as soon as it can be: what is not is lost with the process.
    pub fn is_in_a_hurry(&self) -> bool {
        self.offload.limbo.get().is_some_and(|limbo| limbo.at_once.load(Relaxed))
    }

    /// Answers who asked: there will be no entries, for now.
    pub fn decline_offload(&self) {
        let _ = self.offload.state.compare_exchange(ASKED, DECLINED, Relaxed, Relaxed);
    }

    /// Has the kernel carry the flow by the entries that `make` makes; it is told what their counters begin with. Nothing is
    /// made if the flow has ended meanwhile, or nobody has asked. Says whether it was done.
    ///
    /// `idle` is how long the flow may be idle before the kernel leaves it to the engine.
    pub fn offload(
        &self,
        idle: Duration,
        make: impl FnOnce([Passed; 2]) -> Option<Box<dyn Carrier>>,
    ) -> bool {
        let mut entry = self.offload.entry();
        if !self.offload.is(ASKED) {
            return false;
        }
        let last_seen = self.last_seen();
        let begin =
            self.tcp.windows().map(|window| Passed { last_seen, window, ..Passed::default() });
        let made = match make(begin) {
            Some(carrier) if !carrier.is_whole() => {
                // A packet may be on its way through what there was of it.
                self.rest(Residue {
                    carrier,
                    folded: begin,
                    flow: Weak::new(),
                    tally: Arc::clone(&self.tally),
                });
                None
            }
            made => made,
        };
        self.offload.opening.store(0, Relaxed);
        self.offload.entries.fetch_add(1, Relaxed);
        self.offload.state.store(if made.is_some() { CARRIED } else { DECLINED }, Relaxed);
        *entry = made.map(|carrier| Box::new(Entry { carrier, folded: begin, idle }));
        entry.is_some()
    }

    /// Asks for a direction of a flow that the kernel carries to be opened; whether nobody had before.
    pub fn ask_to_open(&self, side: Side) -> bool {
        self.offload.opening.fetch_or(bit(side), Relaxed) & bit(side) == 0
    }

    /// Lets the next packet of a direction ask: it could not be opened now.
    pub fn let_ask_to_open(&self, side: Side) {
        self.offload.opening.fetch_and(!bit(side), Relaxed);
    }

    /// How many packets of a direction were punted because it is closed; `None` if there is nothing to open.
    pub fn punted(&self, side: Side) -> Option<Punted> {
        let entry = self.offload.entry();
        let packets = entry.as_ref()?.carrier.punted(side)?;
        Some(Punted { entries: self.offload.entries.load(Relaxed), packets })
    }

    /// Opens a direction, all of whose packets are sent on that were punted by then. What was punted since keeps it closed,
    /// and asks again. To be called by whoever handles them, as all that open.
    pub fn open(&self, side: Side, by_then: Punted) {
        self.let_ask_to_open(side);
        self.open_for(side, by_then, Opening::After(by_then.packets));
    }

    /// Opens a direction for data that go on where those end that were sent on: all that were judged are.
    pub fn open_in_sequence(&self, side: Side, by_then: Punted) {
        if self.egress.tuple().protocol == Protocol::Tcp {
            self.open_for(side, by_then, Opening::InSequence);
        }
    }

    /// Opens a direction although others of its packets may wait.
    pub fn open_at_once(&self, side: Side, by_then: Punted) {
        self.open_for(side, by_then, Opening::AtOnce);
    }

    fn open_for(&self, side: Side, by_then: Punted, opening: Opening) {
        let entry = self.offload.entry();
        if let Some(entry) = entry.as_ref()
            && by_then.entries == self.offload.entries.load(Relaxed)
        {
            self.tell_of(side, &*entry.carrier);
            entry.carrier.open(side, opening);
        }
    }

    /// Tells the kernel what was observed of a direction of a flow that it carries: a segment that was punted, for instance.
    #[inline]
    pub(super) fn tell_kernel(&self, side: Side) {
        if self.is_offloaded() {
            self.tell(side);
        }
    }

    #[cold]
    fn tell(&self, side: Side) {
        if let Some(entry) = self.offload.entry().as_deref() {
            self.tell_of(side, &*entry.carrier);
        }
    }

    fn tell_of(&self, side: Side, carrier: &dyn Carrier) {
        if self.egress.tuple().protocol == Protocol::Tcp {
            let [sent, received] = self.tcp.windows();
            carrier.tell(side, if side == Side::Egress { sent } else { received });
        }
    }

    /// Adds what the kernel has carried to the flow's figures.
    #[inline]
    pub fn settle(&self) {
        if self.is_offloaded() {
            self.fold();
        }
    }

    #[cold]
    fn fold(&self) {
        if let Some(entry) = self.offload.entry().as_deref_mut() {
            fold(&*entry.carrier, &mut entry.folded, Some(self), &self.tally);
        }
    }

    /// Whether the kernel has left the flow to the engine, as it was idle for longer than its entries allow: they are of no
    /// more use.
    pub(crate) fn offload_is_stale(&self, now: Instant) -> bool {
        let entry = self.offload.entry();
        entry.as_ref().is_some_and(|entry| now.since(self.last_seen()) > entry.idle)
    }

    /// Has user space carry the flow again; what was carried meanwhile is added to its figures. It may be asked for again.
    #[inline]
    pub fn withdraw_offload(self: &Arc<Self>) {
        if !self.offload.is(NEVER) && !self.offload.is(OPEN) {
            self.end_offload(OPEN);
        }
    }

    /// The same for a flow that has ended.
    pub(super) fn finish_offload(self: &Arc<Self>) {
        if !self.offload.is(NEVER) {
            self.end_offload(OVER);
        }
    }

    #[cold]
    fn end_offload(self: &Arc<Self>, next: u8) {
        let mut entry = self.offload.entry();
        if !self.offload.is(OVER) {
            self.offload.state.store(next, Relaxed);
        }
        let Some(taken) = entry.take() else { return };
        let Entry { carrier, mut folded, .. } = *taken;
        carrier.withdraw();
        fold(&*carrier, &mut folded, Some(self), &self.tally);
        let (flow, tally) = (Arc::downgrade(self), Arc::clone(&self.tally));
        self.rest(Residue { carrier, folded, flow, tally });
    }

    fn rest(&self, residue: Residue) {
        if let Some(limbo) = self.offload.limbo.get() {
            limbo.take(residue);
        }
    }

    /// The same as [`Flow::withdraw_offload`], for a packet of which a flow may have more that the kernel is not to carry. It
    /// is asked for again only after twice as many packets as the time before, up to more than entries cost.
    pub fn give_way(self: &Arc<Self>) {
        self.withdraw_offload();
        let times = self.offload.gave_way.fetch_add(1, Relaxed).min(MOST_DOUBLINGS);
        let passed = self.sent.packets() + self.received.packets();
        self.offload.rests_until.store(passed + (REST << times), Relaxed);
    }

    /// How many packets it has both ways, at least, when entries may be asked for.
    #[inline]
    pub fn rests_until(&self) -> u64 {
        self.offload.rests_until.load(Relaxed)
    }

    /// What could not be done may be asked for again.
    pub(super) fn reopen_offload(&self) {
        let _ = self.offload.state.compare_exchange(DECLINED, OPEN, Relaxed, Relaxed);
    }
}

const fn bit(side: Side) -> u8 {
    match side {
        Side::Egress => 1,
        Side::Return => 2,
    }
}

/// Adds what is new to the figures of a flow, or of its path if it is gone.
fn fold(carrier: &dyn Carrier, folded: &mut [Passed; 2], flow: Option<&Flow>, tally: &Tally) {
    let carried = carrier.carried();
    let [sent, received] = match flow {
        Some(flow) => [&flow.sent, &flow.received],
        None => [&tally.over.sent, &tally.over.received],
    };
    for (side, (now, before)) in carried.iter().zip(folded.iter()).enumerate() {
        let (packets, segments, bytes) = (
            now.packets.wrapping_sub(before.packets),
            now.segments.wrapping_sub(before.segments),
            now.bytes.wrapping_sub(before.bytes),
        );
        let own = if side == 0 { sent } else { received };
        own.add_offloaded(packets, segments, bytes);
        let Some(flow) = flow else { continue };
        flow.saw(now.last_seen);
        if flow.egress.tuple().protocol == Protocol::Tcp {
            flow.tcp.catch_up(side == 0, now.window);
        }
    }
    *folded = carried;
}

/// Entries that were taken out. Their counters are looked at once more when no packet can be on its way through them any
/// longer: after a whole round of housekeeping.
#[derive(Debug, Default)]
pub(super) struct Limbo {
    residues: Mutex<[Vec<Residue>; 2]>,
    /// Whether flows are to be offloaded as soon as they can be.
    pub(super) at_once: AtomicBool,
}

#[derive(Debug)]
struct Residue {
    carrier: Box<dyn Carrier>,
    folded: [Passed; 2],
    flow: Weak<Flow>,
    tally: Arc<Tally>,
}

impl Limbo {
    fn take(&self, residue: Residue) {
        let [recent, _] = &mut *self.lock();
        recent.push(residue);
    }

    /// To be called once a round.
    pub(super) fn sweep(&self) {
        let old = {
            let [recent, old] = &mut *self.lock();
            std::mem::replace(old, std::mem::take(recent))
        };
        for Residue { carrier, mut folded, flow, tally } in old {
            fold(&*carrier, &mut folded, flow.upgrade().as_deref(), &tally);
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Vec<Residue>; 2]> {
        self.residues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn census(&self, census: &mut super::Census) {
        census.add("offloads in limbo", self.lock().iter().map(Vec::len).sum());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::flow::{FlowKey, FlowStart, FlowTable, Side, Space};
    use crate::packet::{TcpFacts, TcpFlags, Tuple};
    use crate::vpc::{Generation, RuleRef, ServiceIx, Timeouts};
    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicUsize;

    /// What the kernel would say; whoever holds it lets it carry something.
    #[derive(Debug, Default)]
    struct Kernel {
        carried: Mutex<[Passed; 2]>,
        withdrawn: AtomicUsize,
        /// How many packets of the task were punted.
        punted: Mutex<Option<u64>>,
        told: Mutex<Vec<(Side, Window)>>,
        opened: Mutex<Vec<(Side, Opening)>>,
    }

    impl Carrier for Arc<Kernel> {
        fn carried(&self) -> [Passed; 2] {
            *self.carried.lock().unwrap()
        }

        fn punted(&self, side: Side) -> Option<u64> {
            self.punted.lock().unwrap().filter(|_| side == Side::Egress)
        }

        fn tell(&self, side: Side, said: Window) {
            self.told.lock().unwrap().push((side, said));
        }

        fn open(&self, side: Side, opening: Opening) {
            self.opened.lock().unwrap().push((side, opening));
        }

        fn withdraw(&self) {
            self.withdrawn.fetch_add(1, Relaxed);
        }
    }

    impl Kernel {
        fn carries(&self, side: usize, octets: u64, at: u64) {
            let way = &mut self.carried.lock().unwrap()[side];
            way.packets += 1;
            way.segments += 2;
            way.bytes += octets;
            way.last_seen = Instant(at);
            way.window.end += octets;
        }

        fn withdrawn(&self) -> usize {
            self.withdrawn.load(Relaxed)
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn table() -> (FlowTable<u8>, Arc<Flow>) {
        let (task, server) = (Ipv4Addr::new(100, 64, 0, 1), Ipv4Addr::new(203, 0, 113, 10));
        let tuple = Tuple { protocol: Protocol::Tcp, src: task, dst: server, sport: 1, dport: 443 };
        let start = FlowStart {
            egress: FlowKey::new(Space::TASKS, tuple),
            returned: FlowKey::new(Space::INTERNET, tuple.reversed()),
            service: ServiceIx(0),
            eni: None,
            nat: None,
            admitted_by: RuleRef::Packet,
            admitted_under: Generation(1),
            tally: Arc::default(),
        };
        let flow = Arc::new(Flow::new(Instant::ZERO, start));
        let table = FlowTable::new(1);
        table.put(&flow, Generation(1), 1, 2);
        (table, flow)
    }

    fn offloaded() -> (FlowTable<u8>, Arc<Flow>, Arc<Kernel>) {
        let (table, flow) = table();
        table.allow_offload(&flow);
        let kernel = Arc::new(Kernel::default());
        assert!(flow.ask_for_offload() && !flow.ask_for_offload());
        assert!(carry(&flow, &kernel));
        (table, flow, kernel)
    }

    fn carry(flow: &Flow, kernel: &Arc<Kernel>) -> bool {
        flow.offload(MINUTE, |begin| {
            *kernel.carried.lock().unwrap() = begin;
            Some(Box::new(Arc::clone(kernel)))
        })
    }

    #[test]
    fn what_is_carried_is_counted_once_wherever_it_is_looked_at() {
        let (table, flow, kernel) = offloaded();
        flow.count(Instant(5), Side::Egress, 1, 40);
        kernel.carries(0, 3000, 7);
        for _ in 0..3 {
            table.for_each(|entry| {
                let sent = &entry.flow.sent;
                assert_eq!((sent.packets(), sent.segments(), sent.bytes()), (2, 3, 3040));
                assert_eq!((sent.offloaded_segments(), sent.offloaded_bytes()), (2, 3000));
            });
        }
        kernel.carries(1, 100, 9);
        let found = table.get(&flow.returned).unwrap();
        assert_eq!((found.flow.received.bytes(), found.flow.last_seen()), (100, Instant(9)));
    }

    /// A packet that was on its way when the entries were taken out belongs to its flow, and to its path when that is gone.
    #[test]
    fn what_was_on_its_way_is_counted_later() {
        let (table, flow, kernel) = offloaded();
        kernel.carries(0, 10, 1);
        flow.withdraw_offload();
        assert_eq!((flow.sent.bytes(), kernel.withdrawn()), (10, 1));
        kernel.carries(0, 1, 2);
        table.sweep(Instant(3), &Timeouts::default(), |_| {});
        assert_eq!(flow.sent.bytes(), 10, "others may still be on their way");
        kernel.carries(0, 1, 4);
        table.sweep(Instant(5), &Timeouts::default(), |_| {});
        assert_eq!(flow.sent.bytes(), 12);
        assert_eq!(Arc::strong_count(&kernel), 1, "the entries are forgotten");

        let again = Arc::new(Kernel::default());
        assert!(flow.ask_for_offload() && carry(&flow, &again));
        again.carries(0, 100, 6);
        table.remove(&flow);
        again.carries(0, 1000, 7);
        let tally = Arc::clone(&flow.tally);
        assert_eq!((flow.sent.bytes(), flow.is_offloaded()), (112, false));
        drop(flow);
        for _ in 0..2 {
            table.sweep(Instant(8), &Timeouts::default(), |_| {});
        }
        assert_eq!((tally.over.sent.bytes(), tally.over.sent.offloaded_bytes()), (1112, 1112));
    }

    #[test]
    fn a_direction_is_opened_once_for_its_own_entries_after_what_was_punted() {
        let (_table, flow, kernel) = offloaded();
        assert!(flow.ask_to_open(Side::Egress) && !flow.ask_to_open(Side::Egress));
        assert!(flow.ask_to_open(Side::Return), "each on its own");
        assert_eq!(flow.punted(Side::Egress), None, "it is open");
        *kernel.punted.lock().unwrap() = Some(3);
        let punted = flow.punted(Side::Egress).unwrap();
        assert_ne!(Some(punted), {
            *kernel.punted.lock().unwrap() = Some(4);
            flow.punted(Side::Egress)
        });
        let said = Window { end: 100, ack: 70 };
        flow.tcp.catch_up(true, said);
        flow.open_in_sequence(Side::Egress, punted);
        assert!(!flow.ask_to_open(Side::Egress), "who has asked is at it");
        flow.open(Side::Egress, punted);
        assert!(flow.ask_to_open(Side::Egress), "what came since keeps it closed");
        flow.open_at_once(Side::Egress, punted);
        let opened = [Opening::InSequence, Opening::After(3), Opening::AtOnce];
        assert_eq!(*kernel.opened.lock().unwrap(), opened.map(|how| (Side::Egress, how)));
        assert_eq!(*kernel.told.lock().unwrap(), [(Side::Egress, said); 3]);

        flow.withdraw_offload();
        assert_eq!(flow.punted(Side::Egress), None);
        assert!(flow.ask_for_offload() && carry(&flow, &kernel));
        assert_ne!(flow.punted(Side::Egress), Some(punted));
        flow.open(Side::Egress, punted);
        assert_eq!(kernel.opened.lock().unwrap().len(), 3, "those entries are gone");
    }

    #[test]
    fn regression_what_was_made_in_part_rests_before_its_place_is_anothers() {
        #[derive(Debug)]
        struct Half(#[expect(dead_code, reason = "its users are counted")] Arc<()>);
        impl Carrier for Half {
            fn carried(&self) -> [Passed; 2] {
                [Passed::default(); 2]
            }
            fn is_whole(&self) -> bool {
                false
            }
            fn punted(&self, _side: Side) -> Option<u64> {
                None
            }
            fn tell(&self, _side: Side, _said: Window) {}
            fn open(&self, _side: Side, _opening: Opening) {}
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
    fn regression_a_flow_that_gives_way_again_and_again_rests_longer_each_time() {
        let (_table, flow, kernel) = offloaded();
        assert_eq!(flow.rests_until(), 0);
        let rests: Vec<u64> = (0..20)
            .map(|_| {
                flow.give_way();
                assert!(flow.ask_for_offload() && carry(&flow, &kernel));
                flow.rests_until()
            })
            .collect();
        assert_eq!(rests[..4], [16, 32, 64, 128]);
        assert_eq!(rests[19], 128);
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
            assert!(!flow.ask_for_offload() && !carry(&flow, &kernel));
        }
        let (table, flow, kernel) = offloaded();
        table.update(&flow, Generation(2), 3, 4);
        assert!(kernel.withdrawn() == 1 && flow.ask_for_offload(), "judged anew, asked anew");
        table.remove(&flow);
        assert!(!carry(&flow, &kernel), "it ended before who was asked came to it");
    }

    #[test]
    fn a_flow_that_is_idle_by_the_kernel_alone_does_not_expire() {
        let (table, flow, kernel) = offloaded();
        let timeouts = Timeouts::default();
        let late = Instant::ZERO + timeouts.longest() * 2;
        kernel.carries(1, 100, late.0);
        assert_eq!(table.sweep(late, &timeouts, |_| {}), 0);
        assert!(!flow.offload_is_stale(late) && flow.offload_is_stale(late + MINUTE * 2));
    }

    #[test]
    fn what_could_not_be_done_is_asked_for_after_the_next_sweep() {
        let (table, flow) = table();
        assert!(!flow.ask_for_offload(), "nobody has allowed it");
        table.allow_offload(&flow);
        assert!(flow.ask_for_offload());
        assert!(!flow.offload(MINUTE, |_| None) && !flow.may_be_offloaded());
        table.sweep(Instant(1), &Timeouts::default(), |_| {});
        assert!(flow.ask_for_offload());
        flow.decline_offload();
        assert!(!flow.ask_for_offload());
    }

    /// What user space observes of a flow that the kernel carries, the kernel is to know: it judges by it what it carries.
    #[test]
    fn regression_the_kernel_is_told_what_user_space_observes() {
        let (_table, flow, kernel) = offloaded();
        let said = Window { end: 100, ack: 70 };
        flow.tcp.catch_up(false, said);
        flow.count(Instant(5), Side::Return, 1, 40);
        flow.count_only(Side::Return, 1, 40);
        assert_eq!(*kernel.told.lock().unwrap(), [(Side::Return, said); 2]);
        flow.withdraw_offload();
        flow.count(Instant(6), Side::Return, 1, 40);
        assert_eq!(kernel.told.lock().unwrap().len(), 2, "it carries the flow no longer");
    }

    /// A packet that was on its way when the entries were taken out is heard of after newer ones.
    #[test]
    fn a_late_sync_sets_nothing_back_and_is_not_lost() {
        let (table, flow, kernel) = offloaded();
        let said = |side: usize| flow.tcp.windows()[side];
        kernel.carries(0, 1000, 1);
        flow.withdraw_offload();
        assert_eq!(said(0).end, 1000);
        let newer = Window { end: 5000, ack: 0 };
        flow.tcp.catch_up(true, newer);
        kernel.carries(0, 500, 2);
        kernel.carries(1, 3 << 30, 2);
        for _ in 0..2 {
            table.sweep(Instant(3), &Timeouts::default(), |_| {});
        }
        assert_eq!((said(0), said(1).end), (newer, 3 << 30));
    }

    /// A RST is judged by what both sides have said, whoever carried it.
    #[test]
    fn the_kernel_widens_the_window() {
        let (_, flow, kernel) = offloaded();
        let segment = |flags, seq, ack| TcpFacts { flags, seq, ack, window: 9, payload_len: 0 };
        let (syn, ack) = (TcpFlags::SYN, TcpFlags::ACK);
        flow.withdraw_offload();
        flow.tcp.observe(&segment(syn, 100, 0), true);
        flow.tcp.observe(&segment(syn.with(ack), 500, 101), false);
        flow.tcp.observe(&segment(ack, 101, 501), true);
        assert!(flow.ask_for_offload() && carry(&flow, &kernel));
        kernel.carries(0, 5000, 1);
        flow.settle();
        assert!(!flow.tcp.observe(&segment(TcpFlags::RST, 5102, 0), true));
        assert!(flow.tcp.is_steady() && flow.tcp.observe(&segment(TcpFlags::RST, 5101, 0), true));
        assert!(!flow.tcp.is_steady());
    }
}
