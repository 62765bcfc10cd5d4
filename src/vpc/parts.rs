//! The tables of a configuration, as the config layer fills them.

use super::{
    Connector, Eni, GatewayEndpoint, GatewayLoadBalancerEndpoint, InternetHost, Limits, Mtu,
    NatGateway, NetworkAcl, Peering, PrefixList, PrivateZone, Resource, RouteTable, SecurityGroup,
    Service, Subnet, Timeouts, Vpc,
};
use std::net::Ipv4Addr;

/// What the config layer hands over: validated, references in range, not yet indexed.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The lab's name, prefix of everything on the box.
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
    /// Those of NAT gateways' and App Runner's own public addresses that the lab file leaves open, so that egret chose them.
    pub chosen_public_addresses: Vec<Ipv4Addr>,
    /// Limits.
    pub limits: Limits,
    /// Timeouts, scaled.
    pub timeouts: Timeouts,
    /// MTU of each kind of link.
    pub mtu: Mtu,
}
