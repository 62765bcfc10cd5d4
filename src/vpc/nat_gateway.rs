//! NAT gateways: they translate the source to their own private address; the internet gateway maps
//! that to the public one (spec 6).

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
    /// Its type: public or private.
    pub connectivity: Connectivity,
    /// Its state, which decides what happens to packets that are routed to it.
    pub state: NatGatewayState,
    /// Its addresses, the primary first: one to [`NatGateway::MAX_ADDRESSES`]. New flows take them
    /// in turn.
    pub addresses: Vec<NatAddress>,
    /// Its private addresses that egret chose, because the lab file leaves them open.
    pub open_addresses: Vec<Ipv4Addr>,
    /// Its line in the lab file.
    pub line: Line,
}

/// One of a NAT gateway's addresses: an element of `NatGatewayAddresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NatAddress {
    /// The private address, in the gateway's subnet.
    pub private: Ipv4Addr,
    /// The Elastic IP that the internet gateway maps the private address to; `None` for a private
    /// gateway.
    pub public: Option<Ipv4Addr>,
}

impl NatGateway {
    /// The most addresses of a gateway: one primary and seven secondary ones (spec 6).
    pub const MAX_ADDRESSES: usize = 8;

    /// Returns the primary private address. It identifies the gateway, because it cannot be
    /// changed.
    #[inline]
    pub fn private_address(&self) -> Ipv4Addr {
        self.addresses.first().map_or(Ipv4Addr::UNSPECIFIED, |primary| primary.private)
    }

    /// Returns the primary public address; `None` for a private gateway.
    #[inline]
    pub fn public_address(&self) -> Option<Ipv4Addr> {
        self.addresses.first().and_then(|primary| primary.public)
    }

    /// Decides whether a public address is one of its own.
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
    /// It is being created and carries nothing yet.
    Pending,
    /// It could not be created.
    Failed,
    /// It carries packets.
    Available,
    /// It is being deleted and carries nothing more.
    Deleting,
    /// It is deleted: routes to it are `blackhole`.
    Deleted,
}

impl NatGatewayState {
    /// Returns the word that EC2 uses.
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
