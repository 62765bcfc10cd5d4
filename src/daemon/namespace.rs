//! The namespaces outside the router that tasks send to: a VPC, an attached resource, the internet,
//! a gateway endpoint's service.

use super::needs::{ListenNeeds, NamespaceId};
use crate::linux::link::Link;
use crate::linux::listen::{Endpoint, Listener};
use crate::linux::netns::Netns;
use crate::linux::{Steer, SteerError};
use crate::vpc::Space;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A namespace that exists on the box, with its veth and its listeners.
pub(super) struct Namespace {
    pub(super) netns: Netns,
    pub(super) near: String,
    pub(super) far: String,
    /// The id that a container engine gave what it attached.
    pub(super) container: Option<String>,
    pub(super) link: Link,
    pub(super) space: Space,
    /// The only source address of its packets; `None` if they may have any.
    pub(super) source: Option<Ipv4Addr>,
    pub(super) mtu: u16,
    pub(super) addresses: Vec<Ipv4Addr>,
    pub(super) listeners: BTreeMap<Endpoint, (ListenNeeds, Listener)>,
}

/// An attached namespace that a reload is about to link.
pub(super) struct Incoming {
    pub(super) netns: Netns,
    /// The name that its interface is to have.
    pub(super) interface: String,
    /// The id that a container engine gave what it attached.
    pub(super) container: Option<String>,
}

/// Assigns the packets of a link to an address space. Returns the index of the router's end.
pub(super) fn attach_origin(
    steer: &mut Steer,
    near: &str,
    space: Space,
    source: Option<Ipv4Addr>,
) -> Result<u32, SteerError> {
    let space = u32::from(space.0);
    match source {
        Some(address) => steer.attach_resource(near, space, address),
        None => steer.attach_space(near, space),
    }
}

/// Returns the name of a namespace's own end of its veth; `None` for the services, which make
/// theirs themselves, and for an attached resource, where the user chooses it.
pub(super) fn far_of(id: &NamespaceId) -> Option<&'static str> {
    match id {
        NamespaceId::Internet => Some("net0"),
        NamespaceId::Vpc(_) => Some("vpc0"),
        NamespaceId::GatewayEndpoint(_) => Some("vpce0"),
        NamespaceId::Services | NamespaceId::Resource(_) => None,
    }
}
