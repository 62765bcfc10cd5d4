//! Lists what tc needs to deliver a device's packets and their replies: the link to each
//! destination, and the device's own addresses.
//!
//! An ENI belongs to one subnet, and a NAT gateway to one, so the links of a device follow from
//! that subnet's route table, and from those of the middleboxes and of the NAT gateway after it
//! ([`path::link`]).

use super::Device;
use crate::vpc::exempt;
use crate::vpc::path::{self, Link};
use crate::vpc::{NatAddress, Snapshot, Space, everywhere};
use ipnetwork::Ipv4Network;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Lists the links of a device by destination, each prefix once, sorted: the longest prefix that
/// contains a destination wins. Tasks are not among them, and a destination that no prefix contains
/// leads nowhere.
pub fn deliveries(snapshot: &Snapshot, device: Device) -> Vec<(Ipv4Network, Link)> {
    let subnet = match device {
        Device::Eni(ix) => snapshot.eni(ix).subnet,
        Device::NatGateway(ix) => snapshot.nat_gateway(ix).subnet,
        Device::AppRunner => {
            let internet = std::iter::once((everywhere(), Link::Internet));
            return internet.chain(public_endpoints(snapshot)).chain(services(None)).collect();
        }
    };
    let on_internet = |(address, _): &(Ipv4Network, Link)| {
        path::link(snapshot, subnet, *address) == Some(Link::Internet)
    };
    let public = public_endpoints(snapshot).filter(on_internet);
    let routed = path::prefixes(snapshot, subnet)
        .into_iter()
        .filter_map(|prefix| Some((prefix, path::link(snapshot, subnet, prefix)?)));
    let exempt = match device {
        Device::Eni(ix) => Some(services(Some(snapshot.eni(ix).resolver()))),
        Device::NatGateway(_) | Device::AppRunner => None,
    };
    // They win over a route to the same address (spec 4.3, 13).
    let all: BTreeMap<_, _> = routed.chain(public).chain(exempt.into_iter().flatten()).collect();
    all.into_iter().collect()
}

/// Lists the public addresses of resources, with the link by which each is reached over the
/// internet.
fn public_endpoints(snapshot: &Snapshot) -> impl Iterator<Item = (Ipv4Network, Link)> {
    let all = snapshot.public_endpoints();
    all.map(|(public, ix)| (Ipv4Network::from(public), Link::PublicEndpoint(ix)))
}

/// Lists the exempt addresses (spec 4.3) and the VPC's resolver, with the link of the service that
/// answers there.
fn services(resolver: Option<Ipv4Addr>) -> impl Iterator<Item = (Ipv4Network, Link)> {
    let addresses = exempt::LINK_LOCAL.into_iter().chain(resolver);
    addresses.map(|address| (Ipv4Network::from(address), Link::Services))
}

/// Lists the addresses for which a device receives packets, each with the address space of the link
/// by which they come. A private address is listed in its own VPC, from which gateway endpoints
/// also send, and in each VPC that is peered with it.
pub fn owned(snapshot: &Snapshot, device: Device) -> Vec<(Space, Ipv4Addr)> {
    let (subnet, addresses) = match device {
        Device::Eni(ix) => {
            let eni = snapshot.eni(ix);
            let own = NatAddress { private: eni.address, public: eni.public_address() };
            (eni.subnet, vec![own])
        }
        Device::NatGateway(ix) => {
            let nat = snapshot.nat_gateway(ix);
            (nat.subnet, nat.addresses.clone())
        }
        Device::AppRunner => {
            let address = snapshot.parts().apprunner_address;
            return address.map(|address| (Space::INTERNET, address)).into_iter().collect();
        }
    };
    let vpc = snapshot.subnet(subnet).vpc;
    let peers = snapshot.peers_of(vpc).map(|(_, peer)| peer);
    let spaces: Vec<_> = std::iter::once(vpc).chain(peers).map(|vpc| snapshot.space(vpc)).collect();
    let owned = |own: &NatAddress| {
        let private = own.private;
        let inside = spaces.iter().map(move |space| (*space, private));
        inside.chain(own.public.map(|public| (Space::INTERNET, public))).collect::<Vec<_>>()
    };
    addresses.iter().flat_map(owned).collect()
}
