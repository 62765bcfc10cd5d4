//! The metrics of a NAT gateway that CloudWatch shows (spec 6). Incoming packets
//! (`BytesInFromSource` and similar) are not counted separately: packets in are those out and those
//! dropped.

use super::totals::NatPair;
use crate::flow::{Lives, SummedCounters, TcpState};
use crate::packet::Protocol;
use crate::pipeline::Device;
use crate::pipeline::arrival::own_address;
use crate::pipeline::context::Moment;
use crate::vpc::NatGatewayIx;

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
    /// Their bytes, IP headers included.
    #[serde(default)]
    pub bytes_out_to_destination: u64,
    /// Packets that it sent back to their source, as they are on a wire.
    #[serde(default)]
    pub packets_out_to_source: u64,
    /// Their bytes, IP headers included.
    #[serde(default)]
    pub bytes_out_to_source: u64,
}

/// Returns the metrics of every NAT gateway of this configuration, in its order. Every flow is
/// visited.
pub(in crate::pipeline) fn all(moment: &Moment<'_>) -> Vec<NatMetrics> {
    let Moment { tables, now, snapshot } = *moment;
    let mut all = vec![NatMetrics::default(); snapshot.parts().nat_gateways.len()];
    for (position, metrics) in all.iter_mut().enumerate() {
        let gateway = own_address(snapshot, Device::NatGateway(NatGatewayIx::from(position)));
        let (packets, without_port) = tables.nat_drops.of(gateway);
        metrics.packets_drop_count = packets;
        metrics.error_port_allocation = without_port;
    }
    let mut of = |nats: NatPair, add: &dyn Fn(&mut NatMetrics)| {
        if let Some(metrics) = nats.nat_gateway.and_then(|ix| all.get_mut(ix.get())) {
            add(metrics);
        }
    };
    for (nats, tally) in tables.totals.all(snapshot) {
        of(nats, &|metrics| metrics.add_lives(&tally.lives));
    }
    for (nats, carried) in tables.totals.tallies(&tables.flows, snapshot) {
        of(nats, &|metrics| metrics.add_traffic(&carried));
    }
    let timeouts = &snapshot.parts().timeouts;
    tables.flows.for_each(|entry| {
        let flow = &entry.flow;
        let Some(nats) = NatPair::of(snapshot, flow) else { return };
        let tcp = flow.inside().protocol() == Protocol::Tcp;
        let open = flow.tcp.state() != TcpState::Closed && !flow.is_expired(now, timeouts);
        of(nats, &|metrics| {
            metrics.active_connection_count += u64::from(tcp && open);
            metrics.connection_established_count += u64::from(flow.tcp.was_established());
        });
    });
    all
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
