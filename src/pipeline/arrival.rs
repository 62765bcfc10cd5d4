//! Where a packet comes from: the device that it was read from, and what its destination says of it.

use crate::flow::{Side, Space};
use crate::vpc::path::Attachment;
use crate::vpc::{EniIx, NatGatewayIx, Snapshot, Task};
use std::net::Ipv4Addr;

/// The TUN device that a packet was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Device {
    /// An ENI's.
    Eni(EniIx),
    /// A NAT gateway's.
    NatGateway(NatGatewayIx),
    /// App Runner's own public egress.
    AppRunner,
}

impl From<Attachment> for Device {
    /// Returns the device that packets from an attachment are read from.
    fn from(attachment: Attachment) -> Self {
        match attachment {
            Attachment::Eni(ix) => Self::Eni(ix),
            Attachment::AppRunner => Self::AppRunner,
        }
    }
}

impl Device {
    /// Lists the devices of a configuration: ENIs, NAT gateways, App Runner's own egress, each in the order of its table.
    pub fn all(snapshot: &Snapshot) -> impl Iterator<Item = Self> {
        let parts = snapshot.parts();
        let enis = (0..parts.enis.len()).map(|i| Self::Eni(i.into()));
        let gateways = (0..parts.nat_gateways.len()).map(|i| Self::NatGateway(i.into()));
        enis.chain(gateways).chain(parts.apprunner_address.map(|_| Self::AppRunner))
    }
}

/// An address within its address space. It names a NAT under every configuration, which a position in a table does not.
pub type SpaceAddr = (Space, Ipv4Addr);

/// What a device's worker knows it by: positions in tables change with a reload, ids do not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceId {
    /// An ENI's id.
    Eni(String),
    /// A NAT gateway's id.
    NatGateway(String),
    /// App Runner's own public egress.
    AppRunner,
}

impl DeviceId {
    /// Returns the id of a device of this configuration.
    pub fn of(snapshot: &Snapshot, device: Device) -> Self {
        match device {
            Device::Eni(ix) => Self::Eni(snapshot.eni(ix).id.clone()),
            Device::NatGateway(ix) => Self::NatGateway(snapshot.nat_gateway(ix).id.clone()),
            Device::AppRunner => Self::AppRunner,
        }
    }

    /// Finds the device in this configuration, if it has it.
    pub fn device_in(&self, snapshot: &Snapshot) -> Option<Device> {
        let parts = snapshot.parts();
        match self {
            Self::Eni(id) => {
                parts.enis.iter().position(|e| e.id == *id).map(|i| Device::Eni(i.into()))
            }
            Self::NatGateway(id) => parts
                .nat_gateways
                .iter()
                .position(|n| n.id == *id)
                .map(|i| Device::NatGateway(i.into())),
            Self::AppRunner => parts.apprunner_address.map(|_| Device::AppRunner),
        }
    }
}

/// Where a packet comes from: the device's own address is what replies are sent to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) device: Device,
    /// The address of the device's NAT.
    pub(super) nat: SpaceAddr,
    pub(super) space: Space,
    pub(super) side: Side,
}

impl Arrival {
    #[inline]
    pub(super) fn of(snapshot: &Snapshot, device: Device, destination: Ipv4Addr) -> Self {
        let nat = own_address(snapshot, device);
        let returned = |space| Self { device, nat, space, side: Side::Return };
        match device {
            Device::Eni(_) | Device::AppRunner if nat.1 == destination => returned(nat.0),
            Device::Eni(ix) if snapshot.eni(ix).public_address() == Some(destination) => {
                returned(Space::INTERNET)
            }
            Device::Eni(_) | Device::AppRunner => {
                Self { device, nat, space: Space::TASKS, side: Side::Egress }
            }
            Device::NatGateway(ix) if snapshot.nat_gateway(ix).has_public(destination) => {
                returned(Space::INTERNET)
            }
            Device::NatGateway(_) => returned(nat.0),
        }
    }
}

impl Arrival {
    /// Returns the arrival with the sender looked at, too: a task's packet to the own address of its ENI is a request,
    /// although what is sent to that address is mostly a reply.
    pub(super) fn of_sender(self, snapshot: &Snapshot, source: Ipv4Addr) -> Self {
        let is_here = |task: &Task| device_of(snapshot, task) == Some(self.device);
        match snapshot.task(source) {
            Some(task) if is_here(task) => Self { space: Space::TASKS, side: Side::Egress, ..self },
            Some(_) | None => self,
        }
    }
}

/// Returns the address of a device, in its space: for a NAT gateway its primary private one.
#[inline]
pub(super) fn own_address(snapshot: &Snapshot, device: Device) -> SpaceAddr {
    match device {
        Device::Eni(ix) => {
            let eni = snapshot.eni(ix);
            (snapshot.space(snapshot.subnet(eni.subnet).vpc), eni.address)
        }
        Device::NatGateway(ix) => {
            let nat = snapshot.nat_gateway(ix);
            (snapshot.space(snapshot.subnet(nat.subnet).vpc), nat.private_address())
        }
        // Without an address nothing is attached there, and nothing is sent to the unspecified one.
        Device::AppRunner => {
            let address = snapshot.parts().apprunner_address;
            (Space::INTERNET, address.unwrap_or(Ipv4Addr::UNSPECIFIED))
        }
    }
}

/// Returns the device that a task's packets are read from.
pub(super) fn device_of(snapshot: &Snapshot, task: &Task) -> Option<Device> {
    snapshot.attachment(task).map(Device::from)
}
