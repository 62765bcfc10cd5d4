//! Every drop is counted by reason, and by rule, service and destination.

use super::{Denial, Device, REASONS, Reason};
use crate::flow::Instant;
use crate::packet::Protocol;
use crate::vpc::{Generation, RuleRef, ServiceIx};
use dashmap::DashMap;
use foldhash::fast::FixedState;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many different rows are kept; a port scan must not eat the memory. Later ones are only counted by reason.
const ROWS: usize = 4096;

/// What drops are told apart by.
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
    /// To whom.
    pub destination: Ipv4Addr,
    /// What it carried.
    pub protocol: u8,
    /// To which port; 0 without ports.
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
}

impl Drops {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            by_reason: [const { AtomicU64::new(0) }; REASONS],
            rows: DashMap::with_hasher(FixedState::with_seed(seed)),
        }
    }

    pub(super) fn count(&self, now: Instant, key: DropKey) {
        if let Some(counter) = self.by_reason.get(key.reason as usize) {
            counter.fetch_add(1, Relaxed);
        }
        if let Some(mut row) = self.rows.get_mut(&key) {
            row.packets += 1;
            row.last_seen = now;
        } else if self.rows.len() < ROWS {
            self.rows.insert(key, DropCount { packets: 1, first_seen: now, last_seen: now });
        }
    }

    /// How many packets were dropped for a reason.
    pub fn packets(&self, reason: Reason) -> u64 {
        self.by_reason.get(reason as usize).map_or(0, |c| c.load(Relaxed))
    }

    /// Every row, in no order.
    pub fn rows(&self) -> Vec<(DropKey, DropCount)> {
        self.rows.iter().map(|row| (*row.key(), *row.value())).collect()
    }

    /// Packets that were counted by reason, but in no row.
    pub fn beyond_rows(&self) -> u64 {
        let all: u64 = Reason::ALL.iter().map(|r| self.packets(*r)).sum();
        all.saturating_sub(self.rows.iter().map(|row| row.packets).sum())
    }
}

impl DropKey {
    pub(super) fn new(
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
            destination,
            protocol,
            port,
        }
    }
}
