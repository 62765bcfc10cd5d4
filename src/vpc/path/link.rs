//! By which link a device's packets leave, by destination: the same chains as a packet's path, for whole networks.

use super::chains::{Chains, Exit};
use super::hop::Link;
use crate::vpc::{Snapshot, SubnetIx};
use ipnetwork::Ipv4Network;

/// Finds the link by which packets from a subnet leave to all addresses of a network that no longer prefix of
/// [`prefixes`](super::prefixes) holds; `None` where the tables lead nowhere.
pub fn link(snapshot: &Snapshot, from: SubnetIx, to: Ipv4Network) -> Option<Link> {
    match Chains::of(snapshot, from, to).exit(snapshot) {
        Exit::To(link) => Some(link),
        // Some of the network may be the peer's.
        Exit::Peer(_, peer) => peer.map(Link::Vpc),
        Exit::Nowhere(_) => None,
    }
}
