//! Resources: objects with an address in the VPC, such as a database, a cache, an endpoint's
//! interface.

use super::{Line, Listen, SecurityGroupIx, SubnetIx};
use std::net::Ipv4Addr;

/// A resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The user's word.
    pub name: String,
    /// Further names, for the resolver.
    pub aliases: Vec<String>,
    /// Puts the aliases into the public DNS, so that they resolve in every VPC and outside, like
    /// AWS's names of managed databases, caches and endpoints.
    pub public_dns_name: bool,
    /// The interface endpoint to which this interface belongs.
    pub endpoint: Option<InterfaceEndpoint>,
    /// The service's public name, if the endpoint has private DNS. In a VPC with both DNS
    /// attributes it is a zone of its own, with the addresses of all of the endpoint's interfaces
    /// (spec 7.2). A wildcard, such as `*.dkr.ecr.us-east-1.amazonaws.com`, is in the zone below
    /// it.
    pub private_dns: Option<String>,
    /// The subnet of its interface.
    pub subnet: SubnetIx,
    /// Its private address.
    pub address: Ipv4Addr,
    /// The public address that the VPC's internet gateway maps to the private one, if it has one.
    /// Services outside the VPC reach the resource by it, and so do those inside that leave by a
    /// NAT gateway (spec 3.6).
    pub public_address: Option<Ipv4Addr>,
    /// The groups of its interface.
    pub security_groups: Vec<SecurityGroupIx>,
    /// The ports at which egret answers.
    pub listen: Vec<Listen>,
    /// The interface that routes may name, if they may.
    pub network_interface: Option<NetworkInterface>,
    /// Its line in the lab file.
    pub line: Line,
}

/// An interface endpoint (spec 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceEndpoint {
    /// `vpce-…`, or the user's word.
    pub id: String,
    /// The service behind it, such as `com.amazonaws.us-east-1.sqs`.
    pub service: String,
}

/// The interface of an appliance, as a route's target (spec 3.5, 3.7). The appliance forwards what
/// it gets unchanged, by the route table of its own subnet; egret runs no appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInterface {
    /// `eni-…`, or the user's word.
    pub id: String,
    /// `SourceDestCheck`: the interface drops packets that are neither from it nor for it, hence
    /// all that are routed through it.
    pub source_dest_check: bool,
}
