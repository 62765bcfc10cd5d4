//! VPC peering connections: two VPCs reach each other's addresses, and nothing behind the other
//! (spec 3.5, 6, 7.1).

use super::{Line, VpcIx};

/// A peering connection.
#[derive(Clone, Debug)]
pub struct Peering {
    /// `pcx-…`, or the user's word.
    pub id: String,
    /// The VPC that asked for it.
    pub requester: VpcIx,
    /// The VPC that accepted it.
    pub accepter: VpcIx,
    /// Its state: only an active connection carries packets.
    pub state: PeeringState,
    /// Says that public names in the requester's VPC lead to private addresses in the accepter's
    /// (spec 8): `AllowDnsResolutionFromRemoteVpc` of the requester.
    pub requester_dns_resolution: bool,
    /// Says that public names in the accepter's VPC lead to private addresses in the requester's.
    pub accepter_dns_resolution: bool,
    /// Its line in the lab file.
    pub line: Line,
}

impl Peering {
    /// Returns the VPC on the other side; `None` if `vpc` is on neither.
    pub fn peer_of(&self, vpc: VpcIx) -> Option<VpcIx> {
        if vpc == self.requester {
            Some(self.accepter)
        } else {
            (vpc == self.accepter).then_some(self.requester)
        }
    }

    /// Returns the VPC in which the public names of `vpc` lead to private addresses by this
    /// connection, if it is active and allows it.
    pub fn resolves_in(&self, vpc: VpcIx) -> Option<VpcIx> {
        let allowed = match vpc == self.requester {
            true => self.requester_dns_resolution,
            false => self.accepter_dns_resolution,
        };
        self.peer_of(vpc).filter(|_| allowed && self.state == PeeringState::Active)
    }

    /// Decides whether it carries packets between these two VPCs.
    pub fn joins(&self, a: VpcIx, b: VpcIx) -> bool {
        self.state == PeeringState::Active && self.peer_of(a) == Some(b)
    }
}

/// `Status.Code` of a peering connection: routes to one that is not active are `blackhole`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeeringState {
    /// It is requested and not accepted yet.
    PendingAcceptance,
    /// It carries packets.
    #[default]
    Active,
    /// It was not accepted.
    Rejected,
    /// It was not accepted in time.
    Expired,
    /// It is deleted.
    Deleted,
}

impl PeeringState {
    /// Returns the word that EC2 uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingAcceptance => "pending-acceptance",
            Self::Active => "active",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
        }
    }
}
