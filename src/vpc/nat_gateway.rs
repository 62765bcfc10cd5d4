//! NAT gateways: source to their own private address; the internet gateway maps that to the public one (spec 6).

use super::{Line, SubnetIx};
use std::net::Ipv4Addr;

/// A NAT gateway.
#[derive(Clone, Debug)]
pub struct NatGateway {
    /// `nat-…`, or the user's word.
    pub id: String,
    /// The name of its TUN device.
    pub device: String,
    /// The subnet that it is in.
    pub subnet: SubnetIx,
    /// Public or private.
    pub connectivity: Connectivity,
    /// What becomes of packets routed to it.
    pub state: NatGatewayState,
    /// Its address in the subnet.
    pub private_address: Ipv4Addr,
    /// The Elastic IP that the internet gateway maps the private address to; `None` for a private gateway.
    pub public_address: Option<Ipv4Addr>,
    /// Where it stands in the lab file.
    pub line: Line,
}

/// `ConnectivityType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connectivity {
    /// With an Elastic IP.
    Public,
    /// Without one.
    Private,
}

/// `State` of a NAT gateway (spec 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatGatewayState {
    /// Being made: carries nothing yet.
    Pending,
    /// Could not be made.
    Failed,
    /// At work.
    Available,
    /// Going away: carries nothing more.
    Deleting,
    /// Gone: routes to it are `blackhole`.
    Deleted,
}

impl NatGatewayState {
    /// The word that EC2 uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Available => "available",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}
