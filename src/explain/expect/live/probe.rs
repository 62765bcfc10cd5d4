//! A packet to send.

use crate::packet::Protocol;
use std::net::Ipv4Addr;

/// A packet to send, by what it begins: a connection, a datagram with an echo, or a ping.
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
    /// The number among packets that are otherwise equal.
    pub number: u16,
}
