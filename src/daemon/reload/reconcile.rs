//! Brings the box from its present state to what a configuration needs there, in an order that
//! never lets a packet around a verdict:
//!
//! 1. [`create`] creates the new parts: namespaces, links, addresses, listeners, TUN devices and
//!    their workers, which drop everything until the configuration has them.
//! 2. [`update`] closes every delivery that will change, and those of new prefixes, whose addresses
//!    a shorter prefix has until then. It commits the configuration, waits until no worker is in a
//!    batch under the old one, and only then opens the new deliveries. The changes inside the
//!    tasks' own namespaces come last.
//! 3. [`remove`] removes the parts that nothing needs any more.
//!
//! Parts that both configurations have are not touched. A delivery that stays the same stays open
//! throughout: a packet judged before the change may leave by it afterwards, from an address that
//! is still the lab's (`refusal` in `steer.bpf.c`).

use super::commit::commit;
use super::{listening, tasks};
use crate::config::{DeviceKind, Lab};
use crate::daemon::error::{LabError, left};
use crate::daemon::foreign::AttachError;
use crate::daemon::judge::EngineJudge;
use crate::daemon::namespace::{Incoming, Namespace, attach_origin, far_of};
use crate::daemon::needs::{DeliveryNeeds, NamespaceId, NamespaceNeeds, Needs};
use crate::daemon::running::Running;
use crate::linux::link::{Delivery, Far, LinkError, Links, link_space, readdress};
use crate::linux::tun;
use crate::linux::worker::Worker;
use crate::pipeline::DeviceId;
use crate::vpc::{Snapshot, Space};
use ipnetwork::Ipv4Network;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Creates what does not exist yet. Nothing leads to it, so no packet notices.
pub(super) async fn create(
    running: &mut Running,
    lab: &Lab,
    next: &Snapshot,
    needs: &Needs,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), LabError> {
    for (id, namespace) in &needs.namespaces {
        if running.namespaces.contains_key(id) {
            extend_namespace(running, id, namespace).await?;
        } else {
            make_namespace(running, id, namespace).await?;
            match id {
                NamespaceId::Internet | NamespaceId::Services => {}
                NamespaceId::Vpc(vpc) => say(&format!("VPC {vpc} in namespace {}", namespace.name)),
                NamespaceId::Resource(name) => {
                    say(&format!("resource {name} in namespace {}", namespace.name));
                }
                NamespaceId::GatewayEndpoint(endpoint) => {
                    say(&format!("VPC endpoint {endpoint} in namespace {}", namespace.name));
                }
            }
        }
    }
    running.services.follow(next).await?;
    let mut new = 0;
    for (id, device) in &needs.devices {
        match running.workers.get(id) {
            Some(_) => widen(running, id, device.mtu).await?,
            None => {
                make_device(running, lab, id, &device.name, device.mtu)?;
                new += 1;
            }
        }
    }
    if new > 0 {
        say(&format!("{new} TUN devices, {} each", workers(lab.spec.queues)));
    }
    Ok(())
}

/// Commits a configuration, between closing and opening the deliveries that it changes. `snapshot`
/// has all tasks that it has a place for.
pub(super) async fn update(
    running: &mut Running,
    lab: Lab,
    snapshot: Snapshot,
    needs: &Needs,
) -> Result<(), LabError> {
    withdraw(running, needs)?;
    let before = running.snapshot();
    commit(running, lab, snapshot, needs)?;
    tasks::attach_tasks_again(running)?;
    running.quiesce().await?;
    running.keep_earlier_drops(&before);
    open(running, needs)?;
    listening::replace(running, needs).await?;
    // As little as possible is closed in between: nothing waits for this.
    tasks::refit_tasks(running).await
}

/// Removes what no configuration needs. Every step is taken, even if an earlier one fails; the
/// first failure is returned.
pub(super) async fn remove(running: &mut Running, needs: &Needs) -> Result<(), LabError> {
    let removed: Vec<DeviceId> =
        running.workers.keys().filter(|id| !needs.devices.contains_key(*id)).cloned().collect();
    let mut first = Ok(());
    for id in removed {
        first = first.and(remove_device(running, &id).await);
    }
    for (id, device) in &needs.devices {
        first = first.and(narrow(running, id, device.mtu).await);
    }
    let namespaces: Vec<NamespaceId> = running.namespaces.keys().cloned().collect();
    for id in namespaces {
        first = first.and(match needs.namespaces.get(&id) {
            None => remove_namespace(running, &id).await,
            Some(namespace) => trim_namespace(running, &id, namespace).await,
        });
    }
    first
}

async fn make_namespace(
    running: &mut Running,
    id: &NamespaceId,
    needs: &NamespaceNeeds,
) -> Result<(), LabError> {
    let (near, number) = match id {
        // `Services` make their namespace themselves.
        NamespaceId::Internet | NamespaceId::Services => {
            ("internet".to_owned(), u32::from(needs.space.0))
        }
        NamespaceId::Vpc(_) => {
            let number = u32::from(needs.space.0);
            (format!("vpc-{}", number.saturating_sub(FIRST_VPC)), number)
        }
        NamespaceId::GatewayEndpoint(_) => {
            let number = running.namespaces_made;
            running.namespaces_made += 1;
            (format!("vpce-{number}"), BEYOND_SPACES + number)
        }
        NamespaceId::Resource(_) => {
            let number = running.namespaces_made;
            running.namespaces_made += 1;
            (format!("r-{number}"), BEYOND_SPACES + number)
        }
    };
    let Incoming { netns, interface: far, container } = open_namespace(running, id, &needs.name)?;
    let end = Far { netns: &netns, interface: &far };
    let made = link_space(&running.router, &near, end, number, &needs.addresses, needs.mtu).await;
    let link = match made {
        Ok(link) => link,
        Err(error) => {
            // Removing the namespace removes the link too.
            let removed = running.state.remove_namespace(&needs.name);
            let left = left(&format!("namespace {}", needs.name), removed);
            return Err(LabError::from(error).and_left(left));
        }
    };
    let (addresses, space, mtu) = (needs.addresses.clone(), needs.space, needs.mtu);
    let (listeners, source) = (BTreeMap::new(), source(id, needs));
    let namespace =
        Namespace { netns, near, far, container, link, space, source, mtu, addresses, listeners };
    // If a step fails from here on, the namespace is removed like any that nothing needs.
    let near = namespace.near.clone();
    running.namespaces.insert(id.clone(), namespace);
    attach_origin(&mut running.steer, &near, space, source)?;
    listening::start(running, id, &needs.listens)
}

/// Makes a namespace, or takes the one that is to be attached.
fn open_namespace(
    running: &mut Running,
    id: &NamespaceId,
    name: &str,
) -> Result<Incoming, LabError> {
    match (far_of(id), running.incoming.remove(id)) {
        (Some(far), _) => {
            let (netns, interface) = (running.state.make_namespace(name)?, far.to_owned());
            Ok(Incoming { netns, interface, container: None })
        }
        (None, Some(incoming)) => Ok(incoming),
        (None, None) => Err(AttachError::Nothing.into()),
    }
}

/// Returns the only source address of the packets from a namespace; `None` if they may have any.
fn source(id: &NamespaceId, needs: &NamespaceNeeds) -> Option<Ipv4Addr> {
    match id {
        NamespaceId::Resource(_) => needs.addresses.first().copied(),
        NamespaceId::Internet
        | NamespaceId::Vpc(_)
        | NamespaceId::GatewayEndpoint(_)
        | NamespaceId::Services => None,
    }
}

async fn extend_namespace(
    running: &mut Running,
    id: &NamespaceId,
    needs: &NamespaceNeeds,
) -> Result<(), LabError> {
    let Some(namespace) = running.namespaces.get_mut(id) else { return Ok(()) };
    let have = |address: &&Ipv4Addr| !namespace.addresses.contains(address);
    let more: Vec<Ipv4Addr> = needs.addresses.iter().filter(have).copied().collect();
    if !more.is_empty() {
        let far_links = Links::open(&namespace.netns)?;
        readdress(&far_links, &namespace.far, namespace.link, &more, &[]).await?;
        namespace.addresses.extend(more);
    }
    if needs.mtu > namespace.mtu {
        set_mtu(&running.router, namespace, needs.mtu).await?;
    }
    listening::start(running, id, &needs.listens)
}

async fn trim_namespace(
    running: &mut Running,
    id: &NamespaceId,
    needs: &NamespaceNeeds,
) -> Result<(), LabError> {
    let Some(namespace) = running.namespaces.get_mut(id) else { return Ok(()) };
    namespace.listeners.retain(|endpoint, _| needs.listens.contains_key(endpoint));
    let unneeded = |address: &&Ipv4Addr| !needs.addresses.contains(address);
    let less: Vec<Ipv4Addr> = namespace.addresses.iter().filter(unneeded).copied().collect();
    if !less.is_empty() {
        let far_links = Links::open(&namespace.netns)?;
        readdress(&far_links, &namespace.far, namespace.link, &[], &less).await?;
        namespace.addresses.retain(|address| !less.contains(address));
    }
    if needs.mtu < namespace.mtu {
        set_mtu(&running.router, namespace, needs.mtu).await?;
    }
    Ok(())
}

async fn remove_namespace(running: &mut Running, id: &NamespaceId) -> Result<(), LabError> {
    let Some(ifindex) = running.namespaces.get(id).map(|namespace| namespace.link.ifindex) else {
        return Ok(());
    };
    let detached = running.steer.detach_space(ifindex);
    let last = detached.as_deref().unwrap_or_default();
    running.keep_drops_at_link(ifindex, None, last).await;
    let Some(namespace) = running.namespaces.remove(id) else { return Ok(()) };
    let unlinked = match running.router.delete(&namespace.near).await {
        Err(LinkError::Missing { .. }) => Ok(()),
        deleted => deleted,
    };
    let removed = running.state.remove_namespace(namespace.netns.name());
    detached?;
    unlinked?;
    Ok(removed?)
}

fn make_device(
    running: &mut Running,
    lab: &Lab,
    id: &DeviceId,
    name: &str,
    mtu: u16,
) -> Result<(), LabError> {
    let kind = kind(lab.device);
    let queues = tun::Device::open_queues(&running.router_netns, name, kind, mtu, lab.spec.queues)?;
    running.steer.attach_tun(name)?;
    let judge = || {
        EngineJudge::new(
            Arc::clone(&running.engine),
            Arc::clone(&running.current),
            running.cache.clone(),
            id.clone(),
        )
    };
    let worker = Worker::spawn(name, queues, judge)
        .map_err(|source| LabError::Worker { device: name.to_owned(), source })?;
    running.workers.insert(id.clone(), worker);
    running.device_mtu.insert(id.clone(), mtu);
    Ok(())
}

async fn remove_device(running: &mut Running, id: &DeviceId) -> Result<(), LabError> {
    let Some(mut worker) = running.workers.remove(id) else { return Ok(()) };
    running.device_mtu.remove(id);
    running.keep_drops_of_device(id, &mut worker).await
}

async fn widen(running: &mut Running, id: &DeviceId, mtu: u16) -> Result<(), LabError> {
    if running.device_mtu.get(id).is_some_and(|now| mtu > *now) {
        set_device_mtu(running, id, mtu).await?;
    }
    Ok(())
}

async fn narrow(running: &mut Running, id: &DeviceId, mtu: u16) -> Result<(), LabError> {
    if running.device_mtu.get(id).is_some_and(|now| mtu < *now) {
        set_device_mtu(running, id, mtu).await?;
    }
    Ok(())
}

async fn set_device_mtu(running: &mut Running, id: &DeviceId, mtu: u16) -> Result<(), LabError> {
    if let Some(worker) = running.workers.get(id) {
        running.router.set_mtu(worker.device().name(), mtu).await?;
        running.device_mtu.insert(id.clone(), mtu);
    }
    Ok(())
}

/// Closes the deliveries that will change, and withdraws the addresses that will have another
/// owner.
fn withdraw(running: &mut Running, needs: &Needs) -> Result<(), LabError> {
    let next = needs.owners();
    let less: Vec<_> = running
        .owned
        .iter()
        .filter(|(place, id)| next.get(place) != Some(id))
        .map(|(place, _)| *place)
        .collect();
    for place in less {
        running.steer.disown(u32::from(place.0.0), place.1)?;
        running.owned.remove(&place);
    }
    let next = needs.public_addresses();
    let less =
        running.public_addresses.iter().filter(|(place, public)| next.get(place) != Some(public));
    for place in less.map(|(place, _)| *place).collect::<Vec<_>>() {
        running.steer.unmap_public(u32::from(place.0.0), place.1)?;
        running.public_addresses.remove(&place);
    }
    let tuns: Vec<(DeviceId, u32)> =
        running.workers.iter().map(|(id, w)| (id.clone(), w.device().ifindex())).collect();
    for (id, tun) in tuns {
        let deliveries = deliveries(running, needs, &id);
        running.steer.close_deliveries(tun, &deliveries)?;
    }
    Ok(())
}

fn open(running: &mut Running, needs: &Needs) -> Result<(), LabError> {
    for (id, namespace) in &needs.namespaces {
        let (space, source) = (namespace.space, source(id, namespace));
        if let Some(built) = running.namespaces.get_mut(id)
            && (built.space, built.source) != (space, source)
        {
            attach_origin(&mut running.steer, &built.near, space, source)?;
            (built.space, built.source) = (space, source);
        }
    }
    for (id, device) in &needs.devices {
        let Some(worker) = running.workers.get(id) else { continue };
        let tun = worker.device().ifindex();
        for &place in &device.owned {
            if running.owned.get(&place) != Some(id) {
                running.steer.own(u32::from(place.0.0), place.1, tun)?;
                running.owned.insert(place, id.clone());
            }
        }
    }
    for (place, public) in needs.public_addresses() {
        if running.public_addresses.get(&place) != Some(&public) {
            running.steer.map_public(u32::from(place.0.0), place.1, public)?;
            running.public_addresses.insert(place, public);
        }
    }
    // Nothing leaves from an address that is not owned yet.
    for id in needs.devices.keys() {
        open_device(running, needs, id)?;
    }
    Ok(())
}

/// Opens the deliveries of a device as the configuration has them.
fn open_device(running: &mut Running, needs: &Needs, id: &DeviceId) -> Result<(), LabError> {
    let Some(worker) = running.workers.get(id) else { return Ok(()) };
    let tun = worker.device().ifindex();
    let deliveries = deliveries(running, needs, id);
    Ok(running.steer.set_deliveries(tun, &deliveries)?)
}

/// Returns the deliveries of a device, for the tc programs.
fn deliveries(running: &Running, needs: &Needs, id: &DeviceId) -> Vec<(Ipv4Network, Delivery)> {
    let Some(device) = needs.devices.get(id) else { return Vec::new() };
    let by = |(prefix, needs): (&Ipv4Network, &DeliveryNeeds)| {
        let link = match &needs.namespace {
            NamespaceId::Services => running.services.link(),
            namespace @ (NamespaceId::Internet
            | NamespaceId::Vpc(_)
            | NamespaceId::Resource(_)
            | NamespaceId::GatewayEndpoint(_)) => running.namespaces.get(namespace)?.link,
        };
        Some((*prefix, Delivery { link, private: needs.private }))
    };
    device.deliveries.iter().filter_map(by).collect()
}

/// The number of address spaces, which have 16 bits: higher numbers are no space.
const BEYOND_SPACES: u32 = 1 << 16;

/// The number of the first VPC's space.
const FIRST_VPC: u32 = Space::nth_vpc(0).0 as u32;

async fn set_mtu(router: &Links, namespace: &mut Namespace, mtu: u16) -> Result<(), LabError> {
    router.set_mtu(&namespace.near, mtu).await?;
    Links::open(&namespace.netns)?.set_mtu(&namespace.far, mtu).await?;
    namespace.mtu = mtu;
    Ok(())
}

fn workers(queues: u16) -> String {
    if queues == 1 { "one worker".to_owned() } else { format!("{queues} workers") }
}

fn kind(kind: DeviceKind) -> tun::DeviceKind {
    match kind {
        DeviceKind::Auto => tun::DeviceKind::Auto,
        DeviceKind::Vnet => tun::DeviceKind::Vnet,
        DeviceKind::Plain => tun::DeviceKind::Plain,
    }
}
