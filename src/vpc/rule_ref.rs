//! A name for the rule or object that decided, small enough to be part of every verdict, on the
//! fast path too.

use super::{
    Direction, EniIx, GatewayEndpointIx, GatewayLoadBalancerEndpointIx, NatGatewayIx, NetworkAclIx,
    PeeringIx, ResourceIx, RouteTableIx, SecurityGroupIx, SubnetIx, VpcIx,
};

/// The rule or object that a verdict was decided by. Positions count from 0 within the object of
/// the generation that the verdict was given under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleRef {
    /// The packet itself: malformed, expired, too big.
    Packet,
    /// The source check of the task's attachment.
    SourceCheck,
    /// A link-local or resolver address that no security group or ACL filters (spec 4.3).
    ExemptAddress,
    /// One rule of a security group.
    SecurityGroupRule(SecurityGroupIx, Direction, u16),
    /// The implicit deny of an ENI's groups: none of their rules matched. Inbound they are
    /// evaluated for replies that the ENI does not track.
    EniSecurityGroups(EniIx, Direction),
    /// The implicit deny of a destination's groups: none of their rules matched. The destination's
    /// address is in the evidence.
    DestinationSecurityGroups(VpcIx, std::net::Ipv4Addr),
    /// The implicit deny of an appliance's groups: none of their rules matched a packet that is
    /// routed through it.
    ApplianceSecurityGroups(ResourceIx, Direction),
    /// One rule of a network ACL, seen by a subnet.
    NetworkAclRule(NetworkAclIx, Direction, u16, SubnetIx),
    /// The `*` of a network ACL: implicit deny.
    NetworkAclImplicitDeny(NetworkAclIx, Direction, SubnetIx),
    /// One route.
    Route(RouteTableIx, u16),
    /// A route table without a route that matches.
    RouteTable(RouteTableIx),
    /// A NAT gateway.
    NatGateway(NatGatewayIx),
    /// A VPC's internet gateway.
    InternetGateway(VpcIx),
    /// A gateway endpoint.
    GatewayEndpoint(GatewayEndpointIx),
    /// The network interface of an appliance.
    NetworkInterface(ResourceIx),
    /// An interface of an interface endpoint.
    InterfaceEndpoint(ResourceIx),
    /// A Gateway Load Balancer endpoint.
    GatewayLoadBalancerEndpoint(GatewayLoadBalancerEndpointIx),
    /// A VPC peering connection.
    Peering(PeeringIx),
    /// An ENI.
    Eni(EniIx),
    /// App Runner's own public egress (`egress = "default"`).
    AppRunner,
    /// A VPC, to which the packet was delivered.
    Vpc(VpcIx),
    /// The lab's internet hosts, to which the packet was delivered.
    Internet,
    /// The flow table: it has no flow, or an expired one.
    FlowTable,
}
