//! Security groups: allow rules only, the union of all groups of an interface, no order (spec 4.2).

use super::rule::{Traffic, TrafficMatch};
use super::{Direction, Line, PrefixListIx, SecurityGroupIx, VpcIx};
use crate::packet::Protocol;
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A security group.
#[derive(Clone, Debug)]
pub struct SecurityGroup {
    /// `sg-…`, or the user's word.
    pub id: String,
    /// The VPC that it belongs to.
    pub vpc: VpcIx,
    /// Outbound rules, in the lab file's order.
    pub egress: Vec<SecurityGroupRule>,
    /// Inbound rules, in the lab file's order.
    pub ingress: Vec<SecurityGroupRule>,
    /// Its line in the lab file.
    pub line: Line,
}

impl SecurityGroup {
    /// Returns the rules of one direction.
    pub fn rules(&self, direction: Direction) -> &[SecurityGroupRule] {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }
}

/// One rule: the traffic that it allows, and the other end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroupRule {
    /// Protocol, ports, ICMP type and code.
    pub traffic: TrafficMatch,
    /// The other end.
    pub peer: Peer,
    /// Its line in the lab file.
    pub line: Line,
}

/// The other end of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A CIDR block.
    Cidr(Ipv4Network),
    /// The private addresses of the interfaces that are in this group (spec 4.2).
    SecurityGroup(SecurityGroupIx),
    /// The entries of a prefix list.
    PrefixList(PrefixListIx),
}

/// The union of the rules of an interface's groups, in one direction, with every peer resolved to
/// addresses.
///
/// At most 16 groups of 60 rules (spec 4.2), so a scan of a packed list beats any tree.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<ResolvedRule>,
}

#[derive(Clone, Debug)]
struct ResolvedRule {
    traffic: TrafficMatch,
    peer: ResolvedPeer,
    /// The group, and the position of the rule in it.
    rule: (SecurityGroupIx, u16),
}

#[derive(Clone, Debug)]
pub(super) enum ResolvedPeer {
    Network {
        base: u32,
        mask: u32,
    },
    /// Sorted. All rules that name a group share one list.
    Addresses(Arc<[u32]>),
    /// All rules that name a prefix list share one list.
    Networks(Arc<[(u32, u32)]>),
}

impl ResolvedPeer {
    pub(super) fn network(network: Ipv4Network) -> Self {
        let (base, mask) = base_and_mask(network);
        Self::Network { base, mask }
    }

    /// Makes the peer of a rule whose reference to a group matches no address.
    pub(super) fn nobody() -> Self {
        Self::addresses(Vec::new())
    }

    pub(super) fn addresses(mut addresses: Vec<u32>) -> Self {
        addresses.sort_unstable();
        addresses.dedup();
        Self::Addresses(addresses.into())
    }

    pub(super) fn networks(networks: impl Iterator<Item = Ipv4Network>) -> Self {
        Self::Networks(networks.map(base_and_mask).collect())
    }

    /// Decides whether it is `0.0.0.0/0`.
    fn is_everybody(&self) -> bool {
        match self {
            Self::Network { mask, .. } => *mask == 0,
            Self::Addresses(_) | Self::Networks(_) => false,
        }
    }

    #[inline]
    fn contains(&self, remote: Remote) -> bool {
        let address = u32::from(remote.address);
        match self {
            Self::Network { base, mask } => address & mask == *base,
            // Only a reference to a group is a list of addresses.
            Self::Addresses(addresses) => {
                let member = u32::from(remote.member);
                !remote.behind_middlebox && addresses.binary_search(&member).is_ok()
            }
            Self::Networks(networks) => networks.iter().any(|(base, mask)| address & mask == *base),
        }
    }
}

fn base_and_mask(network: Ipv4Network) -> (u32, u32) {
    let mask = u32::from(network.mask());
    (u32::from(network.network()) & mask, mask)
}

/// The other end of a packet, as seen by the interface whose rules are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its address, which CIDR blocks and prefix lists match.
    pub address: Ipv4Addr,
    /// The address by which groups know its interface. It differs from `address` if a packet is
    /// judged with an address that the configuration leaves open: a reference to a group means the
    /// interface, whatever its address will be.
    pub member: Ipv4Addr,
    /// Says that the packet came through a middlebox: then references to groups match no address
    /// (spec 3.7).
    pub behind_middlebox: bool,
}

impl From<Ipv4Addr> for Remote {
    fn from(address: Ipv4Addr) -> Self {
        Self { address, member: address, behind_middlebox: false }
    }
}

/// The fields in which a rule matched and did not match. The explanation of an implicit deny shows
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The group, and the position of the rule in it.
    pub rule: (SecurityGroupIx, u16),
    /// Says that the protocol field matched.
    pub protocol: bool,
    /// Says that the port or ICMP field matched.
    pub ports: bool,
    /// Says that the peer matched.
    pub peer: bool,
}

impl RuleSet {
    pub(super) fn push(
        &mut self,
        rule: (SecurityGroupIx, u16),
        traffic: TrafficMatch,
        peer: ResolvedPeer,
    ) {
        self.rules.push(ResolvedRule { traffic, peer, rule });
    }

    /// Decides whether there is no rule at all (`SG_HAS_NO_RULES`).
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Lists the rules that match a peer whatever the traffic, by their positions in the set.
    pub fn matching(&self, peer: impl Into<Remote>) -> impl Iterator<Item = (u32, TrafficMatch)> {
        let peer = peer.into();
        let matching = move |(_, rule): &(u32, &ResolvedRule)| rule.peer.contains(peer);
        (0u32..).zip(&self.rules).filter(matching).map(|(position, rule)| (position, rule.traffic))
    }

    /// Lists the blocks of addresses that the rules name as CIDR blocks or by prefix lists, each by
    /// its first and its last address.
    pub fn blocks(&self) -> impl Iterator<Item = (u32, u32)> {
        let block = |&(base, mask): &(u32, u32)| (base, base | !mask);
        self.rules.iter().flat_map(move |rule| {
            let (network, networks) = match &rule.peer {
                ResolvedPeer::Network { base, mask } => (Some((*base, *mask)), &[][..]),
                ResolvedPeer::Networks(networks) => (None, &networks[..]),
                ResolvedPeer::Addresses(_) => (None, &[][..]),
            };
            network
                .as_ref()
                .map(block)
                .into_iter()
                .chain(networks.iter().map(block))
                .collect::<Vec<_>>()
        })
    }

    /// Returns the first rule that allows this traffic with this peer.
    #[inline]
    pub fn evaluate(
        &self,
        traffic: Traffic,
        peer: impl Into<Remote>,
    ) -> Option<(SecurityGroupIx, u16)> {
        let peer = peer.into();
        self.rules
            .iter()
            .find(|r| r.traffic.matches(traffic) && r.peer.contains(peer))
            .map(|r| r.rule)
    }

    /// Decides whether a rule allows this traffic with `0.0.0.0/0`.
    pub fn allows_with_everybody(&self, traffic: Traffic) -> bool {
        self.rules.iter().any(|rule| rule.peer.is_everybody() && rule.traffic.matches(traffic))
    }

    /// Decides whether a rule allows all of a protocol with `0.0.0.0/0`.
    pub fn allows_all_with_everybody(&self, protocol: Protocol) -> bool {
        let allows =
            |rule: &ResolvedRule| rule.peer.is_everybody() && rule.traffic.matches_all_of(protocol);
        self.rules.iter().any(allows)
    }

    /// Returns the rule that came nearest to allowing the traffic: most fields matched, the
    /// earliest of equals. For explanations only.
    pub fn nearest_miss(&self, traffic: Traffic, peer: impl Into<Remote>) -> Option<NearMiss> {
        let peer = peer.into();
        let miss = |r: &ResolvedRule| {
            let protocol = r.traffic.protocol_matches(traffic);
            NearMiss {
                rule: r.rule,
                protocol,
                ports: protocol && r.traffic.ports_match(traffic),
                peer: r.peer.contains(peer),
            }
        };
        let score = |m: &NearMiss| u8::from(m.protocol) + u8::from(m.ports) + u8::from(m.peer);
        self.rules.iter().map(miss).filter(|m| score(m) > 0).rev().max_by_key(score)
    }
}
