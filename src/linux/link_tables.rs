//! What the maps of the tc programs say about links: the flow cache looks up here where a flow leaves.

use super::Link;
use crate::pipeline::Forward;
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

/// Mirrors what the maps of the tc programs say about links.
#[derive(Debug, Default)]
pub(super) struct LinkTables {
    pub(super) tasks: HashMap<Ipv4Addr, Link>,
    pub(super) spaces: HashMap<u32, u32>,
    pub(super) owners: HashMap<(u32, Ipv4Addr), u32>,
    pub(super) deliveries: HashMap<u32, BTreeMap<Ipv4Network, Option<Link>>>,
}

impl LinkTables {
    /// The link of a task, and the one by which what it sends leaves: found as `tun_ingress` finds it.
    pub(super) fn links(&self, task: Ipv4Addr, egress: &Forward) -> Option<(Link, Link)> {
        let own = *self.tasks.get(&task)?;
        let (space, address) = egress.read_at?;
        let tun = self.owners.get(&(u32::from(space.0), address))?;
        let destination = egress.rewrite.dst;
        if self.tasks.contains_key(&destination) {
            return None;
        }
        let out = self.longest(*tun, destination)?;
        let space = *self.spaces.get(&out.ifindex)?;
        // As `refusal`: out of a namespace egret speaks only by its own addresses.
        self.owners.contains_key(&(space, egress.rewrite.src)).then_some((own, out))
    }

    fn longest(&self, tun: u32, destination: Ipv4Addr) -> Option<Link> {
        let prefixes = self.deliveries.get(&tun)?;
        let holds = |length: u8| {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let network = Ipv4Addr::from_bits(destination.to_bits() & mask);
            prefixes.get(&Ipv4Network::new_checked(network, length)?)
        };
        *(0..=32).rev().find_map(holds)?
    }
}
