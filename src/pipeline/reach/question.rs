//! The question about a set of packets.

use super::attachments::{Addresses, Asked};
use super::ports::Ports;
use super::ranges::Ranges;
use crate::vpc::ServiceIx;

/// A set of packets: all that a service's tasks may send to these destinations and ports.
#[derive(Clone, Debug)]
pub struct Question {
    /// The service.
    pub service: ServiceIx,
    /// The attachments of its tasks, present or possible ([`attachments`](super::attachments())).
    pub attachments: Vec<Asked>,
    /// The private addresses that are considered for NAT gateways.
    pub gateway_addresses: Addresses,
    /// The destination addresses.
    pub destinations: Ranges,
    /// The protocols with their destination ports.
    pub ports: Ports,
    /// The task's own port, which counts if an ENI keeps it; any from 1 on if `None`. ENIs and NAT
    /// gateways draw from 1024 to 65535 in any case.
    pub source_port: Option<u16>,
}
