//! Relations between blocks, and free addresses: of a subnet, and of the lab's internet.

use super::diagnostic::At;
use super::spec::Spec;
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Decides whether two blocks have an address in common.
pub(super) fn overlap(a: Ipv4Network, b: Ipv4Network) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}

/// Decides whether a block lies within another, or equals it.
pub(super) fn contains(outer: Ipv4Network, inner: Ipv4Network) -> bool {
    outer.contains(inner.network()) && outer.prefix() <= inner.prefix()
}

/// Decides whether AWS keeps an address of a subnet for itself: the first four and the last one.
pub(super) fn is_reserved(subnet: Ipv4Network, address: Ipv4Addr) -> bool {
    let offset = u32::from(address).wrapping_sub(u32::from(subnet.network()));
    offset < 4 || address == subnet.broadcast()
}

/// The free addresses. Those given in the file are taken from the start.
pub(super) struct Pool<'s> {
    taken: BTreeMap<&'s str, BTreeSet<Ipv4Addr>>,
    public: BTreeSet<Ipv4Addr>,
    resting: BTreeSet<Ipv4Addr>,
}

impl<'s> Pool<'s> {
    pub(super) fn new(spec: &'s Spec) -> Self {
        let mut taken: BTreeMap<&str, BTreeSet<Ipv4Addr>> = BTreeMap::new();
        let resources = spec.resources.iter().map(|r| (r.subnet.as_str(), *r.address));
        let gateways = spec
            .nat_gateways
            .iter()
            .flat_map(|n| n.private_ips().map(|address| (n.subnet.as_str(), address.value)));
        let endpoints = spec.vpc_endpoints.iter().flat_map(|e| {
            e.subnets.iter().zip(&e.addresses).map(|(subnet, at)| (subnet.as_str(), at.value))
        });
        for (subnet, address) in resources.chain(gateways).chain(endpoints) {
            taken.entry(subnet).or_default().insert(address);
        }
        let value = |at: &At<Ipv4Addr>| at.value;
        let elastic = spec.nat_gateways.iter().flat_map(|n| n.public_ips());
        let hosts = spec.internet_hosts.iter().map(|h| &h.address);
        let resources = spec.resources.iter().filter_map(|r| r.public_ip.as_ref());
        let others = hosts.chain(resources).chain(&spec.apprunner_public_ip);
        let public = elastic.chain(others).map(value).collect();
        Self { taken, public, resting: BTreeSet::new() }
    }

    /// Takes a certain address of a subnet, if the subnet has it and it is free.
    pub(super) fn keep_private(
        &mut self,
        subnet: &'s str,
        cidr: Ipv4Network,
        address: Ipv4Addr,
    ) -> bool {
        cidr.contains(address)
            && !is_reserved(cidr, address)
            && self.taken.entry(subnet).or_default().insert(address)
    }

    /// Takes a certain public address, if it is free.
    pub(super) fn keep_public(&mut self, address: Ipv4Addr) -> bool {
        self.public.insert(address)
    }

    /// Marks addresses that are taken from here on only if no other is free.
    pub(super) fn rest(&mut self, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        self.resting.extend(addresses);
    }

    /// Takes the first free address of a subnet.
    pub(super) fn private(&mut self, subnet: &'s str, cidr: Ipv4Network) -> Option<Ipv4Addr> {
        let taken = self.taken.entry(subnet).or_default();
        let first = u32::from(cidr.network()).saturating_add(4);
        let free = first_free(
            (first..u32::from(cidr.broadcast())).map(Ipv4Addr::from),
            taken,
            &self.resting,
        )?;
        taken.insert(free);
        Some(free)
    }

    /// Takes the first free address of 198.51.100.0/24 (TEST-NET-2, RFC 5737).
    pub(super) fn public(&mut self) -> Option<Ipv4Addr> {
        let range = (1..=254).map(|last| Ipv4Addr::new(198, 51, 100, last));
        let free = first_free(range, &self.public, &self.resting)?;
        self.public.insert(free);
        Some(free)
    }
}

/// Returns the first address that is neither taken nor resting, else the first that is not taken.
fn first_free(
    range: impl Iterator<Item = Ipv4Addr> + Clone,
    taken: &BTreeSet<Ipv4Addr>,
    resting: &BTreeSet<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let mut free = range.filter(|address| !taken.contains(address));
    let mut others = free.clone().filter(|address| !resting.contains(address));
    others.next().or_else(|| free.next())
}
