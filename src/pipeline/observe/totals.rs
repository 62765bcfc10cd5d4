//! The counts of the NATs on a path. A total outlives a configuration by the addresses of its NATs;
//! positions in tables do not.

use crate::flow::{EgressTotals, Flow, FlowTable, SummedCounters};
use crate::pipeline::Device;
use crate::pipeline::arrival::{SpaceAddr, own_address};
use crate::vpc::{EniIx, Interface, NatGatewayIx, Snapshot};
use dashmap::DashMap;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::sync::Arc;

/// The NATs that a flow passes: an ENI, and the NAT gateway after it if there is one; neither
/// stands for App Runner's own egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NatPair {
    /// The ENI.
    pub eni: Option<EniIx>,
    /// The NAT gateway.
    pub nat_gateway: Option<NatGatewayIx>,
}

impl NatPair {
    /// Returns the NATs of a flow in this configuration; `None` if this configuration does not have
    /// them.
    pub fn of(snapshot: &Snapshot, flow: &Flow) -> Option<Self> {
        let eni = match flow.eni {
            Some(_) => Some(flow.eni_in(snapshot)?),
            None => None,
        };
        let nat_gateway = match flow.nat {
            Some((Some(_), _)) => Some(flow.nat_gateway_in(snapshot)?),
            Some((None, _)) | None => None,
        };
        Some(Self { eni, nat_gateway })
    }

    /// Returns the pair with these addresses, if this configuration has it.
    fn at(snapshot: &Snapshot, (eni, nat): Addresses) -> Option<Self> {
        let eni = match eni {
            Some((space, address)) => match snapshot.interface(snapshot.vpc_in(space)?, address)? {
                Interface::Eni(ix) => Some(ix),
                Interface::NatGateway(_) | Interface::Resource(_) => return None,
            },
            None => None,
        };
        let nat_gateway = match nat {
            Some((space, address)) => match snapshot.interface(snapshot.vpc_in(space)?, address)? {
                Interface::NatGateway(ix) => Some(ix),
                Interface::Eni(_) | Interface::Resource(_) => return None,
            },
            None => None,
        };
        Some(Self { eni, nat_gateway })
    }
}

/// A pair by addresses: the ENI's, and the NAT gateway's primary private one, whichever of its
/// addresses a flow has.
pub(in crate::pipeline) type Addresses = (Option<SpaceAddr>, Option<SpaceAddr>);

/// The totals of all pairs.
#[derive(Debug)]
pub(in crate::pipeline) struct Totals(DashMap<Addresses, Arc<EgressTotals>, FixedState>);

impl Totals {
    pub(in crate::pipeline) fn new(seed: u64) -> Self {
        Self(DashMap::with_hasher(FixedState::with_seed(seed)))
    }

    /// Returns the totals of a pair of this configuration.
    pub(in crate::pipeline) fn tally(
        &self,
        snapshot: &Snapshot,
        nats: NatPair,
    ) -> Arc<EgressTotals> {
        let eni = nats.eni.map(|ix| own_address(snapshot, Device::Eni(ix)));
        let nat = nats.nat_gateway.map(|ix| own_address(snapshot, Device::NatGateway(ix)));
        let known = self.0.get(&(eni, nat)).map(|tally| Arc::clone(&tally));
        known.unwrap_or_else(|| Arc::clone(&self.0.entry((eni, nat)).or_default()))
    }

    /// Returns the totals of each pair of this configuration without its live flows, in no order.
    pub(in crate::pipeline) fn all(
        &self,
        snapshot: &Snapshot,
    ) -> Vec<(NatPair, Arc<EgressTotals>)> {
        let known = |addresses| NatPair::at(snapshot, addresses);
        let all = self.0.iter();
        all.filter_map(|entry| Some((known(*entry.key())?, Arc::clone(entry.value())))).collect()
    }

    /// Returns the counts of each pair of this configuration, in no order. Every flow is visited.
    pub(in crate::pipeline) fn tallies<O: Copy>(
        &self,
        flows: &FlowTable<O>,
        snapshot: &Snapshot,
    ) -> Vec<(NatPair, SummedCounters)> {
        let all = self.carried(flows).into_iter();
        all.filter_map(|(addresses, sum)| Some((NatPair::at(snapshot, addresses)?, sum))).collect()
    }

    /// Returns the counts of each pair by addresses.
    pub(in crate::pipeline) fn carried<O: Copy>(
        &self,
        flows: &FlowTable<O>,
    ) -> Vec<(Addresses, SummedCounters)> {
        let pairs: Vec<(Addresses, Arc<EgressTotals>)> =
            self.0.iter().map(|entry| (*entry.key(), Arc::clone(entry.value()))).collect();
        let sums: HashMap<*const EgressTotals, SummedCounters> = pairs
            .iter()
            .map(|(_, tally)| {
                let sum = SummedCounters::default();
                sum.gather(&tally.ended.sent, &tally.ended.received);
                (Arc::as_ptr(tally), sum)
            })
            .collect();
        flows.for_each(|entry| {
            if let Some(sum) = sums.get(&Arc::as_ptr(&entry.flow.totals)) {
                sum.gather(&entry.flow.sent, &entry.flow.received);
            }
        });
        let total = |(addresses, tally): (Addresses, Arc<EgressTotals>)| {
            Some((addresses, tally.total(sums.get(&Arc::as_ptr(&tally))?)))
        };
        pairs.into_iter().filter_map(total).collect()
    }

    /// Drops the pairs that this configuration does not have.
    pub(in crate::pipeline) fn retain(&self, snapshot: &Snapshot) {
        self.0.retain(|addresses, _| NatPair::at(snapshot, *addresses).is_some());
    }
}

/// Returns the name of a pair: `10.0.1.4`, `10.0.1.4/10.0.0.4` with the gateway after it, or
/// `app-runner`.
#[cfg(test)]
pub(in crate::pipeline) fn name((eni, nat): Addresses) -> String {
    let eni = eni.map_or_else(|| "app-runner".to_owned(), |(_, address)| address.to_string());
    nat.map_or_else(|| eni.clone(), |(_, nat)| format!("{eni}/{nat}"))
}
