//! Counts drops, by reason and in rows by rule, service and destination. The rows are bounded: the
//! least recently seen one makes room.

use crate::flow::Instant;
use crate::packet::Protocol;
use crate::pipeline::{Denial, Device, REASONS, Reason};
use crate::vpc::{Generation, RuleRef, ServiceIx};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::FixedState;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The number of different rows that are kept; a port scan must not use up the memory.
const ROWS: usize = 4096;
/// The number of rows that are examined to find one that makes room: a new row costs no more than
/// this.
const LOOKS: usize = 16;

/// The key by which drops are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// The configuration to which `decided_by` belongs.
    pub generation: Generation,
    /// The device from which the packet was read.
    pub device: Device,
    /// The service of the packet's task, if it is known.
    pub service: Option<ServiceIx>,
    /// The reason for the drop.
    pub reason: Reason,
    /// The rule or object that decided.
    pub decided_by: RuleRef,
    /// The sender; unspecified if it could not be read.
    pub source: Ipv4Addr,
    /// The receiver: on the return path the task, if the flow is known. It is an IPv6 address only
    /// for a task's packet, whose source is then the task's IPv4 address.
    pub destination: IpAddr,
    /// The IP protocol.
    pub protocol: u8,
    /// The server's port: the destination of a task's packet, or the source of a flow's reply. 0
    /// without ports, and for a packet from outside that has no flow: a NAT's ports carry no
    /// meaning, and would make a row each.
    pub port: u16,
}

/// The number and the times of drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropCount {
    /// The number of packets.
    pub packets: u64,
    /// Time of the first one.
    pub first_seen: Instant,
    /// Time of the last one.
    pub last_seen: Instant,
}

/// The counts of all drops.
#[derive(Debug)]
pub struct Drops {
    by_reason: [AtomicU64; REASONS],
    rows: DashMap<DropKey, DropCount, FixedState>,
    /// Every row, with the time at which it was last seen when it got its position here: nearly the
    /// order of `last_seen`.
    order: Mutex<VecDeque<(DropKey, Instant)>>,
    /// The number of packets of the rows that were taken.
    taken: AtomicU64,
}

impl Drops {
    pub(in crate::pipeline) fn new(seed: u64) -> Self {
        Self {
            by_reason: [const { AtomicU64::new(0) }; REASONS],
            rows: DashMap::with_hasher(FixedState::with_seed(seed)),
            order: Mutex::default(),
            taken: AtomicU64::new(0),
        }
    }

    pub(in crate::pipeline) fn count(&self, now: Instant, key: DropKey) {
        if let Some(counter) = self.by_reason.get(key.reason as usize) {
            counter.fetch_add(1, Relaxed);
        }
        if let Some(mut row) = self.rows.get_mut(&key) {
            row.add(now);
            return;
        }
        self.begin_row(now, key);
    }

    #[cold]
    fn begin_row(&self, now: Instant, key: DropKey) {
        // A thread that failed while it held the lock left a complete queue.
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match self.rows.entry(key) {
            // Another worker has inserted the row first.
            Entry::Occupied(mut row) => return row.get_mut().add(now),
            Entry::Vacant(slot) => {
                slot.insert(DropCount { packets: 1, first_seen: now, last_seen: now });
            }
        }
        order.push_back((key, now));
        if order.len() > ROWS {
            self.make_room(&mut order);
        }
    }

    /// Drops the least recently seen row, among the [`LOOKS`] rows that it examines: a row that was
    /// seen since it was queued goes to the end.
    fn make_room(&self, order: &mut VecDeque<(DropKey, Instant)>) {
        for look in 1..=LOOKS {
            let Some((key, placed)) = order.pop_front() else { return };
            let seen = self.rows.get(&key).map(|row| row.last_seen);
            match seen {
                Some(seen) if seen > placed && look < LOOKS => order.push_back((key, seen)),
                Some(_) | None => {
                    self.rows.remove(&key);
                    return;
                }
            }
        }
    }

    /// Lists every counter, for the expected-state tests.
    #[cfg(test)]
    pub(in crate::pipeline) fn census(&self, census: &mut crate::flow::Census) {
        let Self { by_reason, rows, order, taken } = self;
        for reason in Reason::ALL {
            let count = by_reason.get(*reason as usize).map_or(0, |count| count.load(Relaxed));
            census.add_packets(&format!("drops {}", reason.name()), count);
        }
        census.add("drop rows", rows.len());
        let listed: u64 = rows.iter().map(|row| row.packets).sum();
        census.add_packets("listed drops", listed + taken.load(Relaxed));
        let order = order.lock().unwrap_or_else(PoisonError::into_inner);
        census.add("drop rows in order", order.len());
    }

    /// Returns the number of packets that were dropped for a reason.
    pub fn packets(&self, reason: Reason) -> u64 {
        self.by_reason.get(reason as usize).map_or(0, |c| c.load(Relaxed))
    }

    /// Returns every row, in no order.
    pub fn rows(&self) -> Vec<(DropKey, DropCount)> {
        self.rows.iter().map(|row| (*row.key(), *row.value())).collect()
    }

    /// Removes and returns the rows of some keys, for a caller who keeps them under the names of
    /// their configuration. Their packets stay counted by reason. A packet that is counted under
    /// such a key later begins a new row.
    pub fn take(&self, wanted: impl Fn(&DropKey) -> bool) -> Vec<(DropKey, DropCount)> {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        order.retain(|(key, _)| {
            let keeps = !wanted(key);
            if !keeps && let Some(row) = self.rows.remove(key) {
                taken.push(row);
            }
            keeps
        });
        let packets = taken.iter().map(|(_, count)| count.packets).sum();
        self.taken.fetch_add(packets, Relaxed);
        taken
    }

    /// Returns the number of packets that were counted by reason, and whose rows had to make room.
    pub fn beyond_rows(&self) -> u64 {
        let all: u64 = Reason::ALL.iter().map(|r| self.packets(*r)).sum();
        let listed: u64 = self.rows.iter().map(|row| row.packets).sum();
        all.saturating_sub(listed + self.taken.load(Relaxed))
    }
}

impl DropCount {
    fn add(&mut self, now: Instant) {
        self.packets += 1;
        self.last_seen = now;
    }
}

impl DropKey {
    pub(in crate::pipeline) fn new(
        generation: Generation,
        device: Device,
        service: Option<ServiceIx>,
        denial: Denial,
        (source, destination, protocol, port): (Ipv4Addr, Ipv4Addr, Protocol, u16),
    ) -> Self {
        let Denial { reason, decided_by } = denial;
        let protocol = protocol.number();
        Self {
            generation,
            device,
            service,
            reason,
            decided_by,
            source,
            destination: IpAddr::V4(destination),
            protocol,
            port,
        }
    }
}
