//! The account: EC2's and App Runner's description of its VPCs, from a source of any format
//! (spec 11.3).
//!
//! Field names are EC2's. `name` is the `Name` tag, or another name that the object has for people.

use super::{Origin, Written};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// One region of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The region, if the source has it.
    pub region: Option<String>,
    /// `describe-availability-zones`.
    pub availability_zones: Vec<AvailabilityZone>,
    /// `describe-vpcs`.
    pub vpcs: Vec<Vpc>,
    /// `describe-subnets`.
    pub subnets: Vec<Subnet>,
    /// `describe-route-tables`.
    pub route_tables: Vec<RouteTable>,
    /// `describe-security-groups`.
    pub security_groups: Vec<SecurityGroup>,
    /// `describe-network-acls`.
    pub network_acls: Vec<NetworkAcl>,
    /// `describe-nat-gateways`.
    pub nat_gateways: Vec<NatGateway>,
    /// `describe-internet-gateways`.
    pub internet_gateways: Vec<InternetGateway>,
    /// `describe-vpc-endpoints`.
    pub vpc_endpoints: Vec<VpcEndpoint>,
    /// `describe-managed-prefix-lists` with `get-managed-prefix-list-entries`.
    pub prefix_lists: Vec<PrefixList>,
    /// `describe-network-interfaces`: databases, caches, load balancers, instances, and those that
    /// AWS creates.
    pub network_interfaces: Vec<NetworkInterface>,
    /// `describe-vpc-peering-connections`.
    pub peering_connections: Vec<Peering>,
    /// Route 53's private hosted zones.
    pub private_zones: Vec<PrivateZone>,
    /// `apprunner list-vpc-connectors`, those that are active.
    pub vpc_connectors: Vec<VpcConnector>,
    /// `apprunner describe-service`, those that are not deleted.
    pub services: Vec<Service>,
    /// The notation of the source.
    pub written: Written,
}

/// An Availability Zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvailabilityZone {
    /// `ZoneName`, such as `us-east-1a`.
    pub name: String,
    /// `ZoneId`, such as `use1-az4`.
    pub id: String,
}

/// A VPC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vpc {
    /// `VpcId`.
    pub id: String,
    /// The `Name` tag.
    pub name: Option<String>,
    /// The IPv4 blocks that are associated, the primary first.
    pub cidr_blocks: Vec<Ipv4Network>,
    /// `enableDnsSupport`; `None` if the source does not have it, like `describe-vpcs`.
    pub enable_dns_support: Option<bool>,
    /// `enableDnsHostnames`; `None` if the source does not have it.
    pub enable_dns_hostnames: Option<bool>,
    /// `InternetGatewayBlockMode` of VPC Block Public Access, such as `block-bidirectional`; `None`
    /// and `off` block nothing.
    pub block_public_access: Option<String>,
    /// Says that the VPC is older than the source, which may have only a part of it: egret does not
    /// assume that it has the objects of a new VPC.
    pub in_part: bool,
    /// Its place in the source.
    pub origin: Origin,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `SubnetId`.
    pub id: String,
    /// The `Name` tag.
    pub name: Option<String>,
    /// `VpcId`.
    pub vpc: String,
    /// `CidrBlock`.
    pub cidr_block: Ipv4Network,
    /// `AvailabilityZone`; `None` if the source leaves it to AWS.
    pub availability_zone: Option<String>,
    /// `MapPublicIpOnLaunch`: instances without another setting get a public address.
    pub map_public_ip_on_launch: bool,
    /// Its place in the source.
    pub origin: Origin,
}

/// A route table with its associations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// `RouteTableId`.
    pub id: String,
    /// The `Name` tag.
    pub name: Option<String>,
    /// `VpcId`.
    pub vpc: String,
    /// Says that an association has `Main: true`. A VPC without such a table in the source has
    /// AWS's own: local routes only.
    pub main: bool,
    /// `SubnetId` of the associations that have not ended.
    pub subnets: Vec<String>,
    /// `GatewayId` of edge associations: the table routes packets that come in through that
    /// gateway.
    pub gateways: Vec<String>,
    /// The routes. Those to `local` and those of gateway endpoints may be among them.
    pub routes: Vec<Route>,
    /// Its place in the source.
    pub origin: Origin,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The packets' destinations.
    pub destination: RouteDestination,
    /// The target of these packets.
    pub target: RouteTarget,
    /// `State` is `blackhole`.
    pub blackhole: bool,
    /// `Origin` is `EnableVgwRoutePropagation`.
    pub propagated: bool,
    /// Its place in the source.
    pub origin: Origin,
}

/// The destination of a route. Routes with an IPv6 block are left out: see
/// [`super::Findings::ipv6`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteDestination {
    /// `DestinationCidrBlock`.
    Cidr(Ipv4Network),
    /// `DestinationPrefixListId`.
    PrefixList(String),
}

/// The target of a route (spec 3.5), by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// `GatewayId: "local"`.
    Local,
    /// `GatewayId`: an internet gateway, a virtual private gateway or an endpoint; the id decides.
    Gateway(String),
    /// `NatGatewayId`.
    NatGateway(String),
    /// `VpcEndpointId`, if the source has it.
    VpcEndpoint(String),
    /// `VpcPeeringConnectionId`.
    VpcPeeringConnection(String),
    /// `NetworkInterfaceId`.
    NetworkInterface(String),
    /// `InstanceId`, if the source has no network interface beside it.
    Instance(String),
    /// Any other: its kind in AWS's words, such as `transit gateway`, and its id.
    Other {
        /// The kind in AWS's words, such as `transit gateway`.
        kind: String,
        /// Its id.
        id: String,
    },
}

/// A security group, with its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityGroup {
    /// `GroupId`.
    pub id: String,
    /// `GroupName`: `default` for the VPC's default group.
    pub group_name: String,
    /// The `Name` tag.
    pub name: Option<String>,
    /// `Description`.
    pub description: Option<String>,
    /// `VpcId`.
    pub vpc: String,
    /// Marks the VPC's default group.
    pub default: bool,
    /// `IpPermissions`, each with one peer.
    pub ingress: Vec<SecurityGroupRule>,
    /// `IpPermissionsEgress`, each with one peer.
    pub egress: Vec<SecurityGroupRule>,
    /// Its place in the source.
    pub origin: Origin,
}

/// A rule with one peer, as `describe-security-group-rules` has it. Rules with an IPv6 peer are
/// left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroupRule {
    /// `IpProtocol` as EC2 spells it: `tcp`, `udp`, `icmp`, `icmpv6`, a number, or `-1` for all.
    pub ip_protocol: String,
    /// `FromPort`; the ICMP type with `icmp`. `None` and -1 are any.
    pub from_port: Option<i64>,
    /// `ToPort`; the ICMP code with `icmp`. `None` and -1 are any.
    pub to_port: Option<i64>,
    /// The other end.
    pub peer: RulePeer,
    /// `Description`.
    pub description: Option<String>,
    /// Its place in the source.
    pub origin: Origin,
}

/// The other end of a security-group rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RulePeer {
    /// `CidrIp`.
    Cidr(Ipv4Network),
    /// `GroupId` of a `UserIdGroupPair`.
    SecurityGroup(String),
    /// `PrefixListId`.
    PrefixList(String),
}

/// A network ACL with its associations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkAcl {
    /// `NetworkAclId`.
    pub id: String,
    /// The `Name` tag.
    pub name: Option<String>,
    /// `VpcId`.
    pub vpc: String,
    /// `IsDefault`. A VPC without such an ACL in the source has AWS's own: everything is allowed.
    pub default: bool,
    /// `SubnetId` of the associations.
    pub subnets: Vec<String>,
    /// `Entries`. The implied deny (32767) may be among them.
    pub entries: Vec<AclEntry>,
    /// Its place in the source.
    pub origin: Origin,
}

/// The direction of an entry of a network ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AclDirection {
    /// `Egress: false`.
    Ingress,
    /// `Egress: true`.
    Egress,
}

/// An entry of a network ACL. Entries with an IPv6 block are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// `Egress`.
    pub direction: AclDirection,
    /// `RuleNumber`.
    pub rule_number: i64,
    /// `RuleAction` is `allow`.
    pub allow: bool,
    /// `Protocol`: a number, or `-1` for all; `tcp`, `udp` and `icmp` are accepted too.
    pub protocol: String,
    /// `CidrBlock`: the remote side.
    pub cidr_block: Ipv4Network,
    /// `PortRange`, `From` and `To`.
    pub ports: Option<(i64, i64)>,
    /// `IcmpTypeCode`, `Type` and `Code`; -1 is any.
    pub icmp: Option<(i64, i64)>,
    /// Its place in the source.
    pub origin: Origin,
}

/// A NAT gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatGateway {
    /// `NatGatewayId`.
    pub id: String,
    /// The `Name` tag.
    pub name: Option<String>,
    /// `VpcId`, if the source has it.
    pub vpc: Option<String>,
    /// `SubnetId`; a regional one has none.
    pub subnet: Option<String>,
    /// `State`, such as `available`; `None` if the source is not the state of an account.
    pub state: Option<String>,
    /// `ConnectivityType` is `private`.
    pub private: bool,
    /// `AvailabilityMode` is `regional`.
    pub regional: bool,
    /// `NatGatewayAddresses`, the primary first. Empty: the source leaves them to AWS.
    pub addresses: Vec<NatAddress>,
    /// Its place in the source.
    pub origin: Origin,
}

/// An address of a NAT gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatAddress {
    /// `PrivateIp`.
    pub private_ip: Option<Ipv4Addr>,
    /// `PublicIp`.
    pub public_ip: Option<Ipv4Addr>,
    /// `NetworkInterfaceId`.
    pub network_interface: Option<String>,
}

/// An internet gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InternetGateway {
    /// `InternetGatewayId`.
    pub id: String,
    /// The `Name` tag.
    pub name: Option<String>,
    /// `VpcId` of the current attachment, if it is attached.
    pub vpc: Option<String>,
    /// Its place in the source.
    pub origin: Origin,
}

/// A VPC endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcEndpoint {
    /// `VpcEndpointId`.
    pub id: String,
    /// The `Name` tag.
    pub name: Option<String>,
    /// `VpcId`.
    pub vpc: String,
    /// `VpcEndpointType`.
    pub endpoint_type: EndpointType,
    /// `ServiceName`, such as `com.amazonaws.us-east-1.s3`.
    pub service_name: String,
    /// `State`, such as `available`; `None` if the source is not the state of an account.
    pub state: Option<String>,
    /// `RouteTableIds`, of a gateway endpoint.
    pub route_tables: Vec<String>,
    /// `PrefixListId` of a gateway endpoint, if the source has it. Else the list is found by its
    /// name.
    pub prefix_list: Option<String>,
    /// `SubnetIds`.
    pub subnets: Vec<String>,
    /// `Groups[].GroupId`.
    pub security_groups: Vec<String>,
    /// `NetworkInterfaceIds`.
    pub network_interfaces: Vec<String>,
    /// `PrivateDnsEnabled`.
    pub private_dns_enabled: bool,
    /// Says that `PolicyDocument` differs from the default, which allows everything.
    pub has_policy: bool,
    /// Its place in the source.
    pub origin: Origin,
}

/// `VpcEndpointType`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointType {
    /// `Gateway`.
    Gateway,
    /// `Interface`.
    Interface,
    /// `GatewayLoadBalancer`.
    GatewayLoadBalancer,
    /// `Resource`, `ServiceNetwork`, `Tunnel`, or one that is not known yet.
    Other(String),
}

/// A managed prefix list of IPv4 blocks. Lists of IPv6 blocks are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixList {
    /// `PrefixListId`.
    pub id: String,
    /// `PrefixListName`, such as `com.amazonaws.us-east-1.s3`.
    pub name: Option<String>,
    /// Its entries; `None` if the source does not have them.
    pub entries: Option<Vec<Ipv4Network>>,
    /// Its place in the source.
    pub origin: Origin,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkInterface {
    /// `NetworkInterfaceId`.
    pub id: String,
    /// The `Name` tag, or the name of the object that owns the interface (an instance, a database),
    /// if the source has it.
    pub name: Option<String>,
    /// `SubnetId`.
    pub subnet: String,
    /// `InterfaceType`, such as `interface`, `natGateway`, `vpc_endpoint`, `lambda`,
    /// `network_load_balancer`.
    pub interface_type: String,
    /// `Description`, which names the owner of an interface that AWS created.
    pub description: Option<String>,
    /// `PrivateIpAddresses`, the primary first. Empty: the source leaves the address to AWS.
    pub addresses: Vec<PrivateAddress>,
    /// The public address of the primary private one, if that does not have it.
    pub public_address: PublicAddress,
    /// `Groups[].GroupId`.
    pub security_groups: Vec<String>,
    /// `SourceDestCheck`.
    pub source_dest_check: bool,
    /// `RequesterId`, such as `amazon-rds` or `amazon-elb`.
    pub requester_id: Option<String>,
    /// `Status`, such as `in-use`; `None` if the source is not the state of an account.
    pub status: Option<String>,
    /// `Attachment.InstanceId`.
    pub instance: Option<String>,
    /// `TagSet`.
    pub tags: Vec<(String, String)>,
    /// The ports that answer there, if the source has them, such as `5432/tcp` of a database.
    pub listen: Vec<String>,
    /// Its place in the source.
    pub origin: Origin,
}

/// A private address of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateAddress {
    /// `PrivateIpAddress`.
    pub address: Ipv4Addr,
    /// `Association.PublicIp`.
    pub public_address: PublicAddress,
}

impl PrivateAddress {
    /// Returns an address without a public one.
    pub fn unmapped(address: Ipv4Addr) -> Self {
        Self { address, public_address: PublicAddress::None }
    }
}

/// The public address that an internet gateway maps to a private one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublicAddress {
    /// There is none.
    #[default]
    None,
    /// The source has it.
    Known(Ipv4Addr),
    /// It exists, and the source does not have it, for this reason, such as `an Elastic IP
    /// address`.
    Unknown(&'static str),
}

impl PublicAddress {
    /// Returns this one, or the other if there is none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }
}

impl From<Option<Ipv4Addr>> for PublicAddress {
    fn from(address: Option<Ipv4Addr>) -> Self {
        address.map_or(Self::None, Self::Known)
    }
}

impl NetworkInterface {
    /// Returns the public address of the private address at a position.
    pub fn public_address_at(&self, position: usize) -> PublicAddress {
        let own = self.addresses.get(position).map_or(PublicAddress::None, |a| a.public_address);
        if position == 0 { self.public_address.or(own) } else { own }
    }

    /// Decides whether any of its addresses has a public one.
    pub fn has_public_address(&self) -> bool {
        let mut positions = 0..self.addresses.len().max(1);
        positions.any(|position| self.public_address_at(position) != PublicAddress::None)
    }

    /// Associates a public address with a private one: the primary one, unless another is named.
    pub fn associate(&mut self, private: Option<Ipv4Addr>, public: PublicAddress) {
        let mut others = self.addresses.iter_mut().skip(1);
        match others.find(|other| Some(other.address) == private) {
            Some(other) => other.public_address = public,
            None => self.public_address = public,
        }
    }
}

/// A VPC peering connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peering {
    /// `VpcPeeringConnectionId`.
    pub id: String,
    /// The `Name` tag.
    pub name: Option<String>,
    /// `RequesterVpcInfo.VpcId`.
    pub requester_vpc: String,
    /// `AccepterVpcInfo.VpcId`.
    pub accepter_vpc: String,
    /// `RequesterVpcInfo.Region`.
    pub requester_region: Option<String>,
    /// `AccepterVpcInfo.Region`.
    pub accepter_region: Option<String>,
    /// `Status.Code`, such as `active`; `None` if the source is not the state of an account.
    pub status: Option<String>,
    /// `RequesterVpcInfo.PeeringOptions.AllowDnsResolutionFromRemoteVpc`.
    pub requester_dns_resolution: bool,
    /// `AccepterVpcInfo.PeeringOptions.AllowDnsResolutionFromRemoteVpc`.
    pub accepter_dns_resolution: bool,
    /// Its place in the source.
    pub origin: Origin,
}

/// A private hosted zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateZone {
    /// `Name`.
    pub name: String,
    /// The VPCs that it is associated with.
    pub vpcs: Vec<String>,
    /// Its record sets of the types that a lab has. Alias records are left out, with a finding.
    pub records: Vec<ZoneRecord>,
    /// Its place in the source.
    pub origin: Origin,
}

/// A record set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneRecord {
    /// `Name`, with the zone's.
    pub name: String,
    /// `Type`, such as `A`.
    pub record_type: String,
    /// `TTL`, in seconds.
    pub ttl: Option<u32>,
    /// `ResourceRecords[].Value`.
    pub values: Vec<String>,
    /// Its place in the source.
    pub origin: Origin,
}

/// An App Runner VPC connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VpcConnector {
    /// The id by which services refer to it: `VpcConnectorArn`, or its substitute in the source.
    pub id: String,
    /// `VpcConnectorName`.
    pub name: String,
    /// `Subnets`.
    pub subnets: Vec<String>,
    /// `SecurityGroups`; empty: the VPC's default group.
    pub security_groups: Vec<String>,
    /// Its place in the source.
    pub origin: Origin,
}

/// An App Runner service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `ServiceName`.
    pub name: String,
    /// `VpcConnectorArn` if `EgressType` is `VPC`, as in [`VpcConnector::id`]; `None` if it is
    /// `DEFAULT`.
    pub vpc_connector: Option<String>,
    /// Its place in the source.
    pub origin: Origin,
}
