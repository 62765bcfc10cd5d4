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
    /// Its addresses, the primary first: one to [`NatGateway::MAX_ADDRESSES`]. New flows take them in turn.
    pub addresses: Vec<NatAddress>,
    /// Those of its private addresses that the lab file leaves open, so that egret chose them.
    pub open_addresses: Vec<Ipv4Addr>,
    /// Where it stands in the lab file.
    pub line: Line,
}

/// One of a NAT gateway's addresses: an element of `NatGatewayAddresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NatAddress {
    /// In the gateway's subnet.
    pub private: Ipv4Addr,
    /// The Elastic IP that the internet gateway maps the private address to; `None` for a private gateway.
    pub public: Option<Ipv4Addr>,
}

impl NatGateway {
    /// One primary address and seven secondary ones (spec 6).
    pub const MAX_ADDRESSES: usize = 8;

    /// The primary private address, by which a gateway is known: it cannot be changed.
    #[inline]
    pub fn private_address(&self) -> Ipv4Addr {
        self.addresses.first().map_or(Ipv4Addr::UNSPECIFIED, |primary| primary.private)
    }

    /// The primary public address; `None` for a private gateway.
    #[inline]
    pub fn public_address(&self) -> Option<Ipv4Addr> {
        self.addresses.first().and_then(|primary| primary.public)
    }

    /// Whether a public address is one of its own.
    #[inline]
    pub fn has_public(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|own| own.public == Some(address))
    }
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
