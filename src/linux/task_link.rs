//! The link of a task, and its present state: programs in the task's namespace are root there, and
//! may change or delete its interface.

use super::link::{
    Far, GATEWAY, Link, LinkError, Links, Mac, find, readdress, task_link_name, veth_to,
};
use super::link_state::LinkState;
use super::{Netns, NetnsError, ipv6};
use std::fmt;
use std::net::Ipv4Addr;

/// Links a task: `interface` with its address there, an interface with a short name here. The task
/// has no route until [`lead_to_router`].
///
/// # Errors
///
/// The address is linked already, or the namespace has an interface of that name.
pub async fn link_task(
    router: &Links,
    far: Far<'_>,
    address: Ipv4Addr,
    mtu: u16,
) -> Result<Link, LinkError> {
    let near = task_link_name(address);
    let (far_links, link) = veth_to(router, &near, far, address, mtu).await?;
    let far_index = far_links.ifindex(far.interface).await?;
    far_links.add_address(far_index, address).await?;
    Ok(link)
}

/// Finds the link that [`link_task`] made for the earlier process.
///
/// # Errors
///
/// The link does not exist.
pub async fn find_task(router: &Links, address: Ipv4Addr) -> Result<Link, LinkError> {
    find(router, &task_link_name(address), address).await
}

/// Leads everything that a task sends to the router's end of its link: IPv4, and IPv6 if the kernel
/// takes it. If not, the IPv6 packets that still arrive are counted at the link.
///
/// # Errors
///
/// The interface is missing or down.
pub async fn lead_to_router(far: Far<'_>, link: Link, address: Ipv4Addr) -> Result<(), LinkError> {
    let Far { netns, interface } = far;
    readdress(&Links::open(netns)?, interface, link, &[address], &[]).await?;
    let _ = ipv6::lead_to_router(netns, interface, address, link.near).await;
    Ok(())
}

/// A link of a task, as the lab made it.
#[derive(Clone, Debug)]
pub struct TaskLink {
    /// The task's namespace.
    pub namespace: String,
    /// The task's interface there.
    pub interface: String,
    /// The task's address.
    pub address: Ipv4Addr,
    /// The link.
    pub link: Link,
    /// The MTU of both ends, in bytes.
    pub mtu: u16,
}

/// A difference between a task's link and what the lab made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// The namespace no longer has its name.
    NoNamespace(String),
    /// The interface does not exist.
    Missing(String),
    /// Another interface has its name.
    Foreign(String),
    /// An end is down.
    Down(String),
    /// An end has another MTU.
    Mtu {
        /// The end's name.
        link: String,
        /// The end's MTU.
        found: u32,
        /// The MTU that the lab gave it.
        own: u16,
    },
    /// The interface has another hardware address.
    HardwareAddress {
        /// The interface.
        link: String,
        /// The hardware address that it has.
        found: Option<Mac>,
        /// The hardware address that the lab gave it.
        own: Mac,
    },
    /// The interface has lost the task's address.
    NoAddress {
        /// The interface.
        link: String,
        /// The task's address.
        address: Ipv4Addr,
    },
    /// The gateway's hardware address is missing or another one.
    NoNeighbour,
    /// The default route is missing.
    NoRoute,
}

/// The repair that a fault needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Settings.
    Settings,
    /// A new link in the same namespace.
    NewLink,
    /// The user must remove an interface first.
    Blocked,
    /// A new task.
    NewTask,
}

impl LinkFault {
    /// Returns the repair that this fault needs.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::NoNamespace(_) => Remedy::NewTask,
            Self::Foreign(_) => Remedy::Blocked,
            Self::Missing(_) => Remedy::NewLink,
            Self::Down(_)
            | Self::Mtu { .. }
            | Self::HardwareAddress { .. }
            | Self::NoAddress { .. }
            | Self::NoNeighbour
            | Self::NoRoute => Remedy::Settings,
        }
    }
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNamespace(name) => write!(f, "its namespace {name} was removed"),
            Self::Missing(link) => write!(f, "there is no {link}"),
            Self::Foreign(link) => write!(f, "{link} is not the interface that the lab made"),
            Self::Down(link) => write!(f, "{link} is down"),
            Self::Mtu { link, found, own } => write!(f, "{link} has MTU {found}, not {own}"),
            Self::HardwareAddress { link, found: Some(found), own } => {
                write!(f, "{link} has hardware address {found}, not {own}")
            }
            Self::HardwareAddress { link, found: None, own } => {
                write!(f, "{link} has no hardware address {own}")
            }
            Self::NoAddress { link, address } => write!(f, "{link} has no address {address}"),
            Self::NoNeighbour => {
                write!(f, "no neighbour entry for {GATEWAY} with the router's hardware address")
            }
            Self::NoRoute => write!(f, "no default route via {GATEWAY}"),
        }
    }
}

impl TaskLink {
    /// Lists the differences from what the lab made. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn faults(&self, router: &Links) -> Result<Vec<LinkFault>, LinkError> {
        self.faults_to(router, &self.near_name()).await
    }

    /// Lists the differences as [`TaskLink::faults`] does, of a link whose router's end has another
    /// name than a task's.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn faults_to(&self, router: &Links, name: &str) -> Result<Vec<LinkFault>, LinkError> {
        let netns = match Netns::open(&self.namespace) {
            Ok(netns) => netns,
            Err(NetnsError::Missing(name)) => return Ok(vec![LinkFault::NoNamespace(name)]),
            Err(error) => return Err(error.into()),
        };
        let links = Links::open(&netns)?;
        let Some(far) = links.state(&self.interface).await? else {
            return Ok(vec![LinkFault::Missing(self.interface.clone())]);
        };
        let near = router.state(name).await?;
        let Some(near) = near.filter(|near| self.are_ends(near, &far)) else {
            return Ok(vec![LinkFault::Foreign(self.interface.clone())]);
        };
        let mut faults = self.faults_of_end(&self.interface, &far);
        faults.extend(self.faults_of_end(name, &near));
        if far.mac != Some(self.link.far) {
            let (link, found, own) = (self.interface.clone(), far.mac, self.link.far);
            faults.push(LinkFault::HardwareAddress { link, found, own });
        }
        faults.extend(self.faults_of_ways(&links, &far).await?);
        Ok(faults)
    }

    fn near_name(&self) -> String {
        task_link_name(self.address)
    }

    fn are_ends(&self, near: &LinkState, far: &LinkState) -> bool {
        near.ifindex == self.link.ifindex
            && near.peer == Some(far.ifindex)
            && far.peer == Some(near.ifindex)
    }

    fn faults_of_end(&self, link: &str, state: &LinkState) -> Vec<LinkFault> {
        let link = link.to_owned();
        let down = (!state.is_up).then(|| LinkFault::Down(link.clone()));
        let (found, own) = (state.mtu, self.mtu);
        let mtu = (found != u32::from(own)).then_some(LinkFault::Mtu { link, found, own });
        down.into_iter().chain(mtu).collect()
    }

    /// Lists which of address, neighbour and route are missing. An interface that is down has no
    /// route in any case.
    async fn faults_of_ways(
        &self,
        links: &Links,
        far: &LinkState,
    ) -> Result<Vec<LinkFault>, LinkError> {
        let mut faults = Vec::new();
        if !links.has_address(far.ifindex, self.address).await? {
            let (link, address) = (self.interface.clone(), self.address);
            faults.push(LinkFault::NoAddress { link, address });
        }
        if !far.is_up {
            return Ok(faults);
        }
        if !links.has_neighbour(far.ifindex, GATEWAY, self.link.near).await? {
            faults.push(LinkFault::NoNeighbour);
        }
        if !links.has_default_route(far.ifindex, GATEWAY).await? {
            faults.push(LinkFault::NoRoute);
        }
        Ok(faults)
    }

    /// Restores on both ends what the lab gave them. Other settings stay.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn restore(&self, router: &Links) -> Result<(), LinkError> {
        let (netns, near) = (Netns::open(&self.namespace)?, self.near_name());
        let (links, interface) = (Links::open(&netns)?, self.interface.as_str());
        links.set_mac(interface, self.link.far).await?;
        for (links, end) in [(&links, interface), (router, near.as_str())] {
            links.set_mtu(end, self.mtu).await?;
            links.up(end).await?;
        }
        lead_to_router(Far { netns: &netns, interface }, self.link, self.address).await
    }
}
