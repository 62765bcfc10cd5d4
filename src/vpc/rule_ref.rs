//! What decided: a name for one rule, small enough to be carried by every verdict, on the fast path too.

use super::{
    Direction, EniIx, GatewayEndpointIx, GatewayLoadBalancerEndpointIx, NatGatewayIx, NetworkAclIx,
    PeeringIx, ResourceIx, RouteTableIx, SecurityGroupIx, SubnetIx, VpcIx,
};

/// What decided a packet's fate. Positions count from 0 within the object of the generation that the verdict was given under.
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
    /// No rule of an ENI's groups matched: implicit deny. Inbound they are asked for replies that the ENI does not track.
    EniSecurityGroups(EniIx, Direction),
    /// No rule of a destination's groups matched: implicit deny. The destination's address is in the evidence.
    DestinationSecurityGroups(VpcIx, std::net::Ipv4Addr),
    /// No rule of the groups of an appliance matched what is routed through it: implicit deny.
    ApplianceSecurityGroups(ResourceIx, Direction),
    /// One rule of a network ACL, seen by a subnet.
    NetworkAclRule(NetworkAclIx, Direction, u16, SubnetIx),
    /// The `*` of a network ACL: implicit deny.
    NetworkAclImplicitDeny(NetworkAclIx, Direction, SubnetIx),
    /// One route.
    Route(RouteTableIx, u16),
    /// No route matched.
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
    /// A VPC as the place of delivery.
    Vpc(VpcIx),
    /// The internet hosts of the lab, as the place of delivery.
    Internet,
    /// The flow table: no flow, or one that expired.
    FlowTable,
}
