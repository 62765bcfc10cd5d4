//! A task's attachment to the lab: its namespace, its link and its device.

use super::origin::Origin;
use crate::linux::link::Link;
use crate::pipeline::{Device, DeviceId};
use crate::vpc::{Egress, ServiceIx, Snapshot};
use std::net::Ipv4Addr;

/// A task with its namespace, its link and its device. It outlives configurations, so it holds
/// names and no positions: those of the committed one are in [`Snapshot::task`].
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    /// The service's name.
    pub(super) service: String,
    /// The number in the service.
    pub(super) number: u16,
    pub(super) address: Ipv4Addr,
    pub(super) origin: Origin,
    pub(super) namespace: String,
    /// The task's interface there.
    pub(super) interface: String,
    /// True if another program made the namespace, which stays without the task.
    pub(super) is_foreign: bool,
    /// The id that a container engine gave what it attached.
    pub(super) container: Option<String>,
    pub(super) link: Link,
    /// The device that its packets go to; `None` while a resumed task still leads to a device of
    /// the killed process.
    pub(super) device: Option<DeviceId>,
    pub(super) mtu: u16,
    /// True once its removal has begun and failed: no configuration has it from then on.
    pub(super) half_removed: bool,
}

/// The interface of a task whose namespace the lab makes.
pub(super) const INTERFACE: &str = "eth0";

/// Returns the device that a task's packets go to. A service that is to leave through a VPC and
/// cannot has none: it must not leave through App Runner's own.
pub(super) fn device_of(snapshot: &Snapshot, service: ServiceIx, number: u16) -> Option<Device> {
    match snapshot.service(service).egress {
        Egress::Default => Some(Device::AppRunner),
        Egress::Vpc(_) => snapshot.choose_eni(service, number).map(Device::Eni),
    }
}

/// Returns the namespace of a task.
pub fn task_namespace(lab: &str, service: &str, number: u16) -> String {
    format!("{lab}-{service}-{number}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Lab;
    use crate::vpc::{EniIx, Generation};

    #[test]
    fn a_service_of_a_vpc_without_an_eni_has_no_device_at_all() {
        let lab = Lab::parse("lab.toml", include_str!("../../examples/minimal.toml")).unwrap();
        let snapshot = lab.lower(Generation(1));
        let (service, eni) = (ServiceIx(0), EniIx(0));
        assert!(matches!(snapshot.service(service).egress, Egress::Vpc(_)));
        assert_eq!(device_of(&snapshot, service, 1), Some(Device::Eni(eni)));
        let mut parts = snapshot.parts().clone();
        parts.enis.clear();
        let without = Snapshot::build(Generation(2), parts);
        assert_eq!(device_of(&without, service, 1), None);
    }
}
