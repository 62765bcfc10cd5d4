//! Indexes into the tables of a [`Snapshot`](super::Snapshot): one type per table, so that mixing
//! them does not compile.

macro_rules! indexes {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u16);

        impl $name {
            /// Returns the position in the table.
            #[inline]
            pub const fn get(self) -> usize {
                self.0 as usize
            }
        }

        impl From<usize> for $name {
            /// Makes an index of a position. No table is longer than an index can count: the reader
            /// of the lab file refuses more.
            fn from(position: usize) -> Self {
                Self(u16::try_from(position).unwrap_or(u16::MAX))
            }
        }
    )*};
}

indexes! {
    /// A VPC.
    VpcIx,
    /// A subnet.
    SubnetIx,
    /// A route table.
    RouteTableIx,
    /// A security group.
    SecurityGroupIx,
    /// A network ACL.
    NetworkAclIx,
    /// A managed prefix list.
    PrefixListIx,
    /// A NAT gateway.
    NatGatewayIx,
    /// An ENI.
    EniIx,
    /// A VPC connector.
    ConnectorIx,
    /// A service.
    ServiceIx,
    /// A resource.
    ResourceIx,
    /// A VPC peering connection.
    PeeringIx,
    /// A gateway endpoint.
    GatewayEndpointIx,
    /// A Gateway Load Balancer endpoint.
    GatewayLoadBalancerEndpointIx,
}
