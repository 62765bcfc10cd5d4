//! Links of a lab over netlink: veth pairs from the router namespace to a task, a VPC or the
//! internet.
//!
//! Every far end looks the same: its addresses are /32, and everything is sent to a gateway that
//! exists only as a permanent neighbour entry with the router end's MAC. So no ARP request is ever
//! sent, and the router end has no address.

use super::{Netns, NetnsError};
use futures_util::TryStreamExt;
use ipnetwork::Ipv4Network;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage, Stats64};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use tokio::task::JoinHandle;

/// The gateway that every far end's default route points to.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The reason why a link could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel gives no netlink socket.
    #[error("opening a netlink socket in network namespace `{netns}`: {source}")]
    Socket {
        /// The namespace.
        netns: String,
        /// The kernel's error.
        source: std::io::Error,
    },
    /// The interface does not exist.
    #[error("there is no interface `{link}` in network namespace `{netns}`")]
    Missing {
        /// The namespace.
        netns: String,
        /// The interface.
        link: String,
    },
    /// The kernel refused.
    #[error("{what} `{link}` in network namespace `{netns}`: {}", said(source))]
    Kernel {
        /// The operation.
        what: &'static str,
        /// The namespace.
        netns: String,
        /// The interface.
        link: String,
        /// The kernel's error.
        source: Box<rtnetlink::Error>,
    },
}

fn said(error: &rtnetlink::Error) -> String {
    if let rtnetlink::Error::NetlinkError(message) = error {
        return message.to_io().to_string();
    }
    error.to_string()
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Makes the address of the router's end of a link: locally administered, the rest is the
    /// address that the link is for.
    #[must_use]
    pub const fn near(address: Ipv4Addr) -> Self {
        Self::of(0xe0, address)
    }

    /// Makes the address of the far end of a link.
    #[must_use]
    pub const fn far(address: Ipv4Addr) -> Self {
        Self::of(0xe1, address)
    }

    const fn of(end: u8, address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, end, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c, d, e, g]) = self;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A veth whose near end is in the router namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The interface index of the near end, in the router namespace.
    pub ifindex: u32,
    /// The near end's hardware address.
    pub near: Mac,
    /// The far end's hardware address.
    pub far: Mac,
}

/// The destination of packets that a device lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The link by which they leave.
    pub link: Link,
    /// The private address of a public endpoint, which becomes their destination: the endpoint's
    /// VPC's internet gateway maps it.
    pub private: Option<Ipv4Addr>,
}

impl From<Link> for Delivery {
    /// Delivers by a link, without a change.
    fn from(link: Link) -> Self {
        Self { link, private: None }
    }
}

/// Returns the name of the router's end of a task's link: short, and unique since the address is.
#[must_use]
pub fn task_link_name(address: Ipv4Addr) -> String {
    format!("t-{:08x}", address.to_bits())
}

/// One end of a veth pair to be made.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The interface's name, at most 15 bytes.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: Mac,
}

/// The links of one namespace. The socket was made inside the namespace; any thread may call.
#[derive(Debug)]
pub struct Links {
    netns: Netns,
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Links {
    /// Opens a netlink socket in a namespace. Must be called within a tokio runtime, which then
    /// serves the socket.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or the kernel gives no socket.
    pub fn open(netns: &Netns) -> Result<Self, LinkError> {
        let runtime = tokio::runtime::Handle::current();
        let opened = netns.run(|| {
            let _runtime = runtime.enter();
            new_connection()
        })?;
        let (connection, handle, _) = opened
            .map_err(|source| LinkError::Socket { netns: netns.name().to_owned(), source })?;
        Ok(Self { netns: netns.clone(), handle, connection: runtime.spawn(connection) })
    }

    /// Makes a veth pair, `near` here and `far` in another namespace, both up, with an MTU in
    /// bytes. `far` has no IPv6. Returns the index of `near`.
    ///
    /// # Errors
    ///
    /// A name is taken or too long, or the MTU is below 68 bytes.
    pub async fn veth(
        &self,
        near: End<'_>,
        far_links: &Self,
        far: End<'_>,
        mtu: u16,
    ) -> Result<u32, LinkError> {
        let peer = LinkUnspec::new_with_name(far.name)
            .address(far.mac.0.to_vec())
            .mtu(u32::from(mtu))
            .setns_by_fd(far_links.netns.as_fd().as_raw_fd())
            .build();
        let pair = LinkVeth::new(near.name, far.name)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .address(near.mac.0.to_vec())
            .mtu(u32::from(mtu))
            .build();
        let added = self.handle.link().add(pair).execute().await;
        added.map_err(self.kernel("making veth", near.name))?;
        // While it is down: once up, the kernel would solicit routers by itself (RFC 4861 6.3.7).
        far_links.netns.turn_ipv6_off(far.name)?;
        far_links.up(far.name).await?;
        self.up(near.name).await?;
        self.ifindex(near.name).await
    }

    /// Returns the index of an interface.
    ///
    /// # Errors
    ///
    /// No interface has that name.
    pub async fn ifindex(&self, link: &str) -> Result<u32, LinkError> {
        Ok(self.message(link).await?.header.index)
    }

    /// Returns the kernel's description of an interface.
    ///
    /// # Errors
    ///
    /// No interface has that name.
    pub(super) async fn message(&self, link: &str) -> Result<LinkMessage, LinkError> {
        let mut found = std::pin::pin!(self.handle.link().get().match_name(link).execute());
        match found.try_next().await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.missing(link)),
            Err(error) if is_no_device(&error) => Err(self.missing(link)),
            Err(error) => Err(self.kernel("looking for", link)(error)),
        }
    }

    /// Counts the packets that an interface was to send and dropped: a TUN's reader was too slow
    /// for them.
    ///
    /// # Errors
    ///
    /// No interface has that index.
    pub async fn transmit_drops(&self, ifindex: u32) -> Result<u64, LinkError> {
        let mut found = std::pin::pin!(self.handle.link().get().match_index(ifindex).execute());
        let message = match found.try_next().await {
            Ok(Some(message)) => message,
            Ok(None) => return Err(self.missing(&number(ifindex))),
            Err(error) => return Err(self.reading(ifindex)(error)),
        };
        Ok(statistics(&message).map_or(0, |stats| stats.tx_dropped))
    }

    /// Counts the packets that came to each interface, by its index, and were dropped before any
    /// program saw them: those larger than its MTU, and those that its queue had no room for.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn receive_drops(&self) -> Result<Vec<(u32, u64)>, LinkError> {
        let mut links = std::pin::pin!(self.handle.link().get().execute());
        let mut drops = Vec::new();
        while let Some(message) = links.try_next().await.map_err(self.kernel("reading", "all"))? {
            let dropped = statistics(&message).map(|stats| stats.rx_dropped);
            drops.extend(dropped.map(|dropped| (message.header.index, dropped)));
        }
        Ok(drops)
    }

    /// Brings an interface up.
    ///
    /// # Errors
    ///
    /// No interface has that name.
    pub async fn up(&self, link: &str) -> Result<(), LinkError> {
        self.set("bringing up", link, |message| message.up()).await
    }

    /// Takes an interface down.
    ///
    /// # Errors
    ///
    /// No interface has that name.
    pub async fn down(&self, link: &str) -> Result<(), LinkError> {
        self.set("taking down", link, |message| message.down()).await
    }

    /// Gives an interface an address as /32 or, of IPv6, as /128; it may have it already.
    ///
    /// # Errors
    ///
    /// No interface has that index, or IPv6 is off there.
    pub async fn add_address(
        &self,
        ifindex: u32,
        address: impl Into<IpAddr>,
    ) -> Result<(), LinkError> {
        let address = address.into();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let mut request = self.handle.address().add(ifindex, address, bits).replace();
        if address.is_ipv6() {
            // No other interface has it: without duplicate address detection (RFC 4862 5.4) it is
            // usable at once.
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        request.execute().await.map_err(self.kernel("adding an address to", &number(ifindex)))
    }

    /// Takes an address from an interface; one that it does not have is no error. With its last
    /// address an interface loses its routes and neighbours.
    ///
    /// # Errors
    ///
    /// No interface has that index.
    pub async fn remove_address(
        &self,
        ifindex: u32,
        address: impl Into<IpAddr>,
    ) -> Result<(), LinkError> {
        let what = "removing an address from";
        let addresses = self.handle.address();
        let mut found = addresses
            .get()
            .set_link_index_filter(ifindex)
            .set_address_filter(address.into())
            .execute();
        while let Some(message) =
            found.try_next().await.map_err(self.kernel(what, &number(ifindex)))?
        {
            let removed = self.handle.address().del(message).execute().await;
            removed.map_err(self.kernel(what, &number(ifindex)))?;
        }
        Ok(())
    }

    /// Sets the MTU of an interface, in bytes.
    ///
    /// # Errors
    ///
    /// No interface has that name, or the MTU is below 68 bytes.
    pub async fn set_mtu(&self, link: &str, mtu: u16) -> Result<(), LinkError> {
        self.set("setting the MTU of", link, |message| message.mtu(u32::from(mtu))).await
    }

    /// Sets the hardware address of an interface.
    ///
    /// # Errors
    ///
    /// No interface has that name.
    pub async fn set_mac(&self, link: &str, mac: Mac) -> Result<(), LinkError> {
        self.set("setting the hardware address of", link, |message| message.address(mac.0.to_vec()))
            .await
    }

    /// Sends everything to a gateway that is on the link, whatever its address. An existing default
    /// route is no error.
    ///
    /// # Errors
    ///
    /// The interface is down.
    pub async fn add_default_route(&self, ifindex: u32, via: Ipv4Addr) -> Result<(), LinkError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(ifindex)
            .gateway(via)
            .onlink()
            .build();
        match self.handle.route().add(route).execute().await {
            Err(error) if is_there(&error) => Ok(()),
            added => added.map_err(self.kernel("adding the default route to", &number(ifindex))),
        }
    }

    /// Sends all IPv6 to a gateway that is on the link, whatever its address, from a source that
    /// any interface has. An existing route of this kind is no error.
    ///
    /// # Errors
    ///
    /// The interface is down or has no IPv6, or none has the source.
    pub async fn add_ipv6_default_route(
        &self,
        ifindex: u32,
        via: Ipv6Addr,
        source: Ipv6Addr,
    ) -> Result<(), LinkError> {
        let route = RouteMessageBuilder::<Ipv6Addr>::new()
            .output_interface(ifindex)
            .gateway(via)
            .pref_source(source)
            .onlink()
            .build();
        match self.handle.route().add(route).execute().await {
            Err(error) if is_there(&error) => Ok(()),
            added => {
                added.map_err(self.kernel("adding the IPv6 default route to", &number(ifindex)))
            }
        }
    }

    /// Sends a prefix out of an interface, to a destination that is on the link.
    ///
    /// # Errors
    ///
    /// The interface is down, or there is such a route already.
    pub async fn add_route(&self, ifindex: u32, to: Ipv4Network) -> Result<(), LinkError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to.network(), to.prefix())
            .output_interface(ifindex)
            .scope(RouteScope::Link)
            .build();
        let added = self.handle.route().add(route).execute().await;
        added.map_err(self.kernel("adding a route to", &number(ifindex)))
    }

    /// Adds a permanent neighbour entry: the hardware address of an on-link address.
    ///
    /// # Errors
    ///
    /// No interface has that index.
    pub async fn add_neighbour(
        &self,
        ifindex: u32,
        address: impl Into<IpAddr>,
        mac: Mac,
    ) -> Result<(), LinkError> {
        let neighbours = self.handle.neighbours();
        let request = neighbours.add(ifindex, address.into()).link_layer_address(&mac.0);
        let added = request.replace().execute().await;
        added.map_err(self.kernel("adding a neighbour to", &number(ifindex)))
    }

    /// Deletes an interface, and with a veth its peer.
    ///
    /// # Errors
    ///
    /// No interface has that name.
    pub async fn delete(&self, link: &str) -> Result<(), LinkError> {
        let ifindex = self.ifindex(link).await?;
        let deleted = self.handle.link().del(ifindex).execute().await;
        deleted.map_err(self.kernel("deleting", link))
    }

    async fn set(
        &self,
        what: &'static str,
        link: &str,
        change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<(), LinkError> {
        let message: LinkMessage = change(LinkUnspec::new_with_name(link)).build();
        match self.handle.link().set(message).execute().await {
            Err(error) if is_no_device(&error) => Err(self.missing(link)),
            outcome => outcome.map_err(self.kernel(what, link)),
        }
    }

    /// Returns the netlink socket.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Makes the error of a query about an interface.
    pub(super) fn reading(
        &self,
        ifindex: u32,
    ) -> impl FnOnce(rtnetlink::Error) -> LinkError + use<> {
        self.kernel("reading", &number(ifindex))
    }

    fn missing(&self, link: &str) -> LinkError {
        LinkError::Missing { netns: self.netns.name().to_owned(), link: link.to_owned() }
    }

    fn kernel(
        &self,
        what: &'static str,
        link: &str,
    ) -> impl FnOnce(rtnetlink::Error) -> LinkError + use<> {
        let (netns, link) = (self.netns.name().to_owned(), link.to_owned());
        move |source| LinkError::Kernel { what, netns, link, source: Box::new(source) }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// The far end of a link: an interface to be made in another namespace.
#[derive(Clone, Copy, Debug)]
pub struct Far<'a> {
    /// The namespace.
    pub netns: &'a Netns,
    /// The interface's name there.
    pub interface: &'a str,
}

/// Links a VPC (`vpc0` there), the internet (`net0` there) or an attached resource: it has all the
/// `addresses`, and sends the rest here. `id` distinguishes such links of one lab and is part of their hardware addresses.
///
/// # Errors
///
/// One of the names is taken.
pub async fn link_space(
    router: &Links,
    near: &str,
    far: Far<'_>,
    id: u32,
    addresses: &[Ipv4Addr],
    mtu: u16,
) -> Result<Link, LinkError> {
    let (far_links, link) = veth_to(router, near, far, Ipv4Addr::from_bits(id), mtu).await?;
    readdress(&far_links, far.interface, link, addresses, &[]).await?;
    Ok(link)
}

/// Finds the link that [`link_space`] made for the earlier process.
///
/// # Errors
///
/// The link does not exist.
pub async fn find_space(router: &Links, near: &str, id: u32) -> Result<Link, LinkError> {
    find(router, near, Ipv4Addr::from_bits(id)).await
}

/// Finds a link that an earlier process made.
pub(super) async fn find(
    router: &Links,
    near: &str,
    named_after: Ipv4Addr,
) -> Result<Link, LinkError> {
    let ifindex = router.ifindex(near).await?;
    Ok(Link { ifindex, near: Mac::near(named_after), far: Mac::far(named_after) })
}

/// Makes a veth whose hardware addresses are made from an address, and opens the far end's
/// namespace.
pub(super) async fn veth_to(
    router: &Links,
    near: &str,
    far: Far<'_>,
    named_after: Ipv4Addr,
    mtu: u16,
) -> Result<(Links, Link), LinkError> {
    let far_links = Links::open(far.netns)?;
    let near_end = End { name: near, mac: Mac::near(named_after) };
    let far_end = End { name: far.interface, mac: Mac::far(named_after) };
    let ifindex = router.veth(near_end, &far_links, far_end, mtu).await?;
    Ok((far_links, Link { ifindex, near: near_end.mac, far: far_end.mac }))
}

/// Gives the far end of a link addresses, and takes others from it. Its routes to this end exist
/// again afterwards, even if it had no address in between.
///
/// # Errors
///
/// No interface `far` exists.
pub async fn readdress(
    far_links: &Links,
    far: &str,
    link: Link,
    more: &[Ipv4Addr],
    less: &[Ipv4Addr],
) -> Result<(), LinkError> {
    let far_index = far_links.ifindex(far).await?;
    for &address in less {
        far_links.remove_address(far_index, address).await?;
    }
    for &address in more {
        far_links.add_address(far_index, address).await?;
    }
    far_links.add_neighbour(far_index, GATEWAY, link.near).await?;
    far_links.add_default_route(far_index, GATEWAY).await
}

fn statistics(message: &LinkMessage) -> Option<&Stats64> {
    message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::Stats64(stats) = attribute { Some(stats) } else { None }
    })
}

fn is_no_device(error: &rtnetlink::Error) -> bool {
    use nix::libc::ENODEV;
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == -ENODEV)
}

fn is_there(error: &rtnetlink::Error) -> bool {
    use nix::libc::EEXIST;
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == -EEXIST)
}

fn number(ifindex: u32) -> String {
    format!("interface {ifindex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_tell_tasks_apart() {
        let last = task_link_name(Ipv4Addr::new(100, 127, 255, 255));
        assert_eq!(last, "t-647fffff");
        assert_ne!(last, task_link_name(Ipv4Addr::new(100, 127, 255, 254)));
    }

    #[test]
    fn the_two_ends_have_local_unicast_addresses_of_their_own() {
        let address = Ipv4Addr::new(100, 64, 0, 5);
        assert_eq!(Mac::near(address).to_string(), "02:e0:64:40:00:05");
        assert_eq!(Mac::far(address).to_string(), "02:e1:64:40:00:05");
    }
}
