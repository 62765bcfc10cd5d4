//! The right half of the picture: route tables, the targets of their routes, and what lies behind
//! those.

use super::model::{Edge, Graph, Kind, Node, key};
use super::onward::{INTERNET, Onward, interface_id};
use super::words::ARROW;
use crate::vpc::{
    Connectivity, Destination, GatewayEndpoint, GatewayLoadBalancerEndpoint, NatGateway,
    NatGatewayState, NetworkInterface, Peering, PeeringState, PrefixListIx, Resource, Route,
    RouteTable, Snapshot, SubnetIx, Target, Vpc, VpcIx,
};

/// Adds these nodes, and the edges between them.
pub(super) fn add(graph: &mut Graph, snapshot: &Snapshot) {
    let parts = snapshot.parts();
    for (position, vpc) in parts.vpcs.iter().enumerate() {
        add_vpc(graph, snapshot, position.into(), vpc);
    }
    let onward = Onward::of(snapshot);
    for gateway in &parts.nat_gateways {
        add_nat_gateway(graph, snapshot, gateway, &onward);
    }
    for endpoint in &parts.gateway_endpoints {
        add_gateway_endpoint(graph, snapshot, endpoint);
    }
    for endpoint in &parts.gateway_load_balancer_endpoints {
        add_gateway_load_balancer_endpoint(graph, snapshot, endpoint, &onward);
    }
    for peering in &parts.peerings {
        add_peering(graph, snapshot, peering);
    }
    for table in &parts.route_tables {
        add_route_table(graph, snapshot, table, &onward);
    }
    add_internet(graph, snapshot);
}

/// Adds a VPC's inside as a target, its resources as a destination, and its internet gateway.
fn add_vpc(graph: &mut Graph, snapshot: &Snapshot, ix: VpcIx, vpc: &Vpc) {
    let cidrs = vpc.cidrs.iter().map(ToString::to_string).collect();
    let local =
        Node { name: "local".to_owned(), ..Node::new(Kind::Local, &vpc.id, Some(&vpc.id), cidrs) };
    let is_inside = |resource: &&Resource| snapshot.subnet(resource.subnet).vpc == ix;
    let resources = snapshot.parts().resources.iter().filter(is_inside);
    let resources = resources.map(|own| format!("{} {}", own.name, own.address)).collect();
    // It stands beyond all VPCs, since a peering connection leads there too.
    let destination = Node::new(Kind::Vpc, &vpc.id, None, resources);
    graph.join(Edge::new(local.key.clone(), destination.key.clone()));
    graph.add(local);
    graph.add(destination);
    if let Some(gateway) = &vpc.internet_gateway {
        let lines = vec!["for public addresses only".to_owned()];
        let node = Node::new(Kind::InternetGateway, &gateway.id, Some(&vpc.id), lines);
        graph.join(Edge::new(node.key.clone(), key(Kind::Internet, INTERNET)));
        graph.add(node);
    }
}

fn add_nat_gateway(graph: &mut Graph, snapshot: &Snapshot, gateway: &NatGateway, onward: &Onward) {
    let mut lines = vec![snapshot.subnet(gateway.subnet).id.clone()];
    match gateway.connectivity {
        Connectivity::Public => {
            let public = gateway.addresses.iter().filter_map(|address| address.public);
            lines.extend(public.map(|address| format!("{address} public")));
        }
        Connectivity::Private => {
            let private = gateway.addresses.iter().map(|address| address.private);
            lines.extend(private.map(|address| format!("{address} private")));
        }
    }
    if gateway.state != NatGatewayState::Available {
        lines.push(format!("state {}", gateway.state.as_str()));
    }
    let kind = Kind::NatGateway;
    add_passed(graph, snapshot, (kind, &gateway.id), gateway.subnet, lines, onward);
}

/// Adds a target that packets are routed through, which leads on by the route table of its subnet.
fn add_passed(
    graph: &mut Graph,
    snapshot: &Snapshot,
    (kind, id): (Kind, &str),
    subnet: SubnetIx,
    mut lines: Vec<String>,
    onward: &Onward,
) {
    let own = key(kind, id);
    lines.extend(onward.lines(&own));
    let vpc = &snapshot.vpc(snapshot.subnet(subnet).vpc).id;
    if graph.add_once(Node::new(kind, id, Some(vpc), lines)) {
        onward.edges(&own).for_each(|edge| graph.join(edge));
    }
}

fn add_gateway_endpoint(graph: &mut Graph, snapshot: &Snapshot, endpoint: &GatewayEndpoint) {
    let vpc = &snapshot.vpc(endpoint.vpc).id;
    let node = Node::new(Kind::GatewayEndpoint, &endpoint.id, Some(vpc), Vec::new());
    let lines = vec![snapshot.prefix_list(endpoint.prefix_list).id.clone()];
    // Endpoints of one service in several VPCs lead to one service.
    let service = Node::new(Kind::EndpointService, &endpoint.service, None, lines);
    graph.join(Edge::new(node.key.clone(), service.key.clone()));
    graph.add(node);
    graph.add_once(service);
}

fn add_gateway_load_balancer_endpoint(
    graph: &mut Graph,
    snapshot: &Snapshot,
    endpoint: &GatewayLoadBalancerEndpoint,
    onward: &Onward,
) {
    let kind = Kind::GatewayLoadBalancerEndpoint;
    let lines = vec![snapshot.subnet(endpoint.subnet).id.clone()];
    add_passed(graph, snapshot, (kind, &endpoint.id), endpoint.subnet, lines, onward);
}

/// Adds a peering connection on each of its sides.
fn add_peering(graph: &mut Graph, snapshot: &Snapshot, peering: &Peering) {
    for vpc in [peering.requester, peering.accepter] {
        let Some(peer) = peering.peer_of(vpc) else { continue };
        let (vpc, peer) = (&snapshot.vpc(vpc).id, &snapshot.vpc(peer).id);
        let mut lines = vec![format!("to {peer}")];
        let is_active = peering.state == PeeringState::Active;
        if !is_active {
            lines.push(format!("state {}", peering.state.as_str()));
        }
        let node = Node::new(Kind::PeeringConnection, &peering.id, Some(vpc), lines);
        let node = Node { key: peering_key(&peering.id, vpc), ..node };
        if is_active {
            graph.join(Edge::new(node.key.clone(), key(Kind::Vpc, peer)));
        }
        graph.add(node);
    }
}

/// Returns the key of a peering connection as seen from a VPC.
fn peering_key(id: &str, vpc: &str) -> String {
    key(Kind::PeeringConnection, &format!("{id}/{vpc}"))
}

fn add_route_table(graph: &mut Graph, snapshot: &Snapshot, table: &RouteTable, onward: &Onward) {
    let vpc = snapshot.vpc(table.vpc);
    let own = key(Kind::RouteTable, &table.id);
    let mut lines = Vec::new();
    for (position, route) in table.routes.iter().enumerate() {
        let (name, to) = target(snapshot, vpc, &route.target);
        let destination = destination(snapshot, route);
        lines.push(format!("{destination}{ARROW}{name}"));
        let (line, label) = (Some(position), Some(destination));
        graph.join(Edge { from: own.clone(), to, line, label });
        add_target_of_route(graph, snapshot, vpc, &route.target, onward);
    }
    if table.main {
        lines.push("main".to_owned());
    }
    graph.add(Node::new(Kind::RouteTable, &table.id, Some(&vpc.id), lines));
}

/// Returns the destination of a route. A prefix list has the name of the service behind it.
fn destination(snapshot: &Snapshot, route: &Route) -> String {
    match route.destination {
        Destination::Cidr(network) => network.to_string(),
        Destination::PrefixList(ix) => {
            let id = &snapshot.prefix_list(ix).id;
            match service(snapshot, ix) {
                Some(service) => format!("{id} ({service})"),
                None => id.clone(),
            }
        }
    }
}

/// Returns the short name of the AWS service that a prefix list is of, such as `s3`.
fn service(snapshot: &Snapshot, list: PrefixListIx) -> Option<&str> {
    let mut endpoints = snapshot.parts().gateway_endpoints.iter();
    let endpoint = endpoints.find(|endpoint| endpoint.prefix_list == list)?;
    endpoint.service.rsplit('.').next()
}

/// Returns the name of a route's target, and the key of its node.
fn target(snapshot: &Snapshot, vpc: &Vpc, target: &Target) -> (String, String) {
    let named = |kind, id: &str| (id.to_owned(), key(kind, id));
    match target {
        Target::Local => ("local".to_owned(), key(Kind::Local, &vpc.id)),
        Target::InternetGateway => {
            named(Kind::InternetGateway, vpc.internet_gateway.as_ref().map_or("-", |own| &own.id))
        }
        Target::NatGateway(ix) => named(Kind::NatGateway, &snapshot.nat_gateway(*ix).id),
        Target::GatewayEndpoint(ix) => {
            named(Kind::GatewayEndpoint, &snapshot.gateway_endpoint(*ix).id)
        }
        Target::NetworkInterface(ix) => {
            let resource = snapshot.resource(*ix);
            named(Kind::NetworkInterface, interface_id(resource))
        }
        Target::GatewayLoadBalancerEndpoint(ix) => {
            let endpoint = snapshot.gateway_load_balancer_endpoint(*ix);
            named(Kind::GatewayLoadBalancerEndpoint, &endpoint.id)
        }
        Target::Peering(ix) => {
            let id = &snapshot.peering(*ix).id;
            (id.clone(), peering_key(id, &vpc.id))
        }
        Target::Blackhole(_) => ("blackhole".to_owned(), blackhole(vpc, target).key),
    }
}

/// Adds the nodes of targets that are no objects of their own in the configuration.
fn add_target_of_route(
    graph: &mut Graph,
    snapshot: &Snapshot,
    vpc: &Vpc,
    target: &Target,
    onward: &Onward,
) {
    match target {
        Target::NetworkInterface(ix) => {
            let resource = snapshot.resource(*ix);
            let mut lines =
                vec![resource.name.clone(), snapshot.subnet(resource.subnet).id.clone()];
            if resource.network_interface.as_ref().is_some_and(is_checked) {
                lines.push("source/dest check on".to_owned());
            }
            let kind = Kind::NetworkInterface;
            let id = interface_id(resource);
            add_passed(graph, snapshot, (kind, id), resource.subnet, lines, onward);
        }
        Target::Blackhole(_) => {
            graph.add_once(blackhole(vpc, target));
        }
        Target::Local
        | Target::InternetGateway
        | Target::NatGateway(_)
        | Target::GatewayEndpoint(_)
        | Target::GatewayLoadBalancerEndpoint(_)
        | Target::Peering(_) => {}
    }
}

/// Decides whether an interface drops all packets that are routed through it (spec 3.7).
const fn is_checked(interface: &NetworkInterface) -> bool {
    interface.source_dest_check
}

/// Returns the node of a target that does not exist any more. Each VPC has one for each id.
fn blackhole(vpc: &Vpc, target: &Target) -> Node {
    let id = if let Target::Blackhole(id) = target { id.as_deref() } else { None };
    let lines = id.map(str::to_owned).into_iter().collect();
    let own = format!("{}/{}", vpc.id, id.unwrap_or_default());
    let node = Node::new(Kind::Blackhole, &own, Some(&vpc.id), lines);
    Node { name: "blackhole".to_owned(), ..node }
}

/// Adds the internet with its hosts, if anything leads there.
fn add_internet(graph: &mut Graph, snapshot: &Snapshot) {
    let internet = key(Kind::Internet, INTERNET);
    let parts = snapshot.parts();
    let is_reached = graph.edges.iter().any(|edge| edge.to == internet);
    if !is_reached && parts.internet_hosts.is_empty() {
        return;
    }
    let hosts = parts.internet_hosts.iter().map(|host| format!("{} {}", host.name, host.address));
    let endpoints = parts.resources.iter().filter_map(|own| {
        let public = own.public_address.filter(|it| snapshot.public_endpoint(*it).is_some())?;
        Some(format!("{} {public}", own.name))
    });
    graph.add(Node::new(Kind::Internet, INTERNET, None, hosts.chain(endpoints).collect()));
}
