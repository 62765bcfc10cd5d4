//! The boundaries of destination addresses: between two neighbouring ones, neither the
//! configuration nor the walk's built-in blocks tell addresses apart.

use super::ranges::{Ranges, cut_around, sorted};
use crate::vpc::{Peer, Snapshot, exempt};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// Blocks that the walk itself knows: not unicast, link-local, private (RFC 1918), shared
/// (RFC 6598).
const BUILT_IN: [(Ipv4Addr, u8); 8] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// Returns the first and the last address of a block.
pub(super) fn block(network: Ipv4Network) -> (u32, u32) {
    (network.network().to_bits(), network.broadcast().to_bits())
}

/// Returns the public unicast addresses: all but those of the blocks that the walk itself knows.
/// The blocks for documentation are public here, because a lab's internet has its hosts there.
pub fn public_unicast() -> Ranges {
    let special =
        BUILT_IN.into_iter().filter_map(|(base, prefix)| Ipv4Network::new(base, prefix).ok());
    Ranges::of(0, u32::MAX).difference(&Ranges::new(special.map(block)))
}

/// Lists the addresses at which a cell of destinations may begin, ascending.
pub(super) fn destinations(snapshot: &Snapshot) -> Vec<u32> {
    let mut cuts = Vec::new();
    for block in blocks(snapshot) {
        cut_around(&mut cuts, block);
    }
    for address in addresses(snapshot) {
        cut_around(&mut cuts, (address.to_bits(), address.to_bits()));
    }
    sorted(cuts)
}

/// Lists the destinations at which a reply's routes may begin to differ, ascending.
pub(super) fn routes(snapshot: &Snapshot) -> Vec<u32> {
    let mut cuts = Vec::new();
    for network in snapshot.parts().route_tables.iter().flat_map(|table| table.prefixes()) {
        cut_around(&mut cuts, block(network));
    }
    sorted(cuts)
}

fn blocks(snapshot: &Snapshot) -> impl Iterator<Item = (u32, u32)> {
    let parts = snapshot.parts();
    let built_in =
        BUILT_IN.into_iter().filter_map(|(base, prefix)| Ipv4Network::new(base, prefix).ok());
    let rules =
        parts.security_groups.iter().flat_map(|group| group.egress.iter().chain(&group.ingress));
    let of_groups = rules.filter_map(|rule| match rule.peer {
        Peer::Cidr(network) => Some(network),
        Peer::SecurityGroup(_) | Peer::PrefixList(_) => None,
    });
    let of_acls = parts.network_acls.iter().flat_map(|acl| acl.egress.iter().chain(&acl.ingress));
    built_in
        .chain(parts.vpcs.iter().flat_map(|vpc| vpc.cidrs.iter().copied()))
        .chain(parts.subnets.iter().map(|subnet| subnet.cidr))
        .chain(parts.route_tables.iter().flat_map(|table| table.prefixes()))
        .chain(parts.prefix_lists.iter().flat_map(|list| list.entries.iter().copied()))
        .chain(of_groups)
        .chain(of_acls.map(|rule| rule.cidr))
        .map(block)
}

fn addresses(snapshot: &Snapshot) -> impl Iterator<Item = Ipv4Addr> {
    let parts = snapshot.parts();
    let gateways = parts.nat_gateways.iter().flat_map(|gateway| &gateway.addresses);
    let routers =
        parts.subnets.iter().map(|subnet| subnet.cidr.network().to_bits().wrapping_add(1));
    exempt::LINK_LOCAL
        .into_iter()
        .chain(parts.vpcs.iter().filter_map(|vpc| vpc.resolver()))
        .chain(routers.map(Ipv4Addr::from))
        .chain(
            parts
                .enis
                .iter()
                .flat_map(|eni| std::iter::once(eni.address).chain(eni.public_address())),
        )
        .chain(gateways.flat_map(|own| std::iter::once(own.private).chain(own.public)))
        .chain(parts.resources.iter().map(|resource| resource.address))
        .chain(parts.resources.iter().filter_map(|resource| resource.public_address))
        .chain(parts.internet_hosts.iter().map(|host| host.address))
        .chain(parts.apprunner_address)
        .chain(snapshot.tasks().map(|task| task.address))
}
