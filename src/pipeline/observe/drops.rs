//! Drops, by reason and in rows by rule, service and destination. The rows are bounded: the least recently seen one makes
//! room.

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

/// How many different rows are kept; a port scan must not eat the memory.
const ROWS: usize = 4096;
/// How many rows are looked at to find one that makes room: a new row costs no more than this.
const LOOKS: usize = 16;

/// What distinguishes drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// The configuration that `decided_by` belongs to.
    pub generation: Generation,
    /// Where the packet was read.
    pub device: Device,
    /// Whose packet, where that is known.
    pub service: Option<ServiceIx>,
    /// Why.
    pub reason: Reason,
    /// What decided.
    pub decided_by: RuleRef,
    /// Who sent it; unspecified if it could not be read.
    pub source: Ipv4Addr,
    /// To whom: on the way back, the task if the flow is known. Only a task's packet, whose source is the task's IPv4
    /// address then too, has one of IPv6.
    pub destination: IpAddr,
    /// What it carried.
    pub protocol: u8,
    /// The server's port: where a task's packet goes, or where a flow's reply comes from. 0 without ports, and for a
    /// packet from outside of no flow: a NAT's ports say nothing, and would make a row each.
    pub port: u16,
}

/// How many, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropCount {
    /// Packets.
    pub packets: u64,
    /// The first of them.
    pub first_seen: Instant,
    /// The last of them.
    pub last_seen: Instant,
}

/// All drops.
#[derive(Debug)]
pub struct Drops {
    by_reason: [AtomicU64; REASONS],
    rows: DashMap<DropKey, DropCount, FixedState>,
    /// Every row, and when it was seen last as it came to its place here: nearly the order of `last_seen`.
    order: Mutex<VecDeque<(DropKey, Instant)>>,
    /// Packets of the rows that were taken.
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
        // A thread that failed while it held the lock left a queue behind that is whole.
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match self.rows.entry(key) {
            // Another worker was faster.
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

    /// Forgets the least recently seen row, as far as [`LOOKS`] looks can tell: a row that was seen since it was queued goes
    /// to the end.
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

    /// Returns the packets that were dropped for a reason.
    pub fn packets(&self, reason: Reason) -> u64 {
        self.by_reason.get(reason as usize).map_or(0, |c| c.load(Relaxed))
    }

    /// Returns every row, in no order.
    pub fn rows(&self) -> Vec<(DropKey, DropCount)> {
        self.rows.iter().map(|row| (*row.key(), *row.value())).collect()
    }

    /// Takes the rows of some keys out, for a caller who keeps them under the names that their configuration has for them.
    /// Their packets stay counted by reason. A packet that is counted under such a key later begins a new row.
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

    /// Returns the packets that were counted by reason, and whose rows had to make room.
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
