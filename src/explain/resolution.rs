//! Resolves a destination in a lab: its addresses, its ports, and notes about its name.

use super::destination::{Destination, DestinationSpec, INTERNET, WantedPorts};
use super::destination_names::{Meaning, Named, Unresolved, read_name};
use super::target::TargetError;
use crate::packet::Protocol;
use crate::pipeline::reach::{PortRange, Ports, Ranges, public_unicast};
use crate::vpc::{Listen, Snapshot, VpcIx};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// The meaning of a destination in a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// Addresses and ports.
    Found(Found),
    /// A name without an address.
    NotResolved {
        name: String,
        /// The reason why it has none.
        why: Unresolved,
        /// The addresses that the lab knows by this name.
        by_lab: Option<Found>,
    },
}

/// Destination addresses and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) destinations: Ranges,
    /// Set if each address counts, even one that no interface has: a name leads to all of its
    /// addresses.
    pub(super) each: bool,
    pub(super) ports: Ports,
    pub(super) notes: Vec<String>,
}

impl Found {
    /// Makes a destination without any address.
    pub(super) fn nothing() -> Self {
        let (destinations, ports) = (Ranges::default(), Ports::new([]));
        Self { destinations, each: false, ports, notes: Vec::new() }
    }
}

/// Looks up a destination as a task in a VPC does, or as one outside all VPCs.
pub(super) fn resolve(
    destination: &Destination,
    vpc: Option<VpcIx>,
    snapshot: &Snapshot,
) -> Result<Resolution, TargetError> {
    let Destination { place, ports } = destination;
    match place {
        DestinationSpec::Block(block) => {
            let destinations = of_blocks([*block]);
            Ok(many(destinations, ports, &block.to_string(), Vec::new())?)
        }
        DestinationSpec::Internet if !is_a_name(INTERNET, snapshot) => {
            many(internet(snapshot), ports, INTERNET, Vec::new())
        }
        DestinationSpec::Internet => named(read_name(INTERNET, vpc, snapshot)?, INTERNET, ports),
        DestinationSpec::Named(word) => named(read_name(word, vpc, snapshot)?, word, ports),
    }
}

fn named(named: Named, word: &str, ports: &WantedPorts) -> Result<Resolution, TargetError> {
    let found = |meaning: &Meaning, notes: Vec<String>| -> Result<Found, TargetError> {
        let ports = one(ports, &meaning.listen, word)?;
        let addresses = meaning.addresses.iter().map(|address| address.to_bits());
        let destinations = Ranges::new(addresses.map(|address| (address, address)));
        Ok(Found { destinations, each: true, ports, notes })
    };
    match named {
        Named::Address(meaning) | Named::Dns { meaning, .. } => {
            Ok(Resolution::Found(found(&meaning, Vec::new())?))
        }
        Named::Label { meaning, note, .. } => {
            let notes = note.into_iter().chain(keyword_note(word)).collect();
            Ok(Resolution::Found(found(&meaning, notes)?))
        }
        Named::GatewayEndpoint { networks, meaning, .. } => {
            let ports = match ports {
                WantedPorts::Listening(_) if !meaning.listen.is_empty() => {
                    WantedPorts::These(one(ports, &meaning.listen, word)?)
                }
                WantedPorts::Listening(_) | WantedPorts::These(_) => ports.clone(),
            };
            let note = format!("{word} serves the addresses of its prefix list");
            many(of_blocks(networks), &ports, word, vec![note])
        }
        Named::NotResolved { name, why, by_lab } => {
            // Without a port there is no answer by address, and the name does not resolve in either
            // case.
            let by_lab = by_lab.and_then(|meaning| found(&meaning, Vec::new()).ok());
            Ok(Resolution::NotResolved { name, why, by_lab })
        }
    }
}

/// Returns a note that a name hides the keyword.
fn keyword_note(word: &str) -> Option<String> {
    let note = || {
        "`internet` is a name in this lab; 0.0.0.0/0 asks about all addresses, public ones too"
            .to_owned()
    };
    (word == INTERNET).then(note)
}

fn is_a_name(word: &str, snapshot: &Snapshot) -> bool {
    let parts = snapshot.parts();
    let resources = parts.resources.iter().map(|resource| &resource.name);
    resources.chain(parts.internet_hosts.iter().map(|host| &host.name)).any(|name| name == word)
}

/// Returns the public addresses that neither a VPC of the lab has, nor a NAT gateway, a task or a
/// resource: packets to the lab's own public addresses stay in it.
pub(super) fn internet(snapshot: &Snapshot) -> Ranges {
    let parts = snapshot.parts();
    let vpcs = parts.vpcs.iter().flat_map(|vpc| vpc.cidrs.iter().copied());
    let gateways = parts.nat_gateways.iter().flat_map(|gateway| &gateway.addresses);
    let gateways = gateways.filter_map(|address| address.public);
    let tasks = parts.enis.iter().filter_map(|eni| eni.task?.public_address);
    let endpoints = snapshot.public_endpoints().map(|(public, _)| public);
    let others = tasks.chain(endpoints).chain(parts.apprunner_address);
    let own = gateways.chain(others).map(Ipv4Network::from);
    public_unicast().difference(&of_blocks(vpcs.chain(own)))
}

/// Returns the destinations of packets that cross the internet: the internet's own addresses, and
/// those of public endpoints.
pub(super) fn beyond_internet_gateways(snapshot: &Snapshot) -> Ranges {
    internet(snapshot).union(&public_endpoints(snapshot))
}

/// Returns the public addresses of resources.
pub(super) fn public_endpoints(snapshot: &Snapshot) -> Ranges {
    one_by_one(snapshot.public_endpoints().map(|(public, _)| public))
}

/// Returns the addresses of the hosts of the internet.
pub(super) fn internet_hosts(snapshot: &Snapshot) -> Ranges {
    one_by_one(snapshot.parts().internet_hosts.iter().map(|host| host.address))
}

/// Returns the public addresses among these that neither a VPC nor a host of the lab has.
pub(super) fn without_host(addresses: &Ranges, snapshot: &Snapshot) -> Ranges {
    let hosts = internet_hosts(snapshot).union(&public_endpoints(snapshot));
    let blocks = snapshot.parts().vpcs.iter().flat_map(|vpc| vpc.cidrs.iter().copied());
    addresses.intersection(&public_unicast()).difference(&hosts.union(&of_blocks(blocks)))
}

fn one_by_one(addresses: impl Iterator<Item = Ipv4Addr>) -> Ranges {
    Ranges::new(addresses.map(|address| (address.to_bits(), address.to_bits())))
}

pub(super) fn of_blocks(blocks: impl IntoIterator<Item = Ipv4Network>) -> Ranges {
    let ends = |block: Ipv4Network| (block.network().to_bits(), block.broadcast().to_bits());
    Ranges::new(blocks.into_iter().map(ends))
}

/// Returns the ports for many addresses, which must be given.
fn many(
    destinations: Ranges,
    ports: &WantedPorts,
    word: &str,
    notes: Vec<String>,
) -> Result<Resolution, TargetError> {
    match ports {
        WantedPorts::Listening(_) => Err(TargetError::PortsOf(word.to_owned())),
        WantedPorts::These(ports) => {
            let ports = ports.clone();
            Ok(Resolution::Found(Found { destinations, each: false, ports, notes }))
        }
    }
}

/// Returns the ports for one object, or those on which it listens.
fn one(ports: &WantedPorts, listen: &[Listen], word: &str) -> Result<Ports, TargetError> {
    let wanted = match ports {
        WantedPorts::These(ports) => return Ok(ports.clone()),
        WantedPorts::Listening(wanted) => *wanted,
    };
    let is_wanted = |listen: &&Listen| wanted.is_none_or(|wanted| listen.protocol() == wanted);
    let port = |listen: &Listen| PortRange::Of(listen.protocol(), listen.port, listen.port);
    let found: Vec<PortRange> = listen.iter().filter(is_wanted).map(port).collect();
    if found.is_empty() {
        let (protocol, suffix) = match wanted {
            Some(Protocol::Tcp) => ("tcp ", ""),
            Some(Protocol::Udp) => ("udp ", "/udp"),
            Some(Protocol::Icmp | Protocol::Other(_)) | None => ("", ""),
        };
        return Err(TargetError::NoPort { name: word.to_owned(), protocol, suffix });
    }
    Ok(Ports::new(found))
}
