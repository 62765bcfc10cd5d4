//! What is remembered of a flow's direction: the verdict on its packets, with everything that the fast path needs.

use super::Denial;
use super::arrival::SpaceAddr;
use crate::packet::Rewrite;
use crate::vpc::path::Link;
use std::net::Ipv4Addr;

/// What is remembered of a flow's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowOutcome {
    /// Rewrite and send on.
    Forward(Forward),
    /// Drop.
    Drop(Denial),
}

/// How packets of one direction are sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The only NAT at whose device they may be read, for packets of a task: their key does not say where it is attached.
    /// A reply's key does, by the NAT's address.
    pub read_at: Option<SpaceAddr>,
    /// All header changes.
    pub rewrite: Rewrite,
    /// Where they leave.
    pub link: Link,
    /// The largest IP packet on that link, in bytes.
    pub mtu: u16,
    /// What the MSS of a SYN is lowered to; `None` where no NAT gateway is on the path (spec 6).
    pub max_mss: Option<u16>,
    /// Who sends time exceeded and fragmentation needed; `None` where nothing may be sent to the packet's sender.
    pub answers_from: Option<Ipv4Addr>,
}
