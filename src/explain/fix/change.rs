//! A change of a configuration, and the changed configuration.

use super::new_endpoint::{NewGateway, NewInterface};
use crate::vpc::{
    AclRule, ConnectorIx, Destination, Direction, Eni, GatewayEndpointIx, NetworkAcl, NetworkAclIx,
    Parts, PrefixListIx, ResourceIx, Route, RouteTable, RouteTableIx, SecurityGroup,
    SecurityGroupIx, SecurityGroupRule, ServiceKind, Snapshot, SubnetIx, Target, Task, TaskEni,
};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Adds rules to a security group.
    GroupRules { group: SecurityGroupIx, direction: Direction, rules: Vec<SecurityGroupRule> },
    /// Adds rules to a network ACL. Each of them allows.
    AclRules { acl: NetworkAclIx, direction: Direction, rules: Vec<AclRule> },
    /// Adds a route to a table.
    AddRoute { table: RouteTableIx, destination: Ipv4Network, target: Target },
    /// Gives a route of a table, by position, another target.
    Redirect { table: RouteTableIx, position: u16, target: Target },
    /// Adds a route table to a gateway endpoint.
    EndpointTable { endpoint: GatewayEndpointIx, table: RouteTableIx },
    /// Adds entries to a prefix list.
    ListEntries { list: PrefixListIx, entries: Vec<Ipv4Network> },
    /// Gives a connector other subnets.
    MoveConnector { connector: ConnectorIx, subnets: Vec<SubnetIx> },
    /// Gives the tasks of a connector public addresses.
    PublicAddresses { connector: ConnectorIx },
    /// Turns off the source/dest check of an appliance, so that it forwards.
    SourceDestCheckOff { appliance: ResourceIx },
    /// Gives a VPC an interface endpoint.
    InterfaceEndpoint(NewInterface),
    /// Gives a VPC a gateway endpoint.
    GatewayEndpoint(NewGateway),
}

impl Change {
    /// Decides whether the change moves the attachments of tasks.
    pub(super) const fn is_move(&self) -> bool {
        matches!(self, Self::MoveConnector { .. })
    }

    /// Returns the interface endpoint that the change adds, to which a name then leads.
    pub(super) const fn new_interface(&self) -> Option<&NewInterface> {
        match self {
            Self::InterfaceEndpoint(endpoint) => Some(endpoint),
            Self::GroupRules { .. }
            | Self::AclRules { .. }
            | Self::AddRoute { .. }
            | Self::Redirect { .. }
            | Self::EndpointTable { .. }
            | Self::ListEntries { .. }
            | Self::MoveConnector { .. }
            | Self::PublicAddresses { .. }
            | Self::SourceDestCheckOff { .. }
            | Self::GatewayEndpoint(_) => None,
        }
    }

    /// Returns a copy of a configuration with the change. Existing objects keep their positions.
    pub(super) fn applied(&self, snapshot: &Snapshot) -> Snapshot {
        let mut parts = snapshot.parts().clone();
        self.apply(&mut parts, snapshot);
        let tasks: Vec<Task> = snapshot.tasks().copied().collect();
        Snapshot::build(snapshot.generation, parts).with_tasks(tasks)
    }

    fn apply(&self, parts: &mut Parts, snapshot: &Snapshot) {
        match self {
            Self::GroupRules { group, direction, rules } => {
                add_group_rules(&mut parts.security_groups[group.get()], *direction, rules);
            }
            Self::AclRules { acl, direction, rules } => {
                add_acl_rules(&mut parts.network_acls[acl.get()], *direction, rules);
            }
            Self::AddRoute { table, destination, target } => {
                let destination = Destination::Cidr(*destination);
                add_route(&mut parts.route_tables[table.get()], destination, target.clone());
            }
            Self::Redirect { table, position, target } => {
                let routes = &mut parts.route_tables[table.get()].routes;
                routes[usize::from(*position)].target = target.clone();
            }
            Self::EndpointTable { endpoint, table } => {
                let list =
                    Destination::PrefixList(snapshot.gateway_endpoint(*endpoint).prefix_list);
                let target = Target::GatewayEndpoint(*endpoint);
                add_route(&mut parts.route_tables[table.get()], list, target);
            }
            Self::ListEntries { list, entries } => {
                parts.prefix_lists[list.get()].entries.extend(entries);
            }
            Self::MoveConnector { connector, subnets } => {
                move_connector(parts, snapshot, *connector, subnets);
            }
            Self::PublicAddresses { connector } => give_public_addresses(parts, *connector),
            Self::SourceDestCheckOff { appliance } => {
                if let Some(own) = &mut parts.resources[appliance.get()].network_interface {
                    own.source_dest_check = false;
                }
            }
            Self::InterfaceEndpoint(endpoint) => endpoint.apply(parts, snapshot),
            Self::GatewayEndpoint(endpoint) => endpoint.apply(parts),
        }
    }
}

fn add_group_rules(group: &mut SecurityGroup, direction: Direction, rules: &[SecurityGroupRule]) {
    let own = match direction {
        Direction::Egress => &mut group.egress,
        Direction::Ingress => &mut group.ingress,
    };
    own.extend_from_slice(rules);
}

fn add_acl_rules(acl: &mut NetworkAcl, direction: Direction, rules: &[AclRule]) {
    let own = match direction {
        Direction::Egress => &mut acl.egress,
        Direction::Ingress => &mut acl.ingress,
    };
    own.extend(rules);
    own.sort_by_key(|rule| rule.number);
}

fn add_route(table: &mut RouteTable, destination: Destination, target: Target) {
    table.routes.push(Route { destination, target, line: 0 });
}

/// Gives a connector other subnets, with an ENI in each that has none. The addresses of new ENIs
/// are open: they get some to or from which no packet is ever sent (RFC 1122, 3.2.1.3).
fn move_connector(parts: &mut Parts, snapshot: &Snapshot, ix: ConnectorIx, subnets: &[SubnetIx]) {
    let connector = &mut parts.connectors[ix.get()];
    connector.subnets = subnets.to_vec();
    let (kind, groups) = (connector.kind, connector.security_groups.clone());
    if kind == ServiceKind::Fargate {
        return;
    }
    for (number, &subnet) in (1u32 << 16..).zip(subnets) {
        if snapshot.hyperplane_eni(kind, subnet, &groups).is_none() {
            let id = format!("a further ENI in {}", snapshot.subnet(subnet).id);
            let nowhere = Ipv4Addr::from(number);
            let eni = Eni::new(id, String::new(), subnet, groups.clone(), nowhere);
            parts.enis.push(eni.of(kind, None));
        }
    }
}

fn give_public_addresses(parts: &mut Parts, connector: ConnectorIx) {
    parts.connectors[connector.get()].assign_public_ip = true;
    for (number, eni) in (1u32 << 17..).zip(&mut parts.enis) {
        if let Some(task) = eni.task.filter(|task| task.connector == connector) {
            let public_address = task.public_address.or(Some(Ipv4Addr::from(number)));
            eni.task = Some(TaskEni { public_address, ..task });
        }
    }
}
