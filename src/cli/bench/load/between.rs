//! The client and the server of small packets.

use crate::linux::Netns;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The two ends of a measurement.
#[derive(Clone, Debug)]
pub(in crate::cli::bench) struct Between {
    pub(in crate::cli::bench) client: Netns,
    pub(in crate::cli::bench) server: Netns,
    /// The server's address, as the client reaches it.
    pub(in crate::cli::bench) address: Ipv4Addr,
    /// The server's first port.
    pub(in crate::cli::bench) port: u16,
    /// The number of ports that the connections are spread over: a client's port that has closed a
    /// connection is not free for that server's port for a minute.
    pub(in crate::cli::bench) ports: u16,
}

impl Between {
    /// Returns the server's first address and port.
    pub(in crate::cli::bench) fn place(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, self.port)
    }

    pub(super) fn nth_place(&self, n: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, self.port.wrapping_add(n % self.ports.max(1)))
    }
}
