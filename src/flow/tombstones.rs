//! Tombstones of flows that expired, by which late packets of *expired* flows differ from those of
//! *unknown* ones.

use super::{FlowKey, Instant};
use crate::packet::Protocol;
use dashmap::DashMap;
use foldhash::fast::FixedState;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The number of expired flows that are remembered, about 10 MiB. The oldest is evicted for the
/// next.
const MAX_TOMBSTONES: usize = 65_536;

/// The record of one expired flow, under each of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The flow's end.
    pub at: Instant,
    /// Set if the flow went through a NAT gateway, which answers a late TCP segment with RST
    /// (spec 6).
    pub through_nat_gateway: bool,
}

/// The tombstones, and the order in which they were put.
#[derive(Debug)]
pub(super) struct Tombstones {
    by_key: DashMap<FlowKey, Tombstone, FixedState>,
    order: Mutex<VecDeque<Expired>>,
    /// Set if the tombstone of a TCP flow through a NAT gateway was dropped.
    has_forgotten: AtomicBool,
}

#[derive(Debug)]
struct Expired {
    keys: [FlowKey; 2],
    at: Instant,
}

impl Tombstones {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            by_key: DashMap::with_hasher(hasher),
            order: Mutex::default(),
            has_forgotten: AtomicBool::new(false),
        }
    }

    /// Records a flow that expired. If there is no room, the one that expired first is evicted.
    pub(super) fn put(&self, keys: [FlowKey; 2], stone: Tombstone) {
        let mut order = self.order();
        if order.len() >= MAX_TOMBSTONES
            && let Some(oldest) = order.pop_front()
        {
            self.clear(&oldest);
        }
        order.push_back(Expired { keys, at: stone.at });
        for key in keys {
            self.by_key.insert(key, stone);
        }
    }

    /// Drops the tombstones under the keys of a flow that both sides have ended since.
    pub(super) fn forget(&self, keys: [FlowKey; 2]) {
        for key in keys {
            self.by_key.remove(&key);
        }
    }

    pub(super) fn get(&self, key: &FlowKey) -> Option<Tombstone> {
        self.by_key.get(key).map(|stone| *stone)
    }

    /// Returns whether a late segment may belong to a flow that expired through a NAT gateway,
    /// although it has no tombstone.
    pub(super) fn has_forgotten(&self) -> bool {
        self.has_forgotten.load(Relaxed)
    }

    /// Drops the tombstones that are as old as `lifetime`.
    pub(super) fn sweep(&self, now: Instant, lifetime: Duration) {
        let mut order = self.order();
        while order.front().is_some_and(|expired| now.since(expired.at) >= lifetime) {
            if let Some(expired) = order.pop_front() {
                self.clear(&expired);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn census(&self, census: &mut super::Census) {
        let Self { by_key, order, has_forgotten: _ } = self;
        let order = order.lock().unwrap_or_else(PoisonError::into_inner);
        census.add("tombstones", by_key.len());
        census.add("expired flows", order.len());
    }

    /// Drops the tombstones of a flow. One that was put under the same keys later stays.
    fn clear(&self, expired: &Expired) {
        for key in &expired.keys {
            let removed = self.by_key.remove_if(key, |_, stone| stone.at == expired.at);
            let reported = removed.is_some_and(|(key, stone)| {
                stone.through_nat_gateway && key.tuple().protocol == Protocol::Tcp
            });
            if reported {
                self.has_forgotten.store(true, Relaxed);
            }
        }
    }

    /// Locks the queue. It is consistent even if a thread panicked while it held the lock.
    fn order(&self) -> MutexGuard<'_, VecDeque<Expired>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Space;
    use crate::packet::Tuple;
    use std::net::Ipv4Addr;

    const HOUR: Duration = Duration::from_secs(3600);

    fn keys(n: u32) -> [FlowKey; 2] {
        let tuple = Tuple {
            protocol: Protocol::Tcp,
            src: Ipv4Addr::from(n),
            dst: Ipv4Addr::new(203, 0, 113, 10),
            sport: 1,
            dport: 443,
        };
        [FlowKey::new(Space::TASKS, tuple), FlowKey::new(Space::INTERNET, tuple.reversed())]
    }

    fn stone(at: u64) -> Tombstone {
        Tombstone { at: Instant(at), through_nat_gateway: true }
    }

    #[test]
    fn regression_the_newest_are_kept_when_there_are_too_many() {
        let tombstones = Tombstones::new(FixedState::with_seed(1));
        let many = MAX_TOMBSTONES as u32 + 10;
        (0..many).for_each(|n| tombstones.put(keys(n), stone(u64::from(n))));
        assert_eq!(tombstones.get(&keys(9)[0]), None);
        assert_eq!(tombstones.get(&keys(9)[1]), None);
        for n in [10, many - 1] {
            assert_eq!(tombstones.get(&keys(n)[0]), Some(stone(u64::from(n))));
            assert_eq!(tombstones.get(&keys(n)[1]), Some(stone(u64::from(n))));
        }
        assert_eq!(
            (tombstones.order().len(), tombstones.by_key.len()),
            (MAX_TOMBSTONES, 2 * MAX_TOMBSTONES)
        );
    }

    #[test]
    fn a_tombstone_that_was_put_again_outlives_the_first() {
        let tombstones = Tombstones::new(FixedState::with_seed(1));
        tombstones.put(keys(1), stone(0));
        tombstones.put(keys(1), stone(5));
        tombstones.sweep(Instant(4) + HOUR, HOUR);
        assert_eq!(tombstones.get(&keys(1)[0]), Some(stone(5)));
        assert!(!tombstones.has_forgotten());
        tombstones.sweep(Instant(5) + HOUR, HOUR);
        assert_eq!(tombstones.get(&keys(1)[0]), None);
        assert!(tombstones.order().is_empty() && tombstones.has_forgotten());
    }
}
