//! The content of the lab file, validated and not yet lowered: in the file's own order and words,
//! with no implied values except plain numbers. An evaluator that shares nothing with the indexed
//! tables can be written straight from it.

use super::apprunner::AppRunner;
use super::diagnostic::At;
use super::expectation::Expectation;
use crate::vpc::{
    AclAction, Connectivity, Limits, Line, Listen, Mtu, NatGatewayState, PeeringState, RecordData,
    ServiceKind, Timeouts, TrafficMatch,
};
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The whole file.
#[derive(Clone, Debug)]
pub struct Spec {
    /// `lab`.
    pub lab: At<String>,
    /// `region`.
    pub region: String,
    /// `device`.
    pub device: DeviceKind,
    /// `offload`.
    pub offload: Offload,
    /// `offload_grace`: the time for which the kernel forwards offloaded flows after the lab's
    /// process has died. Zero: none.
    pub offload_grace: Duration,
    /// `queues`: the queues of each TUN device.
    pub queues: u16,
    /// `task_cidr`: the network of the tasks' addresses.
    pub task_cidr: At<Ipv4Network>,
    /// `apprunner_public_ip`, if given.
    pub apprunner_public_ip: Option<At<Ipv4Addr>>,
    /// `[apprunner]`.
    pub apprunner: AppRunner,
    /// `mtu` and `internet_mtu`.
    pub mtu: Mtu,
    /// `[limits]`.
    pub limits: Limits,
    /// `[timeouts]`, not yet divided by the time scale.
    pub timeouts: Timeouts,
    /// `timeouts.time_scale`.
    pub time_scale: f64,
    /// `[[vpc]]`.
    pub vpcs: Vec<Vpc>,
    /// `[[subnet]]`.
    pub subnets: Vec<Subnet>,
    /// `[[route_table]]`.
    pub route_tables: Vec<RouteTable>,
    /// `[[vpc_endpoint]]`.
    pub vpc_endpoints: Vec<VpcEndpoint>,
    /// `[[vpc_peering_connection]]`.
    pub peerings: Vec<Peering>,
    /// `[[security_group]]`.
    pub security_groups: Vec<SecurityGroup>,
    /// `[[network_acl]]`.
    pub network_acls: Vec<NetworkAcl>,
    /// `[[prefix_list]]`.
    pub prefix_lists: Vec<PrefixList>,
    /// `[[nat_gateway]]`.
    pub nat_gateways: Vec<NatGateway>,
    /// `[[resource]]`.
    pub resources: Vec<Resource>,
    /// `[[internet_host]]`.
    pub internet_hosts: Vec<InternetHost>,
    /// `[[private_zone]]`.
    pub private_zones: Vec<PrivateZone>,
    /// `[[vpc_connector]]`.
    pub connectors: Vec<Connector>,
    /// `[[service]]`.
    pub services: Vec<Service>,
    /// `[[expect]]`.
    pub expectations: Vec<Expectation>,
    /// `access.group`: the group whose members may read from the running lab.
    pub access_group: Option<At<String>>,
    /// `lint.allow`: rules of warnings and notes that are not reported.
    pub lint_allow: Vec<&'static str>,
    /// The tasks of Fargate services that exist beside those that `tasks` counts, by service: each
    /// needs an ENI.
    pub more_tasks: BTreeMap<String, BTreeSet<u16>>,
    /// `name_tag` of each object that has one, by the object's id.
    pub name_tags: BTreeMap<String, String>,
}

/// `device`: the kind of TUN device that the lab uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// With a vnet header where the kernel offers it.
    #[default]
    Auto,
    /// With a vnet header: super-packets stay whole.
    Vnet,
    /// Without a vnet header: one packet per segment.
    Plain,
}

/// `offload`: decides whether the kernel forwards established flows by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Offload {
    /// The kernel forwards them if it can.
    #[default]
    Auto,
    /// The kernel must.
    On,
    /// The kernel does not: user space forwards every packet.
    Off,
}

/// `[[vpc]]`.
#[derive(Clone, Debug)]
pub struct Vpc {
    /// `id`.
    pub id: At<String>,
    /// `cidr`, the primary first.
    pub cidrs: Vec<At<Ipv4Network>>,
    /// `region`; absent: the lab's.
    pub region: Option<At<String>>,
    /// `internet_gateway`.
    pub internet_gateway: Option<At<String>>,
    /// `main_route_table`.
    pub main_route_table: Option<At<String>>,
    /// `enable_dns_support`.
    pub enable_dns_support: Option<At<bool>>,
    /// `enable_dns_hostnames`.
    pub enable_dns_hostnames: Option<At<bool>>,
    /// The line at which the section begins.
    pub line: Line,
}

/// `[[subnet]]`.
#[derive(Clone, Debug)]
pub struct Subnet {
    /// `id`.
    pub id: At<String>,
    /// `vpc`.
    pub vpc: At<String>,
    /// `availability_zone`.
    pub availability_zone: String,
    /// `cidr`.
    pub cidr: At<Ipv4Network>,
    /// `route_table`; absent: the VPC's main table.
    pub route_table: Option<At<String>>,
    /// `network_acl`; absent: the VPC's default ACL.
    pub network_acl: Option<At<String>>,
    /// The line at which the section begins.
    pub line: Line,
}

/// `[[route_table]]`.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// `id`.
    pub id: At<String>,
    /// `vpc`.
    pub vpc: At<String>,
    /// `main`.
    pub main: Option<At<bool>>,
    /// `routes`, without the implied local ones.
    pub routes: Vec<Route>,
    /// The line at which the section begins.
    pub line: Line,
}

/// One element of `routes`.
#[derive(Clone, Debug)]
pub struct Route {
    /// `destination`.
    pub destination: At<Destination>,
    /// `target` and `state`.
    pub target: At<Target>,
    /// Its line in the lab file.
    pub line: Line,
}

/// `destination` of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A CIDR block, canonical.
    Cidr(Ipv4Network),
    /// A prefix list, by its id.
    PrefixList(String),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(network) => network.fmt(f),
            Self::PrefixList(id) => f.write_str(id),
        }
    }
}

/// `target` of a route, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The implied local route, written out.
    Local,
    /// An internet gateway.
    InternetGateway(String),
    /// A NAT gateway, in any state.
    NatGateway(String),
    /// A VPC endpoint.
    VpcEndpoint(String),
    /// A peering connection.
    Peering(String),
    /// The network interface of a resource.
    NetworkInterface(String),
    /// `target = "blackhole"`, or `state = "blackhole"` with the id that the target had.
    Blackhole(Option<String>),
}

/// `[[vpc_endpoint]]`.
#[derive(Clone, Debug)]
pub struct VpcEndpoint {
    /// `id`.
    pub id: At<String>,
    /// `vpc`.
    pub vpc: At<String>,
    /// `kind`.
    pub kind: EndpointKind,
    /// `service`, such as `com.amazonaws.us-east-1.s3`.
    pub service: String,
    /// `prefix_list`; a gateway endpoint always has one.
    pub prefix_list: Option<At<String>>,
    /// `route_tables`: those that get a route to a gateway endpoint.
    pub route_tables: Vec<At<String>>,
    /// `subnets`: each gets an interface of an interface endpoint; a Gateway Load Balancer endpoint
    /// has one.
    pub subnets: Vec<At<String>>,
    /// `addresses` of those interfaces, in the same order, as far as they are given.
    pub addresses: Vec<At<Ipv4Addr>>,
    /// `security_groups` of those interfaces; empty: the VPC's default group.
    pub security_groups: Vec<At<String>>,
    /// `listen`.
    pub listen: Vec<Listen>,
    /// `private_dns_enabled`.
    pub private_dns_enabled: bool,
    /// The line at which the section begins.
    pub line: Line,
}

/// `kind` of a VPC endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    /// A route target.
    Gateway,
    /// An interface in a subnet.
    Interface,
    /// A route target in a subnet.
    GatewayLoadBalancer,
}

impl EndpointKind {
    /// Returns the word of the lab file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Interface => "interface",
            Self::GatewayLoadBalancer => "gateway-load-balancer",
        }
    }
}

/// `[[vpc_peering_connection]]`.
#[derive(Clone, Debug)]
pub struct Peering {
    /// `id`.
    pub id: At<String>,
    /// `requester_vpc`.
    pub requester_vpc: At<String>,
    /// `accepter_vpc`.
    pub accepter_vpc: At<String>,
    /// `state`.
    pub state: PeeringState,
    /// `requester_dns_resolution`.
    pub requester_dns_resolution: bool,
    /// `accepter_dns_resolution`.
    pub accepter_dns_resolution: bool,
    /// The line at which the section begins.
    pub line: Line,
}

/// `[[security_group]]`.
#[derive(Clone, Debug)]
pub struct SecurityGroup {
    /// `id`.
    pub id: At<String>,
    /// `vpc`.
    pub vpc: At<String>,
    /// `default`.
    pub default: Option<At<bool>>,
    /// `egress`; `None` if the key is absent, which AWS makes one rule that allows everything
    /// (spec 4.2).
    pub egress: Option<Vec<SecurityGroupRule>>,
    /// `ingress`.
    pub ingress: Vec<SecurityGroupRule>,
    /// The line at which the section begins.
    pub line: Line,
}

/// One rule with one peer: a list in `to` or `from` is as many rules, as in AWS.
#[derive(Clone, Debug)]
pub struct SecurityGroupRule {
    /// Protocol, ports, ICMP fields.
    pub traffic: TrafficMatch,
    /// `to` or `from`.
    pub peer: At<Peer>,
    /// Its line in the lab file.
    pub line: Line,
}

/// The other end of a security-group rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A CIDR block, canonical.
    Cidr(Ipv4Network),
    /// A security group, by its id.
    SecurityGroup(String),
    /// A prefix list, by its id.
    PrefixList(String),
}

/// `[[network_acl]]`.
#[derive(Clone, Debug)]
pub struct NetworkAcl {
    /// `id`.
    pub id: At<String>,
    /// `vpc`.
    pub vpc: At<String>,
    /// `egress`, in the file's order.
    pub egress: Vec<AclRule>,
    /// `ingress`, in the file's order.
    pub ingress: Vec<AclRule>,
    /// The line at which the section begins.
    pub line: Line,
}

/// One rule of a network ACL.
#[derive(Clone, Debug)]
pub struct AclRule {
    /// `rule`.
    pub number: At<u16>,
    /// `action`.
    pub action: AclAction,
    /// Protocol, ports, ICMP fields.
    pub traffic: TrafficMatch,
    /// `cidr`: the remote side, canonical.
    pub cidr: Ipv4Network,
    /// Its line in the lab file.
    pub line: Line,
}

/// `[[prefix_list]]`.
#[derive(Clone, Debug)]
pub struct PrefixList {
    /// `id`.
    pub id: At<String>,
    /// `entries`, canonical.
    pub entries: Vec<Ipv4Network>,
    /// The line at which the section begins.
    pub line: Line,
}

/// `[[nat_gateway]]`.
#[derive(Clone, Debug)]
pub struct NatGateway {
    /// `id`.
    pub id: At<String>,
    /// `subnet`.
    pub subnet: At<String>,
    /// `connectivity`.
    pub connectivity: Connectivity,
    /// `public_ip`, if given.
    pub public_ip: Option<At<Ipv4Addr>>,
    /// `private_ip`, if given.
    pub private_ip: Option<At<Ipv4Addr>>,
    /// `secondary_public_ips`.
    pub secondary_public_ips: Vec<At<Ipv4Addr>>,
    /// `secondary_private_ips`.
    pub secondary_private_ips: Vec<At<Ipv4Addr>>,
    /// `secondary_private_ip_count`, if given.
    pub secondary_private_ip_count: Option<u8>,
    /// `state`.
    pub state: NatGatewayState,
    /// The line at which the section begins.
    pub line: Line,
}

/// `[[resource]]`.
#[derive(Clone, Debug)]
pub struct Resource {
    /// `name`.
    pub name: At<String>,
    /// `aliases`.
    pub aliases: Vec<String>,
    /// `public_dns_name`: its aliases resolve everywhere.
    pub public_dns_name: bool,
    /// `subnet`.
    pub subnet: At<String>,
    /// `address`.
    pub address: At<Ipv4Addr>,
    /// `public_ip`.
    pub public_ip: Option<At<Ipv4Addr>>,
    /// `security_groups`; empty: the VPC's default group.
    pub security_groups: Vec<At<String>>,
    /// `listen`.
    pub listen: Vec<Listen>,
    /// `network_interface`: its id, if routes may name it.
    pub network_interface: Option<At<String>>,
    /// `source_dest_check`.
    pub source_dest_check: Option<At<bool>>,
    /// The line at which the section begins.
    pub line: Line,
}

/// `[[internet_host]]`.
#[derive(Clone, Debug)]
pub struct InternetHost {
    /// `name`.
    pub name: At<String>,
    /// `aliases`.
    pub aliases: Vec<String>,
    /// `address`.
    pub address: At<Ipv4Addr>,
    /// `listen`.
    pub listen: Vec<Listen>,
    /// The line at which the section begins.
    pub line: Line,
}

/// `[[private_zone]]`.
#[derive(Clone, Debug)]
pub struct PrivateZone {
    /// `name`, in lower case and without the dot at the end.
    pub name: At<String>,
    /// `vpcs`.
    pub vpcs: Vec<At<String>>,
    /// `records`.
    pub records: Vec<ZoneRecord>,
    /// The line at which the section begins.
    pub line: Line,
}

/// One element of `records`: all values of one name and type.
#[derive(Clone, Debug)]
pub struct ZoneRecord {
    /// `name`, with the zone's.
    pub name: At<String>,
    /// `ttl`, in seconds.
    pub ttl: u32,
    /// `type` and `values`.
    pub values: Vec<RecordData>,
}

/// `[[vpc_connector]]`, or the network of a `[[service]]` of another kind.
#[derive(Clone, Debug)]
pub struct Connector {
    /// `name`; for a service of another kind its kind and name, such as `lambda/resize`.
    pub name: At<String>,
    /// The kind of service that uses it.
    pub kind: ServiceKind,
    /// `subnets`.
    pub subnets: Vec<At<String>>,
    /// `security_groups`; empty: the VPC's default group.
    pub security_groups: Vec<At<String>>,
    /// The line at which the section begins.
    pub line: Line,
}

/// `[[service]]`.
#[derive(Clone, Debug)]
pub struct Service {
    /// `name`.
    pub name: At<String>,
    /// `kind`.
    pub kind: ServiceKind,
    /// `vpc_connector`, if `egress = "vpc"`; absent if it is `"default"`. A service of another kind
    /// than App Runner's has one of its own.
    pub vpc_connector: Option<At<String>>,
    /// `assign_public_ip`, of a Fargate service.
    pub assign_public_ip: Option<At<bool>>,
    /// `tasks`.
    pub tasks: u16,
    /// The line at which the section begins.
    pub line: Line,
}

impl Vpc {
    /// Returns `enable_dns_support`, which AWS has on by default (spec 8).
    pub fn has_dns_support(&self) -> bool {
        self.enable_dns_support.is_none_or(|on| *on)
    }

    /// Returns `enable_dns_hostnames`, which AWS has off by default (spec 8).
    pub fn has_dns_hostnames(&self) -> bool {
        self.enable_dns_hostnames.is_some_and(|on| *on)
    }
}

/// The service of ECR's image registries.
const IMAGE_REGISTRIES: &str = "ecr.dkr";

impl VpcEndpoint {
    /// Returns the service without `com.amazonaws.<region>.`; `None` for a service that is not
    /// AWS's, or of another region.
    pub fn aws_service(&self, region: &str) -> Option<&str> {
        aws_service(&self.service, region)
    }

    /// Returns the public name of its service, if private DNS makes it lead to the endpoint
    /// (spec 7.2).
    pub fn private_name(&self, region: &str) -> Option<String> {
        let has_zone = self.kind == EndpointKind::Interface && self.private_dns_enabled;
        let service = self.aws_service(region).filter(|_| has_zone)?;
        Some(public_name(service, region))
    }
}

/// Returns a service without `com.amazonaws.<region>.`; `None` for a service that is not AWS's, or
/// of another region.
pub fn aws_service<'a>(service: &'a str, region: &str) -> Option<&'a str> {
    service.strip_prefix("com.amazonaws.")?.strip_prefix(region)?.strip_prefix('.')
}

/// Returns the public name of a service of AWS. AWS reverses the two words of a service: `ecr.api`
/// is `api.ecr.<region>.amazonaws.com`. Image registries have a name for each account, so theirs is
/// a wildcard: `*.dkr.ecr.<region>.amazonaws.com`.
pub fn public_name(service: &str, region: &str) -> String {
    let labels: Vec<&str> = service.rsplit('.').collect();
    let wildcard = if service == IMAGE_REGISTRIES { "*." } else { "" };
    format!("{wildcard}{}.{region}.amazonaws.com", labels.join("."))
}

impl Connector {
    /// Returns its kind and name, for messages.
    pub fn title(&self) -> String {
        let name = &self.name.value;
        let of = name.split_once('/').map_or(name.as_str(), |(_, service)| service);
        match self.kind {
            ServiceKind::AppRunner => format!("connector {of:?}"),
            ServiceKind::Lambda => format!("Lambda function {of:?}"),
            ServiceKind::Fargate => format!("Fargate service {of:?}"),
        }
    }
}

impl Service {
    /// Decides whether its tasks have public addresses.
    pub fn has_public_ip(&self) -> bool {
        self.assign_public_ip.is_some_and(|assigned| *assigned)
    }
}

impl Resource {
    /// Returns `source_dest_check`, which AWS has on by default (spec 3.7).
    pub fn has_source_dest_check(&self) -> bool {
        self.source_dest_check.is_none_or(|on| *on)
    }
}

impl Peering {
    /// Returns the VPC on the other side of `vpc`.
    pub fn other_than(&self, vpc: &str) -> &str {
        if *self.requester_vpc == *vpc { &self.accepter_vpc } else { &self.requester_vpc }
    }
}

impl NatGateway {
    /// Lists all private addresses that the file gives, the primary first.
    pub fn private_ips(&self) -> impl Iterator<Item = &At<Ipv4Addr>> {
        self.private_ip.iter().chain(&self.secondary_private_ips)
    }

    /// Lists all public addresses that the file gives, the primary first.
    pub fn public_ips(&self) -> impl Iterator<Item = &At<Ipv4Addr>> {
        self.public_ip.iter().chain(&self.secondary_public_ips)
    }

    /// Returns the private address at a position, if given; the primary's is 0.
    pub fn private_ip(&self, position: usize) -> Option<&At<Ipv4Addr>> {
        match position.checked_sub(1) {
            None => self.private_ip.as_ref(),
            Some(secondary) => self.secondary_private_ips.get(secondary),
        }
    }

    /// Returns the public address at a position, if given; the primary's is 0.
    pub fn public_ip(&self, position: usize) -> Option<&At<Ipv4Addr>> {
        match position.checked_sub(1) {
            None => self.public_ip.as_ref(),
            Some(secondary) => self.secondary_public_ips.get(secondary),
        }
    }

    /// Returns the number of its addresses, the primary one among them.
    pub fn addresses(&self) -> usize {
        let counted = self.secondary_private_ip_count.map_or(0, usize::from);
        1 + self.secondary_public_ips.len().max(self.secondary_private_ips.len()).max(counted)
    }
}
