//! Network ACLs: numbered rules, allow and deny, first match, stateless; then the implicit deny `*`
//! (spec 5).

use super::rule::{Traffic, TrafficMatch};
use super::{Direction, Line, VpcIx};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// A network ACL.
#[derive(Clone, Debug)]
pub struct NetworkAcl {
    /// `acl-…`, or the user's word.
    pub id: String,
    /// The VPC that it belongs to.
    pub vpc: VpcIx,
    /// Outbound rules, ascending by number.
    pub egress: Vec<AclRule>,
    /// Inbound rules, ascending by number.
    pub ingress: Vec<AclRule>,
    /// Its line in the lab file; 0 for a default ACL.
    pub line: Line,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclRule {
    /// Its number, 1 to 32766.
    pub number: u16,
    /// Its action: allow or deny.
    pub action: AclAction,
    /// Protocol, destination ports, ICMP type and code.
    pub traffic: TrafficMatch,
    /// The addresses of the remote side: source for ingress, destination for egress.
    pub cidr: Ipv4Network,
    /// Its line in the lab file.
    pub line: Line,
}

/// The action of a network ACL's rule on a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclAction {
    /// The packet passes.
    Allow,
    /// The packet is dropped.
    Deny,
}

impl NetworkAcl {
    /// Returns the rules of one direction, ascending by number.
    #[inline]
    pub fn rules(&self, direction: Direction) -> &[AclRule] {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    /// Returns the first rule that matches; `None` is the implicit deny `*`.
    #[inline]
    pub fn evaluate(
        &self,
        direction: Direction,
        traffic: Traffic,
        remote: Ipv4Addr,
    ) -> Option<(u16, AclAction)> {
        self.rules(direction)
            .iter()
            .zip(0u16..)
            .find(|(rule, _)| rule.traffic.matches(traffic) && rule.cidr.contains(remote))
            .map(|(rule, position)| (position, rule.action))
    }
}
