//! The result of a packet that was sent.

use crate::pipeline::Reason;
use std::fmt;
use std::net::Ipv4Addr;

/// The result of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The result on the wire.
    pub wire: Wire,
    /// The packet's source when it left, if it is known.
    pub leaving: Option<Leaving>,
}

/// The result of a packet on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// It was answered: by the connection, the echo of a datagram, or the reply to a ping.
    Answered,
    /// Its destination, or a device on the path that is not egret, refused it: the kernel's error.
    Refused(String),
    /// The lab dropped it, or its reply.
    Dropped {
        /// The reason's name.
        reason: String,
        /// The rule or object that decided.
        rule: Option<String>,
    },
    /// No answer came in time, and the lab reports no drop.
    Silent,
    /// It was not sent, or its result shows nothing about the configuration: the reason.
    NotTried(String),
}

/// The source of a packet as it left the last ENI or gateway that translated it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The address.
    pub address: Ipv4Addr,
    /// The port, or the identifier of a ping.
    pub port: u16,
    /// The id of the NAT gateway, if one is on the path.
    pub nat_gateway: Option<String>,
}

/// The reasons that depend on the moment, and show nothing about a configuration.
const OF_THE_MOMENT: [Reason; 9] = [
    Reason::EniPortsExhausted,
    Reason::NatPortsExhausted,
    Reason::DnsThrottled,
    Reason::QueueFull,
    Reason::WriteFailed,
    Reason::ReadFailed,
    Reason::FlowMoved,
    Reason::ForeignSource,
    Reason::DeviceUnknown,
];

/// Decides whether a drop depends on the moment: a full queue, ports that are all taken, a change
/// of the configuration.
pub(super) fn is_of_the_moment(reason: &str) -> bool {
    OF_THE_MOMENT.iter().any(|of| of.name() == reason)
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::Refused(said) => write!(f, "refused ({said})"),
            Self::Dropped { reason, rule: Some(rule) } => write!(f, "dropped, {reason} by {rule}"),
            Self::Dropped { reason, rule: None } => write!(f, "dropped, {reason}"),
            Self::Silent => f.write_str("no answer"),
            Self::NotTried(why) => write!(f, "not tried, {why}"),
        }
    }
}
