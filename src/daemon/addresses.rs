//! The tasks' addresses. An address that was given back rests: a worker may be in the middle of a
//! batch that still knows the task that had it, and begin a flow of that task after all its flows
//! were forgotten.

use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// The pool.
#[derive(Debug)]
pub(super) struct Addresses {
    pool: Ipv4Network,
    /// Addresses given back since the last tick.
    fresh: Vec<Ipv4Addr>,
    /// Addresses given back before the last tick.
    old: Vec<Ipv4Addr>,
}

impl Addresses {
    pub(super) fn new(pool: Ipv4Network) -> Self {
        Self { pool, fresh: Vec::new(), old: Vec::new() }
    }

    /// Returns the first address that no task has and that does not rest.
    pub(super) fn free(&self, taken: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        let first = u32::from(self.pool.network()).saturating_add(1);
        let last = u32::from(self.pool.broadcast());
        // Tasks are few and packed from the start, so the first gap is near.
        (first..last).map(Ipv4Addr::from).find(|address| !taken(*address) && !self.rests(*address))
    }

    /// Lets an address rest, for at least one whole tick: a batch ends long before.
    pub(super) fn give_back(&mut self, address: Ipv4Addr) {
        if !self.rests(address) {
            self.fresh.push(address);
        }
    }

    /// Counts the addresses that rest.
    pub(super) fn resting(&self) -> usize {
        self.fresh.len() + self.old.len()
    }

    /// Returns the addresses that have rested, and is called at every tick. All that was made of
    /// their flows in the meantime must be forgotten before another task gets them.
    pub(super) fn tick(&mut self) -> Vec<Ipv4Addr> {
        std::mem::replace(&mut self.old, std::mem::take(&mut self.fresh))
    }

    fn rests(&self, address: Ipv4Addr) -> bool {
        self.fresh.contains(&address) || self.old.contains(&address)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_address_rests_for_a_whole_tick() {
        let [one, two] = [1, 2].map(|last| Ipv4Addr::new(100, 64, 0, last));
        let mut addresses = Addresses::new("100.64.0.0/30".parse().unwrap());
        let nobody = |_| false;
        assert_eq!(addresses.free(nobody), Some(one));
        addresses.give_back(one);
        addresses.give_back(one);
        assert_eq!(addresses.resting(), 1);
        assert_eq!(addresses.free(nobody), Some(two));
        assert_eq!(addresses.free(|address| address == two), None);
        // This tick may have come right after.
        assert_eq!(addresses.tick(), [Ipv4Addr::UNSPECIFIED; 0]);
        assert_eq!(addresses.free(nobody), Some(two));
        assert_eq!(addresses.tick(), [one]);
        assert_eq!(addresses.free(nobody), Some(one));
    }
}
