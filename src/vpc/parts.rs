//! The tables of a configuration, as the config layer fills them.

use super::{
    Connector, Eni, GatewayEndpoint, GatewayLoadBalancerEndpoint, InternetHost, Limits, Mtu,
    NatGateway, NetworkAcl, Peering, PrefixList, PrivateZone, Resource, RouteTable, SecurityGroup,
    Service, Subnet, Timeouts, Vpc,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The tables as the config layer hands them over: validated, with references in range, not indexed
/// yet.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The lab's name, which prefixes all names that egret makes in the kernel.
    pub lab: String,
    /// VPCs.
    pub vpcs: Vec<Vpc>,
    /// Subnets of all VPCs.
    pub subnets: Vec<Subnet>,
    /// Route tables of all VPCs.
    pub route_tables: Vec<RouteTable>,
    /// Security groups of all VPCs.
    pub security_groups: Vec<SecurityGroup>,
    /// Network ACLs of all VPCs.
    pub network_acls: Vec<NetworkAcl>,
    /// Prefix lists.
    pub prefix_lists: Vec<PrefixList>,
    /// Peering connections, in any state.
    pub peerings: Vec<Peering>,
    /// Gateway endpoints.
    pub gateway_endpoints: Vec<GatewayEndpoint>,
    /// Gateway Load Balancer endpoints.
    pub gateway_load_balancer_endpoints: Vec<GatewayLoadBalancerEndpoint>,
    /// NAT gateways.
    pub nat_gateways: Vec<NatGateway>,
    /// ENIs of every connector that a service uses, and of Fargate tasks.
    pub enis: Vec<Eni>,
    /// Connectors.
    pub connectors: Vec<Connector>,
    /// Services.
    pub services: Vec<Service>,
    /// Resources.
    pub resources: Vec<Resource>,
    /// Hosts on the internet.
    pub internet_hosts: Vec<InternetHost>,
    /// Private hosted zones.
    pub private_zones: Vec<PrivateZone>,
    /// The AWS region, such as `us-east-1`: a part of names.
    pub region: String,
    /// The public address of services with `egress = "default"`.
    pub apprunner_address: Option<Ipv4Addr>,
    /// The public addresses of NAT gateways and of App Runner's own egress that egret chose,
    /// because the lab file leaves them open.
    pub chosen_public_addresses: Vec<Ipv4Addr>,
    /// Limits.
    pub limits: Limits,
    /// Timeouts, scaled.
    pub timeouts: Timeouts,
    /// MTU of each kind of link.
    pub mtu: Mtu,
    /// The names of objects, which tables show in place of their ids.
    pub name_tags: BTreeMap<String, String>,
}
