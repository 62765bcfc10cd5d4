//! VPCs and their subnets.

use super::{InternetGateway, Line, NetworkAclIx, RouteTableIx, SecurityGroupIx, Space, VpcIx};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// A VPC.
#[derive(Clone, Debug)]
pub struct Vpc {
    /// `vpc-…`, or the user's word.
    pub id: String,
    /// The space of its addresses; the same over reloads.
    pub space: Space,
    /// Its CIDR blocks, the primary first.
    pub cidrs: Vec<Ipv4Network>,
    /// `enableDnsSupport`: the resolver answers (spec 8).
    pub enable_dns_support: bool,
    /// `enableDnsHostnames`: together with `enableDnsSupport`, private zones and endpoints' private
    /// DNS work (spec 8).
    pub enable_dns_hostnames: bool,
    /// The internet gateway attached to it, if any.
    pub internet_gateway: Option<InternetGateway>,
    /// The table of subnets without an association.
    pub main_route_table: RouteTableIx,
    /// The ACL of subnets without an association.
    pub default_network_acl: NetworkAclIx,
    /// The group of a connector that names none.
    pub default_security_group: SecurityGroupIx,
    /// Its line in the lab file.
    pub line: Line,
}

impl Vpc {
    /// Returns the resolver's address: the primary CIDR block's base plus two. Secondary blocks
    /// have none (spec 8).
    pub fn resolver(&self) -> Option<Ipv4Addr> {
        let primary = self.cidrs.first()?;
        Some(Ipv4Addr::from(u32::from(primary.network()).wrapping_add(2)))
    }

    /// Decides whether private zones and endpoints' private DNS work in it (spec 8).
    pub fn has_private_names(&self) -> bool {
        self.enable_dns_support && self.enable_dns_hostnames
    }

    /// Decides whether an address is in one of the VPC's CIDR blocks.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(address))
    }
}

/// A subnet.
#[derive(Clone, Debug)]
pub struct Subnet {
    /// `subnet-…`, or the user's word.
    pub id: String,
    /// The VPC that it is in.
    pub vpc: VpcIx,
    /// The Availability Zone that it is in, such as `us-east-1a`.
    pub availability_zone: String,
    /// Its CIDR block.
    pub cidr: Ipv4Network,
    /// Its table, explicit or main.
    pub route_table: RouteTableIx,
    /// Its ACL, explicit or default.
    pub network_acl: NetworkAclIx,
    /// Its line in the lab file.
    pub line: Line,
}
