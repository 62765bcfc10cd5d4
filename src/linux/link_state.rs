//! Reads the present state of an interface and its routes over netlink, whatever program made it.

use super::link::{LinkError, Links, Mac};
use futures_util::TryStreamExt;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use std::net::{IpAddr, Ipv4Addr};

/// The present state of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkState {
    pub(super) ifindex: u32,
    pub(super) is_up: bool,
    /// The hardware address, if the interface has one.
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
    /// The index of a veth's other end.
    pub(super) peer: Option<u32>,
}

impl Links {
    /// Returns the state of an interface; `None` if no interface has that name.
    pub(super) async fn state(&self, link: &str) -> Result<Option<LinkState>, LinkError> {
        match self.message(link).await {
            Ok(message) => Ok(Some(LinkState::of(&message))),
            Err(LinkError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether an interface has an address.
    pub(super) async fn has_address(
        &self,
        ifindex: u32,
        address: Ipv4Addr,
    ) -> Result<bool, LinkError> {
        let addresses = self.handle().address().get().set_link_index_filter(ifindex);
        let addresses = addresses.set_address_filter(IpAddr::V4(address)).execute();
        let found = std::pin::pin!(addresses).try_next().await;
        Ok(found.map_err(self.reading(ifindex))?.is_some())
    }

    /// Returns whether an on-link address has this hardware address.
    pub(super) async fn has_neighbour(
        &self,
        ifindex: u32,
        address: Ipv4Addr,
        mac: Mac,
    ) -> Result<bool, LinkError> {
        let neighbours = self.handle().neighbours().get().set_address_family(AddressFamily::Inet);
        let mut neighbours = std::pin::pin!(neighbours.execute());
        while let Some(message) = neighbours.try_next().await.map_err(self.reading(ifindex))? {
            if message.header.ifindex == ifindex && is_neighbour(&message, address, mac) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether an interface has that name.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn exists(&self, link: &str) -> Result<bool, LinkError> {
        Ok(self.state(link).await?.is_some())
    }

    /// Returns whether an interface of that name has that hardware address.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn has_mac(&self, link: &str, mac: Mac) -> Result<bool, LinkError> {
        Ok(self.state(link).await?.is_some_and(|state| state.mac == Some(mac)))
    }

    /// Returns whether the namespace has a default route of IPv4.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn leads_everything(&self) -> Result<bool, LinkError> {
        self.has_route(0, |route| route.header.destination_prefix_length == 0).await
    }

    /// Returns whether everything is sent to a gateway by an interface, except what a longer prefix
    /// matches.
    pub(super) async fn has_default_route(
        &self,
        ifindex: u32,
        via: Ipv4Addr,
    ) -> Result<bool, LinkError> {
        self.has_route(ifindex, |route| is_default_route(route, ifindex, via)).await
    }

    /// Returns whether the namespace has a route of IPv4 of this kind. `ifindex` is the interface
    /// that an error names.
    async fn has_route(
        &self,
        ifindex: u32,
        is_it: impl Fn(&RouteMessage) -> bool,
    ) -> Result<bool, LinkError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut routes = std::pin::pin!(self.handle().route().get(all).execute());
        while let Some(message) = routes.try_next().await.map_err(self.reading(ifindex))? {
            if is_it(&message) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl LinkState {
    fn of(message: &LinkMessage) -> Self {
        let mut state = Self {
            ifindex: message.header.index,
            is_up: message.header.flags.contains(LinkFlags::Up),
            mac: None,
            mtu: 0,
            peer: None,
        };
        for attribute in &message.attributes {
            if let LinkAttribute::Address(bytes) = attribute {
                state.mac = bytes.as_slice().try_into().ok().map(Mac);
            } else if let LinkAttribute::Mtu(mtu) = attribute {
                state.mtu = *mtu;
            } else if let LinkAttribute::Link(peer) = attribute {
                state.peer = Some(*peer);
            }
        }
        state
    }
}

fn is_neighbour(message: &NeighbourMessage, address: Ipv4Addr, mac: Mac) -> bool {
    let destination = NeighbourAttribute::Destination(NeighbourAddress::Inet(address));
    let own = NeighbourAttribute::LinkLayerAddress(mac.0.to_vec());
    message.attributes.contains(&destination) && message.attributes.contains(&own)
}

fn is_default_route(message: &RouteMessage, ifindex: u32, via: Ipv4Addr) -> bool {
    let gateway = RouteAttribute::Gateway(RouteAddress::Inet(via));
    message.header.destination_prefix_length == 0
        && message.attributes.contains(&RouteAttribute::Oif(ifindex))
        && message.attributes.contains(&gateway)
}
