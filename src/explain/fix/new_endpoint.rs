//! Endpoints that a VPC does not have yet.

use crate::pipeline::reach::Ranges;
use crate::vpc::dns::RecordType;
use crate::vpc::{
    Destination, GatewayEndpoint, GatewayEndpointIx, InterfaceEndpoint, Listen, Parts, PrefixList,
    PrefixListIx, RecordData, Resource, Route, RouteTableIx, SecurityGroup, SecurityGroupIx,
    SecurityGroupRule, Snapshot, Speaks, SubnetIx, Target, VpcIx,
};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// The port that AWS's services listen on.
pub(super) const HTTPS: u16 = 443;

/// An interface endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewInterface {
    pub(super) id: String,
    pub(super) vpc: VpcIx,
    /// The service, such as `com.amazonaws.us-east-1.sqs`.
    pub(super) service: String,
    /// The service's public name, which leads to the endpoint in its VPC.
    pub(super) private_name: String,
    /// The name in the question; for image registries it is one below the public name.
    pub(super) asked: String,
    pub(super) subnets: Vec<SubnetIx>,
    pub(super) guard: Guard,
    /// Set if the VPC needs `enable_dns_hostnames` for it.
    pub(super) hostnames: bool,
}

/// The groups of a new interface endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// The groups of another endpoint.
    Groups(Vec<SecurityGroupIx>),
    /// A new one with these inbound rules.
    New { id: String, ingress: Vec<SecurityGroupRule> },
}

/// A gateway endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewGateway {
    pub(super) id: String,
    pub(super) vpc: VpcIx,
    /// The service, such as `com.amazonaws.us-east-1.s3`.
    pub(super) service: String,
    pub(super) list: Listed,
    pub(super) tables: Vec<RouteTableIx>,
}

/// The prefix list of a new gateway endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// An existing one.
    Known(PrefixListIx),
    /// A new one.
    New { id: String, entries: Vec<Ipv4Network> },
}

impl NewInterface {
    pub(super) fn apply(&self, parts: &mut Parts, snapshot: &Snapshot) {
        parts.vpcs[self.vpc.get()].enable_dns_hostnames |= self.hostnames;
        let groups = match &self.guard {
            Guard::Groups(groups) => groups.clone(),
            Guard::New { id, ingress } => {
                let (id, vpc, ingress) = (id.clone(), self.vpc, ingress.clone());
                parts.security_groups.push(SecurityGroup {
                    id,
                    vpc,
                    egress: Vec::new(),
                    ingress,
                    line: 0,
                });
                vec![SecurityGroupIx::from(parts.security_groups.len() - 1)]
            }
        };
        let interfaces = self.subnets.iter().filter_map(|subnet| self.interface(*subnet, snapshot));
        parts
            .resources
            .extend(interfaces.map(|own| Resource { security_groups: groups.clone(), ..own }));
    }

    /// Returns the addresses of the name in a configuration with the endpoint; `None` if they are
    /// not the endpoint's own.
    pub(super) fn addresses(&self, after: &Snapshot) -> Option<Ranges> {
        let found = self.resolved(after);
        let of_endpoint = |own: &&Resource| own.endpoint.as_ref().is_some_and(|e| e.id == self.id);
        let own: Vec<u32> = after
            .parts()
            .resources
            .iter()
            .filter(of_endpoint)
            .map(|own| own.address.to_bits())
            .collect();
        let own = Ranges::new(own.into_iter().map(|address| (address, address)));
        (!own.is_empty() && found == own).then_some(own)
    }

    /// Returns the addresses of the question's name in the endpoint's VPC.
    pub(super) fn resolved(&self, snapshot: &Snapshot) -> Ranges {
        let answer = snapshot.resolve(Some(self.vpc), &self.asked, RecordType::A);
        let addresses = answer.records.iter().filter_map(|record| match record.data {
            RecordData::A(address) => Some((address.to_bits(), address.to_bits())),
            RecordData::Cname(_) | RecordData::Ptr(_) | RecordData::Txt(_) => None,
        });
        Ranges::new(addresses)
    }

    fn interface(&self, subnet: SubnetIx, snapshot: &Snapshot) -> Option<Resource> {
        let endpoint = InterfaceEndpoint { id: self.id.clone(), service: self.service.clone() };
        Some(Resource {
            name: format!("{}-{}", self.id, snapshot.subnet(subnet).availability_zone),
            aliases: Vec::new(),
            public_dns_name: true,
            endpoint: Some(endpoint),
            private_dns: Some(self.private_name.clone()),
            subnet,
            address: free_address(subnet, snapshot)?,
            public_address: None,
            security_groups: Vec::new(),
            listen: vec![Listen::new(Speaks::Tcp, HTTPS)],
            network_interface: None,
            line: 0,
        })
    }
}

impl NewGateway {
    pub(super) fn apply(&self, parts: &mut Parts) {
        let prefix_list = match &self.list {
            Listed::Known(list) => *list,
            Listed::New { id, entries } => {
                let (id, entries) = (id.clone(), entries.clone());
                parts.prefix_lists.push(PrefixList { id, entries, line: 0 });
                PrefixListIx::from(parts.prefix_lists.len() - 1)
            }
        };
        let (id, service, vpc) = (self.id.clone(), self.service.clone(), self.vpc);
        parts.gateway_endpoints.push(GatewayEndpoint { id, vpc, service, prefix_list, line: 0 });
        let endpoint = GatewayEndpointIx::from(parts.gateway_endpoints.len() - 1);
        for table in &self.tables {
            let (destination, target) =
                (Destination::PrefixList(prefix_list), Target::GatewayEndpoint(endpoint));
            parts.route_tables[table.get()].routes.push(Route { destination, target, line: 0 });
        }
    }

    /// Returns the blocks of its route.
    pub(super) fn entries<'a>(&'a self, snapshot: &'a Snapshot) -> &'a [Ipv4Network] {
        match &self.list {
            Listed::Known(list) => &snapshot.prefix_list(*list).entries,
            Listed::New { entries, .. } => entries,
        }
    }
}

/// Returns an address that AWS may give an interface in a subnet: the last free one, because
/// other objects get the first ones.
fn free_address(subnet: SubnetIx, snapshot: &Snapshot) -> Option<Ipv4Addr> {
    let own = snapshot.subnet(subnet);
    let (first, last) = (own.cidr.network().to_bits() + 4, own.cidr.broadcast().to_bits() - 1);
    let mut all = (first..=last).rev().map(Ipv4Addr::from);
    all.find(|address| snapshot.interface(own.vpc, *address).is_none())
}
