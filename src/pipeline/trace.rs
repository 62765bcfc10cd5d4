//! Typed evidence of one packet: the component and the outcome of each stage. The explain layer
//! makes text of it later.

use crate::packet::Tuple;
use crate::vpc::exempt;
use crate::vpc::security_group::NearMiss;
use crate::vpc::{
    Direction, EniIx, GatewayEndpointIx, GatewayLoadBalancerEndpointIx, NatGatewayIx, NetworkAclIx,
    PeeringIx, ResourceIx, RouteTableIx, RuleRef, ServiceIx, SubnetIx, VpcIx,
};
use std::net::Ipv4Addr;

/// A named kind of check or translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The check that the bytes are a packet.
    Parse,
    /// The check that the source address is the task's own.
    SourceCheck,
    /// The flow table.
    FlowTable,
    /// Link-local services that nothing filters (spec 4.3).
    ExemptAddress,
    /// Connector and ENI.
    Connector,
    /// App Runner's own public egress.
    AppRunner,
    /// The ENI's groups, outbound.
    SecurityGroupEgress,
    /// The ACL of a subnet that the packet leaves.
    NetworkAclEgress,
    /// A subnet's route table.
    RouteTable,
    /// A NAT gateway.
    NatGateway,
    /// An internet gateway.
    InternetGateway,
    /// A gateway endpoint.
    GatewayEndpoint,
    /// An appliance's network interface or a Gateway Load Balancer endpoint through which the
    /// packet is routed.
    Middlebox,
    /// A peering connection.
    Peering,
    /// The ACL of a subnet that the packet enters.
    NetworkAclIngress,
    /// The destination's groups, inbound.
    SecurityGroupIngress,
    /// A NAT's port.
    PortLease,
    /// The end of the path.
    Deliver,
    /// An ACL on the reply's path.
    NetworkAclReturn,
    /// The route table of the destination's subnet, for the reply.
    RouteTableReturn,
    /// A middlebox through which the reply is routed.
    MiddleboxReturn,
}

impl Stage {
    /// Returns the stable name, as `--json` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::SourceCheck => "source-check",
            Self::FlowTable => "flow-table",
            Self::ExemptAddress => "exempt-address",
            Self::Connector => "connector",
            Self::AppRunner => "app-runner",
            Self::SecurityGroupEgress => "security-group-egress",
            Self::NetworkAclEgress => "network-acl-egress",
            Self::RouteTable => "route-table",
            Self::NatGateway => "nat-gateway",
            Self::InternetGateway => "internet-gateway",
            Self::GatewayEndpoint => "gateway-endpoint",
            Self::Middlebox => "middlebox",
            Self::Peering => "peering",
            Self::NetworkAclIngress => "network-acl-ingress",
            Self::SecurityGroupIngress => "security-group-ingress",
            Self::PortLease => "port-lease",
            Self::Deliver => "deliver",
            Self::NetworkAclReturn => "network-acl-return",
            Self::RouteTableReturn => "route-table-return",
            Self::MiddleboxReturn => "middlebox-return",
        }
    }
}

/// The object that a stage examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The task with this address.
    Task(Ipv4Addr),
    /// A service.
    Service(ServiceIx),
    /// An ENI, or the union of its groups.
    Eni(EniIx),
    /// App Runner's own public egress.
    AppRunner,
    /// A network ACL, as the ACL of a subnet.
    NetworkAcl(NetworkAclIx, SubnetIx),
    /// A route table, as the table of a subnet.
    RouteTable(RouteTableIx, SubnetIx),
    /// A NAT gateway.
    NatGateway(NatGatewayIx),
    /// A VPC's internet gateway.
    InternetGateway(VpcIx),
    /// A gateway endpoint.
    GatewayEndpoint(GatewayEndpointIx),
    /// The network interface of an appliance, or the union of its groups.
    NetworkInterface(ResourceIx),
    /// A Gateway Load Balancer endpoint.
    GatewayLoadBalancerEndpoint(GatewayLoadBalancerEndpointIx),
    /// A peering connection.
    Peering(PeeringIx),
    /// A resource, or the union of its groups.
    Resource(ResourceIx),
    /// A VPC.
    Vpc(VpcIx),
    /// The internet.
    Internet,
}

/// The outcome of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The packet passes.
    Pass,
    /// The stage does not apply to this packet.
    Skip,
    /// Addresses or ports change here.
    Translate,
    /// The end of the path.
    Deliver,
    /// The packet is dropped here.
    Drop,
}

impl Outcome {
    /// Returns the stable name, as `--json` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Translate => "translate",
            Self::Deliver => "deliver",
            Self::Drop => "drop",
        }
    }
}

/// Details of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// No details.
    None,
    /// The subnet of the ENI to which the task is attached.
    Attached {
        /// The subnet.
        subnet: SubnetIx,
    },
    /// The destination is in the ENI's own subnet, or the NAT gateway is: neither ACLs nor routes
    /// apply (spec 3.1).
    SameSubnet(SubnetIx),
    /// A tracked flow: groups are not asked again (spec 4.4).
    Tracked,
    /// The packet's tuple before and after a translation.
    Translated {
        /// Before the translation.
        before: Tuple,
        /// After the translation.
        after: Tuple,
    },
    /// The rule that came nearest to allowing the packet.
    NearMiss(NearMiss, Direction),
    /// The remote side's address and the destination port that a network ACL compared.
    Crossing {
        /// Source for ingress, destination for egress.
        remote: Ipv4Addr,
        /// The destination port; 0 without ports.
        port: u16,
    },
    /// The packet is forwarded to the internet, where the lab has no host with this address.
    NoSuchHost(Ipv4Addr),
    /// The packet is delivered to a service that nothing filters (spec 4.3).
    Exempt(exempt::Service),
}

/// One step of a packet's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The stage.
    pub stage: Stage,
    /// The object that it examined.
    pub component: Component,
    /// The rule that decided, if one did.
    pub rule: Option<RuleRef>,
    /// Its outcome.
    pub outcome: Outcome,
    /// Details.
    pub detail: Detail,
}

/// Receives the steps of an evaluation. The live path runs with [`Off`], which compiles to nothing.
pub trait Recorder {
    /// Set if steps are wanted; work that only serves the evidence depends on this.
    const ON: bool;
    /// Set if near misses are wanted: the rules that came nearest to admitting what was denied.
    const NEAR_MISSES: bool = Self::ON;
    /// Receives one step.
    fn step(&mut self, step: Step);
    /// Notes that a NAT gateway has translated the reply back: later steps judge it on the path to
    /// the ENI.
    #[inline(always)]
    fn returned(&mut self) {}
}

/// Records nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Off;

impl Recorder for Off {
    const ON: bool = false;
    #[inline(always)]
    fn step(&mut self, _: Step) {}
}

impl Recorder for Vec<Step> {
    const ON: bool = true;
    fn step(&mut self, step: Step) {
        self.push(step);
    }
}
