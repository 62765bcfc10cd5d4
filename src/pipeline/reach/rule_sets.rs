//! The rule sets on a packet's path, and their rules that match an address: only those split the
//! ports.

use super::map::HashMap;
use super::sameness::Sameness;
use crate::vpc::path::{Hop, Hops, Middlebox};
use crate::vpc::security_group::{Remote, RuleSet};
use crate::vpc::{Direction, EniIx, NetworkAclIx, ResourceIx, Snapshot, TrafficMatch};
use std::ops::RangeInclusive;

/// A set of rules that look at a packet's other end and at its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RuleSetId {
    /// The rules of a network ACL.
    NetworkAcl(NetworkAclIx, Direction),
    /// The outbound rules of an ENI's groups.
    Eni(EniIx),
    /// The rules of a resource's groups.
    Resource(ResourceIx, Direction),
}

/// The party whose address the rules of a set see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sees {
    Destination,
    /// The private address of a destination that is a public endpoint.
    PrivateDestination,
    Eni,
    Gateway,
    /// The public address of the ENI, of the NAT gateway or of App Runner's own NAT.
    Public,
}

/// The packet of a connection that the rules judge, and so the ports that they see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Judges {
    /// The request before its destination: the destination port.
    Request,
    /// The request at the interface of its destination: the destination port.
    Delivery,
    /// The reply to the NAT gateway, or to App Runner's own NAT: the port there.
    ReplyToGateway,
    /// The reply to the ENI: the ENI's port.
    ReplyToEni,
}

/// A rule set on a packet's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Meeting {
    pub(super) rules: RuleSetId,
    pub(super) sees: Sees,
    pub(super) judges: Judges,
}

/// Lists the rule sets on a request's path after the groups of its ENI.
pub(super) fn of_request(
    snapshot: &Snapshot,
    sameness: &Sameness<'_>,
    hops: &Hops,
) -> Vec<Meeting> {
    let mut met = Vec::new();
    let (mut sender, mut home) = (Sees::Eni, None);
    let judges = Judges::Request;
    for hop in hops.as_slice() {
        match *hop {
            Hop::NetworkAcl { subnet, direction, crossed: true } => {
                let acl = snapshot.subnet(subnet).network_acl;
                let sees = if direction == Direction::Egress { Sees::Destination } else { sender };
                met.push(Meeting { rules: RuleSetId::NetworkAcl(acl, direction), sees, judges });
            }
            Hop::Middlebox { middlebox: Middlebox::Appliance(ix), .. } => {
                let (ingress, egress) = groups_of(ix);
                met.push(Meeting { rules: ingress, sees: sender, judges });
                met.push(Meeting { rules: egress, sees: Sees::Destination, judges });
            }
            Hop::NatGateway(_) => sender = Sees::Gateway,
            Hop::InternetGateway(vpc) => (sender, home) = (Sees::Public, Some(vpc)),
            Hop::AppRunner => sender = Sees::Public,
            Hop::Resource(vpc, ix) => {
                let is_joined = home.is_none_or(|home| snapshot.are_joined(home, vpc));
                met.extend(at_interface(sameness.by_groups(ix), sender, is_joined));
            }
            Hop::NetworkAcl { crossed: false, .. }
            | Hop::RouteTable { .. }
            | Hop::Middlebox { middlebox: Middlebox::Endpoint(_), .. }
            | Hop::PublicEndpoint(_)
            | Hop::GatewayEndpoint(_)
            | Hop::Peering(_)
            | Hop::Internet
            | Hop::EndpointService(_) => {}
        }
    }
    met
}

/// Lists the rule sets at the interface of a request's destination.
fn at_interface(ix: ResourceIx, sender: Sees, is_joined: bool) -> impl Iterator<Item = Meeting> {
    let (rules, _) = groups_of(ix);
    let judges = Judges::Delivery;
    // The reason of a denial shows whether the ENI itself would be admitted.
    let is_hidden = matches!(sender, Sees::Gateway | Sees::Public) && is_joined;
    let behind = is_hidden.then_some(Sees::Eni);
    std::iter::once(sender).chain(behind).map(move |sees| Meeting { rules, sees, judges })
}

/// Lists the rule sets on the path of a reply to a NAT in front of the ENI, or to the ENI itself.
pub(super) fn of_reply(snapshot: &Snapshot, hops: &Hops, to_nat: bool) -> Vec<Meeting> {
    let mut met = Vec::new();
    let (private, mut judges) = match to_nat {
        true => (Sees::Gateway, Judges::ReplyToGateway),
        false => (Sees::Eni, Judges::ReplyToEni),
    };
    let (mut server, mut receiver) = match hops.public_endpoint() {
        Some(_) => (Sees::PrivateDestination, Sees::Public),
        None => (Sees::Destination, private),
    };
    for hop in hops.as_slice() {
        match *hop {
            Hop::NetworkAcl { subnet, direction, crossed: true } => {
                let acl = snapshot.subnet(subnet).network_acl;
                let leaves = direction == Direction::Egress;
                let sees = if leaves { receiver } else { server };
                met.push(Meeting { rules: RuleSetId::NetworkAcl(acl, direction), sees, judges });
            }
            Hop::Middlebox { middlebox: Middlebox::Appliance(ix), saw_request: false } => {
                let (ingress, egress) = groups_of(ix);
                met.push(Meeting { rules: ingress, sees: server, judges });
                met.push(Meeting { rules: egress, sees: receiver, judges });
            }
            Hop::PublicEndpoint(_) => (server, receiver) = (Sees::Destination, private),
            Hop::NatGateway(_) => (receiver, judges) = (Sees::Eni, Judges::ReplyToEni),
            Hop::NetworkAcl { crossed: false, .. }
            | Hop::RouteTable { .. }
            | Hop::Middlebox { .. }
            | Hop::AppRunner
            | Hop::InternetGateway(_)
            | Hop::GatewayEndpoint(_)
            | Hop::Peering(_)
            | Hop::Resource(..)
            | Hop::Internet
            | Hop::EndpointService(_) => {}
        }
    }
    met
}

fn groups_of(ix: ResourceIx) -> (RuleSetId, RuleSetId) {
    (RuleSetId::Resource(ix, Direction::Ingress), RuleSetId::Resource(ix, Direction::Egress))
}

/// The rules of a set that match an address: a number that two addresses share if they match the
/// same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MatchId(u32);

/// Rules by the addresses that they match, each combination once.
pub(super) struct Matches<'a> {
    snapshot: &'a Snapshot,
    ids: HashMap<Box<[u32]>, MatchId>,
    /// The traffic that the rules of each combination match, apart from addresses.
    traffic: Vec<(RuleSetId, Vec<(u32, TrafficMatch)>)>,
    blocks: HashMap<RuleSetId, Box<[u32]>>,
    buffer: Vec<u32>,
}

impl<'a> Matches<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let (ids, blocks) = (HashMap::default(), HashMap::default());
        Self { snapshot, ids, traffic: Vec::new(), blocks, buffer: Vec::new() }
    }

    /// Finds the rules of a set that match an address.
    pub(super) fn of(&mut self, rules: RuleSetId, remote: Remote) -> MatchId {
        self.buffer.clear();
        self.buffer.extend(key(rules));
        match list(self.snapshot, rules) {
            List::Acl(list) => {
                let matching =
                    list.iter().zip(0u32..).filter(|(r, _)| r.cidr.contains(remote.address));
                self.buffer.extend(matching.map(|(_, position)| position));
            }
            List::Groups(set) => {
                self.buffer.extend(set.matching(remote).map(|(position, _)| position))
            }
        }
        if let Some(id) = self.ids.get(&self.buffer[..]) {
            return *id;
        }
        let id = MatchId(u32::try_from(self.traffic.len()).unwrap_or(u32::MAX));
        let traffic = match list(self.snapshot, rules) {
            List::Acl(list) => {
                let matching = list.iter().filter(|rule| rule.cidr.contains(remote.address));
                self.buffer[2..].iter().copied().zip(matching.map(|rule| rule.traffic)).collect()
            }
            List::Groups(set) => set.matching(remote).collect(),
        };
        self.traffic.push((rules, traffic));
        self.ids.insert(self.buffer.as_slice().into(), id);
        id
    }

    /// Lists the traffic that the rules match, each with its position in the set.
    pub(super) fn traffic(&self, id: MatchId) -> &[(u32, TrafficMatch)] {
        self.traffic.get(id.0 as usize).map_or(&[], |(_, traffic)| traffic)
    }

    /// Returns the set to which the rules belong.
    pub(super) fn rule_set(&self, id: MatchId) -> RuleSetId {
        self.traffic[id.0 as usize].0
    }

    /// Lists the boundaries, within a range, of the address blocks in a set's rules.
    pub(super) fn edges(&mut self, rules: RuleSetId, within: &RangeInclusive<u32>) -> &[u32] {
        let snapshot = self.snapshot;
        let all = self.blocks.entry(rules).or_insert_with(|| edges(snapshot, rules).into());
        let from = all.partition_point(|edge| edge <= within.start());
        let to = all.partition_point(|edge| edge <= within.end());
        all.get(from..to).unwrap_or_default()
    }
}

enum List<'a> {
    Acl(&'a [crate::vpc::AclRule]),
    Groups(&'a RuleSet),
}

fn list(snapshot: &Snapshot, rules: RuleSetId) -> List<'_> {
    match rules {
        RuleSetId::NetworkAcl(ix, direction) => {
            List::Acl(snapshot.network_acl(ix).rules(direction))
        }
        RuleSetId::Eni(ix) => List::Groups(snapshot.eni(ix).egress()),
        RuleSetId::Resource(ix, Direction::Ingress) => List::Groups(snapshot.ingress(ix)),
        RuleSetId::Resource(ix, Direction::Egress) => List::Groups(snapshot.egress(ix)),
    }
}

fn key(rules: RuleSetId) -> [u32; 2] {
    match rules {
        RuleSetId::NetworkAcl(ix, direction) => [direction as u32, ix.0.into()],
        RuleSetId::Eni(ix) => [2, ix.0.into()],
        RuleSetId::Resource(ix, direction) => [3 + direction as u32, ix.0.into()],
    }
}

fn edges(snapshot: &Snapshot, rules: RuleSetId) -> Vec<u32> {
    let mut edges = Vec::new();
    match list(snapshot, rules) {
        List::Acl(list) => {
            for rule in list {
                super::ranges::cut_around(&mut edges, super::cuts::block(rule.cidr));
            }
        }
        List::Groups(set) => {
            for block in set.blocks() {
                super::ranges::cut_around(&mut edges, block);
            }
        }
    }
    super::ranges::sorted(edges)
}
