//! The cache of offloaded flows, whose packets the tc programs forward by themselves
//! (`src/steer/flow_cache.bpf.h`).
//!
//! The engine requests the entries of a flow, and the flow table withdraws them.
//!
//! An entry holds a verdict of the engine, made under one generation of the configuration; entries
//! of any other generation are not used, so [`FlowCache::use_generation`] makes all of them stale
//! with one write. The link by which a packet leaves is looked up in `link_tables.rs`, which
//! mirrors the maps of the tc programs.
//!
//! The cache is bounded: 131,072 flows. A flow that finds no room stays in user space.

use super::Link;
use super::link_tables::LinkTables;
use super::shared::{self, Direction, FlowEntry, Slot};
use super::steer_error::{SteerError, trouble};
use super::sys::{self, Plain};
#[cfg(test)]
use crate::fail_point::FailPoint;
use crate::flow::{
    BarrierRelease, CacheCounters, CacheEntries, HandoverRecord, Instant, Side, Window,
};
use crate::packet::Tuple;
use crate::packet::checksum::Sum;
use crate::pipeline::{Candidate, Forward};
use crate::vpc::Generation;
use aya::Ebpf;
use aya::maps::{Array, HashMap as BpfHash, Map, MapData};
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use zerocopy::transmute;

/// The most flows, as in `flow_cache.bpf.h`.
pub(super) const MAX_FLOWS: u32 = 131_072;
/// Words of a slot of the counters, and of a direction in it.
const SLOT: usize = size_of::<Slot>() / WORD;
const DIRECTION: usize = size_of::<Direction>() / WORD;
const WORD: usize = size_of::<u64>();
/// The offset of a slot's `claimed` field, in words.
const CLAIMED: usize = std::mem::offset_of!(Slot, claimed) / WORD;
/// The flags in the count of punted packets, as in `flow_cache.bpf.h`.
pub(super) const OPEN: u64 = 1 << 63;
pub(super) const IN_SEQUENCE: u64 = 1 << 62;

/// Expands to the offset of a direction's field, in words.
macro_rules! word_of {
    ($field:ident) => {
        std::mem::offset_of!(Direction, $field) / WORD
    };
}

/// The map of entries.
pub(super) type Entries = BpfHash<MapData, Plain<shared::FlowKey>, Plain<FlowEntry>>;
/// The map of records.
pub(super) type Records = BpfHash<MapData, u32, Plain<shared::SharedRecord>>;

/// The maps that are pinned if the cache outlives the process.
pub(super) const MAPS: [&str; 5] =
    ["flow_cache", "flow_counters", "generation", "deadline", "flow_records"];

/// The cache of one lab.
pub struct FlowCache {
    pub(super) entries: Mutex<Entries>,
    generation: Mutex<Array<MapData, u32>>,
    deadline: Mutex<Array<MapData, u64>>,
    /// The records of flows for the next process; `None` if the cache ends with this one.
    pub(super) records: Option<Mutex<Records>>,
    counters: sys::SharedWords,
    /// Keeps the memory of `counters` mapped.
    _counters: MapData,
    slots: Mutex<Slots>,
    tables: Arc<RwLock<LinkTables>>,
    /// A fail point, passed when the kernel has an entry of a flow.
    #[cfg(test)]
    pub(super) after_an_entry: FailPoint,
}

impl std::fmt::Debug for FlowCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlowCache").field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// The slots that no flow has.
#[derive(Debug, Default)]
struct Slots {
    free: Vec<u32>,
    /// The first slot that was never given out; none of the later ones was either.
    fresh: u32,
}

impl FlowCache {
    /// Takes the maps of the programs; they may be those of the earlier process.
    pub(super) fn take(
        bpf: &mut Ebpf,
        tables: Arc<RwLock<LinkTables>>,
        stays: bool,
    ) -> Result<Self, SteerError> {
        let mut map = |name| bpf.take_map(name).ok_or(SteerError::Foreign(name));
        let entries = BpfHash::try_from(map("flow_cache")?).map_err(trouble("flow_cache"))?;
        let generation = Array::try_from(map("generation")?).map_err(trouble("generation"))?;
        let mut deadline = Array::try_from(map("deadline")?).map_err(trouble("deadline"))?;
        let records = BpfHash::try_from(map("flow_records")?).map_err(trouble("flow_records"))?;
        let Map::Array(slots) = map("flow_counters")? else {
            return Err(SteerError::Foreign("flow_counters"));
        };
        if stays && deadline.get(&0, 0).map_err(trouble("deadline"))? == 0 {
            // No process may be alive: no entry is used until one sets a deadline.
            deadline.set(0, 1, 0).map_err(trouble("deadline"))?;
        }
        let words = MAX_FLOWS as usize * SLOT;
        let counters = sys::SharedWords::map(slots.fd(), words)
            .map_err(|source| SteerError::Counters { source })?;
        Ok(Self {
            entries: Mutex::new(entries),
            generation: Mutex::new(generation),
            deadline: Mutex::new(deadline),
            records: stays.then(|| Mutex::new(records)),
            counters,
            _counters: slots,
            slots: Mutex::default(),
            tables,
            #[cfg(test)]
            after_an_entry: FailPoint::default(),
        })
    }

    /// Makes the programs use entries of this generation, and no others.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn use_generation(&self, generation: Generation) -> Result<(), SteerError> {
        lock(&self.generation).set(0, generation.0, 0).map_err(trouble("generation"))
    }

    /// Returns the generation whose entries are used: after
    /// [`Steer::load_to_stay`](super::Steer::load_to_stay), that of the earlier process.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn generation(&self) -> Result<Generation, SteerError> {
        lock(&self.generation).get(&0, 0).map(Generation).map_err(trouble("generation"))
    }

    /// Lets the programs use entries until a deadline, in nanoseconds of
    /// [`clock::now`](super::clock::now); 0 means without a deadline.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn use_until(&self, deadline: u64) -> Result<(), SteerError> {
        lock(&self.deadline).set(0, deadline, 0).map_err(trouble("deadline"))
    }

    /// Waits until no packet is on its way by an entry that was used before.
    pub fn quiesce(&self) {
        sys::wait_for_programs();
    }

    /// Offloads a flow to the tc programs, if there is room and each of its directions has a link.
    /// Returns whether it did.
    pub fn carry(self: &Arc<Self>, candidate: &Candidate) -> bool {
        candidate.flow.offload(candidate.idle, |begin| {
            let carrier = self.put(candidate, begin)?;
            Some(Box::new(carrier))
        })
    }

    fn put(
        self: &Arc<Self>,
        candidate: &Candidate,
        begin: [CacheCounters; 2],
    ) -> Option<SlotEntries> {
        let flow = &candidate.flow;
        let (task, out) = self.read_tables().links(flow.inside().src(), &candidate.egress)?;
        let slot = self.lease(begin)?;
        let mut carrier =
            SlotEntries { cache: Arc::clone(self), slot, keys: [None; 2], is_whole: true };
        if let Some(records) = &self.records {
            // Without this the next process would read the slot's earlier record as this flow's.
            lock(records).insert(slot, Plain((&HandoverRecord::of(flow)).into()), 0).ok()?;
        }
        let egress = (flow.egress.tuple(), candidate.egress, task, out.link);
        let returned = candidate.returned.map(|f| (flow.returned.tuple(), f, out.link, task));
        // In its VPC, a public endpoint has its private address.
        let (egress, returned) = match out.private {
            Some(private) => {
                (to_private(egress, private), returned.map(|r| from_private(r, private)))
            }
            None => (egress, returned),
        };
        // The direction back to the task first: no packet takes it before the other one has an
        // entry.
        for (direction, way) in [(1, returned), (0, Some(egress))] {
            let Some((tuple, forward, from, to)) = way else { continue };
            let key = key_of(tuple, from);
            let entry = entry_of(candidate, &key, &forward, to, direction, slot);
            // Noted before it exists: after a failure from here on it is withdrawn.
            if let Some(place) = carrier.keys.get_mut(usize::from(direction)) {
                *place = Some(key);
            }
            // A full map is no error: the flow stays in user space.
            if lock(&self.entries).insert(Plain(key), Plain(entry), 0).is_err() {
                carrier.withdraw();
                carrier.is_whole = false;
                break;
            }
            #[cfg(test)]
            self.after_an_entry.pass();
        }
        Some(carrier)
    }

    /// Takes a slot, and sets its counters to these values.
    fn lease(&self, begin: [CacheCounters; 2]) -> Option<u32> {
        let mut slots = lock(&self.slots);
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None if slots.fresh < MAX_FLOWS => {
                slots.fresh += 1;
                slots.fresh - 1
            }
            None => return None,
        };
        drop(slots);
        let [egress, returned] = begin;
        for (direction, own) in [(0, egress), (1, returned)] {
            let begin = Direction {
                packets: own.packets,
                segments: own.segments,
                bytes: own.bytes,
                seen: own.last_seen.0,
                end: own.window.end,
                ack: own.window.ack,
                // Both are set such that the programs look at the other side first.
                floor: own.window.end as u32 ^ 1 << 31,
                ceiling: own.window.ack as u32,
                punted: 0,
            };
            let words: [u64; DIRECTION] = transmute!(begin);
            for (at, word) in words.into_iter().enumerate() {
                if let Some(place) = self.word(slot, direction, at) {
                    place.store(word, Relaxed);
                }
            }
            if let Some(place) = self.claimed(slot, direction) {
                place.store(own.window.claimed, Relaxed);
            }
        }
        Some(slot)
    }

    fn word(&self, slot: u32, direction: usize, at: usize) -> Option<&AtomicU64> {
        self.counters.get(index(slot, direction) + at)
    }

    fn claimed(&self, slot: u32, direction: usize) -> Option<&AtomicU64> {
        self.counters.get(slot as usize * SLOT + CLAIMED + direction)
    }

    fn punted(&self, slot: u32, direction: usize) -> Option<u64> {
        let word = self.word(slot, direction, word_of!(punted))?.load(Acquire);
        (word & OPEN == 0).then_some(word & !IN_SEQUENCE)
    }

    fn tell(&self, slot: u32, direction: usize, said: Window) {
        let word = |at| self.word(slot, direction, at);
        if let (Some(end), Some(ack), Some(claimed), Some(punted)) = (
            word(word_of!(end)),
            word(word_of!(ack)),
            self.claimed(slot, direction),
            word(word_of!(punted)),
        ) {
            let is_news = said.end > end.load(Acquire)
                || said.ack > ack.load(Acquire)
                || said.claimed > claimed.load(Acquire);
            if !is_news {
                return;
            }
            punted.fetch_and(!IN_SEQUENCE, AcqRel);
            end.fetch_max(said.end, AcqRel);
            ack.fetch_max(said.ack, AcqRel);
            claimed.fetch_max(said.claimed, AcqRel);
        }
    }

    fn release_barrier(&self, slot: u32, direction: usize, release: BarrierRelease) {
        let Some(punted) = self.word(slot, direction, word_of!(punted)) else { return };
        match release {
            BarrierRelease::AtOnce => {
                punted.fetch_or(OPEN, AcqRel);
            }
            BarrierRelease::InSequence => {
                punted.fetch_or(IN_SEQUENCE, AcqRel);
            }
            // A packet that was punted meanwhile keeps the barrier.
            BarrierRelease::After(packets) => {
                let so_many = |word: u64| (word & !IN_SEQUENCE == packets).then_some(word | OPEN);
                let _ = punted.fetch_update(AcqRel, Acquire, so_many);
            }
        }
    }

    pub(super) fn read(&self, slot: u32, direction: usize) -> CacheCounters {
        let word = |at| self.word(slot, direction, at).map_or(0, |word| word.load(Relaxed));
        CacheCounters {
            packets: word(word_of!(packets)),
            segments: word(word_of!(segments)),
            bytes: word(word_of!(bytes)),
            last_seen: Instant(word(word_of!(seen))),
            window: Window {
                end: word(word_of!(end)),
                ack: word(word_of!(ack)),
                claimed: self.claimed(slot, direction).map_or(0, |word| word.load(Relaxed)),
            },
        }
    }

    #[cfg(test)]
    pub(super) fn tables(&self) -> std::sync::RwLockWriteGuard<'_, LinkTables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_tables(&self) -> std::sync::RwLockReadGuard<'_, LinkTables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flow's entries, and the slot of its counters.
#[derive(Debug)]
struct SlotEntries {
    cache: Arc<FlowCache>,
    slot: u32,
    keys: [Option<shared::FlowKey>; 2],
    is_whole: bool,
}

impl CacheEntries for SlotEntries {
    fn counters(&self) -> [CacheCounters; 2] {
        [0, 1].map(|direction| self.cache.read(self.slot, direction))
    }

    fn is_complete(&self) -> bool {
        self.is_whole
    }

    fn punted(&self, side: Side) -> Option<u64> {
        self.cache.punted(self.slot, direction_of(side))
    }

    fn tell(&self, side: Side, said: Window) {
        self.cache.tell(self.slot, direction_of(side), said);
    }

    fn release_barrier(&self, side: Side, release: BarrierRelease) {
        self.cache.release_barrier(self.slot, direction_of(side), release);
    }

    fn withdraw(&self) {
        let mut entries = lock(&self.cache.entries);
        for key in self.keys.iter().flatten() {
            // A missing entry is no error.
            let _ = entries.remove(&Plain(*key));
        }
    }
}

impl Drop for SlotEntries {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The flow does not have the entries yet, so nothing else withdraws them. A packet may
            // be on its way through one: no other flow gets the slot.
            return self.withdraw();
        }
        lock(&self.cache.slots).free.push(self.slot);
    }
}

/// One direction: its packets as they arrive, their rewrite, the link by which they arrive and the
/// link by which they leave.
type Way = (Tuple, Forward, Link, Link);

fn to_private((tuple, mut forward, from, to): Way, private: Ipv4Addr) -> Way {
    forward.rewrite.dst = private;
    (tuple, forward, from, to)
}

fn from_private((tuple, forward, from, to): Way, private: Ipv4Addr) -> Way {
    (Tuple { src: private, ..tuple }, forward, from, to)
}

fn key_of(tuple: Tuple, from: Link) -> shared::FlowKey {
    shared::FlowKey {
        link: from.ifindex,
        source: tuple.src.octets(),
        destination: tuple.dst.octets(),
        sport: tuple.sport.into(),
        dport: tuple.dport.into(),
        protocol: tuple.protocol.number(),
        zero: [0; 3],
    }
}

fn entry_of(
    candidate: &Candidate,
    key: &shared::FlowKey,
    forward: &Forward,
    to: Link,
    direction: u8,
    slot: u32,
) -> FlowEntry {
    let rewrite = forward.rewrite;
    // In network order (RFC 1071, 2B). No change is 0 here, not 0xffff, the other zero of the sum.
    let change = |sum: Sum| match sum.fold() {
        u16::MAX => 0,
        folded => folded,
    };
    let addresses = Sum::default()
        .replace_address(key.source.into(), rewrite.src)
        .replace_address(key.destination.into(), rewrite.dst);
    let ports = Sum::default()
        .replace(key.sport.get(), rewrite.sport)
        .replace(key.dport.get(), rewrite.dport);
    FlowEntry {
        generation: candidate.generation.0,
        out: to.ifindex,
        far: to.far.0,
        near: to.near.0,
        source: rewrite.src.octets(),
        destination: rewrite.dst.octets(),
        sport: rewrite.sport.into(),
        dport: rewrite.dport.into(),
        addresses: change(addresses).into(),
        ports: change(ports).into(),
        mtu: forward.mtu,
        hop: rewrite.decrement_ttl.into(),
        direction,
        slot,
        zero: 0,
        idle: u64::try_from(candidate.idle.as_nanos()).unwrap_or(i64::MAX as u64),
    }
}

/// Returns the slot of an entry for packets from the task; `None` for one for packets back to it.
pub(super) fn egress_slot(entry: &FlowEntry) -> Option<u32> {
    (entry.direction == 0).then_some(entry.slot)
}

fn direction_of(side: Side) -> usize {
    match side {
        Side::Egress => 0,
        Side::Return => 1,
    }
}

fn index(slot: u32, direction: usize) -> usize {
    slot as usize * SLOT + direction * DIRECTION
}

/// Locks a mutex. A thread that failed while it held the lock left no value half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
