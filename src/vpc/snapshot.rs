//! One immutable configuration under one generation number.

use super::connector::turn;
use super::dns::{Answer, Names, RecordType};
use super::security_group::{ResolvedPeer, RuleSet};
use super::{
    Connector, ConnectorIx, Direction, Egress, Eni, EniIx, GatewayEndpoint, GatewayEndpointIx,
    GatewayLoadBalancerEndpoint, GatewayLoadBalancerEndpointIx, NatGateway, NatGatewayIx,
    NetworkAcl, NetworkAclIx, Parts, Peer, Peering, PeeringIx, PeeringState, PrefixList,
    PrefixListIx, Resource, ResourceIx, RouteTable, RouteTableIx, SecurityGroup, SecurityGroupIx,
    Service, ServiceIx, ServiceKind, Space, Subnet, SubnetIx, Task, TaskEni, Vpc, VpcIx,
};
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The number of a configuration. A flow admitted under an older one is walked again on its next
/// packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

/// The owner of a private address in a VPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// An ENI that tasks leave by.
    Eni(EniIx),
    /// A NAT gateway.
    NatGateway(NatGatewayIx),
    /// A resource.
    Resource(ResourceIx),
}

/// One immutable configuration. Its tables are shared, so that a snapshot with one more task is
/// cheap.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its number.
    pub generation: Generation,
    parts: Arc<Parts>,
    interfaces: Arc<HashMap<(VpcIx, Ipv4Addr), Interface>>,
    ingress: Arc<Vec<RuleSet>>,
    egress: Arc<Vec<RuleSet>>,
    names: Arc<Names>,
    internet_hosts: Arc<HashSet<Ipv4Addr, foldhash::fast::FixedState>>,
    public_endpoints: Arc<HashMap<Ipv4Addr, ResourceIx, foldhash::fast::FixedState>>,
    tasks: HashMap<Ipv4Addr, Task, foldhash::fast::FixedState>,
}

impl Snapshot {
    /// Indexes the tables: it makes the route tries, and the union of each interface's rules with
    /// every peer resolved.
    pub fn build(generation: Generation, mut parts: Parts) -> Self {
        let interfaces = interfaces(&parts);
        let peers = ResolvedPeers::new(&parts);
        for table in &mut parts.route_tables {
            table.index(&parts.prefix_lists);
        }
        let resolved: Vec<[RuleSet; 2]> = parts
            .enis
            .iter()
            .map(|e| {
                [Direction::Egress, Direction::Ingress]
                    .map(|direction| rule_set(&parts, &peers, &e.security_groups, direction))
            })
            .collect();
        for (eni, rules) in parts.enis.iter_mut().zip(resolved) {
            [eni.egress, eni.ingress] = rules;
            let vpc = &parts.vpcs[parts.subnets[eni.subnet.get()].vpc.get()];
            eni.resolver = vpc.resolver().unwrap_or(Ipv4Addr::UNSPECIFIED);
        }
        let of_resources = |direction| {
            let rules = |r: &Resource| rule_set(&parts, &peers, &r.security_groups, direction);
            parts.resources.iter().map(rules).collect::<Vec<_>>()
        };
        let (ingress, egress) = (of_resources(Direction::Ingress), of_resources(Direction::Egress));
        let names = Names::build(&parts);
        let internet_hosts = parts.internet_hosts.iter().map(|host| host.address).collect();
        let public_endpoints = public_endpoints(&parts);
        Self {
            generation,
            names: Arc::new(names),
            internet_hosts: Arc::new(internet_hosts),
            public_endpoints: Arc::new(public_endpoints),
            parts: Arc::new(parts),
            interfaces: Arc::new(interfaces),
            ingress: Arc::new(ingress),
            egress: Arc::new(egress),
            tasks: HashMap::default(),
        }
    }

    /// Returns the configuration with one more task, under the same generation: no verdict on an
    /// existing flow changes.
    #[must_use]
    pub fn with_task(&self, task: Task) -> Self {
        let mut next = self.clone();
        next.tasks.insert(task.address, task);
        next
    }

    /// Returns the configuration with these tasks and no others, under the same generation.
    #[must_use]
    pub fn with_tasks(&self, tasks: impl IntoIterator<Item = Task>) -> Self {
        let mut next = self.clone();
        next.tasks = tasks.into_iter().map(|task| (task.address, task)).collect();
        next
    }

    /// Returns the configuration without a task, under the same generation.
    #[must_use]
    pub fn without_task(&self, address: Ipv4Addr) -> Self {
        let mut next = self.clone();
        next.tasks.remove(&address);
        next
    }

    /// Returns the task that has an address.
    #[inline]
    pub fn task(&self, address: Ipv4Addr) -> Option<&Task> {
        self.tasks.get(&address)
    }

    /// Returns all tasks, in no order.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// Returns the tables.
    #[inline]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Answers a question as the resolver of a VPC, or without one as that of a service with
    /// `egress = "default"`. The name may be in any case, with or without the dot at the end.
    pub fn resolve(&self, vpc: Option<VpcIx>, name: &str, record_type: RecordType) -> Answer {
        self.names.resolve(&self.parts, vpc, name, record_type)
    }

    /// Returns the owner of a private address in a VPC.
    #[inline]
    pub fn interface(&self, vpc: VpcIx, address: Ipv4Addr) -> Option<Interface> {
        self.interfaces.get(&(vpc, address)).copied()
    }

    /// Decides whether the lab has an internet host with an address.
    #[inline]
    pub fn has_internet_host(&self, address: Ipv4Addr) -> bool {
        self.internet_hosts.contains(&address)
    }

    /// Returns the resource whose VPC's internet gateway maps a public address to it.
    #[inline]
    pub fn public_endpoint(&self, public: Ipv4Addr) -> Option<ResourceIx> {
        self.public_endpoints.get(&public).copied()
    }

    /// Returns the private address of the resource whose VPC's internet gateway maps a public
    /// address to it.
    pub fn private_address_of(&self, public: Ipv4Addr) -> Option<Ipv4Addr> {
        self.public_endpoint(public).map(|ix| self.resource(ix).address)
    }

    /// Returns the VPC that a resource is in.
    #[inline]
    pub fn vpc_of_resource(&self, resource: ResourceIx) -> VpcIx {
        self.subnet(self.resource(resource).subnet).vpc
    }

    /// Lists all public addresses of resources, each with its resource, in no order.
    pub fn public_endpoints(&self) -> impl Iterator<Item = (Ipv4Addr, ResourceIx)> {
        self.public_endpoints.iter().map(|(public, ix)| (*public, *ix))
    }

    /// Decides whether this is the public address of an ENI.
    pub fn is_public_address_of_an_eni(&self, public: Ipv4Addr) -> bool {
        self.parts.enis.iter().any(|eni| eni.public_address() == Some(public))
    }

    /// Returns the NAT gateway that has a public address.
    #[inline]
    pub fn nat_gateway_of(&self, public: Ipv4Addr) -> Option<NatGatewayIx> {
        let gateways = &self.parts.nat_gateways;
        gateways.iter().position(|nat| nat.has_public(public)).map(NatGatewayIx::from)
    }

    /// Returns the union of the inbound rules of a resource's groups.
    #[inline]
    pub fn ingress(&self, resource: ResourceIx) -> &RuleSet {
        &self.ingress[resource.get()]
    }

    /// Returns the union of the outbound rules of a resource's groups, which an appliance's packets
    /// must pass.
    #[inline]
    pub fn egress(&self, resource: ResourceIx) -> &RuleSet {
        &self.egress[resource.get()]
    }

    /// Returns the active peering connections of a VPC, each with the VPC on its other side.
    pub fn peers_of(&self, vpc: VpcIx) -> impl Iterator<Item = (PeeringIx, VpcIx)> {
        let active = |peering: &&Peering| peering.state == PeeringState::Active;
        (0usize..)
            .zip(&self.parts.peerings)
            .filter(move |(_, p)| active(p))
            .filter_map(move |(position, peering)| Some((position.into(), peering.peer_of(vpc)?)))
    }

    /// Decides whether two VPCs are one, or joined by an active peering connection.
    pub fn are_joined(&self, one: VpcIx, other: VpcIx) -> bool {
        one == other || self.peers_of(one).any(|(_, peer)| peer == other)
    }

    /// Returns the Hyperplane ENI of a (subnet, set of groups) for a kind of service.
    pub fn hyperplane_eni(
        &self,
        kind: ServiceKind,
        subnet: SubnetIx,
        security_groups: &[SecurityGroupIx],
    ) -> Option<EniIx> {
        let is_it = |e: &Eni| {
            let shared = e.kind == kind && e.task.is_none();
            shared && e.subnet == subnet && e.security_groups == security_groups
        };
        self.parts.enis.iter().position(is_it).map(EniIx::from)
    }

    /// Chooses the ENI of the `number`th task of a service (from 1): a Fargate task's own, or the
    /// Hyperplane ENI of its [`turn`].
    pub fn choose_eni(&self, service: ServiceIx, number: u16) -> Option<EniIx> {
        let Egress::Vpc(ix) = self.service(service).egress else { return None };
        let connector = self.connector(ix);
        match connector.kind {
            ServiceKind::AppRunner | ServiceKind::Lambda => {
                let zone = |subnet: SubnetIx| self.subnet(subnet).availability_zone.as_str();
                let subnets = connector.subnets.iter().map(|subnet| (zone(*subnet), *subnet));
                let subnet = turn(subnets, number)?;
                self.hyperplane_eni(connector.kind, subnet, &connector.security_groups)
            }
            ServiceKind::Fargate => {
                let own = |of: &TaskEni| of.connector == ix && of.number == number;
                let mut enis = self.parts().enis.iter();
                enis.position(|eni| eni.task.as_ref().is_some_and(own)).map(EniIx::from)
            }
        }
    }

    /// Returns the address space of a VPC.
    #[inline]
    pub fn space(&self, vpc: VpcIx) -> Space {
        self.vpc(vpc).space
    }

    /// Returns the VPC that has an address space, if this configuration has one.
    pub fn vpc_in(&self, space: Space) -> Option<VpcIx> {
        self.parts().vpcs.iter().position(|vpc| vpc.space == space).map(VpcIx::from)
    }

    /// Returns the subnet of a VPC that holds an address.
    #[inline]
    pub fn subnet_of(&self, vpc: VpcIx, address: Ipv4Addr) -> Option<SubnetIx> {
        self.parts
            .subnets
            .iter()
            .position(|s| s.vpc == vpc && s.cidr.contains(address))
            .map(SubnetIx::from)
    }
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $index:ty => $field:ident: $item:ty),* $(,)?) => {
        impl Snapshot {$(
            $(#[$doc])*
            #[inline]
            pub fn $name(&self, index: $index) -> &$item {
                &self.parts.$field[index.get()]
            }
        )*}
    };
}

getters! {
    /// Returns a VPC.
    vpc: VpcIx => vpcs: Vpc,
    /// Returns a subnet.
    subnet: SubnetIx => subnets: Subnet,
    /// Returns a route table.
    route_table: RouteTableIx => route_tables: RouteTable,
    /// Returns a security group.
    security_group: SecurityGroupIx => security_groups: SecurityGroup,
    /// Returns a network ACL.
    network_acl: NetworkAclIx => network_acls: NetworkAcl,
    /// Returns a prefix list.
    prefix_list: PrefixListIx => prefix_lists: PrefixList,
    /// Returns a NAT gateway.
    nat_gateway: NatGatewayIx => nat_gateways: NatGateway,
    /// Returns a peering connection.
    peering: PeeringIx => peerings: Peering,
    /// Returns a gateway endpoint.
    gateway_endpoint: GatewayEndpointIx => gateway_endpoints: GatewayEndpoint,
    /// Returns a Gateway Load Balancer endpoint.
    gateway_load_balancer_endpoint: GatewayLoadBalancerEndpointIx => gateway_load_balancer_endpoints: GatewayLoadBalancerEndpoint,
    /// Returns an ENI.
    eni: EniIx => enis: Eni,
    /// Returns a connector.
    connector: ConnectorIx => connectors: Connector,
    /// Returns a service.
    service: ServiceIx => services: Service,
    /// Returns a resource.
    resource: ResourceIx => resources: Resource,
}

fn interfaces(parts: &Parts) -> HashMap<(VpcIx, Ipv4Addr), Interface> {
    let vpc = |subnet: SubnetIx| parts.subnets[subnet.get()].vpc;
    let enis = parts
        .enis
        .iter()
        .enumerate()
        .map(|(i, e)| ((vpc(e.subnet), e.address), Interface::Eni(i.into())));
    let gateways = parts
        .nat_gateways
        .iter()
        .enumerate()
        .flat_map(|(i, n)| n.addresses.iter().map(move |own| (i, n.subnet, own.private)))
        .map(|(i, subnet, address)| ((vpc(subnet), address), Interface::NatGateway(i.into())));
    let resources = parts
        .resources
        .iter()
        .enumerate()
        .map(|(i, r)| ((vpc(r.subnet), r.address), Interface::Resource(i.into())));
    enis.chain(gateways).chain(resources).collect()
}

fn public_endpoints(parts: &Parts) -> HashMap<Ipv4Addr, ResourceIx, foldhash::fast::FixedState> {
    let is_mapped = |resource: &Resource| {
        let vpc = parts.subnets[resource.subnet.get()].vpc;
        parts.vpcs[vpc.get()].internet_gateway.is_some()
    };
    let all = parts.resources.iter().enumerate().filter(|(_, resource)| is_mapped(resource));
    all.filter_map(|(i, resource)| Some((resource.public_address?, i.into()))).collect()
}

/// Lists the private addresses of each group's members (spec 4.2).
fn members(parts: &Parts) -> Vec<Vec<u32>> {
    let mut members = vec![Vec::new(); parts.security_groups.len()];
    let enis = parts.enis.iter().map(|e| (&e.security_groups, e.address));
    let resources = parts.resources.iter().map(|r| (&r.security_groups, r.address));
    for (groups, address) in enis.chain(resources) {
        for group in groups {
            members[group.get()].push(u32::from(address));
        }
    }
    members
}

/// The peers of rules, each resolved once.
struct ResolvedPeers {
    groups: Vec<ResolvedPeer>,
    lists: Vec<ResolvedPeer>,
}

impl ResolvedPeers {
    fn new(parts: &Parts) -> Self {
        let list = |list: &PrefixList| ResolvedPeer::networks(list.entries.iter().copied());
        Self {
            groups: members(parts).into_iter().map(ResolvedPeer::addresses).collect(),
            lists: parts.prefix_lists.iter().map(list).collect(),
        }
    }
}

fn rule_set(
    parts: &Parts,
    peers: &ResolvedPeers,
    groups: &[SecurityGroupIx],
    direction: Direction,
) -> RuleSet {
    let mut set = RuleSet::default();
    for &group in groups {
        for (position, rule) in (0u16..).zip(parts.security_groups[group.get()].rules(direction)) {
            let peer = match rule.peer {
                Peer::SecurityGroup(peer) if !may_name(parts, group, peer) => {
                    ResolvedPeer::nobody()
                }
                Peer::Cidr(network) => ResolvedPeer::network(network),
                Peer::SecurityGroup(peer) => peers.groups[peer.get()].clone(),
                Peer::PrefixList(list) => peers.lists[list.get()].clone(),
            };
            set.push((group, position), rule.traffic, peer);
        }
    }
    set
}

/// Decides whether a rule of a group matches the members of another: both are in one VPC, or in two
/// that are peered. A rule that names a group across a deleted connection is stale, and matches no
/// address.
fn may_name(parts: &Parts, group: SecurityGroupIx, peer: SecurityGroupIx) -> bool {
    let vpc = |group: SecurityGroupIx| parts.security_groups[group.get()].vpc;
    let (ours, theirs) = (vpc(group), vpc(peer));
    ours == theirs || parts.peerings.iter().any(|peering| peering.joins(ours, theirs))
}
