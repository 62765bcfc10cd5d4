//! Attaches tasks to a running lab, and detaches them: a namespace, a link, an address, an ENI.

use super::aside::aside;
use super::attachment::{Attachment, device_of, task_namespace};
use super::error::{LabError, left};
use super::origin::Origin;
use super::running::Running;
use crate::flow::Instant;
use crate::linux::link::{LinkError, link_task, task_link_name};
use crate::linux::netns::Netns;
use crate::linux::{clock, ipv6};
use crate::pipeline::{Device, DeviceId};
use crate::vpc::dns::search_domain;
use crate::vpc::{ServiceIx, Snapshot, Space, Task, exempt};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Returns the tasks that no lab file asks for, by service.
pub(super) fn tasks_by_hand(running: &Running) -> BTreeMap<String, BTreeSet<u16>> {
    let mut tasks: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for attachment in running.tasks.values().filter(|attachment| attachment.origin.is_by_hand()) {
        let numbers = tasks.entry(attachment.service.clone()).or_default();
        numbers.insert(attachment.number);
    }
    tasks
}

/// Makes a task.
pub(super) async fn add(
    running: &mut Running,
    service: ServiceIx,
    number: u16,
    origin: Origin,
) -> Result<Task, LabError> {
    let snapshot = running.snapshot();
    let device = device_of(&snapshot, service, number);
    let tun = device.and_then(|device| {
        Some(running.workers.get(&DeviceId::of(&snapshot, device))?.device().ifindex())
    });
    let (Some(device), Some(tun)) = (device, tun) else {
        let service = snapshot.service(service).name.clone();
        return Err(LabError::NoDevice { service, number });
    };
    let eni = match device {
        Device::Eni(eni) => Some(eni),
        Device::AppRunner | Device::NatGateway(_) => None,
    };
    let task = Task { service, number, address: free_address(running, &snapshot)?, eni };
    let namespace = task_namespace(&running.lab.name, &snapshot.service(service).name, number);
    let netns = running.state.make_namespace(&namespace)?;
    let device = DeviceId::of(&snapshot, device);
    let attached = attach(running, &snapshot, task, origin, &netns, device, tun).await;
    let Err(error) = attached else { return Ok(task) };
    let link = running.router.ifindex(&task_link_name(task.address)).await.ok();
    let detached = detach(running, task.address, netns.name(), link).await;
    Err(error.and_left(left(&format!("namespace {namespace}"), detached)))
}

async fn attach(
    running: &mut Running,
    snapshot: &Snapshot,
    task: Task,
    origin: Origin,
    netns: &Netns,
    device: DeviceId,
    tun: u32,
) -> Result<(), LabError> {
    let (namespace, mtu) = (netns.name().to_owned(), snapshot.parts().mtu.task);
    write_overlays(running, snapshot, &namespace, &task)?;
    let link = link_task(&running.router, netns, task.address, mtu).await?;
    // If the kernel refuses, the IPv6 packets that still arrive are counted at the link.
    let _ = ipv6::lead_to_router(netns, task.address, link.near).await;
    running.current.store(Arc::new(snapshot.with_task(task)));
    running.steer.deliver_task(task.address, link)?;
    // Services see the task's own address, and answer it.
    running.steer.own(u32::from(Space::SERVICES.0), task.address, tun)?;
    running.steer.attach_task(&task_link_name(task.address), task.address, tun)?;
    let (Task { number, address, .. }, device) = (task, Some(device));
    let service = snapshot.service(task.service).name.clone();
    let half_removed = false;
    let attachment =
        Attachment { service, number, address, origin, namespace, link, device, mtu, half_removed };
    running.tasks.insert(address, attachment);
    Ok(())
}

/// Writes the files that programs of a task see in place of those in `/etc`. A file that already
/// has this text is not touched.
pub(super) fn write_overlays(
    running: &Running,
    snapshot: &Snapshot,
    namespace: &str,
    task: &Task,
) -> Result<(), LabError> {
    let resolv_conf = resolv_conf(snapshot, &running.lab.spec.region, task);
    running.state.overlay(namespace, "resolv.conf", &resolv_conf)?;
    Ok(running.state.overlay(namespace, "hosts", &hosts(task, namespace))?)
}

/// Takes a task down, or what is left of it. After a failure the task is still listed.
pub(super) async fn take_down(running: &mut Running, address: Ipv4Addr) -> Result<(), LabError> {
    let Some(attachment) = running.tasks.get_mut(&address) else { return Ok(()) };
    attachment.half_removed = true;
    let (namespace, ifindex) = (attachment.namespace.clone(), attachment.link.ifindex);
    detach(running, address, &namespace, Some(ifindex)).await?;
    running.tasks.remove(&address);
    Ok(())
}

/// Undoes an attachment, whole or half. Parts that no longer exist are no error.
async fn detach(
    running: &mut Running,
    address: Ipv4Addr,
    namespace: &str,
    ifindex: Option<u32>,
) -> Result<(), LabError> {
    let steered = match ifindex {
        Some(ifindex) => {
            let detached = running.steer.detach_task(ifindex);
            let last = detached.as_deref().unwrap_or_default();
            running.keep_drops_at_link(ifindex, Some(address), last).await;
            detached.map(drop)
        }
        None => Ok(()),
    };
    let withdrawn = running.steer.withdraw_task(address);
    let disowned = running.steer.disown(u32::from(Space::SERVICES.0), address);
    let before = running.snapshot();
    running.current.store(Arc::new(before.without_task(address)));
    // A worker that has not seen this yet could begin flows again.
    let quiesced = running.quiesce().await;
    running.keep_drops_of_task(&before, address);
    aside(|| running.engine.forget_task(Instant(clock::now()), &before, address));
    running.addresses.give_back(address);
    let unlinked = match running.router.delete(&task_link_name(address)).await {
        Err(LinkError::Missing { .. }) => Ok(()),
        deleted => deleted,
    };
    let removed = running.state.remove_namespace(namespace);
    quiesced?;
    steered?;
    withdrawn?;
    disowned?;
    unlinked?;
    Ok(removed?)
}

pub(super) fn service(running: &Running, name: &str) -> Result<ServiceIx, LabError> {
    let snapshot = running.snapshot();
    let services = &snapshot.parts().services;
    let found = services.iter().position(|s| s.name == name).map(ServiceIx::from);
    let unknown = || LabError::UnknownService {
        lab: running.lab.name.clone(),
        name: name.to_owned(),
        known: services.iter().map(|s| s.name.clone()).collect(),
    };
    found.ok_or_else(|| running.at_rest(name).unwrap_or_else(unknown))
}

/// Finds a task by the name of its service, which a reload does not change as it does positions.
pub(super) fn find<'a>(running: &'a Running, service: &str, number: u16) -> Option<&'a Attachment> {
    running.tasks.values().find(|task| task.number == number && task.service == service)
}

fn free_address(running: &Running, snapshot: &Snapshot) -> Result<Ipv4Addr, LabError> {
    let taken = |address| snapshot.task(address).is_some() || running.tasks.contains_key(&address);
    running.addresses.free(taken).ok_or_else(|| LabError::PoolEmpty {
        pool: running.lab.task_cidr,
        resting: running.addresses.resting(),
    })
}

/// Names the resolver at the VPC's base plus two, or the link-local one (spec 8).
fn resolv_conf(snapshot: &Snapshot, region: &str, task: &Task) -> String {
    let vpc = task.eni.map(|eni| snapshot.subnet(snapshot.eni(eni).subnet).vpc);
    let resolver = vpc.and_then(|vpc| snapshot.vpc(vpc).resolver()).unwrap_or(exempt::RESOLVER);
    let search = search_domain(region);
    format!("nameserver {resolver}\nsearch {search}\noptions timeout:1 attempts:1\n")
}

/// Names the task itself and nothing else: the resolver answers for every other name.
fn hosts(task: &Task, namespace: &str) -> String {
    format!("127.0.0.1 localhost\n{} {namespace}\n", task.address)
}
