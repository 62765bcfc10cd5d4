//! The source addresses that the destination of a class sees.

use crate::pipeline::reach::{Class, Ranges};
use crate::vpc::Snapshot;
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// Returns the source addresses of a class that passes, as they arrive. `pool` has the tasks' own
/// addresses.
pub(super) fn seen(class: &Class, pool: Ipv4Network, snapshot: &Snapshot) -> Ranges {
    let Some(outside) = class.sample.outside else { return Ranges::default() };
    let shown = outside.src();
    let inside = class.sample.inside.src();
    let of_gateways = of_gateways(class, shown, snapshot);
    let of_enis = of_enis(class, shown, snapshot);
    match of_gateways.or(of_enis) {
        Some(addresses) => addresses,
        None if shown == inside => one_block(pool),
        None => Ranges::one(shown.to_bits()),
    }
}

/// Returns the addresses of the NAT gateways on the path: public or private, like the source
/// address of the arriving sample.
fn of_gateways(class: &Class, shown: Ipv4Addr, snapshot: &Snapshot) -> Option<Ranges> {
    let public = class.gateway_addresses.iter().filter_map(|address| {
        let gateway = snapshot.nat_gateway(address.gateway);
        gateway.addresses.get(address.position)?.public
    });
    let private = class.gateway_addresses.iter().flat_map(|address| address.private.iter());
    let (public, private) = (each(public), Ranges::new(private));
    [public, private].into_iter().find(|addresses| addresses.contains(shown.to_bits()))
}

/// Returns the addresses of the ENIs: public or private, like the source address of the arriving
/// sample.
fn of_enis(class: &Class, shown: Ipv4Addr, snapshot: &Snapshot) -> Option<Ranges> {
    let private = class.eni_addresses.iter().flat_map(|(_, addresses)| addresses.iter());
    let enis = class.eni_addresses.iter().map(|(ix, _)| snapshot.eni(*ix));
    let public = each(enis.filter_map(|eni| eni.task?.public_address));
    [Ranges::new(private), public].into_iter().find(|all| all.contains(shown.to_bits()))
}

fn each(addresses: impl Iterator<Item = Ipv4Addr>) -> Ranges {
    Ranges::new(addresses.map(|address| (address.to_bits(), address.to_bits())))
}

fn one_block(block: Ipv4Network) -> Ranges {
    Ranges::of(block.network().to_bits(), block.broadcast().to_bits())
}

/// Returns the addresses of several blocks.
pub(super) fn of_blocks(blocks: &[Ipv4Network]) -> Ranges {
    let ends = |block: &Ipv4Network| (block.network().to_bits(), block.broadcast().to_bits());
    Ranges::new(blocks.iter().map(ends))
}
