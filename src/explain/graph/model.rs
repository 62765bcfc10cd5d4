//! The picture as data: nodes in columns, and the edges between them.

use ipnetwork::Ipv4Network;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The picture of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// The lab's name.
    pub lab: String,
    /// The VPCs, in the lab file's order.
    pub areas: Vec<Area>,
    /// The nodes; those of a column in the lab file's order.
    pub nodes: Vec<Node>,
    /// The edges, each from left to right.
    pub edges: Vec<Edge>,
}

/// A VPC, in which all nodes from a connector to a route's target are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// The VPC's id.
    pub vpc: String,
    /// Its CIDR blocks.
    pub cidrs: Vec<Ipv4Network>,
}

/// A column, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    /// Services.
    Service,
    /// VPC connectors, and the networks of functions and Fargate services.
    Connector,
    /// ENIs that tasks leave by.
    Eni,
    /// Subnets.
    Subnet,
    /// Route tables.
    RouteTable,
    /// The targets of their routes.
    Target,
    /// Destinations: the resources of VPCs, the internet, and services behind endpoints.
    Destination,
}

impl Column {
    /// All columns, in order.
    pub const ALL: [Self; 7] = [
        Self::Service,
        Self::Connector,
        Self::Eni,
        Self::Subnet,
        Self::RouteTable,
        Self::Target,
        Self::Destination,
    ];

    /// Returns the heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Connector => "Connector",
            Self::Eni => "ENI",
            Self::Subnet => "Subnet",
            Self::RouteTable => "Route table",
            Self::Target => "Target",
            Self::Destination => "Destination",
        }
    }
}

/// The kind of object that a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A service.
    Service,
    /// A VPC connector, or the network of a function or a Fargate service.
    Connector,
    /// An ENI that tasks leave by.
    Eni,
    /// A subnet.
    Subnet,
    /// A route table.
    RouteTable,
    /// The inside of a VPC, as a route's target.
    Local,
    /// An internet gateway.
    InternetGateway,
    /// A NAT gateway.
    NatGateway,
    /// A peering connection, as seen from one of its VPCs.
    PeeringConnection,
    /// A gateway endpoint.
    GatewayEndpoint,
    /// The network interface of an appliance.
    NetworkInterface,
    /// A Gateway Load Balancer endpoint.
    GatewayLoadBalancerEndpoint,
    /// A target that does not exist any more.
    Blackhole,
    /// App Runner's own egress, by which services without a connector leave.
    AppRunner,
    /// The resources of a VPC.
    Vpc,
    /// The internet.
    Internet,
    /// The service behind a gateway endpoint.
    EndpointService,
}

impl Kind {
    /// Returns the column of such nodes.
    pub const fn column(self) -> Column {
        match self {
            Self::Service => Column::Service,
            Self::Connector => Column::Connector,
            Self::Eni => Column::Eni,
            Self::Subnet => Column::Subnet,
            Self::RouteTable => Column::RouteTable,
            Self::Local
            | Self::InternetGateway
            | Self::NatGateway
            | Self::PeeringConnection
            | Self::GatewayEndpoint
            | Self::NetworkInterface
            | Self::GatewayLoadBalancerEndpoint
            | Self::Blackhole
            | Self::AppRunner => Column::Target,
            Self::Vpc | Self::Internet | Self::EndpointService => Column::Destination,
        }
    }

    /// Returns the first part of the keys of such nodes, and the name of the kind in the pictures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Connector => "connector",
            Self::Eni => "eni",
            Self::Subnet => "subnet",
            Self::RouteTable => "route-table",
            Self::Local => "local",
            Self::InternetGateway => "internet-gateway",
            Self::NatGateway => "nat-gateway",
            Self::PeeringConnection => "peering-connection",
            Self::GatewayEndpoint => "gateway-endpoint",
            Self::NetworkInterface => "network-interface",
            Self::GatewayLoadBalancerEndpoint => "gateway-load-balancer-endpoint",
            Self::Blackhole => "blackhole",
            Self::AppRunner => "app-runner",
            Self::Vpc => "vpc",
            Self::Internet => "internet",
            Self::EndpointService => "endpoint-service",
        }
    }
}

/// An object of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The key that edges name, such as `subnet/subnet-private-a`.
    pub key: String,
    /// Its column.
    pub column: Column,
    /// Its kind.
    pub kind: Kind,
    /// The VPC that it is in; `None` for services, for App Runner's own egress, and for what no
    /// VPC contains.
    pub vpc: Option<String>,
    /// Its id, or its name.
    pub name: String,
    /// Further facts about it, in lines. A route table has a line for each route, in
    /// the order of its routes.
    pub lines: Vec<String>,
}

/// An edge: packets go from one node to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The key of the node on the left.
    pub from: String,
    /// The key of the node on the right.
    pub to: String,
    /// The line of the node on the left at which the edge begins, from 0: the line of a route.
    pub line: Option<usize>,
    /// The destination of a route, or the gateways between a target and what lies behind it.
    pub label: Option<String>,
}

impl Graph {
    /// Adds a node that several others lead to, and returns whether it is new.
    pub(super) fn add_once(&mut self, node: Node) -> bool {
        let is_new = !self.nodes.iter().any(|own| own.key == node.key);
        if is_new {
            self.nodes.push(node);
        }
        is_new
    }

    /// Adds a node whose key is its own.
    pub(super) fn add(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Adds an edge.
    pub(super) fn join(&mut self, edge: Edge) {
        self.edges.push(edge);
    }

    /// Returns the edges with the positions of their nodes.
    pub(super) fn ends(&self) -> Vec<(usize, usize, &Edge)> {
        let nodes = self.nodes.iter().enumerate();
        let positions: HashMap<&str, usize> = nodes.map(|(i, n)| (n.key.as_str(), i)).collect();
        let position = |key: &str| positions.get(key).copied();
        let edges = self.edges.iter();
        edges.filter_map(|edge| Some((position(&edge.from)?, position(&edge.to)?, edge))).collect()
    }
}

impl Node {
    /// Makes a node. `own` distinguishes it from others of its kind.
    pub(super) fn new(kind: Kind, own: &str, vpc: Option<&str>, lines: Vec<String>) -> Self {
        Self {
            key: key(kind, own),
            column: kind.column(),
            kind,
            vpc: vpc.map(str::to_owned),
            name: own.to_owned(),
            lines,
        }
    }
}

impl Edge {
    /// Makes an edge without a label.
    pub(super) fn new(from: String, to: String) -> Self {
        Self { from, to, line: None, label: None }
    }
}

/// Returns the key of a node.
pub(super) fn key(kind: Kind, own: &str) -> String {
    format!("{}/{own}", kind.as_str())
}
