//! Links by destination: the link by which a device's packets leave, for whole networks. It follows
//! the chains of a packet's path.

use super::chains::{Chains, Exit};
use super::hop::Link;
use crate::vpc::{Snapshot, SubnetIx};
use ipnetwork::Ipv4Network;

/// Returns the link by which packets from a subnet leave to the addresses of a network, except
/// those in a longer prefix of [`prefixes`](super::prefixes). Returns `None` if the tables lead
/// nowhere.
pub fn link(snapshot: &Snapshot, from: SubnetIx, to: Ipv4Network) -> Option<Link> {
    match Chains::of(snapshot, from, to).exit(snapshot) {
        Exit::To(link) => Some(link),
        // Some of the network may be the peer's.
        Exit::Peer(_, peer) => peer.map(Link::Vpc),
        Exit::Nowhere(_) => None,
    }
}
