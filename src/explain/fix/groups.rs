//! Proposes changes of security groups, and of the prefix lists that their rules name.

use super::change::Change;
use super::failing::Failing;
use super::senders::Senders;
use super::terms::{MOST_RULES, all_addresses, blocks, blocks_up_to, holds, traffic};
use crate::pipeline::Reason;
use crate::pipeline::reach::{Ranges, public_unicast};
use crate::vpc::{
    Destination, Direction, Interface, NatGateway, Peer, PrefixListIx, ResourceIx, SecurityGroupIx,
    SecurityGroupRule, TrafficMatch, VpcIx, everywhere,
};
use ipnetwork::Ipv4Network;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Lists the changes that let the packets leave an ENI.
pub(super) fn of_eni(failing: &Failing<'_>) -> Vec<Change> {
    let Some(group) = failing.eni().and_then(|eni| eni.security_groups.first()) else {
        return Vec::new();
    };
    let peers = groups_of(failing, &failing.destinations);
    let gate = Gate { group: *group, direction: Direction::Egress, most: MOST_RULES };
    gate.changes(failing, &failing.destinations, peers)
}

/// Lists the changes that let the packets reach their destination, a resource with a private
/// address of a VPC.
pub(super) fn of_destination(
    failing: &Failing<'_>,
    (vpc, address): (VpcIx, Ipv4Addr),
) -> Vec<Change> {
    let snapshot = failing.snapshot;
    let Some(Interface::Resource(resource)) = snapshot.interface(vpc, address) else {
        return Vec::new();
    };
    let Some(group) = snapshot.resource(resource).security_groups.first() else {
        return Vec::new();
    };
    match Senders::of(failing) {
        Some(senders) => of_public_endpoint(failing, *group, &senders),
        None => of_interface(failing, *group),
    }
}

/// Lists the changes that let the packets reach a public endpoint: its groups see the senders'
/// public addresses. There are none if one of these is not known, because a rule for it would be
/// right in the lab alone.
fn of_public_endpoint(
    failing: &Failing<'_>,
    group: SecurityGroupIx,
    senders: &Senders,
) -> Vec<Change> {
    let gate = Gate { group, direction: Direction::Ingress, most: NatGateway::MAX_ADDRESSES };
    let Some(known) = senders.known() else { return Vec::new() };
    // A rule for every address is a decision for a person.
    let admits_all = |rule: &SecurityGroupRule| rule.peer == Peer::Cidr(everywhere());
    let is_narrow = |change: &Change| !matches!(change, Change::GroupRules { rules, .. } if rules.iter().any(admits_all));
    gate.changes(failing, known, None).into_iter().filter(is_narrow).collect()
}

/// Lists the changes that let the packets reach an interface by its private address.
fn of_interface(failing: &Failing<'_>, group: SecurityGroupIx) -> Vec<Change> {
    let Some(eni) = failing.eni() else { return Vec::new() };
    let packet = failing.at_gate();
    let preserved = failing.reason != Reason::SgIngressBehindMiddlebox;
    let own = [eni.address, failing.evidence.inside.src()];
    let is_from_eni = preserved && own.contains(&packet.src);
    let sender = eni.security_groups.first().filter(|_| is_from_eni);
    let sources = match failing.gateway_addresses.iter().find(|_| !is_from_eni) {
        Some(_) => Ranges::new(
            failing.gateway_addresses.iter().flat_map(|at| at.private.iter().collect::<Vec<_>>()),
        ),
        None => Ranges::one(packet.src.to_bits()),
    };
    let gate = Gate { group, direction: Direction::Ingress, most: MOST_RULES };
    let mut changes = gate.changes(failing, &sources, sender.map(|sender| vec![*sender]));
    changes.extend(gate.of_whole_subnet(failing, packet.src));
    changes
}

/// Lists the changes that let an appliance pass the packets on. They are by addresses: packets
/// routed through an appliance match no reference to a group.
pub(super) fn of_appliance(
    failing: &Failing<'_>,
    appliance: ResourceIx,
    direction: Direction,
) -> Vec<Change> {
    let resource = failing.snapshot.resource(appliance);
    let Some(group) = resource.security_groups.first() else { return Vec::new() };
    let packet = failing.at_gate();
    let address = match direction {
        Direction::Egress => packet.dst,
        Direction::Ingress => packet.src,
    };
    let gate = Gate { group: *group, direction, most: MOST_RULES };
    // A reply has other ports than the question.
    let is_request = packet.dst == failing.evidence.inside.dst();
    let ports = if is_request { traffic(&failing.ports) } else { vec![exactly(failing)] };
    let one = gate.rules(&ports, &[Peer::Cidr(address.into())]);
    let wide = match is_request && direction == Direction::Egress {
        true => blocks(&failing.destinations).map(|all| cidrs(&all)),
        false => None,
    };
    let wide = wide.and_then(|peers| gate.rules(&ports, &peers));
    let subnet = gate.of_whole_subnet(failing, address);
    one.into_iter().chain(wide).chain(subnet).collect()
}

/// Returns the traffic of the packet at the stage that drops it.
fn exactly(failing: &Failing<'_>) -> TrafficMatch {
    let packet = failing.at_gate();
    let ports = crate::vpc::PortMatch { from: packet.dport, to: packet.dport };
    TrafficMatch {
        protocol: crate::vpc::ProtocolMatch::Is(packet.protocol),
        ports: if packet.protocol.has_ports() { ports } else { crate::vpc::PortMatch::ALL },
        icmp: crate::vpc::IcmpMatch::ALL,
    }
}

/// One direction of a group.
struct Gate {
    group: SecurityGroupIx,
    direction: Direction,
    /// The most rules that a change adds.
    most: usize,
}

impl Gate {
    /// Lists the changes that admit packets from or to these addresses, whose interfaces have these
    /// groups: by a prefix list that is in use, by the groups, by an entry of a list that a rule
    /// names, by any list, by CIDR blocks.
    fn changes(
        &self,
        failing: &Failing<'_>,
        others: &Ranges,
        groups: Option<Vec<SecurityGroupIx>>,
    ) -> Vec<Change> {
        let ports = traffic(&failing.ports);
        let lists = lists_with(failing, others);
        let (used, unused): (Vec<_>, Vec<_>) =
            lists.into_iter().partition(|list| self.uses(failing, *list));
        let by = |peers: Vec<Peer>| self.rules(&ports, &peers);
        let by_list = |list: PrefixListIx| by(vec![Peer::PrefixList(list)]);
        let by_groups = groups.map(|all| all.into_iter().map(Peer::SecurityGroup).collect());
        let exact = blocks_up_to(self.most, others);
        let mut changes: Vec<Change> = used.into_iter().filter_map(by_list).collect();
        changes.extend(by_groups.and_then(by));
        changes.extend(exact.as_ref().and_then(|all| self.entries(failing, all)));
        changes.extend(unused.into_iter().filter_map(by_list));
        match exact {
            Some(all) => changes.extend(by(cidrs(&all))),
            None => changes.extend(by(vec![Peer::Cidr(everywhere())])),
        }
        changes
    }

    /// Makes the rules of each traffic with each peer; `None` if they are too many.
    fn rules(&self, ports: &[TrafficMatch], peers: &[Peer]) -> Option<Change> {
        if ports.len() * peers.len() > self.most {
            return None;
        }
        let rule = |(traffic, peer): (&TrafficMatch, &Peer)| SecurityGroupRule {
            traffic: *traffic,
            peer: *peer,
            line: 0,
        };
        let pairs = ports.iter().flat_map(|traffic| peers.iter().map(move |peer| (traffic, peer)));
        let (group, direction) = (self.group, self.direction);
        Some(Change::GroupRules { group, direction, rules: pairs.map(rule).collect() })
    }

    /// Makes the rules for the subnet of an address that is not known before AWS has chosen it.
    fn of_whole_subnet(&self, failing: &Failing<'_>, address: Ipv4Addr) -> Option<Change> {
        let mut subnets = failing.snapshot.parts().subnets.iter();
        let vpc = failing.vpc()?;
        let subnet = subnets.find(|own| own.vpc == vpc && own.cidr.contains(address))?;
        self.rules(&traffic(&failing.ports), &[Peer::Cidr(subnet.cidr)])
    }

    /// Decides whether a list is in use near the new rule: by a route, an endpoint or another rule
    /// of the group.
    fn uses(&self, failing: &Failing<'_>, list: PrefixListIx) -> bool {
        let parts = failing.snapshot.parts();
        let vpc = failing.snapshot.security_group(self.group).vpc;
        let mut tables = parts.route_tables.iter().filter(|table| table.vpc == vpc);
        let mut endpoints = parts.gateway_endpoints.iter();
        endpoints.any(|endpoint| endpoint.vpc == vpc && endpoint.prefix_list == list)
            || tables.any(|table| {
                let mut routes = table.routes.iter();
                routes.any(|route| route.destination == Destination::PrefixList(list))
            })
            || self.own_rules(failing).any(|rule| rule.peer == Peer::PrefixList(list))
    }

    fn own_rules<'f>(&self, failing: &Failing<'f>) -> impl Iterator<Item = &'f SecurityGroupRule> {
        failing.snapshot.security_group(self.group).rules(self.direction).iter()
    }

    /// Adds addresses to the list of a rule that admits the traffic already, but not these
    /// addresses. A list that routes name, or a gateway endpoint, is for public addresses outside
    /// every VPC.
    fn entries(&self, failing: &Failing<'_>, addresses: &[Ipv4Network]) -> Option<Change> {
        let parts = failing.snapshot.parts();
        let public = public_unicast();
        let is_private = |address: &Ipv4Network| {
            !holds(&public, &all_addresses(std::slice::from_ref(address)))
                || parts.vpcs.iter().any(|vpc| vpc.cidrs.iter().any(|own| own.overlaps(*address)))
        };
        let is_routed = |list| {
            let named = Destination::PrefixList(list);
            let mut routes = parts.route_tables.iter().flat_map(|table| &table.routes);
            let mut endpoints = parts.gateway_endpoints.iter();
            routes.any(|route| route.destination == named)
                || endpoints.any(|endpoint| endpoint.prefix_list == list)
        };
        let wanted = traffic(&failing.ports);
        self.own_rules(failing).find_map(|rule| {
            let Peer::PrefixList(list) = rule.peer else { return None };
            if is_routed(list) && addresses.iter().any(is_private) {
                return None;
            }
            let admits = |one: &TrafficMatch| contains(&rule.traffic, one);
            wanted
                .iter()
                .all(admits)
                .then(|| Change::ListEntries { list, entries: addresses.to_vec() })
        })
    }
}

/// Decides whether a rule admits all of some traffic.
fn contains(rule: &TrafficMatch, other: &TrafficMatch) -> bool {
    let ports = rule.ports.from <= other.ports.from && other.ports.to <= rule.ports.to;
    *rule == TrafficMatch::ALL
        || (rule.protocol == other.protocol && ports && rule.icmp == other.icmp)
}

/// Lists the prefix lists that have all of these addresses.
fn lists_with(failing: &Failing<'_>, addresses: &Ranges) -> Vec<PrefixListIx> {
    let lists = (0..).map(PrefixListIx).zip(&failing.snapshot.parts().prefix_lists);
    let have = lists.filter(|(_, list)| holds(&all_addresses(&list.entries), addresses));
    have.map(|(ix, _)| ix).collect()
}

/// Returns a group of each of the interfaces that have these addresses; `None` if one has no
/// interface with a group.
fn groups_of(failing: &Failing<'_>, addresses: &Ranges) -> Option<Vec<SecurityGroupIx>> {
    if addresses.count() > 1 << 12 {
        return None;
    }
    let all = addresses.iter().flat_map(|(first, last)| first..=last);
    let groups = all.map(|address| failing.group_of(Ipv4Addr::from(address)));
    let groups: Option<BTreeSet<SecurityGroupIx>> = groups.collect();
    groups.filter(|all| !all.is_empty()).map(|all| all.into_iter().collect())
}

fn cidrs(blocks: &[Ipv4Network]) -> Vec<Peer> {
    blocks.iter().copied().map(Peer::Cidr).collect()
}
