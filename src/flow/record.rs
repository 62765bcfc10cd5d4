//! What is to be known of a flow by a process that did not see it begin: the one after the process that did.
//!
//! [`Record::of`] is taken when the kernel begins to carry a flow, and kept next to its entries; [`Flow::resume`] makes the
//! flow again, with what the kernel has carried since.

use super::offload::Passed;
use super::{Counters, Flow, FlowKey, FlowStart, Instant, Lease, PoolKey, Space};
use crate::packet::{Protocol, Tuple};
use std::net::Ipv4Addr;

/// A flow whose handshake is complete, and that nobody has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Packets from the task.
    pub egress: FlowKey,
    /// Packets back to it, as they arrive from outside.
    pub returned: FlowKey,
    /// Its port at the ENI.
    pub eni: Option<Port>,
    /// Its port at the last NAT on the way out.
    pub nat: Option<(Nat, Port)>,
    /// When its first packet came.
    pub began: Instant,
    /// From the task, and back to it.
    pub counted: [Counted; 2],
}

/// A port of a NAT's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The space of the address.
    pub space: Space,
    /// The address.
    pub address: Ipv4Addr,
    /// The port; 0 for a protocol without ports.
    pub port: u16,
}

/// What is behind the ENI, or in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// A NAT gateway.
    Gateway,
    /// App Runner's own.
    AppRunner,
}

/// What had gone through in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Through user space: packets, segments and octets.
    pub own: [u64; 3],
    /// Passed by the kernel: the same.
    pub offloaded: [u64; 3],
}

impl Record {
    /// The record of a flow as it is now.
    pub fn of(flow: &Flow) -> Self {
        Self {
            egress: flow.egress,
            returned: flow.returned,
            eni: flow.eni.as_ref().map(|(_, lease)| Port::of(lease)),
            nat: flow.nat.as_ref().map(|(gateway, lease)| {
                let nat = if gateway.is_some() { Nat::Gateway } else { Nat::AppRunner };
                (nat, Port::of(lease))
            }),
            began: flow.began,
            counted: [flow.sent.counted(), flow.received.counted()],
        }
    }

    /// The pool that a port of this flow is from.
    pub fn pool(&self, port: Port) -> PoolKey {
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

impl Port {
    fn of(lease: &Lease) -> Self {
        let PoolKey { space, address, .. } = *lease.key();
        Self { space, address, port: lease.port() }
    }
}

impl Flow {
    /// A flow that began in another process: what has gone through it by then and since, and for TCP what its sides said
    /// last.
    pub fn resume(start: FlowStart, record: &Record, carried: [Passed; 2]) -> Self {
        let flow = Self::new(record.began, start);
        let own = [&flow.sent, &flow.received];
        for ((counters, before), since) in own.into_iter().zip(&record.counted).zip(&carried) {
            counters.add_counted(before);
            counters.add_offloaded(since.packets, since.segments, since.bytes);
            flow.saw(since.last_seen);
        }
        if flow.egress.tuple().protocol == Protocol::Tcp {
            flow.tcp.resume(carried.map(|carried| carried.window));
        }
        flow
    }
}

impl Counters {
    fn counted(&self) -> Counted {
        let offloaded =
            [self.offloaded_packets(), self.offloaded_segments(), self.offloaded_bytes()];
        let all = [self.packets(), self.segments(), self.bytes()];
        let [packets, segments, bytes] = [0, 1, 2].map(|at: usize| all[at] - offloaded[at]);
        Counted { own: [packets, segments, bytes], offloaded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Window;
    use crate::vpc::{Generation, RuleRef, ServiceIx};

    fn record(nat: Option<(Nat, Port)>) -> Record {
        let tuple = |src: [u8; 4], sport, dst: [u8; 4], dport| Tuple {
            protocol: Protocol::Tcp,
            src: src.into(),
            dst: dst.into(),
            sport,
            dport,
        };
        let own = Port { space: Space::nth_vpc(3), address: [10, 0, 1, 7].into(), port: 65_535 };
        let counted = |n| Counted { own: [n, n + 1, n + 2], offloaded: [n + 3, n + 4, n + 5] };
        Record {
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
            began: Instant(77),
            counted: [counted(1), counted(u64::MAX - 9)],
        }
    }

    #[test]
    fn a_flow_that_is_resumed_goes_on_where_it_was() {
        let mut record = record(None);
        record.eni = None;
        record.counted = [[1, 2, 3], [4, 5, 6]].map(|own| Counted { own, offloaded: [10, 20, 30] });
        let window = Window { end: 7 << 32, ack: 5 };
        let carried =
            Passed { packets: 100, segments: 200, bytes: 300, last_seen: Instant(99), window };
        let start = FlowStart {
            egress: record.egress,
            returned: record.returned,
            service: ServiceIx(0),
            eni: None,
            nat: None,
            admitted_by: RuleRef::Packet,
            admitted_under: Generation(1),
            tally: std::sync::Arc::default(),
        };
        let flow = Flow::resume(start, &record, [carried; 2]);
        assert_eq!((flow.sent.packets(), flow.received.bytes()), (111, 336));
        assert_eq!(flow.sent.offloaded_segments(), 220);
        assert_eq!((flow.began, flow.last_seen()), (Instant(77), Instant(99)));
        assert!(flow.tcp.is_steady());
        assert_eq!(flow.tcp.windows(), [window; 2]);
        let again = Record::of(&flow).counted;
        assert_eq!(again[0], Counted { own: [1, 2, 3], offloaded: [110, 220, 330] });
    }
}
