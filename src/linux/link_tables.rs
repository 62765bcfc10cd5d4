//! A mirror of the links in the maps of the tc programs: the flow cache looks up here where a flow
//! leaves.

use super::{Delivery, Link};
use crate::pipeline::Forward;
use crate::vpc::Space;
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

/// A mirror of the links in the maps of the tc programs.
#[derive(Debug, Default)]
pub(super) struct LinkTables {
    pub(super) tasks: HashMap<Ipv4Addr, Link>,
    pub(super) spaces: HashMap<u32, u32>,
    pub(super) owners: HashMap<(u32, Ipv4Addr), u32>,
    pub(super) deliveries: HashMap<u32, BTreeMap<Ipv4Network, Option<Delivery>>>,
}

impl LinkTables {
    /// Finds the link of a task, and the delivery of the packets that it sends, as `tun_ingress`
    /// finds them.
    pub(super) fn links(&self, task: Ipv4Addr, egress: &Forward) -> Option<(Link, Delivery)> {
        let own = *self.tasks.get(&task)?;
        let (space, address) = egress.read_at?;
        let tun = self.owners.get(&(u32::from(space.0), address))?;
        let destination = egress.rewrite.dst;
        if self.tasks.contains_key(&destination) {
            return None;
        }
        let out = self.longest(*tun, destination)?;
        let space = *self.spaces.get(&out.link.ifindex)?;
        // As `refusal` does: packets enter a namespace only from addresses that egret owns there.
        let space = out.private.map_or(space, |_| u32::from(Space::INTERNET.0));
        self.owners.contains_key(&(space, egress.rewrite.src)).then_some((own, out))
    }

    fn longest(&self, tun: u32, destination: Ipv4Addr) -> Option<Delivery> {
        let prefixes = self.deliveries.get(&tun)?;
        let holds = |length: u8| {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let network = Ipv4Addr::from_bits(destination.to_bits() & mask);
            prefixes.get(&Ipv4Network::new_checked(network, length)?)
        };
        *(0..=32).rev().find_map(holds)?
    }
}
