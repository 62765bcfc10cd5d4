//! Writes a change in the words of the lab file.

use super::change::Change;
use super::new_endpoint::NewInterface;
use super::sections;
use super::source::Form;
use super::words::{acl_rule, group_rule, quoted, route, target_id};
use crate::config::edit::{Edit, SectionName};
use crate::vpc::{
    Connector, ConnectorIx, Destination, Direction, Egress, GatewayEndpointIx, Line, Peer,
    RouteTableIx, SecurityGroupIx, SecurityGroupRule, Service, ServiceKind, Snapshot, Target,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// A change to the lab file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// The object to change.
    pub id: String,
    /// Its line in the lab file; 0 if it is implied.
    #[serde(rename = "line", serialize_with = "line_or_null")]
    pub at: Line,
    /// Its place in the source from which the lab file is made, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The instruction, such as `add to egress`.
    pub action: String,
    /// The rule in the lab file's syntax; several rules are on a line each. For an implied object
    /// its whole section, for a new one all of its sections. For a source, its own commands, blocks
    /// or fragment.
    pub rule: String,
    /// The form in which the rule is written.
    pub form: Form,
    /// The reason why it is not written for the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The change of the lab file's text.
    #[serde(skip)]
    pub edits: Vec<Edit>,
    /// The change itself.
    #[serde(skip)]
    pub(super) change: Option<Change>,
    /// The effect of the change, if the hint of the drop's reason says something else.
    #[serde(skip)]
    pub(in crate::explain) advice: Option<&'static str>,
    /// Always true: the packets pass with the change, or get further, and no service loses
    /// anything.
    pub verified: bool,
    /// The reason why some of the packets are dropped with the change, further on their path.
    pub next: Option<&'static str>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn line_or_null<S: serde::Serializer>(line: &Line, serializer: S) -> Result<S::Ok, S::Error> {
    Some(*line).filter(|line| *line > 0).serialize(serializer)
}

/// The action for an object that the lab file implies.
pub(in crate::explain) const SECTION: &str = "add this section";

/// The action for objects that are new.
pub(in crate::explain) const NEW_SECTIONS: &str = "add to the lab file";

/// Writes a change in words.
pub(super) fn rendered(change: &Change, snapshot: &Snapshot) -> Fix {
    Fix { advice: advice(change), change: Some(change.clone()), ..words(change, snapshot) }
}

/// Describes the effect of a change that is not an obvious one.
fn advice(change: &Change) -> Option<&'static str> {
    match change {
        Change::EndpointTable { .. } => Some(
            "Lead the route table of the subnet to the gateway endpoint that serves this destination.",
        ),
        Change::ListEntries { .. } => Some(
            "Add the addresses to the prefix list that a rule for this protocol and port names.",
        ),
        Change::MoveConnector { .. } => {
            Some("Move the connector to subnets whose route table leads to the destination.")
        }
        Change::InterfaceEndpoint(endpoint) if endpoint.hostnames => Some(
            "Give the VPC an interface endpoint for this service, and enable_dns_hostnames, without which the service's name does not lead there.",
        ),
        Change::InterfaceEndpoint(_) => Some(
            "Give the VPC an interface endpoint for this service: no table leads to the internet.",
        ),
        Change::GatewayEndpoint(_) => Some(
            "Give the VPC a gateway endpoint for this service: no table leads to the internet.",
        ),
        Change::PublicAddresses { .. } => Some(
            "Give the tasks of the service public addresses: the internet gateway drops packets without one.",
        ),
        Change::GroupRules { .. }
        | Change::AclRules { .. }
        | Change::AddRoute { .. }
        | Change::Redirect { .. }
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
            let rules = rules.iter().map(acl_rule).collect();
            Object::new("network_acl", &acl.id, acl.line).with(key_of(*direction), rules)
        }
        Change::AddRoute { table, destination, target } => {
            let route = route(&destination.to_string(), target, *table, snapshot);
            add_to_routes(snapshot, *table, route)
        }
        Change::Redirect { table, position, target } => {
            redirect(snapshot, (*table, *position), target)
        }
        Change::EndpointTable { endpoint, table } => endpoint_table(snapshot, *endpoint, *table),
        Change::ListEntries { list, entries } => {
            let list = snapshot.prefix_list(*list);
            let entries = entries.iter().map(|entry| format!("\"{entry}\"")).collect();
            Object::new("prefix_list", &list.id, list.line).with("entries", entries)
        }
        Change::MoveConnector { connector, subnets } => {
            let ids = subnets.iter().map(|ix| snapshot.subnet(*ix).id.clone());
            let subnets = format!("[{}]", quoted(ids));
            of_connector(snapshot, *connector, ("subnets", subnets))
        }
        Change::PublicAddresses { connector } => public_addresses(snapshot, *connector),
        Change::SourceDestCheckOff { appliance } => {
            let own = snapshot.resource(*appliance);
            let own = Object::new("resource", &own.name, own.line);
            own.changed("source_dest_check", "false".to_owned())
        }
        Change::InterfaceEndpoint(endpoint) => new_interface(endpoint, snapshot),
        Change::GatewayEndpoint(endpoint) => {
            whole_sections(&endpoint.id, NEW_SECTIONS, sections::gateway(endpoint, snapshot))
        }
    }
}

/// The section of an object to change.
struct Object<'a> {
    list: &'static str,
    name: &'a str,
    line: Line,
}

impl<'a> Object<'a> {
    fn new(list: &'static str, name: &'a str, line: Line) -> Self {
        Self { list, name, line }
    }

    fn section(&self) -> SectionName {
        SectionName { list: self.list, name: self.name.to_owned() }
    }

    /// Returns the change with more elements in a list of the section.
    fn with(&self, key: &'static str, elements: Vec<String>) -> Fix {
        let (action, rule) = (format!("add to {key}"), elements.join(",\n"));
        self.fix(action, rule, Edit::Add { section: self.section(), key, elements })
    }

    /// Returns the change with a value for a key of the section.
    fn changed(&self, key: &'static str, value: String) -> Fix {
        let rule = format!("{key} = {value}");
        self.fix("change".to_owned(), rule, Edit::Set { section: self.section(), key, value })
    }

    fn fix(&self, action: String, rule: String, edit: Edit) -> Fix {
        let (id, at, edits) = (self.name.to_owned(), self.line, vec![edit]);
        Fix {
            id,
            at,
            place: None,
            action,
            rule,
            form: Form::Toml,
            note: None,
            edits,
            change: None,
            advice: None,
            verified: true,
            next: None,
        }
    }
}

/// Returns the change that adds whole sections.
fn whole_sections(id: &str, action: &str, sections: String) -> Fix {
    let edit = Edit::Append(sections.clone());
    Object::new("", id, 0).fix(action.to_owned(), sections, edit)
}

fn new_interface(endpoint: &NewInterface, snapshot: &Snapshot) -> Fix {
    let sections = sections::interface(endpoint, snapshot);
    let mut fix = whole_sections(&endpoint.id, NEW_SECTIONS, sections);
    if endpoint.hostnames {
        let vpc = &snapshot.vpc(endpoint.vpc).id;
        let (section, key) = (SectionName { list: "vpc", name: vpc.clone() }, HOSTNAMES);
        fix.edits.push(Edit::Set { section, key, value: "true".to_owned() });
        fix.rule = format!("# and in [[vpc]] {vpc}: {HOSTNAMES} = true\n{}", fix.rule);
    }
    fix
}

/// The attribute of a VPC that private names need.
const HOSTNAMES: &str = "enable_dns_hostnames";

fn key_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "egress",
        Direction::Ingress => "ingress",
    }
}

fn of_service(service: &Service) -> Object<'_> {
    Object::new("service", &service.name, service.line)
}

/// Writes a change of a connector. The subnets of a Lambda function or a Fargate service are in its
/// own section. If a connector has the same subnets and groups, the service may name it instead.
fn of_connector(snapshot: &Snapshot, ix: ConnectorIx, (key, value): (&'static str, String)) -> Fix {
    let connector = snapshot.connector(ix);
    let own = users(snapshot, ix).find(|service| service.kind != ServiceKind::AppRunner);
    let Some(own) = own else {
        let section = Object::new("vpc_connector", &connector.name, connector.line);
        return section.changed(key, value);
    };
    let is_named = |other: &Connector| {
        let (subnets, groups) = (&other.subnets, &other.security_groups);
        other.kind == ServiceKind::AppRunner
            && (subnets, groups) == (&connector.subnets, &connector.security_groups)
    };
    if !snapshot.parts().connectors.iter().any(is_named) {
        return of_service(own).changed(key, value);
    }
    let groups = connector.security_groups.iter().map(|ix| snapshot.security_group(*ix));
    let groups = groups.filter(|group| group.line > 0).map(|group| group.id.clone());
    let with = vec![(key, value), ("security_groups", format!("[{}]", quoted(groups)))];
    let lines = with.iter().map(|(key, value)| format!("{key} = {value}"));
    let rule = lines.collect::<Vec<_>>().join("\n");
    let own = of_service(own);
    let edit = Edit::Replace { section: own.section(), key: "vpc_connector", with };
    own.fix("replace vpc_connector".to_owned(), rule, edit)
}

fn public_addresses(snapshot: &Snapshot, ix: ConnectorIx) -> Fix {
    let (key, value) = ("assign_public_ip", "true".to_owned());
    match users(snapshot, ix).find(|service| service.kind == ServiceKind::Fargate) {
        Some(own) => of_service(own).changed(key, value),
        None => of_connector(snapshot, ix, (key, value)),
    }
}

fn redirect(snapshot: &Snapshot, (ix, position): (RouteTableIx, u16), target: &Target) -> Fix {
    let table = snapshot.route_table(ix);
    let own = &table.routes[usize::from(position)];
    let destination = match own.destination {
        Destination::Cidr(network) => network.to_string(),
        Destination::PrefixList(list) => snapshot.prefix_list(list).id.clone(),
    };
    let rule = route(&destination, target, ix, snapshot);
    let target = target_id(target, ix, snapshot).unwrap_or_default().to_owned();
    let edit = Edit::Redirect { table: table.id.clone(), destination, target };
    let section = Object::new("route_table", &table.id, own.line);
    section.fix("change the route".to_owned(), rule, edit)
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
    let (added, implied) = named_rules(snapshot, ix, direction, rules);
    if group.line > 0 {
        let section = Object::new("security_group", &group.id, group.line);
        let mut fix = section.with(key_of(direction), added);
        for section in implied {
            fix.rule =
                format!("{}\n# {SECTION}, which the file implies so far:\n{section}", fix.rule);
            fix.edits.push(Edit::Append(section));
        }
        return fix;
    }
    let section = sections::default_group(snapshot, ix, direction, &added);
    let all = std::iter::once(section).chain(implied).collect::<Vec<_>>();
    whole_sections(&group.id, SECTION, all.join("\n\n"))
}

/// Writes rules of a group, and the sections of the groups that they name and that the lab file
/// implies: a rule can name a group only by its section.
fn named_rules(
    snapshot: &Snapshot,
    own: SecurityGroupIx,
    direction: Direction,
    rules: &[SecurityGroupRule],
) -> (Vec<String>, Vec<String>) {
    let named: BTreeSet<SecurityGroupIx> = rules
        .iter()
        .filter_map(|rule| match rule.peer {
            Peer::SecurityGroup(ix) => Some(ix),
            Peer::Cidr(_) | Peer::PrefixList(_) => None,
        })
        .filter(|ix| *ix != own && snapshot.security_group(*ix).line == 0)
        .collect();
    let by_section = |rule: &SecurityGroupRule| {
        let rule = group_rule(rule, direction, snapshot);
        named.iter().fold(rule, |rule, ix| sections::by_section(&rule, *ix, snapshot))
    };
    let section = |ix: &SecurityGroupIx| sections::default_group(snapshot, *ix, direction, &[]);
    (rules.iter().map(by_section).collect(), named.iter().map(section).collect())
}

fn endpoint_table(snapshot: &Snapshot, ix: GatewayEndpointIx, table: RouteTableIx) -> Fix {
    let endpoint = snapshot.gateway_endpoint(ix);
    let own = snapshot.route_table(table);
    if own.line > 0 {
        let section = Object::new("vpc_endpoint", &endpoint.id, endpoint.line);
        return section.with("route_tables", vec![format!("\"{}\"", own.id)]);
    }
    let list = &snapshot.prefix_list(endpoint.prefix_list).id;
    let route = route(list, &Target::GatewayEndpoint(ix), table, snapshot);
    add_to_routes(snapshot, table, route)
}

fn add_to_routes(snapshot: &Snapshot, ix: RouteTableIx, route: String) -> Fix {
    let table = snapshot.route_table(ix);
    match table.line > 0 {
        true => Object::new("route_table", &table.id, table.line).with("routes", vec![route]),
        false => {
            let section = sections::main_table(snapshot, ix, &[route]);
            whole_sections(&table.id, SECTION, section)
        }
    }
}
