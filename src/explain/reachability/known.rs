//! Writes sets of destinations and ports in words; destinations are interfaces, internet hosts, the
//! internet, services behind endpoints, blocks.

use super::super::coverage::{addresses, protocols};
use super::super::resolution::{internet, of_blocks};
use super::question::{exempt_addresses, interfaces, vpcs};
use crate::pipeline::reach::{PortRange, Ports, Range, Ranges};
use crate::vpc::{ServiceIx, Snapshot};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The most parts of the internet that are named as exceptions.
const MOST_EXCEPTIONS: usize = 3;

/// The longest range in which each address is named, if all have names.
const MOST_NEIGHBOURS: u32 = 16;

/// Returns the words for protocols with ports. Protocols without a name of their own are one word
/// if all are there.
pub(in crate::explain) fn port_words(ports: &Ports) -> Vec<String> {
    let unnamed = |ports: &Ports| {
        let is_one = |range: &PortRange| matches!(range, PortRange::Protocols(..));
        Ports::new(ports.iter().filter(is_one))
    };
    if *ports == Ports::all() {
        return vec!["all".to_owned()];
    }
    if unnamed(ports) != unnamed(&Ports::all()) {
        return protocols(ports);
    }
    let named = ports.iter().filter(|range| !matches!(range, PortRange::Protocols(..)));
    let mut words = protocols(&Ports::new(named));
    words.push("other protocols".to_owned());
    words
}

/// The names that a service knows.
pub(in crate::explain) struct Known {
    names: BTreeMap<u32, String>,
    /// The public addresses of services behind gateway endpoints, by service.
    lists: Vec<(String, Ranges)>,
    pub(in crate::explain) internet: Ranges,
}

impl Known {
    pub(in crate::explain) fn new(service: ServiceIx, snapshot: &Snapshot) -> Self {
        let parts = snapshot.parts();
        let mut names = BTreeMap::new();
        for (address, name) in interfaces(&vpcs(service, snapshot), snapshot) {
            names.entry(address).or_insert_with(|| name.to_owned());
        }
        for (address, name) in exempt_addresses(service, snapshot) {
            names.entry(address).or_insert_with(|| name.to_owned());
        }
        for (public, ix) in snapshot.public_endpoints() {
            let name = || snapshot.resource(ix).name.clone();
            names.entry(public.to_bits()).or_insert_with(name);
        }
        for host in &parts.internet_hosts {
            names.entry(host.address.to_bits()).or_insert_with(|| host.name.clone());
        }
        let list = |endpoint: &crate::vpc::GatewayEndpoint| {
            let entries = &snapshot.prefix_list(endpoint.prefix_list).entries;
            (endpoint.service.clone(), of_blocks(entries.iter().copied()))
        };
        let lists = parts.gateway_endpoints.iter().map(list).collect();
        Self { names, lists, internet: internet(snapshot) }
    }

    /// Adds the names of another configuration, if this one has no name for the addresses.
    pub(in crate::explain) fn with(mut self, other: Self) -> Self {
        for (address, name) in other.names {
            self.names.entry(address).or_insert(name);
        }
        self.internet = self.internet.union(&other.internet);
        self
    }

    /// Returns the words for destinations.
    pub(in crate::explain) fn words(&self, destinations: &Ranges) -> Vec<String> {
        let mut words = Vec::new();
        let rest = self.without_internet(destinations, &mut words);
        let rest = self.without_lists(rest, &mut words);
        let mut shown: Vec<String> = rest.iter().flat_map(|range| self.range(range)).collect();
        shown.append(&mut words);
        shown
    }

    /// Removes the internet from a set that contains it, or all of it except a few parts.
    fn without_internet(&self, destinations: &Ranges, words: &mut Vec<String>) -> Ranges {
        let own = destinations.intersection(&self.internet);
        let missing = self.internet.difference(&own);
        let mut exceptions = Vec::new();
        let others = self.without_lists(missing.clone(), &mut exceptions);
        exceptions.extend(others.iter().flat_map(|range| self.range(range)));
        if own.count() <= missing.count() || exceptions.len() > MOST_EXCEPTIONS {
            return destinations.clone();
        }
        words.push(match exceptions.as_slice() {
            [] => "internet".to_owned(),
            some => format!("internet except {}", some.join(", ")),
        });
        destinations.difference(&own)
    }

    fn without_lists(&self, mut rest: Ranges, words: &mut Vec<String>) -> Ranges {
        for (service, own) in &self.lists {
            if !own.is_empty() && own.difference(&rest).is_empty() {
                words.push(service.clone());
                rest = rest.difference(own);
            }
        }
        rest
    }

    fn range(&self, (first, last): Range) -> Vec<String> {
        if last - first < MOST_NEIGHBOURS && (first..=last).all(|one| self.names.contains_key(&one))
        {
            return (first..=last).map(|address| self.one(address)).collect();
        }
        addresses(&Ranges::of(first, last))
    }

    fn one(&self, address: u32) -> String {
        let shown = Ipv4Addr::from(address);
        match self.names.get(&address) {
            Some(name) => format!("{name} ({shown})"),
            None => shown.to_string(),
        }
    }
}
