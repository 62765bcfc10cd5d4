//! Lists the holders of ports, for an operator whose NAT gateway or ENI has none left.

use super::totals::NatPair;
use crate::flow::FlowTable;
use crate::packet::Protocol;
use crate::pipeline::Device;
use crate::vpc::{NatGatewayIx, Snapshot};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The number of pools that are shown, and of holders of each.
const POOLS: usize = 10;
const HOLDERS: usize = 5;

/// Ports that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortPool {
    /// The ENI, or the NAT gateway.
    pub device: Device,
    /// The destination for which a NAT gateway's ports are counted; `None` for an ENI, whose ports
    /// are counted together.
    pub destination: Option<(u8, Ipv4Addr, u16)>,
}

/// A pool, with the tasks that hold most of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortHolders {
    /// The pool.
    pub pool: PortPool,
    /// The number of ports that are leased.
    pub taken: u64,
    /// The number of ports that can be leased, over all addresses of the gateway.
    pub limit: u64,
    /// Tasks by address, with the number of ports that each holds, the most first.
    pub holders: Vec<(Ipv4Addr, u64)>,
}

/// Returns the fullest pools, the fullest first. Every flow is visited.
pub(in crate::pipeline) fn fullest<O: Copy>(
    flows: &FlowTable<O>,
    snapshot: &Snapshot,
) -> Vec<PortHolders> {
    let mut pools: HashMap<PortPool, HashMap<Ipv4Addr, u64>> = HashMap::new();
    flows.for_each(|entry| {
        let inside = entry.flow.inside();
        let Some(nats) = NatPair::of(snapshot, &entry.flow) else { return };
        let mut hold = |pool| {
            *pools.entry(pool).or_default().entry(inside.src()).or_default() += 1;
        };
        if let Some(ix) = nats.eni {
            hold(PortPool { device: Device::Eni(ix), destination: None });
        }
        if let Some(ix) = nats.nat_gateway {
            let port = if inside.protocol().has_ports() { inside.dport() } else { 0 };
            let destination = Some((inside.protocol().number(), inside.dst(), port));
            hold(PortPool { device: Device::NatGateway(ix), destination });
        }
    });
    let mut all: Vec<_> = pools
        .into_iter()
        .map(|(pool, holders)| PortHolders::new(snapshot, pool, holders))
        .collect();
    all.sort_by_key(|pool| (Reverse(pool.permille()), Reverse(pool.taken), pool.pool));
    all.truncate(POOLS);
    all
}

impl PortHolders {
    fn new(snapshot: &Snapshot, pool: PortPool, holders: HashMap<Ipv4Addr, u64>) -> Self {
        let taken = holders.values().sum();
        let mut holders: Vec<_> = holders.into_iter().collect();
        holders.sort_by_key(|&(task, ports)| (Reverse(ports), task));
        holders.truncate(HOLDERS);
        Self { pool, taken, limit: limit(snapshot, pool.device), holders }
    }

    /// Returns the leased part of the pool, in thousandths.
    fn permille(&self) -> u64 {
        self.taken.saturating_mul(1000) / self.limit.max(1)
    }
}

impl PortPool {
    /// Returns the protocol of its destination.
    pub fn protocol(&self) -> Option<Protocol> {
        self.destination.map(|(protocol, _, _)| Protocol::from(protocol))
    }
}

fn limit(snapshot: &Snapshot, device: Device) -> u64 {
    let limits = &snapshot.parts().limits;
    match device {
        Device::NatGateway(ix) => {
            u64::from(limits.nat_connections_per_destination) * addresses(snapshot, ix)
        }
        Device::Eni(_) | Device::AppRunner => u64::from(limits.eni_connections),
    }
}

fn addresses(snapshot: &Snapshot, ix: NatGatewayIx) -> u64 {
    u64::try_from(snapshot.nat_gateway(ix).addresses.len()).unwrap_or(1)
}
