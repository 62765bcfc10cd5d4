//! What CloudWatch shows of a NAT gateway (spec 6). What comes in (`BytesInFromSource` and its like) is not counted by
//! itself: packets in are those out and those dropped.

use super::arrival::{Place, place};
use super::engine::Engine;
use super::{Denial, Device, PathKey, Reason};
use crate::flow::{Instant, Lives, SummedCounters, TcpState};
use crate::packet::Protocol;
use crate::vpc::{NatGatewayIx, RuleRef, Snapshot};
use dashmap::DashMap;
use foldhash::fast::FixedState;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The metrics of one NAT gateway, by AWS's names, since the lab came up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NatMetrics {
    /// TCP connections that are open now.
    pub active_connection_count: u64,
    /// TCP connections that began.
    pub connection_attempt_count: u64,
    /// TCP connections whose handshake was completed.
    pub connection_established_count: u64,
    /// Flows of any protocol that were idle for too long.
    pub idle_timeout_count: u64,
    /// Packets for which there was no port.
    pub error_port_allocation: u64,
    /// Packets that the gateway dropped, those without a port among them.
    pub packets_drop_count: u64,
    /// Packets that left it for their destination, as they are on a wire.
    #[serde(default)]
    pub packets_out_to_destination: u64,
    /// Octets of theirs, IP headers included.
    #[serde(default)]
    pub bytes_out_to_destination: u64,
    /// Packets that it sent back to their source, as they are on a wire.
    #[serde(default)]
    pub packets_out_to_source: u64,
    /// Octets of theirs, IP headers included.
    #[serde(default)]
    pub bytes_out_to_source: u64,
}

/// What each NAT gateway dropped.
#[derive(Debug)]
pub(super) struct NatDrops(DashMap<Place, Dropped, FixedState>);

#[derive(Debug, Default)]
struct Dropped {
    packets: AtomicU64,
    without_port: AtomicU64,
}

impl NatDrops {
    pub(super) fn new(seed: u64) -> Self {
        Self(DashMap::with_hasher(FixedState::with_seed(seed)))
    }

    /// Counts a drop if it was a NAT gateway's.
    pub(super) fn count(&self, snapshot: &Snapshot, denial: Denial) {
        let RuleRef::NatGateway(ix) = denial.decided_by else { return };
        // What was decided under another configuration may name a gateway that this one does not have.
        if ix.get() >= snapshot.parts().nat_gateways.len() {
            return;
        }
        let dropped = self.0.entry(place(snapshot, Device::NatGateway(ix))).or_default();
        dropped.packets.fetch_add(1, Relaxed);
        if denial.reason == Reason::NatPortsExhausted {
            dropped.without_port.fetch_add(1, Relaxed);
        }
    }

    /// Forgets the gateways that are not there.
    pub(super) fn retain(&self, is_there: impl Fn(Place) -> bool) {
        self.0.retain(|place, _| is_there(*place));
    }

    #[cfg(test)]
    pub(super) fn census(&self, census: &mut crate::flow::Census) {
        for entry in &self.0 {
            let (_, address) = entry.key();
            let Dropped { packets, without_port } = entry.value();
            census.add_packets(&format!("dropped by {address}"), packets.load(Relaxed));
            census.add_packets(&format!("without port {address}"), without_port.load(Relaxed));
        }
    }
}

impl Engine {
    /// The metrics of every NAT gateway of this configuration, in its order.
    pub fn nat_metrics(&self, now: Instant, snapshot: &Snapshot) -> Vec<NatMetrics> {
        let mut all = vec![NatMetrics::default(); snapshot.parts().nat_gateways.len()];
        for (position, metrics) in all.iter_mut().enumerate() {
            let at = place(snapshot, Device::NatGateway(NatGatewayIx::from(position)));
            if let Some(dropped) = self.nat_drops.0.get(&at) {
                metrics.packets_drop_count = dropped.packets.load(Relaxed);
                metrics.error_port_allocation = dropped.without_port.load(Relaxed);
            }
        }
        for (path, tally) in self.paths(snapshot) {
            if let Some(metrics) = path.nat_gateway.and_then(|ix| all.get_mut(ix.get())) {
                metrics.add_lives(&tally.lives);
            }
        }
        for (path, carried) in self.tallies(snapshot) {
            if let Some(metrics) = path.nat_gateway.and_then(|ix| all.get_mut(ix.get())) {
                metrics.add_traffic(&carried);
            }
        }
        let timeouts = &snapshot.parts().timeouts;
        self.flows().for_each(|entry| {
            let flow = &entry.flow;
            let path = PathKey::of(snapshot, flow);
            let metrics = path.and_then(|p| p.nat_gateway).and_then(|ix| all.get_mut(ix.get()));
            let Some(metrics) = metrics else { return };
            let tcp = flow.egress.tuple().protocol == Protocol::Tcp;
            let open = flow.tcp.state() != TcpState::Closed && !flow.is_expired(now, timeouts);
            metrics.active_connection_count += u64::from(tcp && open);
            metrics.connection_established_count += u64::from(flow.tcp.was_established());
        });
        all
    }
}

impl NatMetrics {
    fn add_lives(&mut self, lives: &Lives) {
        self.connection_attempt_count += lives.attempts();
        self.connection_established_count += lives.established_and_over();
        self.idle_timeout_count += lives.idle_timeouts();
    }

    fn add_traffic(&mut self, SummedCounters { sent, received }: &SummedCounters) {
        self.packets_out_to_destination += sent.segments();
        self.bytes_out_to_destination += sent.bytes();
        self.packets_out_to_source += received.segments();
        self.bytes_out_to_source += received.bytes();
    }
}
