//! The contents of the tc programs' maps, laid out as in the programs (`src/steer`).
//! `shared_layout.rs` compares both field by field; so the fields have the programs' names.
//!
//! Addresses, and ports that are compared with those of packets, are in the byte order of packets.

use super::{Delivery, Link, Mac};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, big_endian};

/// Bytes of an IPv4 address.
pub(super) type Address = [u8; 4];

/// The task of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Task {
    pub(super) address: Address,
    /// The device that the task is attached to.
    pub(super) tun: u32,
}

/// An address that egret answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Owned {
    pub(super) space: u32,
    pub(super) address: Address,
}

/// Where the packets of a link of a VPC, an attached resource, an endpoint or the internet come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Origin {
    pub(super) space: u32,
    /// The only source address of its packets; 0 if they may have any.
    pub(super) source: Address,
}

/// A prefix as the packets of one device see it. In the map its length precedes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Prefix {
    pub(super) tun: u32,
    pub(super) address: Address,
}

/// A link by which packets leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct LinkEntry {
    pub(super) ifindex: u32,
    pub(super) far: [u8; 6],
    pub(super) near: [u8; 6],
    /// The private address of a public endpoint; 0 if packets keep their destination.
    pub(super) private: Address,
}

impl LinkEntry {
    /// An entry that leads nowhere: its interface index is 0, which no interface has.
    pub(super) const NOWHERE: Self =
        Self { ifindex: 0, far: [0; 6], near: [0; 6], private: [0; 4] };

    /// Returns the delivery; `None` if it leads nowhere.
    pub(super) fn delivery(self) -> Option<Delivery> {
        let Self { ifindex, far, near, private } = self;
        let link = (ifindex != 0).then_some(Link { ifindex, near: Mac(near), far: Mac(far) })?;
        Some(Delivery { link, private: (private != [0; 4]).then_some(private.into()) })
    }
}

impl From<Link> for LinkEntry {
    fn from(link: Link) -> Self {
        Delivery::from(link).into()
    }
}

impl From<Delivery> for LinkEntry {
    fn from(Delivery { link, private }: Delivery) -> Self {
        let private = private.map_or([0; 4], |private| private.octets());
        Self { ifindex: link.ifindex, far: link.far.0, near: link.near.0, private }
    }
}

/// The key of a counter of drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DropCounterKey {
    pub(super) ifindex: u32,
    pub(super) reason: u32,
}

/// A packet of a flow as it arrives, and by which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct FlowKey {
    pub(super) link: u32,
    pub(super) source: Address,
    pub(super) destination: Address,
    pub(super) sport: big_endian::U16,
    pub(super) dport: big_endian::U16,
    pub(super) protocol: u8,
    pub(super) zero: [u8; 3],
}

/// The new headers of such packets, and the link by which they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct FlowEntry {
    pub(super) generation: u32,
    pub(super) out: u32,
    pub(super) far: [u8; 6],
    pub(super) near: [u8; 6],
    pub(super) source: Address,
    pub(super) destination: Address,
    pub(super) sport: big_endian::U16,
    pub(super) dport: big_endian::U16,
    /// The change of a checksum by the new addresses.
    pub(super) addresses: big_endian::U16,
    /// The change of a checksum by the new ports.
    pub(super) ports: big_endian::U16,
    pub(super) mtu: u16,
    pub(super) hop: u8,
    /// 0 is from the task, 1 back to it.
    pub(super) direction: u8,
    pub(super) slot: u32,
    pub(super) zero: u32,
    /// Nanoseconds.
    pub(super) idle: u64,
}

/// The counters of one direction, which user space and the programs both write, in atomic words of
/// 64 bits. `floor` and `ceiling`, 32 bits each, are written by the programs alone once there are
/// entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Direction {
    pub(super) packets: u64,
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) seen: u64,
    pub(super) end: u64,
    pub(super) ack: u64,
    pub(super) floor: u32,
    pub(super) ceiling: u32,
    pub(super) punted: u64,
}

/// The counters of both directions of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Slot {
    pub(super) directions: [Direction; 2],
    pub(super) claimed: [u64; 2],
    pub(super) number: u32,
    pub(super) zero: [u32; 11],
}

/// A flow's record for the next process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct SharedRecord {
    pub(super) egress: RecordTuple,
    pub(super) returned: RecordTuple,
    pub(super) eni: RecordPort,
    pub(super) nat: RecordPort,
    /// The private address of the public endpoint that the flow was admitted to; its port is 0.
    pub(super) endpoint: RecordPort,
    /// 1 if the flow's ENI does not track it.
    pub(super) untracked: u32,
    pub(super) began: u64,
    pub(super) counted: [RecordCounted; 2],
}

/// The tuple of one direction's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct RecordTuple {
    pub(super) space: u16,
    pub(super) protocol: u8,
    pub(super) zero: u8,
    pub(super) source: Address,
    pub(super) destination: Address,
    pub(super) sport: big_endian::U16,
    pub(super) dport: big_endian::U16,
}

/// A port that the flow leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct RecordPort {
    /// The holder: [`NO_PORT`], [`OWN_PORT`] or [`APP_RUNNER_PORT`].
    pub(super) holder: u16,
    pub(super) space: u16,
    pub(super) address: Address,
    pub(super) port: u32,
}

/// The flow has no such port.
pub(super) const NO_PORT: u16 = 0;
/// An ENI or a NAT gateway holds the port.
pub(super) const OWN_PORT: u16 = 1;
/// App Runner's own NAT holds the port.
pub(super) const APP_RUNNER_PORT: u16 = 2;

/// Packets, segments and bytes at the time of the offload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct RecordCounted {
    pub(super) own: [u64; 3],
    pub(super) offloaded: [u64; 3],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_what_its_entry_says() {
        let link = Link { ifindex: 7, near: Mac([1; 6]), far: Mac([2; 6]) };
        assert_eq!(LinkEntry::from(link).delivery(), Some(link.into()));
        let private = Some(std::net::Ipv4Addr::new(10, 0, 0, 5));
        let delivery = Delivery { link, private };
        assert_eq!(LinkEntry::from(delivery).delivery(), Some(delivery));
        assert_eq!(LinkEntry::NOWHERE.delivery(), None);
    }
}
