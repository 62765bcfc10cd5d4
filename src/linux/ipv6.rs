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
/// A task's interface, and the one that has its IPv6 address.
const INTERFACE: &str = "eth0";
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
        setting: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// The kernel refused an address, a neighbour or a route.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Keeps the kernel from sending anything by itself: no link-local address, and no router
/// advertisements.
const SETTINGS: [(&str, &str); 4] = [
    ("ipv6/conf/eth0/addr_gen_mode", "1"),
    ("ipv6/conf/eth0/accept_ra", "0"),
    ("ipv6/conf/eth0/disable_ipv6", "0"),
    ("ipv6/conf/lo/disable_ipv6", "0"),
];

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
pub async fn lead_to_router(task: &Netns, address: Ipv4Addr, router: Mac) -> Result<(), Ipv6Error> {
    task.run(settle)??;
    let links = Links::open(task)?;
    let own = of_task(address);
    let (loopback, interface) = (links.ifindex(LOOPBACK).await?, links.ifindex(INTERFACE).await?);
    links.add_address(loopback, own).await?;
    links.add_neighbour(interface, GATEWAY, router).await?;
    Ok(links.add_ipv6_default_route(interface, GATEWAY, own).await?)
}

/// Makes the settings. Runs in the task's namespace.
fn settle() -> Result<(), Ipv6Error> {
    for (setting, value) in SETTINGS {
        std::fs::write(Path::new("/proc/sys/net").join(setting), value)
            .map_err(|source| Ipv6Error::Setting { setting, source })?;
    }
    Ok(())
}
