//! The question to the oracle, and its answer.

use crate::packet::Protocol;
use crate::pipeline::Reason;
use std::net::Ipv4Addr;

/// The verdict on a first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pipeline::tests) enum Expected {
    Dies(Reason),
    /// It reaches its destination; the reply may be dropped.
    Reaches {
        place: DeliveredTo,
        reply_dies: Option<Reason>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pipeline::tests) enum DeliveredTo {
    Internet,
    Vpc(String),
    Endpoint(String),
    /// A service that AWS offers at an exempt address (spec 4.3).
    Services,
}

/// A first packet.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline::tests) struct Question {
    pub(in crate::pipeline::tests) to: Ipv4Addr,
    pub(in crate::pipeline::tests) protocol: Protocol,
    /// Destination port; 0 without ports.
    pub(in crate::pipeline::tests) port: u16,
    pub(in crate::pipeline::tests) icmp: (u8, u8),
}

/// The source ports that the NATs take: the oracle judges replies, but draws no ports.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::pipeline::tests) struct Ports {
    pub(in crate::pipeline::tests) eni: u16,
    pub(in crate::pipeline::tests) nat: u16,
}
