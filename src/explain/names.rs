//! Returns names in AWS's words for the objects to which the evidence refers by index. Positions
//! are shown counted from 1.
//!
//! An index may be of an older generation than the given snapshot (a flow or drop from before a
//! reload), so every lookup here is checked and falls back to a plain sentence.

use crate::pipeline::Component;
use crate::vpc::{
    AclAction, Destination, Direction, EniIx, GatewayEndpointIx, GatewayLoadBalancerEndpointIx,
    Interface, Line, NatGatewayIx, NetworkAclIx, Peer, PeeringIx, ResourceIx, Route, RouteTableIx,
    RuleRef, SecurityGroupIx, SecurityGroupRule, ServiceIx, Snapshot, SubnetIx, Target, VpcIx,
};
use serde::Serialize;
use std::fmt;
use std::net::Ipv4Addr;

/// The text for a rule whose index no longer exists.
const EARLIER: &str = "a rule of an earlier configuration";
/// The text for the id of an object whose index no longer exists.
const UNKNOWN: &str = "(earlier configuration)";

/// A function that names the place of a line of the lab file, such as `lab.toml:41`.
pub type Places<'a> = &'a dyn Fn(Line) -> String;

/// The decider of a packet's verdict, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecidedBy {
    /// The kind of object, such as `security-group-rule` or `route`.
    pub kind: &'static str,
    /// The id of the object that contains the rule, or of the object that decided by itself. For
    /// `security-groups`, which decide together, the ids of all, with `,` between.
    pub id: String,
    /// The rule within it, such as `rule 2 of sg-app (tcp 443 to 0.0.0.0/0)`.
    pub rule: Option<String>,
    /// Its line in the lab file, from 1; `None` if it is implied. For several groups, the line of
    /// the first that has one.
    pub line: Option<Line>,
    /// Its place in the source from which the lab file is made, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Each of several groups that decided together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<DecidingGroup>,
    /// Set if the lab file implies it instead of stating it.
    #[serde(skip)]
    pub implied: bool,
}

impl DecidedBy {
    /// Decides whether it has a position in the lab file, or in what the file implies: without one
    /// it means the same under every configuration.
    pub fn is_positional(&self) -> bool {
        self.line.is_some() || self.implied
    }
}

/// One of several security groups that decided together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecidingGroup {
    /// Its id.
    pub id: String,
    /// Its line in the lab file, from 1; `None` if it is implied.
    pub line: Option<Line>,
    /// Its place in the source from which the lab file is made, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl DecidedBy {
    fn of(kind: &'static str, id: impl Into<String>) -> Self {
        let (rule, line, place, groups) = (None, None, None, Vec::new());
        Self { kind, id: id.into(), rule, line, place, groups, implied: false }
    }

    fn rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    fn at(mut self, line: Line) -> Self {
        self.line = (line > 0).then_some(line);
        self.implied = line == 0;
        self
    }

    /// Adds its place in the source from which the lab file is made.
    pub(super) fn name_place(&mut self, places: Places<'_>) {
        self.place = self.line.map(places);
        self.groups.iter_mut().for_each(|group| group.place = group.line.map(places));
    }

    /// Returns its place in the lab file: `lab.toml:41`, `(implied)`, or nothing; for several
    /// groups, one for each.
    pub fn shown_place(&self, places: Places<'_>) -> Option<String> {
        if !self.groups.is_empty() {
            let places = self.groups.iter().map(|group| match group.line {
                Some(line) => places(line),
                None => "(implied)".to_owned(),
            });
            return Some(places.collect::<Vec<_>>().join(", "));
        }
        match self.line {
            Some(line) => Some(places(line)),
            None => self.implied.then(|| "(implied)".to_owned()),
        }
    }
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule.as_ref().unwrap_or(&self.id))
    }
}

/// Returns the decider's name.
pub fn decided_by(rule: RuleRef, snapshot: &Snapshot) -> DecidedBy {
    match rule {
        RuleRef::Packet => DecidedBy::of("packet", "packet"),
        RuleRef::SourceCheck => DecidedBy::of("source-check", "source-check"),
        RuleRef::ExemptAddress => DecidedBy::of("exempt-address", "exempt-address"),
        RuleRef::FlowTable => DecidedBy::of("flow-table", "flow-table"),
        RuleRef::AppRunner => DecidedBy::of("app-runner", "app-runner"),
        RuleRef::Internet => DecidedBy::of("internet", "internet"),
        RuleRef::SecurityGroupRule(group, direction, position) => {
            security_group_rule(snapshot, group, direction, position)
        }
        RuleRef::EniSecurityGroups(eni, direction) => eni_security_groups(snapshot, eni, direction),
        RuleRef::DestinationSecurityGroups(vpc, address) => {
            destination_security_groups(snapshot, vpc, address)
        }
        RuleRef::NetworkAclRule(acl, direction, position, _) => {
            network_acl_rule(snapshot, acl, direction, position)
        }
        RuleRef::NetworkAclImplicitDeny(acl, direction, _) => {
            network_acl_implicit_deny(snapshot, acl, direction)
        }
        RuleRef::Route(table, position) => route(snapshot, table, position),
        RuleRef::RouteTable(table) => route_table(snapshot, table),
        RuleRef::NatGateway(gateway) => nat_gateway(snapshot, gateway),
        RuleRef::InternetGateway(vpc) => internet_gateway(snapshot, vpc),
        RuleRef::GatewayEndpoint(endpoint) => gateway_endpoint(snapshot, endpoint),
        RuleRef::ApplianceSecurityGroups(appliance, direction) => {
            let appliance = snapshot.parts().resources.get(appliance.get());
            no_rule(snapshot, direction, appliance.map(|r| &*r.security_groups))
        }
        RuleRef::NetworkInterface(appliance) => network_interface(snapshot, appliance),
        RuleRef::InterfaceEndpoint(interface) => interface_endpoint(snapshot, interface),
        RuleRef::GatewayLoadBalancerEndpoint(endpoint) => {
            gateway_load_balancer_endpoint(snapshot, endpoint)
        }
        RuleRef::Peering(peering) => self::peering(snapshot, peering),
        RuleRef::Eni(eni) => DecidedBy::of("eni", eni_id(snapshot, eni)),
        RuleRef::Vpc(vpc) => match snapshot.parts().vpcs.get(vpc.get()) {
            Some(vpc) => DecidedBy::of("vpc", &vpc.id).at(vpc.line),
            None => DecidedBy::of("vpc", UNKNOWN),
        },
    }
}

/// Returns the name of the object that a stage examined.
pub fn component(component: Component, snapshot: &Snapshot) -> String {
    match component {
        Component::Task(address) => task(snapshot, address),
        Component::Service(service) => service_name(snapshot, service).to_owned(),
        Component::Eni(eni) => eni_id(snapshot, eni).to_owned(),
        Component::AppRunner => "app-runner".to_owned(),
        Component::NetworkAcl(acl, subnet) => {
            format!("{} on {}", acl_id(snapshot, acl), subnet_id(snapshot, subnet))
        }
        Component::RouteTable(table, subnet) => {
            format!("{} on {}", route_table_id(snapshot, table), subnet_id(snapshot, subnet))
        }
        Component::NatGateway(gateway) => nat_gateway_id(snapshot, gateway).to_owned(),
        Component::InternetGateway(vpc) => internet_gateway_id(snapshot, vpc),
        Component::Resource(resource) => {
            let resource = snapshot.parts().resources.get(resource.get());
            resource.map_or(UNKNOWN, |r| &r.name).to_owned()
        }
        Component::GatewayEndpoint(endpoint) => gateway_endpoint_id(snapshot, endpoint).to_owned(),
        Component::Peering(peering) => peering_id(snapshot, peering).to_owned(),
        Component::NetworkInterface(appliance) => appliance_name(snapshot, appliance),
        Component::GatewayLoadBalancerEndpoint(endpoint) => {
            gateway_load_balancer_endpoint_id(snapshot, endpoint).to_owned()
        }
        Component::Vpc(vpc) => vpc_id(snapshot, vpc).to_owned(),
        Component::Internet => "internet".to_owned(),
    }
}

/// Returns `web/1` for the task with this address; the address itself if no task has it.
pub fn task(snapshot: &Snapshot, address: Ipv4Addr) -> String {
    match snapshot.task(address) {
        Some(task) => format!("{}/{}", service_name(snapshot, task.service), task.number),
        None => address.to_string(),
    }
}

/// Returns the id of a subnet.
pub fn subnet_id(snapshot: &Snapshot, subnet: SubnetIx) -> &str {
    snapshot.parts().subnets.get(subnet.get()).map_or(UNKNOWN, |s| &s.id)
}

/// Returns the name of a service.
pub fn service_name(snapshot: &Snapshot, service: ServiceIx) -> &str {
    snapshot.parts().services.get(service.get()).map_or(UNKNOWN, |s| &s.name)
}

/// Returns the id of a security group.
pub fn security_group_id(snapshot: &Snapshot, group: SecurityGroupIx) -> &str {
    snapshot.parts().security_groups.get(group.get()).map_or(UNKNOWN, |g| &g.id)
}

/// Returns a rule of a security group, if the snapshot still has it.
pub(super) fn find_security_group_rule(
    snapshot: &Snapshot,
    group: SecurityGroupIx,
    direction: Direction,
    position: u16,
) -> Option<&SecurityGroupRule> {
    let group = snapshot.parts().security_groups.get(group.get())?;
    group.rules(direction).get(usize::from(position))
}

/// Returns the id or CIDR block of a rule's other end.
pub(super) fn peer(snapshot: &Snapshot, peer: Peer) -> String {
    match peer {
        Peer::Cidr(network) => network.to_string(),
        Peer::SecurityGroup(group) => security_group_id(snapshot, group).to_owned(),
        Peer::PrefixList(list) => {
            let list = snapshot.parts().prefix_lists.get(list.get());
            list.map_or(UNKNOWN, |l| &l.id).to_owned()
        }
    }
}

fn security_group_rule(
    snapshot: &Snapshot,
    group: SecurityGroupIx,
    direction: Direction,
    position: u16,
) -> DecidedBy {
    let id = security_group_id(snapshot, group);
    let named = DecidedBy::of("security-group-rule", id);
    let Some(rule) = find_security_group_rule(snapshot, group, direction, position) else {
        return named.rule(EARLIER);
    };
    let side = match direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    };
    let (traffic, peer) = (rule.traffic, peer(snapshot, rule.peer));
    let number = u32::from(position) + 1;
    named.rule(format!("rule {number} of {id} ({traffic} {side} {peer})")).at(rule.line)
}

fn eni_security_groups(snapshot: &Snapshot, eni: EniIx, direction: Direction) -> DecidedBy {
    let eni = snapshot.parts().enis.get(eni.get());
    no_rule(snapshot, direction, eni.map(|eni| &*eni.security_groups))
}

/// Returns the groups of a destination. An ENI and a NAT gateway take no requests, whatever their
/// groups: for them the interface decides.
fn destination_security_groups(snapshot: &Snapshot, vpc: VpcIx, address: Ipv4Addr) -> DecidedBy {
    let resource = match snapshot.interface(vpc, address) {
        Some(Interface::Resource(resource)) => snapshot.parts().resources.get(resource.get()),
        Some(Interface::Eni(eni)) => {
            return DecidedBy::of("eni", eni_id(snapshot, eni))
                .rule("a Hyperplane ENI takes no requests: egress only");
        }
        Some(Interface::NatGateway(gateway)) => return nat_gateway(snapshot, gateway),
        None => None,
    };
    no_rule(snapshot, Direction::Ingress, resource.map(|resource| &*resource.security_groups))
}

/// Returns the name of the implicit deny of an interface's groups together.
pub(super) fn no_rule(
    snapshot: &Snapshot,
    direction: Direction,
    groups: Option<&[SecurityGroupIx]>,
) -> DecidedBy {
    let kind = "security-groups";
    let Some(groups) = groups else { return DecidedBy::of(kind, UNKNOWN).rule(EARLIER) };
    let ids: Vec<_> = groups.iter().map(|&g| security_group_id(snapshot, g)).collect();
    let named = DecidedBy::of(kind, ids.join(","))
        .rule(format!("no {direction} rule of {}", ids.join(", ")));
    let found = |ix: &SecurityGroupIx| snapshot.parts().security_groups.get(ix.get());
    if let [only] = groups {
        return match found(only) {
            Some(group) => named.at(group.line),
            None => named,
        };
    }
    let lines = groups.iter().map(|ix| found(ix).map(|group| group.line).filter(|line| *line > 0));
    let groups: Vec<DecidingGroup> = ids
        .iter()
        .zip(lines)
        .map(|(&id, line)| DecidingGroup { id: id.to_owned(), line, place: None })
        .collect();
    DecidedBy { line: groups.iter().find_map(|group| group.line), groups, ..named }
}

fn network_acl_rule(
    snapshot: &Snapshot,
    acl: NetworkAclIx,
    direction: Direction,
    position: u16,
) -> DecidedBy {
    let named = DecidedBy::of("network-acl-rule", acl_id(snapshot, acl));
    let found = snapshot.parts().network_acls.get(acl.get());
    let rule = found.and_then(|acl| acl.rules(direction).get(usize::from(position)));
    let Some(rule) = rule else { return named.rule(EARLIER) };
    let action = match rule.action {
        AclAction::Allow => "allow",
        AclAction::Deny => "deny",
    };
    let (number, traffic, cidr, id) = (rule.number, rule.traffic, rule.cidr, &named.id);
    let text = format!("rule {number} of {id} {direction} ({action} {traffic} {cidr})");
    named.rule(text).at(rule.line)
}

fn network_acl_implicit_deny(
    snapshot: &Snapshot,
    acl: NetworkAclIx,
    direction: Direction,
) -> DecidedBy {
    let named = DecidedBy::of("network-acl-implicit-deny", acl_id(snapshot, acl));
    match snapshot.parts().network_acls.get(acl.get()) {
        Some(acl) => named.rule(format!("* of {} {direction}", acl.id)).at(acl.line),
        None => named.rule(EARLIER),
    }
}

fn route(snapshot: &Snapshot, table: RouteTableIx, position: u16) -> DecidedBy {
    let named = DecidedBy::of("route", route_table_id(snapshot, table));
    let found = snapshot.parts().route_tables.get(table.get());
    let route = found.and_then(|table| table.routes.get(usize::from(position)).zip(Some(table)));
    let Some((route, table)) = route else { return named.rule(EARLIER) };
    let destination = match route.destination {
        Destination::Cidr(network) => network.to_string(),
        Destination::PrefixList(list) => peer(snapshot, Peer::PrefixList(list)),
    };
    let target = target(snapshot, table.vpc, route);
    named.rule(format!("{destination} -> {target} in {}", table.id)).at(route.line)
}

fn target(snapshot: &Snapshot, vpc: VpcIx, route: &Route) -> String {
    match &route.target {
        Target::Local => "local".to_owned(),
        Target::InternetGateway => internet_gateway_id(snapshot, vpc),
        Target::NatGateway(gateway) => nat_gateway_id(snapshot, *gateway).to_owned(),
        Target::GatewayEndpoint(endpoint) => gateway_endpoint_id(snapshot, *endpoint).to_owned(),
        Target::Peering(peering) => peering_id(snapshot, *peering).to_owned(),
        Target::NetworkInterface(appliance) => {
            network_interface_id(snapshot, *appliance).to_owned()
        }
        Target::GatewayLoadBalancerEndpoint(endpoint) => {
            gateway_load_balancer_endpoint_id(snapshot, *endpoint).to_owned()
        }
        Target::Blackhole(Some(id)) => format!("blackhole ({id})"),
        Target::Blackhole(None) => "blackhole".to_owned(),
    }
}

fn route_table(snapshot: &Snapshot, table: RouteTableIx) -> DecidedBy {
    let named = DecidedBy::of("route-table", route_table_id(snapshot, table));
    match snapshot.parts().route_tables.get(table.get()) {
        Some(table) => named.rule(format!("no route in {}", table.id)).at(table.line),
        None => named.rule(EARLIER),
    }
}

fn nat_gateway(snapshot: &Snapshot, gateway: NatGatewayIx) -> DecidedBy {
    match snapshot.parts().nat_gateways.get(gateway.get()) {
        Some(gateway) => DecidedBy::of("nat-gateway", &gateway.id).at(gateway.line),
        None => DecidedBy::of("nat-gateway", UNKNOWN),
    }
}

fn interface_endpoint(snapshot: &Snapshot, interface: ResourceIx) -> DecidedBy {
    let resource = snapshot.parts().resources.get(interface.get());
    let endpoint = resource.and_then(|resource| Some((resource.endpoint.as_ref()?, resource.line)));
    match endpoint {
        Some((endpoint, line)) => DecidedBy::of("interface-endpoint", &endpoint.id).at(line),
        None => DecidedBy::of("interface-endpoint", UNKNOWN),
    }
}

fn gateway_endpoint(snapshot: &Snapshot, endpoint: GatewayEndpointIx) -> DecidedBy {
    match snapshot.parts().gateway_endpoints.get(endpoint.get()) {
        Some(endpoint) => DecidedBy::of("gateway-endpoint", &endpoint.id).at(endpoint.line),
        None => DecidedBy::of("gateway-endpoint", UNKNOWN),
    }
}

fn network_interface(snapshot: &Snapshot, appliance: ResourceIx) -> DecidedBy {
    let named = DecidedBy::of("network-interface", network_interface_id(snapshot, appliance));
    match snapshot.parts().resources.get(appliance.get()) {
        Some(resource) => named.at(resource.line),
        None => named,
    }
}

fn gateway_load_balancer_endpoint(
    snapshot: &Snapshot,
    endpoint: GatewayLoadBalancerEndpointIx,
) -> DecidedBy {
    let kind = "gateway-load-balancer-endpoint";
    let named = DecidedBy::of(kind, gateway_load_balancer_endpoint_id(snapshot, endpoint));
    match snapshot.parts().gateway_load_balancer_endpoints.get(endpoint.get()) {
        Some(endpoint) => named.at(endpoint.line),
        None => named,
    }
}

fn peering(snapshot: &Snapshot, peering: PeeringIx) -> DecidedBy {
    match snapshot.parts().peerings.get(peering.get()) {
        Some(peering) => DecidedBy::of("peering-connection", &peering.id).at(peering.line),
        None => DecidedBy::of("peering-connection", UNKNOWN),
    }
}

fn internet_gateway(snapshot: &Snapshot, vpc: VpcIx) -> DecidedBy {
    let named = DecidedBy::of("internet-gateway", internet_gateway_id(snapshot, vpc));
    let vpc = snapshot.parts().vpcs.get(vpc.get());
    match vpc.and_then(|v| v.internet_gateway.as_ref()) {
        Some(gateway) => named.at(gateway.line),
        None => named,
    }
}

fn internet_gateway_id(snapshot: &Snapshot, vpc: VpcIx) -> String {
    let found = snapshot.parts().vpcs.get(vpc.get());
    match found.and_then(|v| v.internet_gateway.as_ref()) {
        Some(gateway) => gateway.id.clone(),
        None => format!("the internet gateway of {}", vpc_id(snapshot, vpc)),
    }
}

fn vpc_id(snapshot: &Snapshot, vpc: VpcIx) -> &str {
    snapshot.parts().vpcs.get(vpc.get()).map_or(UNKNOWN, |v| &v.id)
}

pub(super) fn eni_id(snapshot: &Snapshot, eni: EniIx) -> &str {
    snapshot.parts().enis.get(eni.get()).map_or(UNKNOWN, |e| &e.id)
}

fn acl_id(snapshot: &Snapshot, acl: NetworkAclIx) -> &str {
    snapshot.parts().network_acls.get(acl.get()).map_or(UNKNOWN, |a| &a.id)
}

fn route_table_id(snapshot: &Snapshot, table: RouteTableIx) -> &str {
    snapshot.parts().route_tables.get(table.get()).map_or(UNKNOWN, |t| &t.id)
}

fn gateway_endpoint_id(snapshot: &Snapshot, endpoint: GatewayEndpointIx) -> &str {
    snapshot.parts().gateway_endpoints.get(endpoint.get()).map_or(UNKNOWN, |e| &e.id)
}

fn gateway_load_balancer_endpoint_id(
    snapshot: &Snapshot,
    endpoint: GatewayLoadBalancerEndpointIx,
) -> &str {
    let found = snapshot.parts().gateway_load_balancer_endpoints.get(endpoint.get());
    found.map_or(UNKNOWN, |e| &e.id)
}

fn network_interface_id(snapshot: &Snapshot, appliance: ResourceIx) -> &str {
    let found = snapshot.parts().resources.get(appliance.get());
    found.and_then(|r| r.network_interface.as_ref()).map_or(UNKNOWN, |interface| &interface.id)
}

/// Returns a name such as `eni-fw of firewall`.
fn appliance_name(snapshot: &Snapshot, appliance: ResourceIx) -> String {
    let resource = snapshot.parts().resources.get(appliance.get()).map_or(UNKNOWN, |r| &r.name);
    format!("{} of {resource}", network_interface_id(snapshot, appliance))
}

fn peering_id(snapshot: &Snapshot, peering: PeeringIx) -> &str {
    snapshot.parts().peerings.get(peering.get()).map_or(UNKNOWN, |p| &p.id)
}

pub(super) fn nat_gateway_id(snapshot: &Snapshot, gateway: NatGatewayIx) -> &str {
    snapshot.parts().nat_gateways.get(gateway.get()).map_or(UNKNOWN, |n| &n.id)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::vpc::Generation;

    fn name(rule: RuleRef) -> (&'static str, String, String, Option<Line>) {
        let named = decided_by(rule, &snapshot());
        (named.kind, named.id.clone(), named.to_string(), named.line)
    }

    #[test]
    fn rules_are_named_in_aws_words_counted_from_1() {
        let rule = RuleRef::SecurityGroupRule(SG_APP, Direction::Egress, 1);
        let text = "rule 2 of sg-app (tcp 443 to 0.0.0.0/0)";
        assert_eq!(name(rule), ("security-group-rule", "sg-app".into(), text.into(), Some(41)));

        let rule = RuleRef::NetworkAclRule(ACL_PRIVATE, Direction::Egress, 0, PRIVATE_A);
        let text = "rule 100 of acl-private egress (deny tcp 22 10.0.0.0/16)";
        assert_eq!(name(rule), ("network-acl-rule", "acl-private".into(), text.into(), Some(31)));

        let rule = RuleRef::NetworkAclImplicitDeny(ACL_PRIVATE, Direction::Ingress, PRIVATE_A);
        let text = "* of acl-private ingress";
        let kind = "network-acl-implicit-deny";
        assert_eq!(name(rule), (kind, "acl-private".into(), text.into(), Some(30)));

        let text = "0.0.0.0/0 -> nat-a in rtb-private";
        let rule = RuleRef::Route(RTB_PRIVATE, 1);
        assert_eq!(name(rule), ("route", "rtb-private".into(), text.into(), Some(21)));

        let text = "no egress rule of sg-app";
        let rule = RuleRef::EniSecurityGroups(ENI_A, Direction::Egress);
        assert_eq!(name(rule), ("security-groups", "sg-app".into(), text.into(), Some(39)));

        let text = "no ingress rule of sg-db";
        let rule = RuleRef::DestinationSecurityGroups(VPC, ORDERS_DB_ADDRESS);
        assert_eq!(name(rule), ("security-groups", "sg-db".into(), text.into(), Some(43)));
    }

    #[test]
    fn several_groups_are_named_together() {
        let mut parts = parts();
        parts.resources[ORDERS_DB.get()].security_groups = vec![SG_APP, SG_DB];
        let snapshot = Snapshot::build(Generation(3), parts);
        let named =
            decided_by(RuleRef::DestinationSecurityGroups(VPC, ORDERS_DB_ADDRESS), &snapshot);
        assert_eq!((named.kind, named.id.as_str()), ("security-groups", "sg-app,sg-db"));
        assert_eq!(named.to_string(), "no ingress rule of sg-app, sg-db");
        let lines: Vec<_> = named.groups.iter().map(|g| (g.id.as_str(), g.line)).collect();
        assert_eq!(lines, [("sg-app", Some(39)), ("sg-db", Some(43))]);
        assert_eq!((named.line, named.implied), (Some(39), false));
        assert_eq!(named.shown_place(&lab_toml).as_deref(), Some("lab.toml:39, lab.toml:43"));
    }

    /// The kind `security-groups` requires the ids of groups.
    #[test]
    fn an_interface_without_groups_to_blame_decides_by_itself() {
        let name = |address| name(RuleRef::DestinationSecurityGroups(VPC, address));
        let text = "a Hyperplane ENI takes no requests: egress only";
        assert_eq!(name(ENI_ADDRESS), ("eni", ENI_ID.into(), text.into(), None));
        assert_eq!(name(NAT_ADDRESS), ("nat-gateway", "nat-a".into(), "nat-a".into(), Some(46)));
    }

    #[test]
    fn an_implied_rule_has_no_line() {
        let named = decided_by(RuleRef::Route(RTB_PRIVATE, 0), &snapshot());
        assert_eq!(named.rule.as_deref(), Some("10.0.0.0/16 -> local in rtb-private"));
        assert_eq!((named.line, named.shown_place(&lab_toml)), (None, Some("(implied)".into())));
    }

    #[test]
    fn an_index_of_an_older_generation_never_panics() {
        let far = 999;
        let rules = [
            RuleRef::SecurityGroupRule(SecurityGroupIx(far), Direction::Egress, 0),
            RuleRef::SecurityGroupRule(SG_APP, Direction::Egress, far),
            RuleRef::EniSecurityGroups(EniIx(far), Direction::Egress),
            RuleRef::DestinationSecurityGroups(VpcIx(far), Ipv4Addr::new(10, 9, 9, 9)),
            RuleRef::NetworkAclRule(NetworkAclIx(far), Direction::Egress, 0, SubnetIx(far)),
            RuleRef::NetworkAclRule(ACL_PRIVATE, Direction::Ingress, far, PRIVATE_A),
            RuleRef::NetworkAclImplicitDeny(NetworkAclIx(far), Direction::Egress, SubnetIx(far)),
            RuleRef::Route(RouteTableIx(far), 0),
            RuleRef::Route(RTB_PRIVATE, far),
            RuleRef::RouteTable(RouteTableIx(far)),
        ];
        for rule in rules {
            let named = decided_by(rule, &snapshot());
            assert_eq!(named.to_string(), EARLIER, "{rule:?}");
            assert_eq!((named.line, named.implied), (None, false), "{rule:?}");
        }
        let objects = [
            RuleRef::NatGateway(NatGatewayIx(far)),
            RuleRef::NetworkInterface(ResourceIx(far)),
            RuleRef::GatewayLoadBalancerEndpoint(GatewayLoadBalancerEndpointIx(far)),
            RuleRef::Eni(EniIx(far)),
            RuleRef::Vpc(VpcIx(far)),
        ];
        for rule in objects {
            assert_eq!(decided_by(rule, &snapshot()).to_string(), UNKNOWN, "{rule:?}");
        }
    }

    #[test]
    fn components_say_which_subnet_they_stand_on() {
        let snapshot = snapshot();
        let name = |c| component(c, &snapshot);
        assert_eq!(
            name(Component::NetworkAcl(ACL_PRIVATE, PRIVATE_A)),
            "acl-private on subnet-private-a"
        );
        assert_eq!(
            name(Component::RouteTable(RTB_PUBLIC, PUBLIC_A)),
            "rtb-public on subnet-public-a"
        );
        assert_eq!(name(Component::Task(TASK_ADDRESS)), "web/1");
        assert_eq!(name(Component::Task(Ipv4Addr::new(1, 2, 3, 4))), "1.2.3.4");
        assert_eq!(name(Component::Eni(EniIx(999))), UNKNOWN);
    }
}
