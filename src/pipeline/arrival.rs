//! The origin of a packet: the device from which it was read, and the side and space that its
//! destination implies.

use crate::flow::{Side, Space};
use crate::vpc::path::Attachment;
use crate::vpc::{EniIx, NatGatewayIx, Snapshot, Task};
use std::net::Ipv4Addr;

/// The TUN device from which a packet was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Device {
    /// The device of an ENI.
    Eni(EniIx),
    /// The device of a NAT gateway.
    NatGateway(NatGatewayIx),
    /// App Runner's own public egress.
    AppRunner,
}

impl From<Attachment> for Device {
    /// Returns the device from which packets of an attachment are read.
    fn from(attachment: Attachment) -> Self {
        match attachment {
            Attachment::Eni(ix) => Self::Eni(ix),
            Attachment::AppRunner => Self::AppRunner,
        }
    }
}

impl Device {
    /// Lists the devices of a configuration: ENIs, NAT gateways, App Runner's own egress, each in
    /// the order of its table.
    pub fn all(snapshot: &Snapshot) -> impl Iterator<Item = Self> {
        let parts = snapshot.parts();
        let enis = (0..parts.enis.len()).map(|i| Self::Eni(i.into()));
        let gateways = (0..parts.nat_gateways.len()).map(|i| Self::NatGateway(i.into()));
        enis.chain(gateways).chain(parts.apprunner_address.map(|_| Self::AppRunner))
    }
}

/// An address within its address space. It identifies a NAT under every configuration, unlike a
/// position in a table.
pub type SpaceAddr = (Space, Ipv4Addr);

/// The identity by which a device's worker knows it: a reload changes positions in tables, but not
/// ids.
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

    /// Finds the device in this configuration; `None` if it is not there.
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

/// The origin of a packet: replies go to the device's own address.
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
    /// Returns the arrival after a look at the sender: a task's packet to the own address of its
    /// ENI is a request, although packets to that address are mostly replies.
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
        // Without an address no task is attached there, and no packet has the unspecified
        // destination.
        Device::AppRunner => {
            let address = snapshot.parts().apprunner_address;
            (Space::INTERNET, address.unwrap_or(Ipv4Addr::UNSPECIFIED))
        }
    }
}

/// Returns the device from which a task's packets are read.
pub(super) fn device_of(snapshot: &Snapshot, task: &Task) -> Option<Device> {
    snapshot.attachment(task).map(Device::from)
}
