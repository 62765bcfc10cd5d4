//! Hyperplane ENIs: one per (subnet, set of security groups), shared by every connector and service with that pair (spec 2.1).

use super::security_group::RuleSet;
use super::{SecurityGroupIx, SubnetIx};
use std::net::Ipv4Addr;

/// A Hyperplane ENI.
#[derive(Clone, Debug)]
pub struct Eni {
    /// `eni-` and 17 hex digits, derived from subnet and groups.
    pub id: String,
    /// The name of its TUN device: `eni-` and the first 8 hex digits of the id.
    pub device: String,
    /// Its subnet.
    pub subnet: SubnetIx,
    /// Its groups, sorted.
    pub security_groups: Vec<SecurityGroupIx>,
    /// Its private address; it never has a public one.
    pub address: Ipv4Addr,
    pub(super) egress: RuleSet,
    /// The address of its VPC's resolver.
    pub(super) resolver: Ipv4Addr,
}

impl Eni {
    /// An ENI whose rules are not resolved yet: [`Snapshot::build`](super::Snapshot::build) does that.
    pub fn new(
        id: String,
        device: String,
        subnet: SubnetIx,
        security_groups: Vec<SecurityGroupIx>,
        address: Ipv4Addr,
    ) -> Self {
        let (egress, resolver) = (RuleSet::default(), Ipv4Addr::UNSPECIFIED);
        Self { id, device, subnet, security_groups, address, egress, resolver }
    }

    /// The address of its VPC's resolver, at hand for every packet.
    #[inline]
    pub fn resolver(&self) -> Ipv4Addr {
        self.resolver
    }

    /// The union of its groups' outbound rules.
    #[inline]
    pub fn egress(&self) -> &RuleSet {
        &self.egress
    }
}
