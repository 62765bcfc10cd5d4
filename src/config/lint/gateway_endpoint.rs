//! Gateway endpoints that nothing is sent to (surprise 12).

use crate::config::address::overlap;
use crate::config::diagnostic::Report;
use crate::config::spec::{
    Connector, EndpointKind, Peer, RouteTable, SecurityGroupRule, Spec, Target, VpcEndpoint,
};
use crate::packet::Protocol;
use crate::vpc::ProtocolMatch;
use ipnetwork::Ipv4Network;

pub(super) fn check(spec: &Spec, endpoint: &VpcEndpoint, report: &Report) {
    let Some(list) = &endpoint.prefix_list else { return };
    if endpoint.kind == EndpointKind::Interface {
        return;
    }
    if !spec.route_tables.iter().any(|table| leads_to(table, endpoint)) {
        report.warning(
            endpoint.id.span,
            "endpoint-without-route",
            format!("no route leads to gateway endpoint {:?}", endpoint.id.value),
            "name the tables that shall have its route in route_tables",
        );
    }
    let entries = spec.prefix_lists.iter().find(|l| *l.id == **list);
    let entries = entries.map_or(&[][..], |list| &list.entries);
    for connector in spec.connectors.iter().filter(|c| uses(spec, c, endpoint)) {
        if !lets_out(spec, connector, entries) {
            report.warning(
                connector.name.span,
                "endpoint-not-allowed",
                format!(
                    "no egress rule of {} allows the addresses of {:?}: gateway endpoint {:?} does not help",
                    connector.title(), list.value, endpoint.id.value
                ),
                format!("add {{ protocol = \"tcp\", ports = 443, to = {:?} }} to the egress of one of its groups", list.value),
            );
        }
    }
}

fn leads_to(table: &RouteTable, endpoint: &VpcEndpoint) -> bool {
    let named = endpoint.route_tables.iter().any(|id| **id == *table.id);
    let is_it =
        |target: &Target| matches!(target, Target::VpcEndpoint(id) if *id == *endpoint.id.value);
    named || table.routes.iter().any(|route| is_it(&route.target.value))
}

/// Whether a connector has a subnet whose table leads to the endpoint.
fn uses(spec: &Spec, connector: &Connector, endpoint: &VpcEndpoint) -> bool {
    let subnets = connector.subnets.iter().filter_map(|id| spec.subnet(id));
    let mut tables = subnets.filter_map(|subnet| spec.route_table_of(subnet));
    tables.any(|table| leads_to(table, endpoint))
}

/// Whether a rule of the connector's groups lets TCP or ICMP out to one of these addresses.
fn lets_out(spec: &Spec, connector: &Connector, entries: &[Ipv4Network]) -> bool {
    spec.groups_of_connector(connector).iter().any(|id| {
        let group = spec.security_groups.iter().find(|group| *group.id == **id);
        // The implied default group, and one without the key: everything may leave.
        let Some(rules) = group.and_then(|group| group.egress.as_ref()) else { return true };
        rules.iter().any(|rule| carried(rule) && is_for(spec, rule, entries))
    })
}

fn carried(rule: &SecurityGroupRule) -> bool {
    match rule.traffic.protocol {
        ProtocolMatch::All | ProtocolMatch::Is(Protocol::Tcp | Protocol::Icmp) => true,
        ProtocolMatch::Is(Protocol::Udp | Protocol::Other(_)) => false,
    }
}

fn is_for(spec: &Spec, rule: &SecurityGroupRule, entries: &[Ipv4Network]) -> bool {
    let meets = |network: Ipv4Network| entries.iter().any(|entry| overlap(*entry, network));
    match &rule.peer.value {
        Peer::Cidr(network) => meets(*network),
        Peer::PrefixList(id) => {
            let list = spec.prefix_lists.iter().find(|list| *list.id == *id);
            list.is_some_and(|list| list.entries.iter().any(|entry| meets(*entry)))
        }
        Peer::SecurityGroup(_) => false,
    }
}
