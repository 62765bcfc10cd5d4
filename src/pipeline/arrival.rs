//! Where a packet comes from: the device that it was read from, and what its destination says of it.

use crate::flow::{Side, Space};
use crate::vpc::{EniIx, NatGatewayIx, Snapshot};
use std::net::Ipv4Addr;

/// The TUN device that a packet was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Device {
    /// A Hyperplane ENI's.
    Eni(EniIx),
    /// A NAT gateway's.
    NatGateway(NatGatewayIx),
    /// App Runner's own public egress.
    AppRunner,
}

/// Where a packet comes from: the device's own address is what replies are sent to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) device: Device,
    pub(super) space: Space,
    pub(super) side: Side,
}

impl Arrival {
    #[inline]
    pub(super) fn of(snapshot: &Snapshot, device: Device, destination: Ipv4Addr) -> Self {
        let returned = |space| Self { device, space, side: Side::Return };
        match device {
            Device::Eni(ix) => {
                let eni = snapshot.eni(ix);
                if eni.address == destination {
                    return returned(Space::vpc(snapshot.subnet(eni.subnet).vpc));
                }
            }
            Device::NatGateway(ix) => {
                let nat = snapshot.nat_gateway(ix);
                if nat.has_public(destination) {
                    return returned(Space::INTERNET);
                }
                return returned(Space::vpc(snapshot.subnet(nat.subnet).vpc));
            }
            Device::AppRunner => {
                if snapshot.parts().apprunner_address == Some(destination) {
                    return returned(Space::INTERNET);
                }
            }
        }
        Self { device, space: Space::TASKS, side: Side::Egress }
    }
}
