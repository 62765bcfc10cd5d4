//! Looks up objects of a spec by their ids, and the values that an object has where the file leaves
//! them open.

use super::diagnostic::At;
use super::spec::{
    Connector, EndpointKind, NatGateway, Resource, RouteTable, Spec, Subnet, Target, Vpc,
    VpcEndpoint,
};

impl Spec {
    /// Returns a VPC, by its id.
    pub fn vpc(&self, id: &str) -> Option<&Vpc> {
        self.vpcs.iter().find(|vpc| *vpc.id == id)
    }

    /// Returns the region of a VPC.
    pub fn region_of(&self, vpc: &str) -> &str {
        let given = self.vpc(vpc).and_then(|vpc| vpc.region.as_ref());
        given.map_or(&self.region, |region| &region.value)
    }

    /// Returns a subnet, by its id.
    pub fn subnet(&self, id: &str) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| *subnet.id == id)
    }

    /// Returns a connector, by its name.
    pub fn connector(&self, name: &str) -> Option<&Connector> {
        self.connectors.iter().find(|connector| *connector.name == name)
    }

    /// Returns a NAT gateway, by its id.
    pub fn nat_gateway(&self, id: &str) -> Option<&NatGateway> {
        self.nat_gateways.iter().find(|gateway| *gateway.id == id)
    }

    /// Returns the resource that has a network interface, by the interface's id.
    pub fn network_interface(&self, id: &str) -> Option<&Resource> {
        let has =
            |resource: &&Resource| resource.network_interface.as_ref().is_some_and(|i| **i == *id);
        self.resources.iter().find(has)
    }

    /// Returns a VPC endpoint, by its id.
    pub fn vpc_endpoint(&self, id: &str) -> Option<&VpcEndpoint> {
        self.vpc_endpoints.iter().find(|endpoint| *endpoint.id == id)
    }

    /// Returns the subnet of a middlebox that a route names: of a network interface, or of a
    /// Gateway Load Balancer endpoint.
    pub fn subnet_of_middlebox(&self, target: &Target) -> Option<&Subnet> {
        match target {
            Target::NetworkInterface(id) => self.subnet(&self.network_interface(id)?.subnet),
            Target::VpcEndpoint(id) => {
                let endpoint = self.vpc_endpoint(id)?;
                let is_one = endpoint.kind == EndpointKind::GatewayLoadBalancer;
                self.subnet(endpoint.subnets.first().filter(|_| is_one)?)
            }
            Target::Local
            | Target::InternetGateway(_)
            | Target::NatGateway(_)
            | Target::Peering(_)
            | Target::Blackhole(_) => None,
        }
    }

    /// Returns the declared main table of a VPC, named by the VPC or by the table itself.
    pub fn main_route_table(&self, vpc: &Vpc) -> Option<&RouteTable> {
        self.route_tables.iter().find(|table| match &vpc.main_route_table {
            Some(id) => *table.id == **id,
            None => *table.vpc == *vpc.id && table.main.is_some_and(|main| *main),
        })
    }

    /// Returns the table that a subnet uses: its own, or the declared main table of its VPC. `None`
    /// is an implied main table.
    pub fn route_table_of(&self, subnet: &Subnet) -> Option<&RouteTable> {
        match &subnet.route_table {
            Some(id) => self.route_tables.iter().find(|table| *table.id == **id),
            None => self.main_route_table(self.vpc(&subnet.vpc)?),
        }
    }

    /// Decides whether a subnet is public, in AWS's words: its own route table has a route to an
    /// internet gateway. The [paths](crate::vpc::path) of its packets say more.
    pub fn is_public(&self, subnet: &Subnet) -> bool {
        self.route_table_of(subnet).is_some_and(|table| {
            let leads = |target: &Target| matches!(target, Target::InternetGateway(_));
            table.routes.iter().any(|route| leads(&route.target.value))
        })
    }

    /// Returns the id of a VPC's default security group: declared, or `<vpc id>/default`.
    pub fn default_security_group(&self, vpc: &str) -> String {
        self.security_groups
            .iter()
            .find(|group| *group.vpc == vpc && group.default.is_some_and(|default| *default))
            .map_or_else(|| super::names::default_id(vpc), |group| (*group.id).clone())
    }

    /// Returns the groups of a connector, sorted by id, each once; its VPC's default group if it
    /// names none (spec 1.6).
    pub fn groups_of_connector(&self, connector: &Connector) -> Vec<String> {
        let subnet = connector.subnets.first().and_then(|id| self.subnet(id));
        self.groups_or_default(&connector.security_groups, subnet)
    }

    /// Returns the groups of a resource, sorted by id, each once; its VPC's default group if it
    /// names none.
    pub fn groups_of_resource(&self, resource: &Resource) -> Vec<String> {
        self.groups_or_default(&resource.security_groups, self.subnet(&resource.subnet))
    }

    /// Returns the groups of an interface endpoint, sorted by id, each once; its VPC's default
    /// group if it names none.
    pub fn groups_of_endpoint(&self, endpoint: &VpcEndpoint) -> Vec<String> {
        let subnet = endpoint.subnets.first().and_then(|id| self.subnet(id));
        let has_groups = endpoint.kind == EndpointKind::Interface;
        self.groups_or_default(&endpoint.security_groups, subnet.filter(|_| has_groups))
    }

    fn groups_or_default(&self, named: &[At<String>], subnet: Option<&Subnet>) -> Vec<String> {
        let mut groups: Vec<String> = named.iter().map(|group| group.value.clone()).collect();
        if let (true, Some(subnet)) = (groups.is_empty(), subnet) {
            groups.push(self.default_security_group(&subnet.vpc));
        }
        groups.sort();
        groups.dedup();
        groups
    }
}
