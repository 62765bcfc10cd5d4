//! A task's place on the box.

use crate::linux::link::Link;
use crate::pipeline::{Device, DeviceId};
use crate::vpc::{Egress, ServiceIx, Snapshot, Task};

/// A task's place on the box.
pub(super) struct Attachment {
    pub(super) task: Task,
    /// Its service's name: the position in `task` is of the configuration in force.
    pub(super) service: String,
    /// Whether `egret task add` made it, and not the lab file.
    pub(super) by_hand: bool,
    pub(super) namespace: String,
    pub(super) link: Link,
    /// Where its packets go; `None` while it is still attached to what the process before had.
    pub(super) device: Option<DeviceId>,
    pub(super) mtu: u16,
}

/// The device that a task's packets go to. `None` is never App Runner's own: a service that is to leave through a VPC
/// and cannot must not leave by another way.
pub(super) fn device_of(snapshot: &Snapshot, service: ServiceIx, number: u16) -> Option<Device> {
    match snapshot.service(service).egress {
        Egress::Default => Some(Device::AppRunner),
        Egress::Vpc(_) => snapshot.choose_eni(service, number).map(Device::Eni),
    }
}

/// The namespace of a task.
pub(super) fn task_namespace(lab: &str, snapshot: &Snapshot, task: &Task) -> String {
    format!("{lab}-{}-{}", snapshot.service(task.service).name, task.number)
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
