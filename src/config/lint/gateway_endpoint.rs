//! Reports gateway endpoints to which no packet is sent (surprise 12).

use super::context::Context;
use crate::config::address::overlap;
use crate::config::spec::{Connector, EndpointKind, Peer, SecurityGroupRule, Spec, VpcEndpoint};
use crate::packet::Protocol;
use crate::vpc::path::{Lead, Link};
use crate::vpc::{GatewayEndpointIx, PrefixList, ProtocolMatch, RouteTableIx, Target};
use ipnetwork::Ipv4Network;

pub(super) fn check(context: &Context<'_>, endpoint: &VpcEndpoint) {
    let Context { spec, report, .. } = context;
    let Some(list) = &endpoint.prefix_list else { return };
    if endpoint.kind == EndpointKind::Interface {
        return;
    }
    let Some(ix) = context.gateway_endpoint(&endpoint.id) else { return };
    if !has_route(context, ix) {
        report.warning(
            endpoint.id.span,
            "endpoint-without-route",
            format!("no route leads to gateway endpoint {:?}", endpoint.id.value),
            "name the tables that shall have its route in route_tables",
        );
    } else {
        tables_without_it(context, endpoint, list, ix);
    }
    let entries = spec.prefix_lists.iter().find(|l| *l.id == **list);
    let entries = entries.map_or(&[][..], |list| &list.entries);
    for connector in spec.connectors.iter().filter(|c| uses(context, c, ix)) {
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

/// Reports the tables of connectors' subnets that lead neither to the endpoint nor to another one
/// of its service, once each.
fn tables_without_it(
    context: &Context<'_>,
    endpoint: &VpcEndpoint,
    list: &str,
    ix: GatewayEndpointIx,
) {
    let Context { spec, snapshot, report, .. } = context;
    let own = snapshot.gateway_endpoint(ix);
    let is_same = |lead: &Lead| match lead.end {
        Ok(Link::Endpoint(other)) => snapshot.gateway_endpoint(other).service == own.service,
        Ok(_) | Err(_) => false,
    };
    let mut reported: Vec<RouteTableIx> = Vec::new();
    for connector in &spec.connectors {
        for subnet in connector.subnets.iter().filter_map(|id| spec.subnet(id)) {
            let Some(at) = context.subnet(&subnet.id).map(|ix| snapshot.subnet(ix)) else {
                continue;
            };
            let leads = context.leads(subnet);
            let is_known = reported.contains(&at.route_table);
            if at.vpc != own.vpc || is_known || leads.iter().any(is_same) {
                continue;
            }
            reported.push(at.route_table);
            let table = &snapshot.route_table(at.route_table).id;
            let instead = instead(context, leads, snapshot.prefix_list(own.prefix_list));
            report.warning(
                endpoint.id.span,
                "endpoint-not-in-table",
                format!(
                    "route table {table:?} of subnet {:?}, where {} is, has no route to gateway endpoint {:?}: packets to {list:?} {instead}",
                    at.id,
                    connector.title(),
                    endpoint.id.value,
                ),
                format!("add {table:?} to route_tables of {:?}", endpoint.id.value),
            );
        }
    }
}

/// Names the target of packets to a list that are not led to the endpoint.
fn instead(context: &Context<'_>, leads: &[Lead], list: &PrefixList) -> String {
    let first = list.entries.first();
    let covers = |lead: &&Lead| first.is_some_and(|entry| lead.to.contains(entry.network()));
    let lead = leads.iter().filter(covers).max_by_key(|lead| lead.to.prefix());
    match lead.map(|lead| (lead.end, lead.nat_gateway)) {
        Some((Ok(_), Some(gateway))) => {
            format!("go through NAT gateway {:?}", context.snapshot.nat_gateway(gateway).id)
        }
        Some((Ok(_), None)) => "go past it".to_owned(),
        Some((Err(_), _)) | None => "are dropped".to_owned(),
    }
}

/// Decides whether any table has a route to the endpoint.
fn has_route(context: &Context<'_>, endpoint: GatewayEndpointIx) -> bool {
    let tables = context.snapshot.parts().route_tables.iter();
    let mut routes = tables.flat_map(|table| &table.routes);
    routes.any(|route| route.target == Target::GatewayEndpoint(endpoint))
}

/// Decides whether packets from a subnet of a connector are led to the endpoint.
fn uses(context: &Context<'_>, connector: &Connector, endpoint: GatewayEndpointIx) -> bool {
    let subnets = connector.subnets.iter().filter_map(|id| context.spec.subnet(id));
    let mut leads = subnets.flat_map(|subnet| context.leads(subnet));
    leads.any(|lead| lead.end == Ok(Link::Endpoint(endpoint)))
}

/// Decides whether a rule of the connector's groups allows TCP or ICMP out to one of these
/// addresses.
fn lets_out(spec: &Spec, connector: &Connector, entries: &[Ipv4Network]) -> bool {
    spec.groups_of_connector(connector).iter().any(|id| {
        let group = spec.security_groups.iter().find(|group| *group.id == **id);
        // The implied default group and a group without the key allow everything out.
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
