//! The key by which a packet is looked up: a five-tuple within an address space.

use crate::packet::{Protocol, Tuple};
use crate::vpc::Space;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;

/// One direction of a flow, by the tuple and space of its packets as they arrive: sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The space from which the packets come.
    pub space: Space,
    protocol: u8,
    src: u32,
    dst: u32,
    sport: u16,
    dport: u16,
}

impl FlowKey {
    /// Returns the key of packets with this tuple that come from this space.
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

    /// Returns the tuple of the packets.
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
            let key = FlowKey::new(Space::nth_vpc(0), tuple);
            assert_eq!(key.tuple(), tuple);
            assert_ne!(key, FlowKey::new(Space::nth_vpc(1), tuple), "overlapping VPCs");
        }
        assert_eq!(std::mem::size_of::<FlowKey>(), 16);
    }
}
