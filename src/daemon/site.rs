//! A place of the lab outside the router: a VPC, the internet, a gateway endpoint's service.

use super::needs::SiteId;
use crate::linux::link::Link;
use crate::linux::listen::{EchoHandle, Endpoint};
use crate::linux::netns::Netns;
use crate::vpc::Space;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A namespace with its veth, as it stands on the box.
pub(super) struct Site {
    pub(super) netns: Netns,
    pub(super) near: String,
    pub(super) far: &'static str,
    pub(super) link: Link,
    pub(super) space: Space,
    pub(super) mtu: u16,
    pub(super) addresses: Vec<Ipv4Addr>,
    pub(super) listeners: BTreeMap<Endpoint, EchoHandle>,
}

/// What the link of a place is called there; the services see to theirs themselves.
pub(super) fn far_of(id: &SiteId) -> Option<&'static str> {
    match id {
        SiteId::Internet => Some("net0"),
        SiteId::Vpc(_) => Some("vpc0"),
        SiteId::GatewayEndpoint(_) => Some("vpce0"),
        SiteId::Services => None,
    }
}
