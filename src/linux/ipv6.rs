//! The IPv6 of a task, which leads to its TUN and no further: there the engine drops it with its
//! reason, and answers that there is no route. Without it the kernel would refuse to send, and
//! egret would not see that a task tried.
//!
//! The address is on `lo`, where it makes the kernel send nothing of its own: no neighbour
//! discovery, no group reports.

use super::link::{LinkError, Links, Mac};
use super::{Netns, NetnsError};
use crate::packet::ipv6::{GATEWAY, of_task};
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

/// Bytes of the smallest MTU of a link that carries IPv6 (RFC 8200 5).
pub const MIN_MTU: u16 = 1280;
/// The interface that has a task's IPv6 address.
const LOOPBACK: &str = "lo";

/// The reason why a task has no IPv6.
#[derive(Debug, thiserror::Error)]
pub enum Ipv6Error {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel has no IPv6, or a setting could not be made.
    #[error("setting {setting}: {source}")]
    Setting {
        /// The setting, below `/proc/sys/net`.
        setting: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// The kernel refused an address, a neighbour or a route.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Keeps the kernel from sending anything by itself on a task's interface: no link-local address,
/// and no router advertisements.
const SETTINGS: [(&str, &str); 3] =
    [("addr_gen_mode", "1"), ("accept_ra", "0"), ("disable_ipv6", "0")];

/// Returns why no task of the lab will have IPv6; `None` if the kernel has it. Any namespace of the
/// lab will do.
#[must_use]
pub fn refusal(netns: &Netns) -> Option<String> {
    let has = netns.run(|| Path::new("/proc/sys/net/ipv6/conf").exists());
    (!has.unwrap_or(false)).then(|| {
        "this kernel has IPv6 off, so a task's IPv6 fails in the kernel and `egret drops` does not show it".to_owned()
    })
}

/// Leads the IPv6 of a task to the router's end of its link. Parts that exist already are no error.
///
/// # Errors
///
/// The kernel has no IPv6, or refuses it on this link, as with an MTU below [`MIN_MTU`].
pub async fn lead_to_router(
    task: &Netns,
    interface: &str,
    address: Ipv4Addr,
    router: Mac,
) -> Result<(), Ipv6Error> {
    task.run(|| settle(interface))??;
    let links = Links::open(task)?;
    let own = of_task(address);
    let (loopback, interface) = (links.ifindex(LOOPBACK).await?, links.ifindex(interface).await?);
    links.add_address(loopback, own).await?;
    links.add_neighbour(interface, GATEWAY, router).await?;
    Ok(links.add_ipv6_default_route(interface, GATEWAY, own).await?)
}

/// Takes the task's address from a namespace that outlives the task. One that is not there is no
/// error.
///
/// # Errors
///
/// The kernel refuses.
pub async fn forget(netns: &Netns, address: Ipv4Addr) -> Result<(), LinkError> {
    let links = Links::open(netns)?;
    let loopback = links.ifindex(LOOPBACK).await?;
    links.remove_address(loopback, of_task(address)).await
}

/// Makes the settings. Runs in the task's namespace.
fn settle(interface: &str) -> Result<(), Ipv6Error> {
    let own = SETTINGS.map(|(setting, value)| (format!("ipv6/conf/{interface}/{setting}"), value));
    let all = own.into_iter().chain([(format!("ipv6/conf/{LOOPBACK}/disable_ipv6"), "0")]);
    for (setting, value) in all {
        std::fs::write(Path::new("/proc/sys/net").join(&setting), value)
            .map_err(|source| Ipv6Error::Setting { setting, source })?;
    }
    Ok(())
}
