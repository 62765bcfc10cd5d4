//! Attaches tasks to a running lab, and detaches them: a namespace, a link, an address, an ENI.

use super::aside::aside;
use super::attachment::{Attachment, INTERFACE, device_of, task_namespace};
use super::error::{LabError, left};
use super::foreign::{Attachable, require_room};
use super::origin::Origin;
use super::running::Running;
use super::state::StateDir;
use crate::flow::Instant;
use crate::linux::link::{Far, LinkError, task_link_name};
use crate::linux::netns::Netns;
use crate::linux::task_link::{lead_to_router, link_task};
use crate::linux::{Link, Mac, clock, ipv6};
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

/// The namespace of a new task.
pub(super) enum Home {
    /// The lab makes it.
    Own,
    /// Another program made it, and the lab gives it a name.
    Foreign(Attachable),
    /// Another program made it, and a killed process gave it its name and its address.
    Named { netns: Netns, interface: String, container: Option<String>, address: Ipv4Addr },
}

impl Home {
    fn is_foreign(&self) -> bool {
        match self {
            Self::Own => false,
            Self::Foreign(_) | Self::Named { .. } => true,
        }
    }

    fn interface(&self) -> &str {
        match self {
            Self::Own => INTERFACE,
            Self::Foreign(Attachable { interface, .. }) | Self::Named { interface, .. } => {
                interface
            }
        }
    }

    fn container(&self) -> Option<String> {
        match self {
            Self::Own => None,
            Self::Foreign(Attachable { container, .. }) | Self::Named { container, .. } => {
                container.clone()
            }
        }
    }

    fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Own | Self::Foreign(_) => None,
            Self::Named { address, .. } => Some(*address),
        }
    }

    /// Makes or names the namespace.
    fn open(self, state: &StateDir, name: &str) -> Result<Netns, LabError> {
        Ok(match self {
            Self::Own => state.make_namespace(name)?,
            Self::Foreign(attachable) => state.name_namespace(name, &attachable.namespace)?,
            Self::Named { netns, .. } => netns,
        })
    }
}

/// Makes a task.
pub(super) async fn add(
    running: &mut Running,
    service: ServiceIx,
    number: u16,
    origin: Origin,
    home: Home,
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
    let address = free_address(running, &snapshot, home.address())?;
    let task = Task { service, number, address, eni };
    let namespace = task_namespace(&running.lab.name, &snapshot.service(service).name, number);
    let (is_foreign, interface) = (home.is_foreign(), home.interface().to_owned());
    let container = home.container();
    let netns = home.open(&running.state, &namespace)?;
    let device = DeviceId::of(&snapshot, device);
    let link = NO_LINK;
    let mut attachment = Attachment {
        service: snapshot.service(service).name.clone(),
        number,
        address,
        origin,
        namespace,
        interface,
        is_foreign,
        container,
        link,
        device: Some(device),
        mtu: snapshot.parts().mtu.task,
        half_removed: false,
    };
    match attach(running, &snapshot, task, &mut attachment, &netns, tun).await {
        Ok(()) => {
            running.tasks.insert(address, attachment);
            Ok(task)
        }
        Err(error) => {
            let detached = detach(running, &attachment).await;
            Err(error.and_left(left(&format!("namespace {}", attachment.namespace), detached)))
        }
    }
}

/// The link of a task before it is made: no interface has the index 0.
const NO_LINK: Link = Link { ifindex: 0, near: Mac([0; 6]), far: Mac([0; 6]) };

/// Attaches a task. Its default route comes last: until the engine has the task, nothing leads out.
async fn attach(
    running: &mut Running,
    snapshot: &Snapshot,
    task: Task,
    attachment: &mut Attachment,
    netns: &Netns,
    tun: u32,
) -> Result<(), LabError> {
    let (address, far) = (task.address, Far { netns, interface: &attachment.interface });
    if attachment.is_foreign {
        require_room(netns, far.interface).await?;
        netns.bring_loopback_up()?;
    }
    write_overlays(running, snapshot, &attachment.namespace, &task)?;
    let link = link_task(&running.router, far, address, attachment.mtu).await?;
    attachment.link = link;
    running.current.store(Arc::new(snapshot.with_task(task)));
    running.steer.deliver_task(address, link)?;
    // Services see the task's own address, and answer it.
    running.steer.own(u32::from(Space::SERVICES.0), address, tun)?;
    running.steer.attach_task(&task_link_name(address), address, tun)?;
    Ok(lead_to_router(far, link, address).await?)
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
    let attachment = attachment.clone();
    detach(running, &attachment).await?;
    running.tasks.remove(&address);
    Ok(())
}

/// Undoes an attachment, whole or half. Parts that no longer exist are no error.
async fn detach(running: &mut Running, attachment: &Attachment) -> Result<(), LabError> {
    let &Attachment { address, link: Link { ifindex, .. }, .. } = attachment;
    let steered = match ifindex {
        0 => Ok(()),
        ifindex => {
            let detached = running.steer.detach_task(ifindex);
            let last = detached.as_deref().unwrap_or_default();
            running.keep_drops_at_link(ifindex, Some(address), last).await;
            detached.map(drop)
        }
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
    if attachment.is_foreign
        && let Ok(netns) = Netns::open(&attachment.namespace)
    {
        // An address that stays there leads nowhere without the interface.
        let _ = ipv6::forget(&netns, address).await;
    }
    let removed = running.state.remove_namespace(&attachment.namespace);
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

/// Returns an address for a task: the one that it had before, if that is free.
fn free_address(
    running: &Running,
    snapshot: &Snapshot,
    before: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, LabError> {
    let taken = |address| snapshot.task(address).is_some() || running.tasks.contains_key(&address);
    let before = before.filter(|own| running.lab.task_cidr.contains(*own) && !taken(*own));
    let free = before.or_else(|| running.addresses.free(taken));
    free.ok_or_else(|| LabError::PoolEmpty {
        pool: running.lab.task_cidr,
        resting: running.addresses.resting(),
    })
}

fn resolv_conf(snapshot: &Snapshot, region: &str, task: &Task) -> String {
    let (resolver, search) = (resolver_of(snapshot, task), search_domain(region));
    let options = RESOLVER_OPTIONS.join(" ");
    format!("nameserver {resolver}\nsearch {search}\noptions {options}\n")
}

/// The options of a task's `resolv.conf`.
pub(super) const RESOLVER_OPTIONS: [&str; 2] = ["timeout:1", "attempts:1"];

/// Returns the resolver at the VPC's base plus two, or the link-local one (spec 8).
pub(super) fn resolver_of(snapshot: &Snapshot, task: &Task) -> Ipv4Addr {
    let vpc = task.eni.map(|eni| snapshot.subnet(snapshot.eni(eni).subnet).vpc);
    vpc.and_then(|vpc| snapshot.vpc(vpc).resolver()).unwrap_or(exempt::RESOLVER)
}

/// Names the task itself and nothing else: the resolver answers for every other name.
fn hosts(task: &Task, namespace: &str) -> String {
    format!("127.0.0.1 localhost\n{} {namespace}\n", task.address)
}
