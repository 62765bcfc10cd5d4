//! Counts the drops of each NAT gateway.

use crate::pipeline::arrival::{SpaceAddr, own_address};
use crate::pipeline::{Denial, Device, Reason};
use crate::vpc::{RuleRef, Snapshot};
use dashmap::DashMap;
use foldhash::fast::FixedState;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The drops of NAT gateways, by their addresses.
#[derive(Debug)]
pub(in crate::pipeline) struct NatDrops(DashMap<SpaceAddr, Dropped, FixedState>);

#[derive(Debug, Default)]
struct Dropped {
    packets: AtomicU64,
    without_port: AtomicU64,
}

impl NatDrops {
    pub(in crate::pipeline) fn new(seed: u64) -> Self {
        Self(DashMap::with_hasher(FixedState::with_seed(seed)))
    }

    /// Counts a drop if it was a NAT gateway's.
    pub(in crate::pipeline) fn count(&self, snapshot: &Snapshot, denial: Denial) {
        let RuleRef::NatGateway(ix) = denial.decided_by else { return };
        // A denial of another configuration may name a gateway that this one does not have.
        if ix.get() >= snapshot.parts().nat_gateways.len() {
            return;
        }
        let dropped = self.0.entry(own_address(snapshot, Device::NatGateway(ix))).or_default();
        dropped.packets.fetch_add(1, Relaxed);
        if denial.reason == Reason::NatPortsExhausted {
            dropped.without_port.fetch_add(1, Relaxed);
        }
    }

    /// Returns the number of packets that a gateway dropped, and of those the number for which it
    /// had no port.
    pub(in crate::pipeline) fn of(&self, gateway: SpaceAddr) -> (u64, u64) {
        self.0.get(&gateway).map_or((0, 0), |dropped| {
            (dropped.packets.load(Relaxed), dropped.without_port.load(Relaxed))
        })
    }

    /// Drops the gateways that no longer exist.
    pub(in crate::pipeline) fn retain(&self, exists: impl Fn(SpaceAddr) -> bool) {
        self.0.retain(|gateway, _| exists(*gateway));
    }

    #[cfg(test)]
    pub(in crate::pipeline) fn census(&self, census: &mut crate::flow::Census) {
        for entry in &self.0 {
            let (_, address) = entry.key();
            let Dropped { packets, without_port } = entry.value();
            census.add_packets(&format!("dropped by {address}"), packets.load(Relaxed));
            census.add_packets(&format!("without port {address}"), without_port.load(Relaxed));
        }
    }
}
