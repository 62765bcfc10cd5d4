//! The left half of the picture: services, connectors, ENIs and subnets.

use super::model::{Edge, Graph, Kind, Node, key};
use super::onward::INTERNET;
use super::words::{counted, listed};
use crate::vpc::{
    Connector, ConnectorIx, Egress, Eni, EniIx, SecurityGroupIx, Service, ServiceKind, Snapshot,
    Subnet,
};

/// Adds these nodes, and the edges between them and to route tables.
pub(super) fn add(graph: &mut Graph, snapshot: &Snapshot, running: bool) {
    let parts = snapshot.parts();
    for (position, service) in parts.services.iter().enumerate() {
        let tasks = match running {
            true => snapshot.tasks().filter(|task| task.service.get() == position).count(),
            false => service.tasks.into(),
        };
        add_service(graph, snapshot, service, tasks);
    }
    for (position, connector) in parts.connectors.iter().enumerate() {
        add_connector(graph, snapshot, position.into(), connector);
    }
    parts.enis.iter().for_each(|eni| add_eni(graph, snapshot, eni));
    parts.subnets.iter().for_each(|subnet| add_subnet(graph, snapshot, subnet));
}

fn add_service(graph: &mut Graph, snapshot: &Snapshot, service: &Service, tasks: usize) {
    let lines = vec![kind(service.kind).to_owned(), counted(tasks, "task")];
    let node = Node::new(Kind::Service, &service.name, None, lines);
    let to = match service.egress {
        Egress::Vpc(ix) => key(Kind::Connector, &snapshot.connector(ix).name),
        Egress::Default => key(Kind::AppRunner, OWN_EGRESS),
    };
    graph.join(Edge::new(node.key.clone(), to));
    graph.add(node);
    if service.egress == Egress::Default {
        add_own_egress(graph, snapshot);
    }
}

/// The name of App Runner's own egress.
const OWN_EGRESS: &str = "App Runner's own";

fn add_own_egress(graph: &mut Graph, snapshot: &Snapshot) {
    let address = snapshot.parts().apprunner_address.map(|address| address.to_string());
    let node = Node::new(Kind::AppRunner, OWN_EGRESS, None, address.into_iter().collect());
    let edge = Edge::new(node.key.clone(), key(Kind::Internet, INTERNET));
    if graph.add_once(node) {
        graph.join(edge);
    }
}

const fn kind(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::AppRunner => "App Runner",
        ServiceKind::Lambda => "Lambda",
        ServiceKind::Fargate => "Fargate",
    }
}

fn add_connector(graph: &mut Graph, snapshot: &Snapshot, ix: ConnectorIx, connector: &Connector) {
    let mut lines = vec![
        match connector.kind {
            ServiceKind::AppRunner => "VPC connector",
            ServiceKind::Lambda => "VPC configuration",
            ServiceKind::Fargate => "network configuration",
        }
        .to_owned(),
    ];
    let enis = enis(snapshot, ix, connector);
    if enis.is_empty() {
        lines.push("no service uses it".to_owned());
    }
    let vpc = connector.subnets.first().map(|&subnet| vpc_of(snapshot, snapshot.subnet(subnet)));
    let node = Node::new(Kind::Connector, &connector.name, vpc, lines);
    for ix in enis {
        let eni = key(Kind::Eni, &snapshot.eni(ix).id);
        graph.join(Edge::new(node.key.clone(), eni));
    }
    graph.add(node);
}

/// Lists the ENIs of a connector: those of its tasks, or the one of each subnet that it shares with
/// all connectors of the same subnet and groups.
fn enis(snapshot: &Snapshot, ix: ConnectorIx, connector: &Connector) -> Vec<EniIx> {
    let shared = connector.subnets.iter().filter_map(|&subnet| {
        snapshot.hyperplane_eni(connector.kind, subnet, &connector.security_groups)
    });
    let all = snapshot.parts().enis.iter().enumerate();
    let is_own = |eni: &Eni| eni.task.is_some_and(|task| task.connector == ix);
    let own = all.filter(|(_, eni)| is_own(eni)).map(|(position, _)| position.into());
    match connector.kind {
        ServiceKind::AppRunner | ServiceKind::Lambda => shared.collect(),
        ServiceKind::Fargate => own.collect(),
    }
}

fn add_eni(graph: &mut Graph, snapshot: &Snapshot, eni: &Eni) {
    let mut lines = vec![eni.address.to_string()];
    lines.extend(eni.public_address().map(|public| format!("{public} public")));
    let group = |ix: &SecurityGroupIx| snapshot.security_group(*ix).id.as_str();
    lines.push(listed(eni.security_groups.iter().map(group)));
    lines.extend(eni.task.map(|task| format!("task {}", task.number)));
    let subnet = snapshot.subnet(eni.subnet);
    let node = Node::new(Kind::Eni, &eni.id, Some(vpc_of(snapshot, subnet)), lines);
    graph.join(Edge::new(node.key.clone(), key(Kind::Subnet, &subnet.id)));
    graph.add(node);
}

fn add_subnet(graph: &mut Graph, snapshot: &Snapshot, subnet: &Subnet) {
    let mut lines = vec![subnet.availability_zone.clone(), subnet.cidr.to_string()];
    let is_default = subnet.network_acl == snapshot.vpc(subnet.vpc).default_network_acl;
    if !is_default {
        lines.push(snapshot.network_acl(subnet.network_acl).id.clone());
    }
    let node = Node::new(Kind::Subnet, &subnet.id, Some(vpc_of(snapshot, subnet)), lines);
    let table = &snapshot.route_table(subnet.route_table).id;
    graph.join(Edge::new(node.key.clone(), key(Kind::RouteTable, table)));
    graph.add(node);
}

fn vpc_of<'a>(snapshot: &'a Snapshot, subnet: &Subnet) -> &'a str {
    &snapshot.vpc(subnet.vpc).id
}
