//! Writes rules, routes and lists in the syntax of the lab file.

use crate::explain::names;
use crate::explain::packet::protocol_word;
use crate::packet::Protocol;
use crate::vpc::{
    AclRule, Direction, Peer, PortMatch, ProtocolMatch, RouteTableIx, SecurityGroupRule, Snapshot,
    Target, TrafficMatch,
};

/// Returns a list's elements as TOML strings.
pub(super) fn quoted(words: impl IntoIterator<Item = String>) -> String {
    let words = words.into_iter().map(|word| format!("\"{word}\""));
    words.collect::<Vec<_>>().join(", ")
}

pub(super) fn group_rule(
    rule: &SecurityGroupRule,
    direction: Direction,
    snapshot: &Snapshot,
) -> String {
    let key = match direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    };
    let peer = match rule.peer {
        Peer::Cidr(network) => network.to_string(),
        Peer::SecurityGroup(group) => names::security_group_id(snapshot, group).to_owned(),
        Peer::PrefixList(list) => snapshot.prefix_list(list).id.clone(),
    };
    format!("{{ {}, {key} = \"{peer}\" }}", traffic(&rule.traffic))
}

/// Returns a rule of a network ACL.
pub(super) fn acl_rule(rule: &AclRule) -> String {
    let AclRule { number, traffic, cidr, .. } = rule;
    let traffic = self::traffic(traffic);
    format!("{{ rule = {number}, action = \"allow\", {traffic}, cidr = \"{cidr}\" }}")
}

fn traffic(traffic: &TrafficMatch) -> String {
    let ProtocolMatch::Is(protocol) = traffic.protocol else {
        return "protocol = \"all\"".to_owned();
    };
    let word = protocol_word(protocol);
    let PortMatch { from, to } = traffic.ports;
    match protocol {
        Protocol::Tcp | Protocol::Udp if from == to => {
            format!("protocol = \"{word}\", ports = \"{from}\"")
        }
        Protocol::Tcp | Protocol::Udp => {
            format!("protocol = \"{word}\", ports = \"{from}-{to}\"")
        }
        Protocol::Icmp | Protocol::Other(_) => format!("protocol = \"{word}\""),
    }
}

pub(super) fn route(
    destination: &str,
    target: &Target,
    table: RouteTableIx,
    snapshot: &Snapshot,
) -> String {
    match target_id(target, table, snapshot) {
        Some(id) => format!("{{ destination = \"{destination}\", target = \"{id}\" }}"),
        None => format!("{{ destination = \"{destination}\" }}"),
    }
}

/// Returns the lab file's word for a target; `None` for one that no change uses.
pub(super) fn target_id<'s>(
    target: &Target,
    table: RouteTableIx,
    snapshot: &'s Snapshot,
) -> Option<&'s str> {
    let vpc = snapshot.vpc(snapshot.route_table(table).vpc);
    match target {
        Target::NatGateway(ix) => Some(&snapshot.nat_gateway(*ix).id),
        Target::Peering(ix) => Some(&snapshot.peering(*ix).id),
        Target::GatewayEndpoint(ix) => Some(&snapshot.gateway_endpoint(*ix).id),
        Target::GatewayLoadBalancerEndpoint(ix) => {
            Some(&snapshot.gateway_load_balancer_endpoint(*ix).id)
        }
        Target::NetworkInterface(ix) => match &snapshot.resource(*ix).network_interface {
            Some(interface) => Some(&interface.id),
            None => Some(&snapshot.resource(*ix).name),
        },
        Target::InternetGateway => {
            Some(vpc.internet_gateway.as_ref().map_or(&vpc.id, |own| &own.id))
        }
        Target::Local | Target::Blackhole(_) => None,
    }
}
