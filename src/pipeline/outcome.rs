//! The cached outcome of a flow's direction: the verdict on its packets, with everything that the
//! fast path needs.

use super::Denial;
use super::arrival::SpaceAddr;
use crate::packet::Rewrite;
use crate::vpc::path::Link;
use std::net::Ipv4Addr;

/// The cached outcome of a flow's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowOutcome {
    /// Packets are rewritten and sent on.
    Forward(Forward),
    /// Packets are dropped.
    Drop(Denial),
}

/// The way in which packets of one direction are sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The only NAT at whose device packets of a task may be read: their key does not contain the
    /// attachment. A reply's key does, by the NAT's address.
    pub read_at: Option<SpaceAddr>,
    /// All header changes.
    pub rewrite: Rewrite,
    /// The link by which they leave.
    pub link: Link,
    /// The largest IP packet on that link, in bytes.
    pub mtu: u16,
    /// The limit to which the MSS of a SYN is lowered; `None` if no NAT gateway is on the path
    /// (spec 6).
    pub max_mss: Option<u16>,
    /// The sender of time exceeded and fragmentation needed; `None` if nothing may be sent to the
    /// packet's sender.
    pub answers_from: Option<Ipv4Addr>,
}
