//! What is left of flows that were idle for too long, so that a late packet can be told *expired* from *unknown*.

use super::{FlowKey, Instant};
use crate::packet::Protocol;
use dashmap::DashMap;
use foldhash::fast::FixedState;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many flows are remembered after their end, about 10 MiB. The oldest makes room for the next.
const GRAVES: usize = 65_536;

/// What is left of one flow, under each of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// When the flow ended.
    pub at: Instant,
    /// Whether it went through a NAT gateway, which answers a late TCP segment with RST (spec 6).
    pub through_nat_gateway: bool,
}

/// The tombstones, and in which order they were put.
#[derive(Debug)]
pub(super) struct Graveyard {
    stones: DashMap<FlowKey, Tombstone, FixedState>,
    order: Mutex<VecDeque<Grave>>,
    /// Whether a TCP flow through a NAT gateway has expired of which nothing is left.
    any_forgotten: AtomicBool,
}

#[derive(Debug)]
struct Grave {
    keys: [FlowKey; 2],
    at: Instant,
}

impl Graveyard {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            stones: DashMap::with_hasher(hasher),
            order: Mutex::default(),
            any_forgotten: AtomicBool::new(false),
        }
    }

    /// Buries a flow; if there is no room, the one that has been dead for longest is forgotten.
    pub(super) fn bury(&self, keys: [FlowKey; 2], stone: Tombstone) {
        let mut order = self.order();
        if order.len() >= GRAVES
            && let Some(oldest) = order.pop_front()
        {
            self.clear(&oldest);
        }
        order.push_back(Grave { keys, at: stone.at });
        for key in keys {
            self.stones.insert(key, stone);
        }
    }

    /// A flow with these keys has come to a good end since: nothing older is told of them.
    pub(super) fn forget(&self, keys: [FlowKey; 2]) {
        for key in keys {
            self.stones.remove(&key);
        }
    }

    pub(super) fn get(&self, key: &FlowKey) -> Option<Tombstone> {
        self.stones.get(key).map(|stone| *stone)
    }

    /// Whether the next late segment may be one of a flow that expired through a NAT gateway, although no tombstone says so.
    pub(super) fn any_forgotten(&self) -> bool {
        self.any_forgotten.load(Relaxed)
    }

    /// Forgets those that are as old as `lifetime`.
    pub(super) fn sweep(&self, now: Instant, lifetime: Duration) {
        let mut order = self.order();
        while order.front().is_some_and(|grave| now.since(grave.at) >= lifetime) {
            if let Some(grave) = order.pop_front() {
                self.clear(&grave);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn census(&self, census: &mut super::Census) {
        let Self { stones, order, any_forgotten: _ } = self;
        let order = order.lock().unwrap_or_else(PoisonError::into_inner);
        census.add("tombstones", stones.len());
        census.add("graves", order.len());
    }

    /// The same keys may have been buried again since; that stone stays.
    fn clear(&self, grave: &Grave) {
        for key in &grave.keys {
            let removed = self.stones.remove_if(key, |_, stone| stone.at == grave.at);
            let told = removed.is_some_and(|(key, stone)| {
                stone.through_nat_gateway && key.tuple().protocol == Protocol::Tcp
            });
            if told {
                self.any_forgotten.store(true, Relaxed);
            }
        }
    }

    /// A thread that failed while it held the lock left a queue behind that is whole.
    fn order(&self) -> MutexGuard<'_, VecDeque<Grave>> {
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
        let graves = Graveyard::new(FixedState::with_seed(1));
        let many = GRAVES as u32 + 10;
        (0..many).for_each(|n| graves.bury(keys(n), stone(u64::from(n))));
        assert_eq!(graves.get(&keys(9)[0]), None);
        assert_eq!(graves.get(&keys(9)[1]), None);
        for n in [10, many - 1] {
            assert_eq!(graves.get(&keys(n)[0]), Some(stone(u64::from(n))));
            assert_eq!(graves.get(&keys(n)[1]), Some(stone(u64::from(n))));
        }
        assert_eq!((graves.order().len(), graves.stones.len()), (GRAVES, 2 * GRAVES));
    }

    #[test]
    fn what_was_buried_again_outlives_its_first_grave() {
        let graves = Graveyard::new(FixedState::with_seed(1));
        graves.bury(keys(1), stone(0));
        graves.bury(keys(1), stone(5));
        graves.sweep(Instant(4) + HOUR, HOUR);
        assert_eq!(graves.get(&keys(1)[0]), Some(stone(5)));
        assert!(!graves.any_forgotten());
        graves.sweep(Instant(5) + HOUR, HOUR);
        assert_eq!(graves.get(&keys(1)[0]), None);
        assert!(graves.order().is_empty() && graves.any_forgotten());
    }
}
