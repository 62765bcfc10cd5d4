//! Exempt addresses: AWS serves them itself, and no security group, network ACL or flow log sees
//! their packets (spec 4.3).

use std::net::Ipv4Addr;

/// The resolver's link-local address. Its other address is the base of the VPC's primary CIDR block
/// plus two (spec 8).
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// Amazon Time Sync.
pub const TIME_SYNC: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 123);
/// ECS task metadata. The category is sourced, the address is not (spec 15).
pub const TASK_METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);

/// The link-local addresses at which a service answers, in ascending order.
pub const LINK_LOCAL: [Ipv4Addr; 3] = [TIME_SYNC, RESOLVER, TASK_METADATA];

/// A service that egret offers at an exempt address. EC2 instance metadata (169.254.169.254) is
/// none of them: App Runner runs tasks on Fargate, which has no instance to describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// The Route 53 Resolver.
    Resolver,
    /// Amazon Time Sync.
    TimeSync,
    /// ECS task metadata.
    TaskMetadata,
}

impl Service {
    /// Returns the service at a link-local address.
    pub fn at(address: Ipv4Addr) -> Option<Self> {
        match address {
            RESOLVER => Some(Self::Resolver),
            TIME_SYNC => Some(Self::TimeSync),
            TASK_METADATA => Some(Self::TaskMetadata),
            _ => None,
        }
    }

    /// Returns its name, as a user would look it up.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolver => "Route 53 Resolver",
            Self::TimeSync => "Amazon Time Sync",
            Self::TaskMetadata => "ECS task metadata",
        }
    }
}

/// Decides whether an address is in 169.254.0.0/16 (RFC 3927), which is never routed (spec 4.3).
#[inline]
pub const fn is_link_local(address: Ipv4Addr) -> bool {
    address.to_bits() >> 16 == 0xa9fe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_at_a_link_local_address() {
        for address in LINK_LOCAL {
            assert!(is_link_local(address) && Service::at(address).is_some(), "{address}");
        }
        assert!(!is_link_local(Ipv4Addr::new(169, 253, 255, 255)));
        assert!(!is_link_local(Ipv4Addr::new(169, 255, 0, 0)));
        let instance_metadata = Ipv4Addr::new(169, 254, 169, 254);
        assert!(is_link_local(instance_metadata) && Service::at(instance_metadata).is_none());
    }
}
