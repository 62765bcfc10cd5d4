//! The key of a fragmented datagram, and the time for which egret waits for its fragments.

use super::Space;
use crate::packet::{Packet, Protocol};
use std::net::Ipv4Addr;
use std::time::Duration;

/// The time for which a datagram is tracked.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// The fields that the fragments of a datagram have in common (RFC 791).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatagramKey {
    space: Space,
    protocol: Protocol,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    identification: u16,
}

impl DatagramKey {
    /// Returns the key of the datagram that a fragment from this space is part of.
    pub fn of(space: Space, fragment: &Packet<'_>) -> Self {
        Self {
            space,
            protocol: fragment.protocol(),
            src: fragment.src(),
            dst: fragment.dst(),
            identification: fragment.identification(),
        }
    }

    pub(super) fn owner(&self) -> Owner {
        let address = if self.space == Space::TASKS { self.src } else { self.dst };
        (self.space, address)
    }
}

/// The owner of a share of the buffer: a task, or the outside address of a NAT that others send to.
pub(super) type Owner = (Space, Ipv4Addr);

#[cfg(test)]
impl DatagramKey {
    /// Returns a key of its own for each number.
    pub(super) fn numbered(n: u32) -> Self {
        let (src, dst) = (Ipv4Addr::from(n), Ipv4Addr::new(203, 0, 113, 10));
        Self { space: Space::TASKS, protocol: Protocol::Udp, src, dst, identification: 7 }
    }
}
