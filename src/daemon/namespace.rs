//! The namespaces outside the router that tasks send to: a VPC, the internet, a gateway endpoint's
//! service.

use super::needs::{ListenNeeds, NamespaceId};
use crate::linux::link::Link;
use crate::linux::listen::{Endpoint, Listener};
use crate::linux::netns::Netns;
use crate::vpc::Space;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A namespace that exists on the box, with its veth and its listeners.
pub(super) struct Namespace {
    pub(super) netns: Netns,
    pub(super) near: String,
    pub(super) far: &'static str,
    pub(super) link: Link,
    pub(super) space: Space,
    pub(super) mtu: u16,
    pub(super) addresses: Vec<Ipv4Addr>,
    pub(super) listeners: BTreeMap<Endpoint, (ListenNeeds, Listener)>,
}

/// Returns the name of a namespace's own end of its veth; `None` for the services, which make
/// theirs themselves.
pub(super) fn far_of(id: &NamespaceId) -> Option<&'static str> {
    match id {
        NamespaceId::Internet => Some("net0"),
        NamespaceId::Vpc(_) => Some("vpc0"),
        NamespaceId::GatewayEndpoint(_) => Some("vpce0"),
        NamespaceId::Services => None,
    }
}
