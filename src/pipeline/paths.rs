//! What each path carried. A path outlives a configuration by its addresses; positions in tables do not.

use super::arrival::{Place, place};
use super::{Device, Engine};
use crate::flow::{EgressTotals, Flow, SummedCounters};
use crate::vpc::{EniIx, Interface, NatGatewayIx, Snapshot, Space};
use std::collections::HashMap;
use std::sync::Arc;

/// What a tally is kept for: an ENI and the NAT gateway behind it, if any; neither is App Runner's own egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathKey {
    /// The ENI.
    pub eni: Option<EniIx>,
    /// The NAT gateway.
    pub nat_gateway: Option<NatGatewayIx>,
}

impl PathKey {
    /// The path of a flow in this configuration; `None` if it is gone.
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
}

/// A path by addresses: the ENI's and the NAT gateway's primary private one. A gateway is one place, whichever of its
/// addresses a flow has.
pub(super) type Places = (Option<Place>, Option<Place>);

impl Engine {
    /// What each path of this configuration carried, in no order. Every flow is asked.
    pub fn tallies(&self, snapshot: &Snapshot) -> Vec<(PathKey, SummedCounters)> {
        let all = self.carried().into_iter();
        all.filter_map(|(places, sum)| Some((path_in(snapshot, places)?, sum))).collect()
    }

    /// The same by addresses.
    pub(super) fn carried(&self) -> Vec<(Places, SummedCounters)> {
        let paths: Vec<(Places, Arc<EgressTotals>)> =
            self.tallies.iter().map(|entry| (*entry.key(), Arc::clone(entry.value()))).collect();
        let sums: HashMap<*const EgressTotals, SummedCounters> = paths
            .iter()
            .map(|(_, tally)| {
                let sum = SummedCounters::default();
                sum.gather(&tally.ended.sent, &tally.ended.received);
                (Arc::as_ptr(tally), sum)
            })
            .collect();
        self.flows().for_each(|entry| {
            if let Some(sum) = sums.get(&Arc::as_ptr(&entry.flow.totals)) {
                sum.gather(&entry.flow.sent, &entry.flow.received);
            }
        });
        let total = |(places, tally): (Places, Arc<EgressTotals>)| {
            Some((places, tally.total(sums.get(&Arc::as_ptr(&tally))?)))
        };
        paths.into_iter().filter_map(total).collect()
    }

    /// What is known of each path of this configuration beyond its flows, in no order.
    pub(super) fn paths(&self, snapshot: &Snapshot) -> Vec<(PathKey, Arc<EgressTotals>)> {
        let all = self.tallies.iter();
        all.filter_map(|entry| Some((path_in(snapshot, *entry.key())?, Arc::clone(entry.value()))))
            .collect()
    }

    /// The tally of a path of this configuration.
    pub(super) fn tally(&self, snapshot: &Snapshot, path: PathKey) -> Arc<EgressTotals> {
        let eni = path.eni.map(|ix| place(snapshot, Device::Eni(ix)));
        let nat = path.nat_gateway.map(|ix| place(snapshot, Device::NatGateway(ix)));
        Arc::clone(&self.tallies.entry((eni, nat)).or_default())
    }

    /// Forgets what is kept for the addresses of ENIs and gateways that this configuration does not have. To be called
    /// when no packet is judged under an earlier one any more.
    pub fn forget_places(&self, snapshot: &Snapshot) {
        let is_there = |(space, address): Place| {
            // App Runner's own egress is no interface.
            space == Space::INTERNET
                || snapshot.vpc_in(space).is_some_and(|vpc| {
                    match snapshot.interface(vpc, address) {
                        Some(Interface::Eni(_) | Interface::NatGateway(_)) => true,
                        Some(Interface::Resource(_)) | None => false,
                    }
                })
        };
        self.tallies.retain(|places, _| path_in(snapshot, *places).is_some());
        self.nat_drops.retain(is_there);
        self.to_resolver.retain(is_there);
        self.pools.retain_rotations(is_there);
    }
}

/// `10.0.1.4`, `10.0.1.4/10.0.0.4` with the gateway behind it, or `app-runner`.
#[cfg(test)]
pub(super) fn name((eni, nat): Places) -> String {
    let eni = eni.map_or_else(|| "app-runner".to_owned(), |(_, address)| address.to_string());
    nat.map_or_else(|| eni.clone(), |(_, nat)| format!("{eni}/{nat}"))
}

/// The path with these addresses, if this configuration has it.
fn path_in(snapshot: &Snapshot, (eni, nat): Places) -> Option<PathKey> {
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
    Some(PathKey { eni, nat_gateway })
}
