//! Lowers the file's ids to indexes into tables, and adds the parts that each VPC has by itself:
//! local routes, main table, default network ACL, default security group.

use super::names::default_id;
use super::plan::{Plan, PlannedEni};
use super::spec::{self, Spec};
use crate::vpc::{
    AclAction, AclRule, Connector, Destination, DnsRecord, Egress, Eni, GatewayEndpoint,
    GatewayLoadBalancerEndpoint, InterfaceEndpoint, InternetGateway, InternetHost, NatGateway,
    NetworkAcl, NetworkInterface, Parts, Peer, Peering, PeeringState, PrefixList, PrefixListIx,
    PrivateZone, Resource, Route, RouteTable, SecurityGroup, SecurityGroupIx, SecurityGroupRule,
    Service, Space, Subnet, Target, TaskEni, TrafficMatch, Vpc, VpcIx, everywhere,
};
use ipnetwork::Ipv4Network;
use std::collections::HashMap;

/// Makes the tables of a spec that has no errors.
pub(super) fn parts(spec: &Spec, plan: &Plan) -> Parts {
    let mut parts = Parts {
        lab: spec.lab.value.clone(),
        region: spec.region.clone(),
        apprunner_address: plan.apprunner_address,
        chosen_public_addresses: plan.chosen_public_addresses().collect(),
        limits: spec.limits,
        timeouts: spec.timeouts.scaled(spec.time_scale),
        mtu: spec.mtu,
        name_tags: spec.name_tags.clone(),
        ..Parts::default()
    };
    let mut lowering = Lowering::new(spec);
    parts.prefix_lists = spec.prefix_lists.iter().map(prefix_list).collect();
    parts.security_groups = lowering.security_groups();
    parts.network_acls = lowering.network_acls();
    parts.route_tables = lowering.route_tables(plan);
    parts.vpcs = spec.vpcs.iter().map(|vpc| lowering.vpc(vpc, plan)).collect();
    parts.subnets = spec.subnets.iter().map(|subnet| lowering.subnet(subnet)).collect();
    parts.peerings = spec.peerings.iter().map(|p| lowering.peering(p)).collect();
    parts.gateway_endpoints = lowering.gateway_endpoints();
    parts.gateway_load_balancer_endpoints = lowering.gateway_load_balancer_endpoints();
    parts.nat_gateways = lowering.nat_gateways(plan);
    parts.enis = lowering.enis(plan);
    parts.connectors = spec.connectors.iter().map(|c| lowering.connector(c)).collect();
    parts.services = spec.services.iter().map(|service| lowering.service(service)).collect();
    parts.resources = spec.resources.iter().map(|r| lowering.resource(r)).collect();
    for endpoint in endpoints(spec, spec::EndpointKind::Interface) {
        let interfaces = 0..endpoint.subnets.len();
        parts.resources.extend(interfaces.filter_map(|n| lowering.endpoint(endpoint, n, plan)));
    }
    parts.private_zones = spec.private_zones.iter().map(|z| lowering.private_zone(z)).collect();
    parts.internet_hosts = spec.internet_hosts.iter().map(internet_host).collect();
    parts
}

/// The positions of all objects with an id.
struct Lowering<'s> {
    spec: &'s Spec,
    vpcs: Positions,
    subnets: Positions,
    route_tables: Positions,
    security_groups: Positions,
    network_acls: Positions,
    prefix_lists: Positions,
    nat_gateways: Positions,
    gateway_endpoints: Positions,
    gateway_load_balancer_endpoints: Positions,
    peerings: Positions,
    resources: Positions,
    connectors: Positions,
}

/// The position of each id in its table.
#[derive(Default)]
struct Positions(HashMap<String, usize>);

impl Positions {
    fn of<'n>(ids: impl Iterator<Item = &'n String>) -> Self {
        Self(ids.cloned().zip(0..).collect())
    }

    /// Returns the index of an id. Validation has proven that the id exists; if not, the index
    /// would be out of every table's range.
    fn get<I: From<usize>>(&self, id: &str) -> I {
        I::from(self.0.get(id).copied().unwrap_or(usize::MAX))
    }

    fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    fn add(&mut self, id: String) {
        let next = self.0.len();
        self.0.insert(id, next);
    }
}

impl<'s> Lowering<'s> {
    fn new(spec: &'s Spec) -> Self {
        let alive = |gateway: &&spec::NatGateway| !is_deleted(gateway);
        Self {
            spec,
            vpcs: Positions::of(spec.vpcs.iter().map(|v| &v.id.value)),
            subnets: Positions::of(spec.subnets.iter().map(|s| &s.id.value)),
            route_tables: Positions::of(spec.route_tables.iter().map(|t| &t.id.value)),
            security_groups: Positions::of(spec.security_groups.iter().map(|g| &g.id.value)),
            network_acls: Positions::of(spec.network_acls.iter().map(|a| &a.id.value)),
            prefix_lists: Positions::of(spec.prefix_lists.iter().map(|p| &p.id.value)),
            nat_gateways: Positions::of(
                spec.nat_gateways.iter().filter(alive).map(|n| &n.id.value),
            ),
            gateway_endpoints: Positions::of(gateway_endpoints(spec).map(|e| &e.id.value)),
            gateway_load_balancer_endpoints: Positions::of(
                endpoints(spec, spec::EndpointKind::GatewayLoadBalancer).map(|e| &e.id.value),
            ),
            peerings: Positions::of(spec.peerings.iter().map(|p| &p.id.value)),
            resources: Positions::of(spec.resources.iter().map(|r| &r.name.value)),
            connectors: Positions::of(spec.connectors.iter().map(|c| &c.name.value)),
        }
    }

    /// Makes the declared groups, then the implied default ones.
    fn security_groups(&mut self) -> Vec<SecurityGroup> {
        let mut implied = Vec::new();
        for vpc in &self.spec.vpcs {
            let id = self.spec.default_security_group(&vpc.id);
            if !self.security_groups.0.contains_key(&id) {
                self.security_groups.add(id.clone());
                implied.push((id, self.vpcs.get(&vpc.id)));
            }
        }
        let declared = self.spec.security_groups.iter().map(|group| self.security_group(group));
        let implied = implied.into_iter().map(|(id, vpc)| {
            let itself = Peer::SecurityGroup(self.security_groups.get(&id));
            let ingress = SecurityGroupRule { traffic: TrafficMatch::ALL, peer: itself, line: 0 };
            SecurityGroup { id, vpc, egress: vec![allow_all()], ingress: vec![ingress], line: 0 }
        });
        declared.chain(implied).collect()
    }

    fn security_group(&self, group: &spec::SecurityGroup) -> SecurityGroup {
        let rules = |rules: &[spec::SecurityGroupRule]| -> Vec<SecurityGroupRule> {
            rules.iter().map(|rule| self.security_group_rule(rule)).collect()
        };
        SecurityGroup {
            id: group.id.value.clone(),
            vpc: self.vpcs.get(&group.vpc),
            egress: group.egress.as_deref().map_or_else(|| vec![allow_all()], rules),
            ingress: rules(&group.ingress),
            line: group.line,
        }
    }

    fn security_group_rule(&self, rule: &spec::SecurityGroupRule) -> SecurityGroupRule {
        let peer = match &rule.peer.value {
            spec::Peer::Cidr(network) => Peer::Cidr(*network),
            spec::Peer::SecurityGroup(id) => Peer::SecurityGroup(self.security_groups.get(id)),
            spec::Peer::PrefixList(id) => Peer::PrefixList(self.prefix_lists.get(id)),
        };
        SecurityGroupRule { traffic: rule.traffic, peer, line: rule.line }
    }

    /// Makes the declared ACLs, then a default one for each VPC.
    fn network_acls(&mut self) -> Vec<NetworkAcl> {
        let declared = self.spec.network_acls.iter().map(|acl| NetworkAcl {
            id: acl.id.value.clone(),
            vpc: self.vpcs.get(&acl.vpc),
            egress: acl_rules(&acl.egress),
            ingress: acl_rules(&acl.ingress),
            line: acl.line,
        });
        let implied = self.spec.vpcs.iter().map(|vpc| NetworkAcl {
            id: default_id(&vpc.id),
            vpc: self.vpcs.get(&vpc.id),
            egress: vec![default_acl_rule()],
            ingress: vec![default_acl_rule()],
            line: 0,
        });
        let acls = declared.chain(implied).collect();
        for vpc in &self.spec.vpcs {
            self.network_acls.add(default_id(&vpc.id));
        }
        acls
    }

    /// Makes the declared tables, then an implied main one for each VPC that declares none.
    fn route_tables(&mut self, plan: &Plan) -> Vec<RouteTable> {
        let mains: Vec<&str> = self
            .spec
            .vpcs
            .iter()
            .filter_map(|vpc| Some(self.spec.main_route_table(vpc)?.id.as_str()))
            .collect();
        let mut tables: Vec<RouteTable> = Vec::new();
        for table in &self.spec.route_tables {
            let main = mains.contains(&table.id.as_str());
            let vpc: VpcIx = self.vpcs.get(&table.vpc);
            let routes = self.routes(table, plan);
            tables.push(RouteTable::new(table.id.value.clone(), vpc, routes, main, table.line));
        }
        for vpc in &self.spec.vpcs {
            if self.spec.main_route_table(vpc).is_none() {
                let id = main_id(&vpc.id);
                let routes = local_routes(vpc, &[]);
                tables.push(RouteTable::new(id.clone(), self.vpcs.get(&vpc.id), routes, true, 0));
                self.route_tables.add(id);
            }
        }
        tables
    }

    fn routes(&self, table: &spec::RouteTable, plan: &Plan) -> Vec<Route> {
        let vpc = self.spec.vpc(&table.vpc);
        let mut routes = vpc.map(|vpc| local_routes(vpc, &table.routes)).unwrap_or_default();
        let declared =
            table.routes.iter().filter(|route| route.target.value != spec::Target::Local);
        routes.extend(declared.map(|route| Route {
            destination: self.destination(&route.destination),
            target: self.target(&route.target, plan),
            line: route.line,
        }));
        routes.extend(self.endpoint_routes(table));
        routes
    }

    /// Makes the routes that gateway endpoints add to a table by themselves, except those that the
    /// file has (spec 7.1).
    fn endpoint_routes(&self, table: &spec::RouteTable) -> impl Iterator<Item = Route> {
        let named = |endpoint: &&spec::VpcEndpoint| {
            endpoint.route_tables.iter().any(|id| **id == *table.id)
        };
        gateway_endpoints(self.spec).filter(named).filter_map(|endpoint| {
            let list = endpoint.prefix_list.as_ref()?;
            let destination = spec::Destination::PrefixList(list.value.clone());
            let written = table.routes.iter().any(|r| r.destination.value == destination);
            (!written).then(|| Route {
                destination: self.destination(&destination),
                target: Target::GatewayEndpoint(self.gateway_endpoints.get(&endpoint.id)),
                line: endpoint.line,
            })
        })
    }

    fn destination(&self, destination: &spec::Destination) -> Destination {
        match destination {
            spec::Destination::Cidr(network) => Destination::Cidr(*network),
            spec::Destination::PrefixList(id) => {
                Destination::PrefixList(self.prefix_lists.get::<PrefixListIx>(id))
            }
        }
    }

    fn target(&self, target: &spec::Target, plan: &Plan) -> Target {
        match target {
            spec::Target::Local => Target::Local,
            spec::Target::InternetGateway(_) => Target::InternetGateway,
            // Routes to a deleted NAT gateway stay, as blackholes (spec 3.3, 6).
            spec::Target::NatGateway(id) if !plan.nat_gateways.contains_key(id) => {
                Target::Blackhole(Some(id.clone()))
            }
            spec::Target::NatGateway(id) => Target::NatGateway(self.nat_gateways.get(id)),
            spec::Target::VpcEndpoint(id) if self.gateway_load_balancer_endpoints.has(id) => {
                let position = self.gateway_load_balancer_endpoints.get(id);
                Target::GatewayLoadBalancerEndpoint(position)
            }
            spec::Target::VpcEndpoint(id) => {
                Target::GatewayEndpoint(self.gateway_endpoints.get(id))
            }
            spec::Target::NetworkInterface(id) => {
                let resource = self.spec.network_interface(id).map_or("", |r| &r.name.value);
                Target::NetworkInterface(self.resources.get(resource))
            }
            spec::Target::Peering(id) if !is_active(self.spec, id) => {
                Target::Blackhole(Some(id.clone()))
            }
            spec::Target::Peering(id) => Target::Peering(self.peerings.get(id)),
            spec::Target::Blackhole(id) => Target::Blackhole(id.clone()),
        }
    }

    fn peering(&self, peering: &spec::Peering) -> Peering {
        Peering {
            id: peering.id.value.clone(),
            requester: self.vpcs.get(&peering.requester_vpc),
            accepter: self.vpcs.get(&peering.accepter_vpc),
            state: peering.state,
            requester_dns_resolution: peering.requester_dns_resolution,
            accepter_dns_resolution: peering.accepter_dns_resolution,
            line: peering.line,
        }
    }

    fn gateway_endpoints(&self) -> Vec<GatewayEndpoint> {
        let list = |endpoint: &spec::VpcEndpoint| {
            let list = endpoint.prefix_list.as_ref();
            self.prefix_lists.get(list.map_or("", |id| id.value.as_str()))
        };
        let endpoint = |endpoint: &spec::VpcEndpoint| GatewayEndpoint {
            id: endpoint.id.value.clone(),
            vpc: self.vpcs.get(&endpoint.vpc),
            service: endpoint.service.clone(),
            prefix_list: list(endpoint),
            line: endpoint.line,
        };
        gateway_endpoints(self.spec).map(endpoint).collect()
    }

    fn gateway_load_balancer_endpoints(&self) -> Vec<GatewayLoadBalancerEndpoint> {
        let subnet = |endpoint: &spec::VpcEndpoint| {
            self.subnets.get(endpoint.subnets.first().map_or("", |id| id.value.as_str()))
        };
        let endpoint = |endpoint: &spec::VpcEndpoint| GatewayLoadBalancerEndpoint {
            id: endpoint.id.value.clone(),
            service: endpoint.service.clone(),
            subnet: subnet(endpoint),
            line: endpoint.line,
        };
        endpoints(self.spec, spec::EndpointKind::GatewayLoadBalancer).map(endpoint).collect()
    }

    fn vpc(&self, vpc: &spec::Vpc, plan: &Plan) -> Vpc {
        let main = self.spec.main_route_table(vpc);
        let main = main.map_or_else(|| main_id(&vpc.id), |table| table.id.value.clone());
        Vpc {
            id: vpc.id.value.clone(),
            // Every VPC of the spec has one.
            space: plan.spaces.get(&vpc.id.value).copied().unwrap_or(Space(u16::MAX)),
            cidrs: vpc.cidrs.iter().map(|cidr| cidr.value).collect(),
            internet_gateway: vpc
                .internet_gateway
                .as_ref()
                .map(|id| InternetGateway { id: id.value.clone(), line: vpc.line }),
            enable_dns_support: vpc.has_dns_support(),
            enable_dns_hostnames: vpc.has_dns_hostnames(),
            main_route_table: self.route_tables.get(&main),
            default_network_acl: self.network_acls.get(&default_id(&vpc.id)),
            default_security_group: self
                .security_groups
                .get(&self.spec.default_security_group(&vpc.id)),
            line: vpc.line,
        }
    }

    fn subnet(&self, subnet: &spec::Subnet) -> Subnet {
        let table = self.spec.route_table_of(subnet);
        let table = table.map_or_else(|| main_id(&subnet.vpc), |table| table.id.value.clone());
        let acl = subnet.network_acl.as_ref();
        let acl = acl.map_or_else(|| default_id(&subnet.vpc), |acl| acl.value.clone());
        Subnet {
            id: subnet.id.value.clone(),
            vpc: self.vpcs.get(&subnet.vpc),
            availability_zone: subnet.availability_zone.clone(),
            cidr: subnet.cidr.value,
            route_table: self.route_tables.get(&table),
            network_acl: self.network_acls.get(&acl),
            line: subnet.line,
        }
    }

    fn nat_gateways(&self, plan: &Plan) -> Vec<NatGateway> {
        let gateway = |gateway: &spec::NatGateway| {
            let planned = plan.nat_gateways.get(&gateway.id.value)?;
            let own = || planned.addresses.iter().map(|own| own.private).enumerate();
            let open = own().filter(|(position, _)| gateway.private_ip(*position).is_none());
            Some(NatGateway {
                id: gateway.id.value.clone(),
                device: planned.device.clone(),
                subnet: self.subnets.get(&gateway.subnet),
                connectivity: gateway.connectivity,
                state: gateway.state,
                addresses: planned.addresses.clone(),
                open_addresses: open.map(|(_, address)| address).collect(),
                line: gateway.line,
            })
        };
        self.spec.nat_gateways.iter().filter_map(gateway).collect()
    }

    fn enis(&self, plan: &Plan) -> Vec<Eni> {
        let eni = |eni: &PlannedEni| {
            Eni::new(
                eni.id.clone(),
                eni.device.clone(),
                self.subnets.get(&eni.key.subnet),
                self.groups(&eni.key.security_groups),
                eni.address,
            )
            .of(eni.key.kind, self.task_eni(eni))
        };
        plan.enis.iter().map(eni).collect()
    }

    fn task_eni(&self, eni: &PlannedEni) -> Option<TaskEni> {
        let (service, number) = eni.key.task.as_ref()?;
        let own = self.spec.services.iter().find(|own| *own.name == *service)?;
        let connector = self.connectors.get(own.vpc_connector.as_ref()?);
        Some(TaskEni { connector, number: *number, public_address: eni.public_address })
    }

    fn connector(&self, connector: &spec::Connector) -> Connector {
        let uses = |service: &&spec::Service| {
            service.vpc_connector.as_ref().is_some_and(|named| **named == *connector.name)
        };
        let mut users = self.spec.services.iter().filter(uses);
        Connector {
            name: connector.name.value.clone(),
            kind: connector.kind,
            subnets: connector.subnets.iter().map(|subnet| self.subnets.get(subnet)).collect(),
            security_groups: self.groups(&self.spec.groups_of_connector(connector)),
            assign_public_ip: users.any(spec::Service::has_public_ip),
            line: connector.line,
        }
    }

    fn service(&self, service: &spec::Service) -> Service {
        let connector = service.vpc_connector.as_ref();
        Service {
            name: service.name.value.clone(),
            kind: service.kind,
            egress: connector
                .map_or(Egress::Default, |name| Egress::Vpc(self.connectors.get(name))),
            tasks: service.tasks,
            line: service.line,
        }
    }

    fn resource(&self, resource: &spec::Resource) -> Resource {
        Resource {
            name: resource.name.value.clone(),
            aliases: resource.aliases.clone(),
            public_dns_name: resource.public_dns_name,
            endpoint: None,
            private_dns: None,
            subnet: self.subnets.get(&resource.subnet),
            address: resource.address.value,
            public_address: resource.public_ip.as_ref().map(|at| at.value),
            security_groups: self.groups(&self.spec.groups_of_resource(resource)),
            listen: resource.listen.clone(),
            network_interface: resource.network_interface.as_ref().map(|id| NetworkInterface {
                id: id.value.clone(),
                source_dest_check: resource.has_source_dest_check(),
            }),
            line: resource.line,
        }
    }

    /// Makes an interface endpoint's interface in its `position`th subnet: a resource of its VPC
    /// like any other (spec 7.2).
    fn endpoint(
        &self,
        endpoint: &spec::VpcEndpoint,
        position: usize,
        plan: &Plan,
    ) -> Option<Resource> {
        let subnet = self.spec.subnet(endpoint.subnets.get(position)?)?;
        let zone = &subnet.availability_zone;
        Some(Resource {
            name: format!("{}-{zone}", endpoint.id.value),
            aliases: endpoint_names(endpoint, self.spec.region_of(&endpoint.vpc), zone),
            public_dns_name: true,
            endpoint: Some(InterfaceEndpoint {
                id: endpoint.id.value.clone(),
                service: endpoint.service.clone(),
            }),
            private_dns: endpoint.private_name(self.spec.region_of(&endpoint.vpc)),
            subnet: self.subnets.get(&subnet.id),
            address: plan.endpoint_address(endpoint, position)?,
            public_address: None,
            security_groups: self.groups(&self.spec.groups_of_endpoint(endpoint)),
            listen: endpoint.listen.clone(),
            network_interface: None,
            line: endpoint.line,
        })
    }

    fn private_zone(&self, zone: &spec::PrivateZone) -> PrivateZone {
        let of = |record: &spec::ZoneRecord| {
            let (name, ttl) = (record.name.value.clone(), record.ttl);
            let each = move |data| DnsRecord { name: name.clone(), ttl, data };
            record.values.clone().into_iter().map(each)
        };
        PrivateZone {
            name: zone.name.value.clone(),
            vpcs: zone.vpcs.iter().map(|vpc| self.vpcs.get(vpc)).collect(),
            records: zone.records.iter().flat_map(of).collect(),
            line: zone.line,
        }
    }

    fn groups(&self, ids: &[String]) -> Vec<SecurityGroupIx> {
        let mut groups: Vec<_> = ids.iter().map(|id| self.security_groups.get(id)).collect();
        groups.sort();
        groups
    }
}

/// Returns the public names of an endpoint's interface: the endpoint's own, and that of its zone
/// (spec 7.2). AWS puts a suffix behind the id; a lab has none.
fn endpoint_names(endpoint: &spec::VpcEndpoint, region: &str, zone: &str) -> Vec<String> {
    let id = &endpoint.id.value;
    let vpce = if id.starts_with("vpce-") { id.clone() } else { format!("vpce-{id}") };
    let service = endpoint.aws_service(region).unwrap_or(&endpoint.service);
    let own = |label: &str| format!("{label}.{service}.{region}.vpce.amazonaws.com");
    vec![own(&vpce), own(&format!("{vpce}-{zone}"))]
}

fn is_deleted(gateway: &spec::NatGateway) -> bool {
    gateway.state == crate::vpc::NatGatewayState::Deleted
}

fn gateway_endpoints(spec: &Spec) -> impl Iterator<Item = &spec::VpcEndpoint> {
    endpoints(spec, spec::EndpointKind::Gateway)
}

fn endpoints(spec: &Spec, kind: spec::EndpointKind) -> impl Iterator<Item = &spec::VpcEndpoint> {
    spec.vpc_endpoints.iter().filter(move |endpoint| endpoint.kind == kind)
}

/// Decides whether a peering connection is active. Routes to others are blackholes.
fn is_active(spec: &Spec, peering: &str) -> bool {
    let found = spec.peerings.iter().find(|p| *p.id == *peering);
    found.is_some_and(|p| p.state == PeeringState::Active)
}

fn main_id(vpc: &str) -> String {
    format!("{vpc}/main")
}

/// Returns AWS's one outbound rule of a new group (spec 4.2).
fn allow_all() -> SecurityGroupRule {
    SecurityGroupRule { traffic: TrafficMatch::ALL, peer: Peer::Cidr(everywhere()), line: 0 }
}

/// Returns rule 100 of a default network ACL (spec 5).
fn default_acl_rule() -> AclRule {
    AclRule {
        number: 100,
        action: AclAction::Allow,
        traffic: TrafficMatch::ALL,
        cidr: everywhere(),
        line: 0,
    }
}

fn acl_rules(rules: &[spec::AclRule]) -> Vec<AclRule> {
    let mut rules: Vec<AclRule> = rules
        .iter()
        .map(|rule| AclRule {
            number: *rule.number,
            action: rule.action,
            traffic: rule.traffic,
            cidr: rule.cidr,
            line: rule.line,
        })
        .collect();
    rules.sort_by_key(|rule| rule.number);
    rules
}

/// Makes the local routes: one per CIDR block of the VPC (spec 3.4), with its line if the file has
/// it.
fn local_routes(vpc: &spec::Vpc, declared: &[spec::Route]) -> Vec<Route> {
    let line = |network: Ipv4Network| {
        let written = declared.iter().find(|route| {
            route.target.value == spec::Target::Local
                && route.destination.value == spec::Destination::Cidr(network)
        });
        written.map_or(0, |route| route.line)
    };
    let local = |cidr: &super::At<Ipv4Network>| Route {
        destination: Destination::Cidr(cidr.value),
        target: Target::Local,
        line: line(cidr.value),
    };
    vpc.cidrs.iter().map(local).collect()
}

fn prefix_list(list: &spec::PrefixList) -> PrefixList {
    PrefixList { id: list.id.value.clone(), entries: list.entries.clone(), line: list.line }
}

fn internet_host(host: &spec::InternetHost) -> InternetHost {
    InternetHost {
        name: host.name.value.clone(),
        aliases: host.aliases.clone(),
        address: host.address.value,
        listen: host.listen.clone(),
        line: host.line,
    }
}
