//! The tasks in a reload: those of services that stay keep their namespace, address and processes;
//! only a task whose ENI changes is attached again.

use crate::config::Lab;
use crate::daemon::attach::{self, Home};
use crate::daemon::attachment::{Attachment, device_of};
use crate::daemon::error::{LabError, left};
use crate::daemon::origin::Origin;
use crate::daemon::running::Running;
use crate::linux::ipv6;
use crate::linux::link::{Links, task_link_name};
use crate::linux::netns::Netns;
use crate::pipeline::{Device, DeviceId};
use crate::vpc::{ServiceIx, ServiceKind, Snapshot, Space, Task};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Adds to a configuration every existing task whose service it has.
pub(super) fn with_own_tasks(running: &Running, snapshot: Snapshot) -> Result<Snapshot, LabError> {
    let mut tasks = Vec::new();
    for attachment in running.tasks.values().filter(|task| !task.half_removed) {
        let &Attachment { number, address, .. } = attachment;
        let Some(service) = service_in(&snapshot, &attachment.service) else { continue };
        let eni = match device_of(&snapshot, service, number) {
            Some(Device::Eni(ix)) => Some(ix),
            Some(Device::AppRunner) => None,
            // The ENI is removed with the task: its service now has fewer.
            None if snapshot.service(service).kind == ServiceKind::Fargate => continue,
            Some(Device::NatGateway(_)) | None => {
                return Err(LabError::NoDevice { service: attachment.service.clone(), number });
            }
        };
        tasks.push(Task { service, number, address, eni });
    }
    Ok(snapshot.with_tasks(tasks))
}

/// Attaches the tasks whose device changes under the configuration that has just been committed.
pub(super) fn attach_tasks_again(running: &mut Running) -> Result<(), LabError> {
    let snapshot = running.snapshot();
    for &task in snapshot.tasks() {
        let device = DeviceId::of(&snapshot, task.eni.map_or(Device::AppRunner, Device::Eni));
        let tun = running.workers.get(&device).map(|worker| worker.device().ifindex());
        let Some(attachment) = running.tasks.get_mut(&task.address) else { continue };
        if let (true, Some(tun)) = (attachment.device.as_ref() != Some(&device), tun) {
            running.steer.attach_task(&task_link_name(task.address), task.address, tun)?;
            // Services see the task's own address, and answer it.
            running.steer.own(u32::from(Space::SERVICES.0), task.address, tun)?;
            attachment.device = Some(device);
        }
    }
    Ok(())
}

/// Gives the tasks the MTU and the files of the committed configuration, where theirs differ.
pub(super) async fn refit_tasks(running: &mut Running) -> Result<(), LabError> {
    let snapshot = running.snapshot();
    let mtu = snapshot.parts().mtu.task;
    running.services.set_mtu(&running.router, mtu).await?;
    for task in snapshot.tasks() {
        let Some(attachment) = running.tasks.get_mut(&task.address) else { continue };
        let namespace = attachment.namespace.clone();
        if attachment.mtu != mtu {
            attachment.mtu = mtu;
            running.router.set_mtu(&task_link_name(task.address), mtu).await?;
            let netns = Netns::open(&namespace)?;
            let interface = &attachment.interface;
            Links::open(&netns)?.set_mtu(interface, mtu).await?;
            let (address, near) = (task.address, attachment.link.near);
            // Below IPv6's least MTU the kernel removes the route, and does not restore it.
            let _ = ipv6::lead_to_router(&netns, interface, address, near).await;
        }
        attach::write_overlays(running, &snapshot, &namespace, task)?;
    }
    Ok(())
}

/// Adds the tasks that the file counts beyond `before`, the counts of the earlier file.
pub(super) async fn add_file_tasks(
    running: &mut Running,
    before: &BTreeMap<String, u16>,
) -> Result<(), LabError> {
    let services: Vec<(ServiceIx, String, u16)> = (0..)
        .zip(&running.snapshot().parts().services)
        .map(|(position, s)| (ServiceIx(position), s.name.clone(), s.tasks))
        .collect();
    for (service, name, count) in services {
        let origin = origin_of(&running.lab, &name);
        for number in before.get(&name).copied().unwrap_or(0) + 1..=count {
            require_file_task(running, (service, &name), number, origin).await?;
        }
    }
    Ok(())
}

async fn require_file_task(
    running: &mut Running,
    (service, name): (ServiceIx, &str),
    number: u16,
    origin: Origin,
) -> Result<(), LabError> {
    let found = attach::find(running, name, number);
    match found.map(|task| (task.address, task.half_removed)) {
        None => {}
        Some((address, true)) => attach::take_down(running, address).await?,
        Some((address, false)) => {
            // A task made by hand becomes the file's.
            running.tasks.entry(address).and_modify(|task| task.origin = origin);
            return Ok(());
        }
    }
    attach::add(running, service, number, origin, Home::Own).await.map(drop)
}

/// Takes down the tasks of services that no longer exist, and those that the file no longer counts.
/// Tasks made by hand stay as long as their service does, unless App Runner runs nothing of it.
/// Returns what is left of them, and why.
pub(super) async fn remove_file_tasks(running: &mut Running, lab: &Lab) -> Vec<String> {
    take_down(running, going(running, lab)).await
}

/// Takes tasks down, even after a failure. Returns what is left of them, and why.
async fn take_down(running: &mut Running, tasks: Vec<Ipv4Addr>) -> Vec<String> {
    let mut all = Vec::new();
    for address in tasks {
        let Some(task) = running.tasks.get(&address) else { continue };
        let name = format!("task {}/{}", task.service, task.number);
        all.extend(left(&name, attach::take_down(running, address).await));
    }
    all
}

/// Returns the tasks that are removed when this lab is committed.
pub(super) fn going(running: &Running, lab: &Lab) -> Vec<Ipv4Addr> {
    let counts = task_counts(lab);
    let goes = |attachment: &&Attachment| match counts.get(&attachment.service) {
        _ if attachment.half_removed => true,
        None => true,
        Some(_) if lab.overlay.is_at_rest(&attachment.service) => true,
        Some(count) => !attachment.origin.is_by_hand() && attachment.number > *count,
    };
    running.tasks.values().filter(goes).map(|attachment| attachment.address).collect()
}

/// Returns the origin of each task.
pub(super) fn origins(running: &Running) -> BTreeMap<Ipv4Addr, Origin> {
    running.tasks.iter().map(|(address, task)| (*address, task.origin)).collect()
}

/// Restores the tasks: takes down those that are not listed, and gives the rest their earlier
/// origin. Returns what is left of the former, and why.
pub(super) async fn restore_tasks(
    running: &mut Running,
    before: &BTreeMap<Ipv4Addr, Origin>,
) -> Vec<String> {
    let mut new = Vec::new();
    for (address, task) in &mut running.tasks {
        match before.get(address) {
            Some(origin) => task.origin = *origin,
            None => new.push(*address),
        }
    }
    take_down(running, new).await
}

/// Returns the origin of the tasks that a lab counts for a service.
fn origin_of(lab: &Lab, service: &str) -> Origin {
    if lab.overlay.has_service(service) { Origin::Api } else { Origin::File }
}

/// Counts the tasks that a file has of each service.
pub(super) fn task_counts(lab: &Lab) -> BTreeMap<String, u16> {
    lab.spec.services.iter().map(|s| (s.name.value.clone(), s.tasks)).collect()
}

fn service_in(snapshot: &Snapshot, name: &str) -> Option<ServiceIx> {
    snapshot.parts().services.iter().position(|s| s.name == name).map(ServiceIx::from)
}
