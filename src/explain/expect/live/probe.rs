//! A packet to send.

use crate::packet::Protocol;
use std::net::Ipv4Addr;

/// A packet to send, with what it begins: a connection, a datagram to be echoed, or a ping.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// The service.
    pub service: String,
    /// The number of the task.
    pub task: u16,
    /// TCP, UDP or ICMP.
    pub protocol: Protocol,
    /// The destination address.
    pub destination: Ipv4Addr,
    /// The destination port; 0 for a ping.
    pub port: u16,
    /// The source port, if it matters and the task can choose it.
    pub source_port: Option<u16>,
    /// Counts the packets that are otherwise alike.
    pub number: u16,
}
