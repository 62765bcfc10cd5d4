//! The limit on packets to a VPC's resolver: AWS has one for each network interface (spec 8).

use super::arrival::SpaceAddr;
use crate::flow::Instant;
use dashmap::DashMap;
use foldhash::fast::FixedState;
use std::time::Duration;

/// The period of the limit.
const SECOND: Duration = Duration::from_secs(1);

/// The packets to the resolver, by the address of the ENI.
#[derive(Debug)]
pub(super) struct ResolverLimit(DashMap<SpaceAddr, Burst, FixedState>);

/// Packets within the second that began with the first of them.
#[derive(Clone, Copy, Debug)]
struct Burst {
    began: Instant,
    packets: u32,
}

impl ResolverLimit {
    pub(super) fn new(seed: u64) -> Self {
        Self(DashMap::with_hasher(FixedState::with_seed(seed)))
    }

    /// Counts packets, and decides whether they exceed the limit for this second.
    pub(super) fn exceeds(&self, now: Instant, eni: SpaceAddr, packets: u32, limit: u32) -> bool {
        let fresh = Burst { began: now, packets: 0 };
        let mut burst = self.0.entry(eni).or_insert(fresh);
        if burst.began + SECOND <= now {
            *burst = fresh;
        }
        burst.packets = burst.packets.saturating_add(packets);
        burst.packets > limit
    }

    /// Drops the interfaces that no longer exist.
    pub(super) fn retain(&self, exists: impl Fn(SpaceAddr) -> bool) {
        self.0.retain(|eni, _| exists(*eni));
    }

    #[cfg(test)]
    pub(super) fn census(&self, census: &mut crate::flow::Census) {
        for entry in &self.0 {
            let name = format!("to the resolver from {}", entry.key().1);
            census.add(&name, entry.packets as usize);
        }
    }
}
