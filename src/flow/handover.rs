//! The handover of a flow to the process that follows the one in which it began.
//!
//! [`HandoverRecord::of`] is taken when a flow is offloaded, and kept next to its cache entries.
//! [`Flow::resume`] makes the flow again, with the counts of its cache entries since then.

use super::cache_entries::CacheCounters;
use super::counters::Counted;
use super::{Flow, FlowKey, FlowStart, Instant, PoolKey, PortLease, Space};
use crate::packet::{Protocol, Tuple};
use std::net::Ipv4Addr;

/// A flow whose handshake is complete and that neither side has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoverRecord {
    /// Packets from the task.
    pub egress: FlowKey,
    /// Packets back to it, as they arrive from outside.
    pub returned: FlowKey,
    /// Its port at the ENI.
    pub eni: Option<NatPort>,
    /// Its port at the last NAT on the path out.
    pub nat: Option<(LastNat, NatPort)>,
    /// The private address of the public endpoint that admitted it.
    pub endpoint: Option<(Space, Ipv4Addr)>,
    /// Set if its ENI does not track it.
    pub untracked: bool,
    /// Arrival of its first packet.
    pub began: Instant,
    /// The counts from the task, and those back to it.
    pub counted: [Counted; 2],
}

/// A port of a NAT's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatPort {
    /// The space of the address.
    pub space: Space,
    /// The address.
    pub address: Ipv4Addr,
    /// The port; 0 for a protocol without ports.
    pub port: u16,
}

/// The last NAT on the path out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastNat {
    /// A NAT gateway.
    Gateway,
    /// App Runner's own NAT, in place of an ENI.
    AppRunner,
}

impl HandoverRecord {
    /// Returns the record of a flow as it is now.
    pub fn of(flow: &Flow) -> Self {
        Self {
            egress: flow.egress,
            returned: flow.returned,
            eni: flow.eni.as_ref().map(|(_, lease)| NatPort::of(lease)),
            nat: flow.nat.as_ref().map(|(gateway, lease)| {
                let nat = if gateway.is_some() { LastNat::Gateway } else { LastNat::AppRunner };
                (nat, NatPort::of(lease))
            }),
            endpoint: flow.endpoint,
            untracked: flow.untracked,
            began: flow.began,
            counted: [flow.sent.counted(), flow.received.counted()],
        }
    }

    /// Returns the pool that a port of this flow is from.
    pub fn pool(&self, port: NatPort) -> PoolKey {
        let Tuple { protocol, dst, dport, .. } = self.egress.tuple();
        PoolKey {
            space: port.space,
            address: port.address,
            protocol: protocol.number(),
            destination: dst,
            port: if protocol.has_ports() { dport } else { 0 },
        }
    }
}

impl NatPort {
    fn of(lease: &PortLease) -> Self {
        let PoolKey { space, address, .. } = *lease.key();
        Self { space, address, port: lease.port() }
    }
}

impl Flow {
    /// Makes a flow that began in another process, with its counts from before and after the
    /// handover, and for TCP the last numbers of both sides.
    pub fn resume(
        start: FlowStart,
        record: &HandoverRecord,
        offloaded: [CacheCounters; 2],
    ) -> Self {
        let flow = Self::new(record.began, start);
        let own = [&flow.sent, &flow.received];
        for ((counters, before), since) in own.into_iter().zip(&record.counted).zip(&offloaded) {
            counters.add_counted(before);
            counters.add_offloaded(since.packets, since.segments, since.bytes);
            flow.saw(since.last_seen);
        }
        if flow.egress.tuple().protocol == Protocol::Tcp {
            flow.tcp.resume(offloaded.map(|offloaded| offloaded.window));
        }
        flow
    }
}

#[cfg(test)]
impl HandoverRecord {
    /// Makes the record of a flow behind an ENI, for tests.
    pub fn example(nat: Option<(LastNat, NatPort)>) -> Self {
        let tuple = |src: [u8; 4], sport, dst: [u8; 4], dport| Tuple {
            protocol: Protocol::Tcp,
            src: src.into(),
            dst: dst.into(),
            sport,
            dport,
        };
        let own = NatPort { space: Space::nth_vpc(3), address: [10, 0, 1, 7].into(), port: 65_535 };
        let counted = |n| Counted { own: [n, n + 1, n + 2], offloaded: [n + 3, n + 4, n + 5] };
        Self {
            egress: FlowKey::new(
                Space::TASKS,
                tuple([100, 64, 0, 1], 40_000, [203, 0, 113, 10], 443),
            ),
            returned: FlowKey::new(
                Space::INTERNET,
                tuple([203, 0, 113, 10], 443, [198, 51, 100, 7], 1024),
            ),
            eni: Some(own),
            nat,
            endpoint: Some((Space::nth_vpc(1), Ipv4Addr::new(10, 0, 1, 10))),
            untracked: false,
            began: Instant(77),
            counted: [counted(1), counted(u64::MAX - 9)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Window;
    use crate::vpc::{Generation, RuleRef, ServiceIx};

    #[test]
    fn a_resumed_flow_continues_where_it_was() {
        let mut record = HandoverRecord::example(None);
        record.eni = None;
        record.counted = [[1, 2, 3], [4, 5, 6]].map(|own| Counted { own, offloaded: [10, 20, 30] });
        let window = Window { end: 7 << 32, ack: 5, claimed: 0 };
        let offloaded = CacheCounters {
            packets: 100,
            segments: 200,
            bytes: 300,
            last_seen: Instant(99),
            window,
        };
        let start = FlowStart {
            egress: record.egress,
            returned: record.returned,
            service: ServiceIx(0),
            eni: None,
            nat: None,
            endpoint: None,
            admitted_by: RuleRef::Packet,
            untracked: false,
            admitted_under: Generation(1),
            totals: std::sync::Arc::default(),
        };
        let flow = Flow::resume(start, &record, [offloaded; 2]);
        assert_eq!((flow.sent.packets(), flow.received.bytes()), (111, 336));
        assert_eq!(flow.sent.offloaded_segments(), 220);
        assert_eq!((flow.began, flow.last_seen()), (Instant(77), Instant(99)));
        assert!(flow.tcp.is_steady());
        assert_eq!(flow.tcp.windows(), [window; 2]);
        let again = HandoverRecord::of(&flow).counted;
        assert_eq!(again[0], Counted { own: [1, 2, 3], offloaded: [110, 220, 330] });
    }
}
