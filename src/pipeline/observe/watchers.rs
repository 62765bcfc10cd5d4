//! Who watches live packets, and what they are given: typed records in bounded queues, of which text is made later, on a
//! higher layer. Without a watcher, all of it costs the packet path one load and one branch.

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

/// What a watcher wants to see.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Of which packets and flows.
    pub filter: Filter,
    /// Whether the steps of a packet's walk are wanted.
    pub steps: bool,
    /// Whether the bytes are wanted, of the inside and of the outside.
    pub bytes: Sides,
    /// Records a second, as the engine's clock has it; what is beyond is left out and counted. 0 is no limit.
    pub per_second: u32,
    /// Records that wait to be taken, at most.
    pub queue: usize,
    /// Bytes of packets that wait to be taken, at most.
    pub queue_bytes: usize,
}

/// The sides of the translation: a packet as the task has it, and as the world behind egret has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// As the task sends or gets it.
    pub inside: bool,
    /// As it leaves egret, or as it arrives from there.
    pub outside: bool,
}

impl Sides {
    fn any(self) -> bool {
        self.inside || self.outside
    }
}

/// Which packets. Names, not positions: they hold over a reload.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this service.
    pub service: Option<String>,
    /// Of the task with this number.
    pub task: Option<u16>,
    /// Through the ENI or NAT gateway with this id; `app-runner` is App Runner's own egress.
    pub interface: Option<String>,
    /// To and from servers with these addresses; empty: all.
    pub destinations: Vec<Ipv4Network>,
    /// To and from this port of theirs.
    pub port: Option<u16>,
    /// Only these.
    pub only: Option<Only>,
}

/// One kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// Packets that were dropped.
    Drops,
    /// Packets that were sent on.
    Forwards,
    /// What happened to flows and ports.
    Events,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// The configuration that it happened under, which its positions belong to.
    pub generation: Generation,
    /// Whose it is.
    pub of: Party,
    /// What happened.
    pub seen: Seen,
}

/// Whose packet or flow it is, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// The device that the packet was read from; `None` where no packet brought it about.
    pub device: Option<Device>,
    /// The service, and the task's number.
    pub task: Option<(ServiceIx, u16)>,
    /// The server's end, as the task has it.
    pub server: Option<(Ipv4Addr, Protocol, u16)>,
    /// The ENI that it goes through.
    pub eni: Option<EniIx>,
    /// The NAT gateway that it goes through.
    pub nat_gateway: Option<NatGatewayIx>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A packet was judged.
    Packet(Box<PacketSeen>),
    /// Something happened to a flow.
    Flow(FlowSeen),
    /// A NAT had no port left for a destination. Told at most once a second; each packet is a drop of its own, and where
    /// only events are wanted, what is left out is counted.
    PortsExhausted {
        /// Which NAT.
        holder: RuleRef,
        /// The packet that got none, as the task sends it.
        inside: Inside,
    },
}

/// A packet and its verdict.
#[derive(Clone, Debug)]
pub struct PacketSeen {
    /// Which way it goes.
    pub side: Side,
    /// As the task has it; `None` if it could not be read, or is from outside and of no flow.
    pub inside: Option<Inside>,
    /// As the world behind egret has it; `None` if it did not get there.
    pub outside: Option<Outside>,
    /// What became of it.
    pub verdict: Verdict,
    /// The configuration that the verdict's rule belongs to: that of its flow's first packet, if it was sent on.
    pub decided_under: Generation,
    /// Whether a flow of its configuration knew it, so that no stage was asked.
    pub hit: bool,
    /// Packets that it is on a wire.
    pub segments: u32,
    /// Bytes that it is on a wire.
    pub bytes: u64,
    /// The steps that its own walk took, where they were wished for.
    pub steps: Vec<Step>,
    /// Its bytes, where they were wished for.
    pub frames: Frames,
}

/// The bytes of a packet.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// What the kernel left to be done on all of them but the answer.
    pub vnet: VnetHeader,
    /// As the task has it.
    pub inside: Option<Box<[u8]>>,
    /// As the world behind egret has it.
    pub outside: Option<Box<[u8]>>,
    /// What egret answered, on the side that the packet came from; complete.
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

/// Something that happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSeen {
    /// What happened.
    pub event: FlowEvent,
    /// Packets from the task.
    pub inside: Inside,
    /// The same as the world behind egret sees them.
    pub outside: Outside,
    /// The rule that admitted it.
    pub admitted_by: RuleRef,
    /// The configuration that the rule belongs to.
    pub admitted_under: Generation,
}

/// What can happen to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// Its first packet was admitted.
    Created,
    /// Both sides have said FIN.
    Closed,
    /// One side has sent a RST that counts.
    Reset,
    /// It was idle for too long.
    Expired,
    /// A reload led it to another gateway, where it has no port.
    Moved,
    /// It had to go before its time: its task is gone, or another flow took its place.
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
    /// Decides whether there is a watcher: all that the packet path asks.
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
        // Last: who sees this number does not find the watcher any more.
        self.ended.fetch_add(1, Release);
    }

    /// Counts the watches that have ended; it wraps.
    pub(in crate::pipeline) fn ended(&self) -> u32 {
        self.ended.load(Acquire)
    }

    /// Decides whether there is a watcher of a flow's packets. A watcher of beginnings and ends, or of drops, sees these
    /// anyhow.
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

    /// Returns those who watch now.
    pub(in crate::pipeline) fn list(&self) -> Arc<Vec<Arc<Watcher>>> {
        self.list.load_full()
    }
}

/// A watcher. Workers put records in and never wait: what finds no room is counted.
#[derive(Debug)]
pub(in crate::pipeline) struct Watcher {
    wish: Wish,
    budget: Arc<Budget>,
    queue: SegQueue<Record>,
    waiting_records: AtomicUsize,
    /// Bytes of packets.
    waiting_bytes: AtomicUsize,
    /// Bytes of whole records, as [`Record::weight`] has them.
    waiting_weight: AtomicUsize,
    left_out: AtomicU64,
    /// The second at hand, since the clock's start, and how many records it has brought: 32 bits each.
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

    /// Decides whether a packet to or from this server can be of interest: asked before it is judged.
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

    /// Decides whether a record is wished for.
    pub(in crate::pipeline) fn wants(&self, snapshot: &Snapshot, record: &Record) -> bool {
        let filter = &self.wish.filter;
        filter.has_kind(&record.seen)
            && filter.has_server(record.of.server)
            && filter.has_party(snapshot, &record.of)
    }

    /// Takes a record, if there is room and the pace allows it.
    pub(in crate::pipeline) fn offer(&self, record: &Record) {
        if let Seen::PortsExhausted { .. } = record.seen
            && !self.tells_exhaustion(record.at)
        {
            // A watcher of drops has each with its packet.
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

    /// Takes room for a record, if there is some: among the records and the bytes of this watcher, and in the budget of all.
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

    fn next(&self) -> Option<Record> {
        let record = self.queue.pop()?;
        self.give_room_back(record.bytes(), record.weight());
        Some(record)
    }

    /// Leaves out of a record what others wished for.
    fn cut(&self, mut record: Record) -> Record {
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

/// The reader's end. Nobody is watching any more once it is dropped.
#[derive(Debug)]
pub struct Watch {
    watchers: Arc<Watchers>,
    watcher: Arc<Watcher>,
    over: bool,
    /// Counts the flows that user space carries from its beginning on, which the kernel carried before.
    pub(in crate::pipeline) taken_back: usize,
}

impl Watch {
    /// Watches no more. What was seen before can still be taken.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.watchers.leave(&self.watcher);
        }
    }

    /// Counts the flows that user space carries from its beginning on, which the kernel carried before.
    pub fn taken_back(&self) -> usize {
        self.taken_back
    }

    /// Takes the oldest record that waits.
    pub fn next(&self) -> Option<Record> {
        self.watcher.next()
    }

    /// Returns the records for which there was no room, or that came too fast.
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

impl Record {
    fn bytes(&self) -> usize {
        match &self.seen {
            Seen::Packet(packet) => packet.frames.bytes(),
            Seen::Flow(_) | Seen::PortsExhausted { .. } => 0,
        }
    }

    /// Returns about how many bytes of memory it takes.
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
    /// Decides whether a server's end is one of those asked for.
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

    /// Decides whether a server's address is one of those asked for.
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        let wanted = &self.destinations;
        wanted.is_empty() || wanted.iter().any(|network| network.contains(address))
    }

    fn has_kind(&self, seen: &Seen) -> bool {
        let kind = match seen {
            Seen::Packet(packet) => match packet.verdict {
                Verdict::Forward { .. } => Only::Forwards,
                Verdict::Reply { .. } | Verdict::Drop { .. } => Only::Drops,
                // It is judged again, and seen then.
                Verdict::Hold => return false,
            },
            Seen::Flow(_) | Seen::PortsExhausted { .. } => Only::Events,
        };
        self.only.is_none_or(|only| only == kind)
    }

    /// Decides whether a party is one of those asked for.
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

/// Decides whether a reason says that there was no port left.
pub(in crate::pipeline) fn is_exhaustion(reason: Reason) -> bool {
    matches!(reason, Reason::EniPortsExhausted | Reason::NatPortsExhausted)
}

/// How long a record may wait before its reader looks, so that workers need not wake readers.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::super::budget::{BUDGET, OWN};
    use super::*;

    fn record(bytes: usize) -> Record {
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
        Record { at, generation, of, seen: Seen::Packet(Box::new(seen)) }
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
