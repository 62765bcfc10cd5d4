//! A change in the words of the lab file.

use super::change::Change;
use super::source::Form;
use crate::explain::names;
use crate::explain::packet::protocol_word;
use crate::packet::Protocol;
use crate::vpc::{
    AclRule, Connector, ConnectorIx, Destination, Direction, Egress, Line, Peer, PortMatch,
    ProtocolMatch, RouteTableIx, SecurityGroupIx, SecurityGroupRule, Service, ServiceKind,
    Snapshot, Target, TrafficMatch,
};
use serde::Serialize;

/// A change to the lab file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// The object to change.
    pub id: String,
    /// Its line in the lab file; 0 where it is implied.
    #[serde(rename = "line", serialize_with = "line_or_null")]
    pub at: Line,
    /// Its place in the source that the lab file is made from, if it is made from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What to do, such as `add to egress`.
    pub action: String,
    /// The rule in the lab file's syntax; of several, one on each line. For an implied object its whole section. Of a
    /// source, its own commands, blocks or fragment.
    pub rule: String,
    /// How the rule is written.
    pub form: Form,
    /// The reason for which it is not written for the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The change itself.
    #[serde(skip)]
    pub(super) change: Option<Change>,
    /// What the change does, where the hint of the drop's reason says something else.
    #[serde(skip)]
    pub(in crate::explain) advice: Option<&'static str>,
    /// True: the packets pass with the change, or get further, and no service loses anything.
    pub verified: bool,
    /// The reason for which some of the packets are dropped with the change, further on their path.
    pub next: Option<&'static str>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn line_or_null<S: serde::Serializer>(line: &Line, serializer: S) -> Result<S::Ok, S::Error> {
    Some(*line).filter(|line| *line > 0).serialize(serializer)
}

/// The action for an object that the lab file implies.
pub(in crate::explain) const SECTION: &str = "add this section";

/// Puts a change into words.
pub(super) fn rendered(change: &Change, snapshot: &Snapshot) -> Fix {
    Fix { advice: advice(change), change: Some(change.clone()), ..words(change, snapshot) }
}

/// Says what a change does that is none of those that come to mind first.
fn advice(change: &Change) -> Option<&'static str> {
    match change {
        Change::EndpointTable { .. } => Some(
            "Lead the route table of the subnet to the gateway endpoint that serves this destination.",
        ),
        Change::ListEntries { .. } => Some(
            "Add the addresses to the prefix list that a rule for this protocol and port names.",
        ),
        Change::MoveConnector { .. } => {
            Some("Move the connector to subnets whose route table leads there.")
        }
        Change::GroupRules { .. }
        | Change::AclRules { .. }
        | Change::AddRoute { .. }
        | Change::Redirect { .. }
        | Change::PublicAddresses { .. }
        | Change::SourceDestCheckOff { .. } => None,
    }
}

fn words(change: &Change, snapshot: &Snapshot) -> Fix {
    match change {
        Change::GroupRules { group, direction, rules } => {
            group_rules(snapshot, *group, *direction, rules)
        }
        Change::AclRules { acl, direction, rules } => {
            let acl = snapshot.network_acl(*acl);
            let rules = rules.iter().map(acl_rule);
            fix(&acl.id, acl.line, format!("add to {direction}"), lines(rules))
        }
        Change::AddRoute { table, destination, target } => {
            let route = route(&destination.to_string(), target, *table, snapshot);
            add_to_routes(snapshot, *table, route)
        }
        Change::Redirect { table, position, target } => {
            redirect(snapshot, (*table, *position), target)
        }
        Change::EndpointTable { endpoint, table } => {
            let endpoint = snapshot.gateway_endpoint(*endpoint);
            let table = format!("\"{}\"", snapshot.route_table(*table).id);
            fix(&endpoint.id, endpoint.line, "add to route_tables".to_owned(), table)
        }
        Change::ListEntries { list, entries } => {
            let list = snapshot.prefix_list(*list);
            let entries = lines(entries.iter().map(|entry| format!("\"{entry}\"")));
            fix(&list.id, list.line, "add to entries".to_owned(), entries)
        }
        Change::MoveConnector { connector, subnets } => {
            let ids = subnets.iter().map(|ix| format!("\"{}\"", snapshot.subnet(*ix).id));
            let subnets = format!("subnets = [{}]", ids.collect::<Vec<_>>().join(", "));
            subnets_of(snapshot, *connector, subnets)
        }
        Change::PublicAddresses { connector } => public_addresses(snapshot, *connector),
        Change::SourceDestCheckOff { appliance } => {
            let own = snapshot.resource(*appliance);
            let off = "source_dest_check = false".to_owned();
            fix(&own.name, own.line, "change".to_owned(), off)
        }
    }
}

fn fix(id: &str, at: Line, action: String, rule: String) -> Fix {
    let id = id.to_owned();
    Fix {
        id,
        at,
        place: None,
        action,
        rule,
        form: Form::Toml,
        note: None,
        change: None,
        advice: None,
        verified: true,
        next: None,
    }
}

fn lines(rules: impl Iterator<Item = String>) -> String {
    rules.collect::<Vec<_>>().join(",\n")
}

/// The subnets of a Lambda function or a Fargate service are in its own section. If a connector has the same subnets and
/// groups, the service may name it instead.
fn subnets_of(snapshot: &Snapshot, ix: ConnectorIx, rule: String) -> Fix {
    let connector = snapshot.connector(ix);
    let own = users(snapshot, ix).find(|service| service.kind != ServiceKind::AppRunner);
    let Some(own) = own else {
        return fix(&connector.name, connector.line, "change".to_owned(), rule);
    };
    let is_named = |other: &Connector| {
        let (subnets, groups) = (&other.subnets, &other.security_groups);
        other.kind == ServiceKind::AppRunner
            && (subnets, groups) == (&connector.subnets, &connector.security_groups)
    };
    if !snapshot.parts().connectors.iter().any(is_named) {
        return fix(&own.name, own.line, "change".to_owned(), rule);
    }
    let groups = connector.security_groups.iter().map(|ix| snapshot.security_group(*ix));
    let ids: Vec<String> =
        groups.filter(|group| group.line > 0).map(|group| format!("\"{}\"", group.id)).collect();
    let groups = format!("security_groups = [{}]", ids.join(", "));
    fix(&own.name, own.line, "replace vpc_connector".to_owned(), format!("{rule}\n{groups}"))
}

fn public_addresses(snapshot: &Snapshot, ix: ConnectorIx) -> Fix {
    let public = "assign_public_ip = true".to_owned();
    match users(snapshot, ix).find(|service| service.kind == ServiceKind::Fargate) {
        Some(own) => fix(&own.name, own.line, "change".to_owned(), public),
        None => subnets_of(snapshot, ix, public),
    }
}

fn redirect(snapshot: &Snapshot, (ix, position): (RouteTableIx, u16), target: &Target) -> Fix {
    let table = snapshot.route_table(ix);
    let own = &table.routes[usize::from(position)];
    let destination = match own.destination {
        Destination::Cidr(network) => network.to_string(),
        Destination::PrefixList(list) => snapshot.prefix_list(list).id.clone(),
    };
    let route = route(&destination, target, ix, snapshot);
    fix(&table.id, own.line, "change the route".to_owned(), route)
}

fn users(snapshot: &Snapshot, ix: ConnectorIx) -> impl Iterator<Item = &Service> {
    snapshot.parts().services.iter().filter(move |service| service.egress == Egress::Vpc(ix))
}

fn group_rules(
    snapshot: &Snapshot,
    ix: SecurityGroupIx,
    direction: Direction,
    rules: &[SecurityGroupRule],
) -> Fix {
    let group = snapshot.security_group(ix);
    let of = |direction, rules: &[SecurityGroupRule]| -> Vec<String> {
        rules.iter().map(|rule| group_rule(rule, direction, snapshot)).collect()
    };
    let added = of(direction, rules);
    if group.line > 0 {
        return fix(&group.id, group.line, format!("add to {direction}"), lines(added.into_iter()));
    }
    let id = section_id(&group.id);
    let of = |other: Direction| {
        let mut all = of(other, group.rules(other));
        all.extend(added.iter().filter(|_| other == direction).cloned());
        let itself = format!("\"{}\"", group.id);
        all.iter_mut().for_each(|rule| *rule = rule.replace(&itself, &format!("\"{id}\"")));
        list(&other.to_string(), &all)
    };
    let head = format!("[[security_group]]\nid = \"{id}\"");
    let vpc = format!("vpc = \"{}\"\ndefault = true", snapshot.vpc(group.vpc).id);
    let section = [head, vpc, of(Direction::Ingress), of(Direction::Egress)].join("\n");
    fix(&group.id, 0, SECTION.to_owned(), section)
}

/// Returns a name for what the lab file implies: the implied one is none that the file could give.
fn section_id(implied: &str) -> String {
    implied.replace('/', "-")
}

fn list(key: &str, rules: &[String]) -> String {
    match rules {
        [one] => format!("{key} = [{one}]"),
        several => {
            let lines = several.iter().map(|rule| format!("\n    {rule},"));
            format!("{key} = [{}\n]", lines.collect::<String>())
        }
    }
}

fn group_rule(rule: &SecurityGroupRule, direction: Direction, snapshot: &Snapshot) -> String {
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

fn acl_rule(rule: &AclRule) -> String {
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

fn add_to_routes(snapshot: &Snapshot, ix: RouteTableIx, route: String) -> Fix {
    let table = snapshot.route_table(ix);
    if table.line > 0 {
        return fix(&table.id, table.line, "add to routes".to_owned(), route);
    }
    let head = format!("[[route_table]]\nid = \"{}\"", section_id(&table.id));
    let vpc = format!("vpc = \"{}\"\nmain = true", snapshot.vpc(table.vpc).id);
    let section = format!("{head}\n{vpc}\nroutes = [{route}]");
    fix(&table.id, 0, SECTION.to_owned(), section)
}

fn route(destination: &str, target: &Target, table: RouteTableIx, snapshot: &Snapshot) -> String {
    let vpc = snapshot.vpc(snapshot.route_table(table).vpc);
    let id = match target {
        Target::NatGateway(ix) => &snapshot.nat_gateway(*ix).id,
        Target::Peering(ix) => &snapshot.peering(*ix).id,
        Target::GatewayEndpoint(ix) => &snapshot.gateway_endpoint(*ix).id,
        Target::GatewayLoadBalancerEndpoint(ix) => &snapshot.gateway_load_balancer_endpoint(*ix).id,
        Target::NetworkInterface(ix) => match &snapshot.resource(*ix).network_interface {
            Some(interface) => &interface.id,
            None => &snapshot.resource(*ix).name,
        },
        Target::InternetGateway => vpc.internet_gateway.as_ref().map_or(&vpc.id, |own| &own.id),
        Target::Local | Target::Blackhole(_) => {
            return format!("{{ destination = \"{destination}\" }}");
        }
    };
    format!("{{ destination = \"{destination}\", target = \"{id}\" }}")
}
