//! The watchers of live packets and their records: typed, in bounded queues; a higher layer makes
//! text of them later. Without a watcher, all of this costs the packet path one load and one
//! branch.

use super::budget::Budget;
use crate::flow::{Flow, Instant, Side};
use crate::packet::{Inside, Outside, Protocol, VnetHeader};
use crate::pipeline::{Device, Reason, Step, Verdict};
use crate::vpc::{EniIx, Generation, NatGatewayIx, RuleRef, ServiceIx, Snapshot};
use arc_swap::ArcSwap;
use crossbeam_queue::SegQueue;
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use std::time::Duration;

/// The request of a watcher.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The packets and flows to watch.
    pub filter: Filter,
    /// Set if the steps of a packet's walk are wanted.
    pub steps: bool,
    /// The sides of which the bytes are wanted.
    pub bytes: Sides,
    /// The most records per second, by the engine's clock; more are left out and counted. 0 means
    /// no limit.
    pub per_second: u32,
    /// The most records that may wait to be taken.
    pub queue: usize,
    /// The most bytes of packets that may wait to be taken.
    pub queue_bytes: usize,
}

/// The sides of the translation: a packet as the task has it, and as the hosts outside egret have
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// The packet as the task sends or receives it.
    pub inside: bool,
    /// The packet as it leaves egret, or as it arrives from outside.
    pub outside: bool,
}

impl Sides {
    fn any(self) -> bool {
        self.inside || self.outside
    }
}

/// The packets to watch. Names, not positions, so that they stay valid over a reload.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The service.
    pub service: Option<String>,
    /// The number of the task.
    pub task: Option<u16>,
    /// The id of the ENI or NAT gateway; `app-runner` is App Runner's own egress.
    pub interface: Option<String>,
    /// The addresses of the servers; empty: all.
    pub destinations: Vec<Ipv4Network>,
    /// The servers' port.
    pub port: Option<u16>,
    /// The only kind of record that is wanted; `None`: all.
    pub only: Option<Only>,
}

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// Packets that were dropped.
    Drops,
    /// Packets that were sent on.
    Forwards,
    /// Events of flows and ports.
    Events,
}

/// A record for watchers.
#[derive(Clone, Debug)]
pub struct WatchRecord {
    /// The time of the event.
    pub at: Instant,
    /// The configuration under which it happened, to which its positions belong.
    pub generation: Generation,
    /// The parties of the packet or flow.
    pub of: Party,
    /// The event.
    pub seen: Seen,
}

/// The parties of a packet or flow, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// The device from which the packet was read; `None` if no packet caused the record.
    pub device: Option<Device>,
    /// The service, and the task's number.
    pub task: Option<(ServiceIx, u16)>,
    /// The server's end, as the task has it.
    pub server: Option<(Ipv4Addr, Protocol, u16)>,
    /// The ENI on the path.
    pub eni: Option<EniIx>,
    /// The NAT gateway on the path.
    pub nat_gateway: Option<NatGatewayIx>,
}

/// The event of a record.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A packet was judged.
    Packet(Box<PacketSeen>),
    /// A flow changed.
    Flow(FlowSeen),
    /// A NAT had no port left for a destination. Reported at most once a second; each packet is a
    /// drop of its own, and for a watcher of events only, the packets that are left out are
    /// counted.
    PortsExhausted {
        /// The NAT.
        holder: RuleRef,
        /// The packet that got no port, as the task sends it.
        inside: Inside,
    },
}

/// A packet and its verdict.
#[derive(Clone, Debug)]
pub struct PacketSeen {
    /// Its direction.
    pub side: Side,
    /// The tuple that the task has; `None` if it could not be read, or is from outside and has no
    /// flow.
    pub inside: Option<Inside>,
    /// The tuple that hosts outside egret have; `None` if the packet did not get there.
    pub outside: Option<Outside>,
    /// Its verdict.
    pub verdict: Verdict,
    /// The configuration to which the verdict's rule belongs: that of its flow's first packet, if
    /// it was sent on.
    pub decided_under: Generation,
    /// Set if its flow decided, under its configuration, so that no stage was asked.
    pub hit: bool,
    /// The number of packets on the wire.
    pub segments: u32,
    /// The number of bytes on the wire.
    pub bytes: u64,
    /// The steps of its own walk, if they were requested.
    pub steps: Vec<Step>,
    /// Its bytes, if they were requested.
    pub frames: Frames,
}

/// The bytes of a packet.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// The work that the kernel has left to do on all of them except the answer.
    pub vnet: VnetHeader,
    /// The packet as the task has it.
    pub inside: Option<Box<[u8]>>,
    /// The packet as hosts outside egret have it.
    pub outside: Option<Box<[u8]>>,
    /// The answer of egret, on the side from which the packet came; complete.
    pub answer: Option<Box<[u8]>>,
}

impl Frames {
    fn is_empty(&self) -> bool {
        self.inside.is_none() && self.outside.is_none() && self.answer.is_none()
    }

    fn bytes(&self) -> usize {
        [&self.inside, &self.outside, &self.answer].into_iter().flatten().map(|f| f.len()).sum()
    }
}

/// An event of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSeen {
    /// The event.
    pub event: FlowEvent,
    /// The tuple of packets from the task.
    pub inside: Inside,
    /// The same tuple as hosts outside egret see it.
    pub outside: Outside,
    /// The rule that admitted it.
    pub admitted_by: RuleRef,
    /// The configuration to which the rule belongs.
    pub admitted_under: Generation,
}

/// The kinds of events of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// Its first packet was admitted.
    Created,
    /// Both sides have sent FIN.
    Closed,
    /// One side has sent a RST that counts.
    Reset,
    /// It was idle for too long.
    Expired,
    /// A reload has changed its gateway to one where it has no port.
    Moved,
    /// It ended early: its task was removed, or another flow took its place.
    Evicted,
}

impl FlowEvent {
    /// Returns the stable name, as `--json` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Expired => "expired",
            Self::Moved => "moved",
            Self::Evicted => "evicted",
        }
    }
}

/// All watchers of an engine.
#[derive(Debug, Default)]
pub struct Watchers {
    budget: Arc<Budget>,
    count: AtomicU32,
    ended: AtomicU32,
    list: ArcSwap<Vec<Arc<Watcher>>>,
}

impl Watchers {
    /// Decides whether there is a watcher: the only question on the packet path.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Relaxed) != 0
    }

    /// Begins to watch, until the [`Watch`] is dropped.
    #[must_use]
    pub fn watch(self: &Arc<Self>, wish: Wish) -> Watch {
        let watcher = Arc::new(Watcher::new(wish, Arc::clone(&self.budget)));
        self.list.rcu(|list| {
            let mut list = Vec::clone(list);
            list.push(Arc::clone(&watcher));
            list
        });
        self.count.fetch_add(1, Relaxed);
        Watch { watchers: Arc::clone(self), watcher, over: false, taken_back: 0 }
    }

    fn leave(&self, watcher: &Arc<Watcher>) {
        self.count.fetch_sub(1, Relaxed);
        self.list.rcu(|list| {
            list.iter().filter(|one| !Arc::ptr_eq(one, watcher)).cloned().collect::<Vec<_>>()
        });
        // Last: a reader of this number no longer finds the watcher in the list.
        self.ended.fetch_add(1, Release);
    }

    /// Returns the number of watches that have ended; it wraps.
    pub(in crate::pipeline) fn ended(&self) -> u32 {
        self.ended.load(Acquire)
    }

    /// Decides whether there is a watcher of a flow's packets. A watcher of beginnings and ends, or
    /// of drops, sees these in any case.
    pub(in crate::pipeline) fn select(&self, snapshot: &Snapshot, flow: &Flow) -> bool {
        if !self.any() {
            return false;
        }
        let mut party = Party::of_flow(snapshot, flow);
        party.device = flow.eni.is_none().then_some(Device::AppRunner);
        self.list.load().iter().any(|watcher| {
            let filter = &watcher.wish.filter;
            filter.only.is_none_or(|only| only == Only::Forwards)
                && filter.has_server(party.server)
                && filter.has_party(snapshot, &party)
        })
    }

    /// Returns the present watchers.
    pub(in crate::pipeline) fn list(&self) -> Arc<Vec<Arc<Watcher>>> {
        self.list.load_full()
    }
}

/// A watcher. Workers add records and never wait: records for which there is no room are counted.
#[derive(Debug)]
pub(in crate::pipeline) struct Watcher {
    wish: Wish,
    budget: Arc<Budget>,
    queue: SegQueue<WatchRecord>,
    waiting_records: AtomicUsize,
    /// Bytes of the packets that wait.
    waiting_bytes: AtomicUsize,
    /// Bytes of the whole records that wait, by [`WatchRecord::weight`].
    waiting_weight: AtomicUsize,
    left_out: AtomicU64,
    /// The current second, since the clock's start, and the number of its records: 32 bits each.
    pace: AtomicU64,
    /// The last second in which exhausted ports were reported, plus one.
    exhaustion_told: AtomicU64,
}

impl Watcher {
    fn new(wish: Wish, budget: Arc<Budget>) -> Self {
        budget.join();
        Self {
            wish,
            budget,
            queue: SegQueue::new(),
            waiting_records: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            waiting_weight: AtomicUsize::new(0),
            left_out: AtomicU64::new(0),
            pace: AtomicU64::new(0),
            exhaustion_told: AtomicU64::new(0),
        }
    }

    /// Decides whether a packet to or from this server can be of interest, before it is judged.
    pub(in crate::pipeline) fn may_want(&self, server: Option<(Ipv4Addr, Protocol, u16)>) -> bool {
        self.wish.filter.has_server(server)
    }

    pub(in crate::pipeline) fn wants_steps(&self) -> bool {
        self.wish.steps
    }

    /// Decides whether a packet's bytes are to be kept: they are wanted, and there is room.
    pub(in crate::pipeline) fn wants_bytes(&self) -> bool {
        self.wish.bytes.any()
            && self.waiting_records.load(Relaxed) < self.wish.queue.max(1)
            && self.waiting_bytes.load(Relaxed) < self.wish.queue_bytes
            && self.budget.has_room(self.waiting_weight.load(Relaxed), 0)
    }

    /// Decides whether a record is wanted.
    pub(in crate::pipeline) fn wants(&self, snapshot: &Snapshot, record: &WatchRecord) -> bool {
        let filter = &self.wish.filter;
        filter.has_kind(&record.seen)
            && filter.has_server(record.of.server)
            && filter.has_party(snapshot, &record.of)
    }

    /// Adds a record, if there is room and the rate allows it.
    pub(in crate::pipeline) fn offer(&self, record: &WatchRecord) {
        if let Seen::PortsExhausted { .. } = record.seen
            && !self.tells_exhaustion(record.at)
        {
            // A watcher of drops gets a record for each packet.
            if self.wish.filter.only == Some(Only::Events) {
                self.left_out.fetch_add(1, Relaxed);
            }
            return;
        }
        let without_bytes = match &record.seen {
            Seen::Packet(packet) => self.wish.bytes.any() && packet.frames.is_empty(),
            Seen::Flow(_) | Seen::PortsExhausted { .. } => false,
        };
        let is_full = self.waiting_records.load(Relaxed) >= self.wish.queue.max(1);
        if without_bytes || is_full || !self.keeps_pace(record.at) {
            self.left_out.fetch_add(1, Relaxed);
            return;
        }
        let record = self.cut(record.clone());
        match self.take_room(record.bytes(), record.weight()) {
            true => self.queue.push(record),
            false => {
                self.left_out.fetch_add(1, Relaxed);
            }
        }
    }

    /// Reserves room for a record, if there is some: among the records and the bytes of this
    /// watcher, and in the budget of all.
    fn take_room(&self, bytes: usize, weight: usize) -> bool {
        let records = self.waiting_records.fetch_add(1, Relaxed);
        let waiting = self.waiting_bytes.fetch_add(bytes, Relaxed);
        let own = self.waiting_weight.fetch_add(weight, Relaxed);
        let has_room = records < self.wish.queue.max(1)
            && (bytes == 0 || waiting + bytes <= self.wish.queue_bytes)
            && self.budget.has_room(own, weight);
        self.budget.add(weight);
        if !has_room {
            self.give_room_back(bytes, weight);
        }
        has_room
    }

    fn give_room_back(&self, bytes: usize, weight: usize) {
        self.waiting_records.fetch_sub(1, Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Relaxed);
        self.waiting_weight.fetch_sub(weight, Relaxed);
        self.budget.subtract(weight);
    }

    fn next(&self) -> Option<WatchRecord> {
        let record = self.queue.pop()?;
        self.give_room_back(record.bytes(), record.weight());
        Some(record)
    }

    /// Removes the parts of a record that only other watchers requested.
    fn cut(&self, mut record: WatchRecord) -> WatchRecord {
        if let Seen::Packet(packet) = &mut record.seen {
            let Sides { inside, outside } = self.wish.bytes;
            if !self.wish.steps {
                packet.steps = Vec::new();
            }
            if !inside {
                packet.frames.inside = None;
            }
            if !outside {
                packet.frames.outside = None;
            }
            let answered = match packet.side {
                Side::Egress => inside,
                Side::Return => outside,
            };
            if !answered {
                packet.frames.answer = None;
            }
        }
        record
    }

    fn keeps_pace(&self, at: Instant) -> bool {
        if self.wish.per_second == 0 {
            return true;
        }
        let second = whole_second(at) & u64::from(u32::MAX);
        let taken = self.pace.fetch_update(Relaxed, Relaxed, |pace| {
            let count = if pace >> 32 == second { pace & u64::from(u32::MAX) } else { 0 };
            (count < u64::from(self.wish.per_second)).then_some(second << 32 | (count + 1))
        });
        taken.is_ok()
    }

    fn tells_exhaustion(&self, at: Instant) -> bool {
        let second = whole_second(at) + 1;
        self.exhaustion_told.swap(second, Relaxed) != second
    }
}

fn whole_second(at: Instant) -> u64 {
    at.since(Instant::ZERO).as_secs()
}

impl Drop for Watcher {
    fn drop(&mut self) {
        while self.next().is_some() {}
        self.budget.leave();
    }
}

/// The reader's end. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    watchers: Arc<Watchers>,
    watcher: Arc<Watcher>,
    over: bool,
    /// The number of flows that the kernel forwarded before the watch began, and user space from
    /// then on.
    pub(in crate::pipeline) taken_back: usize,
}

impl Watch {
    /// Ends the watch. Earlier records can still be taken.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.watchers.leave(&self.watcher);
        }
    }

    /// Returns the number of flows that the kernel forwarded before the watch began, and user space
    /// from then on.
    pub fn taken_back(&self) -> usize {
        self.taken_back
    }

    /// Takes the oldest record that waits.
    pub fn next(&self) -> Option<WatchRecord> {
        self.watcher.next()
    }

    /// Returns the number of records for which there was no room, or that came too fast.
    pub fn left_out(&self) -> u64 {
        self.watcher.left_out.load(Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

impl Party {
    /// Finds the parties of a flow in this configuration.
    pub fn of_flow(snapshot: &Snapshot, flow: &Flow) -> Self {
        let inside = flow.inside();
        Self {
            device: None,
            task: snapshot.task(inside.src()).map(|task| (task.service, task.number)),
            server: Some((inside.dst(), inside.protocol(), inside.dport())),
            eni: flow.eni_in(snapshot),
            nat_gateway: flow.nat_gateway_in(snapshot),
        }
    }
}

impl WatchRecord {
    fn bytes(&self) -> usize {
        match &self.seen {
            Seen::Packet(packet) => packet.frames.bytes(),
            Seen::Flow(_) | Seen::PortsExhausted { .. } => 0,
        }
    }

    /// Returns the approximate memory of the record in bytes.
    fn weight(&self) -> usize {
        let more = match &self.seen {
            Seen::Packet(packet) => {
                let steps = packet.steps.capacity() * size_of::<Step>();
                size_of::<PacketSeen>() + steps + packet.frames.bytes()
            }
            Seen::Flow(_) | Seen::PortsExhausted { .. } => 0,
        };
        size_of::<Self>() + more
    }
}

impl Filter {
    /// Decides whether the filter selects a server's end.
    pub fn has_server(&self, server: Option<(Ipv4Addr, Protocol, u16)>) -> bool {
        match (self.destinations.as_slice(), self.port, server) {
            ([], None, _) => true,
            (_, _, None) => false,
            (_, wanted, Some((address, protocol, port))) => {
                self.has_address(address)
                    && wanted.is_none_or(|wanted| protocol.has_ports() && wanted == port)
            }
        }
    }

    /// Decides whether the filter selects a server's address.
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        let wanted = &self.destinations;
        wanted.is_empty() || wanted.iter().any(|network| network.contains(address))
    }

    fn has_kind(&self, seen: &Seen) -> bool {
        let kind = match seen {
            Seen::Packet(packet) => match packet.verdict {
                Verdict::Forward { .. } => Only::Forwards,
                Verdict::Reply { .. } | Verdict::Drop { .. } => Only::Drops,
                // The fragment is judged again, and reported then.
                Verdict::Hold => return false,
            },
            Seen::Flow(_) | Seen::PortsExhausted { .. } => Only::Events,
        };
        self.only.is_none_or(|only| only == kind)
    }

    /// Decides whether the filter selects a party.
    pub fn has_party(&self, snapshot: &Snapshot, of: &Party) -> bool {
        let Party { device, task, eni, nat_gateway, .. } = *of;
        let parts = snapshot.parts();
        let of_service = |name: &String| {
            let service = task.and_then(|(service, _)| parts.services.get(service.get()));
            service.is_some_and(|service| service.name == *name)
        };
        let is_eni = |ix: EniIx, id: &str| parts.enis.get(ix.get()).is_some_and(|e| e.id == id);
        let is_nat = |ix: NatGatewayIx, id: &str| {
            parts.nat_gateways.get(ix.get()).is_some_and(|n| n.id == id)
        };
        let through = |id: &String| {
            let read_from = device.is_some_and(|device| match device {
                Device::Eni(ix) => is_eni(ix, id),
                Device::NatGateway(ix) => is_nat(ix, id),
                Device::AppRunner => id == "app-runner",
            });
            read_from
                || eni.is_some_and(|ix| is_eni(ix, id))
                || nat_gateway.is_some_and(|ix| is_nat(ix, id))
        };
        self.service.as_ref().is_none_or(of_service)
            && self.task.is_none_or(|number| task.is_some_and(|(_, own)| own == number))
            && self.interface.as_ref().is_none_or(through)
    }
}

/// Decides whether a reason means that there was no port left.
pub(in crate::pipeline) fn is_exhaustion(reason: Reason) -> bool {
    matches!(reason, Reason::EniPortsExhausted | Reason::NatPortsExhausted)
}

/// The longest time for which a record may wait before its reader looks, so that workers need not
/// wake readers.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::super::budget::{BUDGET, OWN};
    use super::*;

    fn record(bytes: usize) -> WatchRecord {
        let frames = Frames { inside: Some(vec![0; bytes].into()), ..Frames::default() };
        let seen = PacketSeen {
            side: Side::Egress,
            inside: None,
            outside: None,
            verdict: Verdict::Hold,
            decided_under: Generation(1),
            hit: false,
            segments: 1,
            bytes: 0,
            steps: Vec::new(),
            frames,
        };
        let (at, generation, of) = (Instant::ZERO, Generation(1), Party::default());
        WatchRecord { at, generation, of, seen: Seen::Packet(Box::new(seen)) }
    }

    fn wish() -> Wish {
        let bytes = Sides { inside: true, outside: true };
        Wish { bytes, queue: usize::MAX, queue_bytes: usize::MAX, ..Wish::default() }
    }

    #[test]
    fn unread_watchers_share_one_budget_and_one_that_is_read_goes_on() {
        const FRAME: usize = 64 << 10;
        let watchers = Arc::new(Watchers::default());
        let unread: Vec<Watch> = (0..200).map(|_| watchers.watch(wish())).collect();
        for _ in 0..BUDGET / FRAME / 10 {
            unread.iter().for_each(|watch| watch.watcher.offer(&record(FRAME)));
        }
        let waiting = || watchers.budget.waiting();
        assert!(waiting() <= BUDGET + 200 * OWN, "{}", waiting());
        assert!(unread.iter().all(|watch| watch.left_out() > 0));
        let read = watchers.watch(wish());
        for _ in 0..100 {
            assert!(read.watcher.wants_bytes());
            read.watcher.offer(&record(FRAME));
            assert!(read.next().is_some());
        }
        assert_eq!(read.left_out(), 0);
        drop((unread, read));
        assert_eq!(waiting(), 0);
        let alone = watchers.watch(wish());
        for _ in 0..BUDGET / 2 / FRAME {
            alone.watcher.offer(&record(FRAME));
        }
        assert_eq!(alone.left_out(), 0, "all of the budget is the only one's");
    }
}
