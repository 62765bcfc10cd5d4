//! What a packet is looked up by: a five-tuple within an address space.

use crate::packet::{Protocol, Tuple};
use crate::vpc::VpcIx;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;

/// An address space. Two VPCs may use the same CIDR block, so an address means nothing without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space(pub u16);

impl Space {
    /// The task pool.
    pub const TASKS: Self = Self(0);
    /// The internet.
    pub const INTERNET: Self = Self(1);
    /// The services at exempt addresses (spec 4.3). Two VPCs may have their resolvers at the same address, so a view is
    /// chosen by the task that asks.
    pub const SERVICES: Self = Self(u16::MAX);

    /// A VPC.
    #[inline]
    pub const fn vpc(vpc: VpcIx) -> Self {
        Self(vpc.0.saturating_add(2))
    }

    /// The VPC, if it is one.
    #[inline]
    pub const fn as_vpc(self) -> Option<VpcIx> {
        match self.0.checked_sub(2) {
            Some(position) if self.0 != Self::SERVICES.0 => Some(VpcIx(position)),
            Some(_) | None => None,
        }
    }
}

/// One direction of a flow, as its packets arrive: sixteen octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// Where the packets come from.
    pub space: Space,
    protocol: u8,
    src: u32,
    dst: u32,
    sport: u16,
    dport: u16,
}

impl FlowKey {
    /// The key of packets with this tuple that come from this space.
    #[inline]
    pub fn new(space: Space, tuple: Tuple) -> Self {
        Self {
            space,
            protocol: tuple.protocol.number(),
            src: u32::from(tuple.src),
            dst: u32::from(tuple.dst),
            sport: tuple.sport,
            dport: tuple.dport,
        }
    }

    /// The tuple of the packets.
    #[inline]
    pub fn tuple(&self) -> Tuple {
        Tuple {
            protocol: Protocol::from(self.protocol),
            src: Ipv4Addr::from(self.src),
            dst: Ipv4Addr::from(self.dst),
            sport: self.sport,
            dport: self.dport,
        }
    }
}

impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.src) << 32 | u64::from(self.dst));
        state.write_u64(
            u64::from(self.space.0) << 40
                | u64::from(self.protocol) << 32
                | u64::from(self.sport) << 16
                | u64::from(self.dport),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_tuple_in_its_space() {
        let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp, Protocol::Other(50)] {
            let tuple = Tuple { protocol, src, dst, sport: 1, dport: 65_535 };
            let key = FlowKey::new(Space::vpc(VpcIx(0)), tuple);
            assert_eq!(key.tuple(), tuple);
            assert_ne!(key, FlowKey::new(Space::vpc(VpcIx(1)), tuple), "overlapping VPCs");
        }
        assert_eq!(std::mem::size_of::<FlowKey>(), 16);
    }

    #[test]
    fn a_space_knows_its_vpc() {
        for space in [Space::TASKS, Space::INTERNET, Space::SERVICES] {
            assert_eq!(space.as_vpc(), None);
        }
        assert_eq!(Space::vpc(VpcIx(3)).as_vpc(), Some(VpcIx(3)));
    }
}
