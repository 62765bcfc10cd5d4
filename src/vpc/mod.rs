//! Layer 2: the user's configuration, immutable and indexed. Each VPC concept has a file, in AWS's
//! words.
//!
//! [`Snapshot`] holds all of it under one [`Generation`] number. Tables are vectors. References
//! between them are the index newtypes of [`index`]; the config layer has checked that they are in
//! range.

pub mod connector;
pub mod direction;
pub mod dns;
pub mod eni;
pub mod exempt;
pub mod gateway_endpoint;
pub mod gateway_load_balancer_endpoint;
pub mod index;
pub mod internet_gateway;
pub mod internet_host;
pub mod limits;
pub mod line;
pub mod listen;
pub mod nat_gateway;
pub mod network_acl;
pub mod parts;
pub mod path;
pub mod peering;
pub mod private_zone;
pub mod resource;
pub mod route_table;
pub mod rule;
pub mod rule_ref;
pub mod security_group;
pub mod snapshot;
pub mod space;
pub mod subnet;

pub use connector::{Connector, Egress, Service, ServiceKind, Task};
pub use direction::Direction;
pub use eni::{Eni, TaskEni};
pub use gateway_endpoint::GatewayEndpoint;
pub use gateway_load_balancer_endpoint::GatewayLoadBalancerEndpoint;
pub use index::*;
pub use internet_gateway::InternetGateway;
pub use internet_host::InternetHost;
pub use limits::{Limits, Mtu, Timeouts};
pub use line::Line;
pub use listen::{Listen, ListenMode, Speaks};
pub use nat_gateway::{Connectivity, NatAddress, NatGateway, NatGatewayState};
pub use network_acl::{AclAction, AclRule, NetworkAcl};
pub use parts::Parts;
pub use peering::{Peering, PeeringState};
pub use private_zone::{DnsRecord, PrivateZone, RecordData};
pub use resource::{InterfaceEndpoint, NetworkInterface, Resource};
pub use route_table::{Destination, PrefixList, Route, RouteTable, Target, everywhere};
pub use rule::{IcmpMatch, PortMatch, ProtocolMatch, Traffic, TrafficMatch};
pub use rule_ref::RuleRef;
pub use security_group::{Peer, SecurityGroup, SecurityGroupRule};
pub use snapshot::{Generation, Interface, Snapshot};
pub use space::Space;
pub use subnet::{Subnet, Vpc};
