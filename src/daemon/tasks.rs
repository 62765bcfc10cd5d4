//! Tasks come and go while the lab runs: a namespace, a link, an address, an ENI; nobody else notices.

use super::running::{LabError, Running};
use crate::config::Overlay;
use crate::flow::Instant;
use crate::linux::clock;
use crate::linux::link::{Link, LinkError, link_task, task_link_name};
use crate::linux::netns::Netns;
use crate::pipeline::{Device, DeviceId};
use crate::vpc::dns::search_domain;
use crate::vpc::{Egress, ServiceIx, ServiceKind, Snapshot, Space, Task, exempt};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

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

impl Running {
    /// The task `number` of a service, made if it is not there.
    ///
    /// # Errors
    /// No such service, or the step that failed.
    pub async fn ensure_task(&mut self, service: &str, number: u16) -> Result<Task, LabError> {
        let ix = self.service(service)?;
        match self.find(ix, number) {
            Some(task) => Ok(task),
            None => self.add_by_hand(service, number).await,
        }
    }

    /// One task more, with the lowest number that is free.
    ///
    /// # Errors
    /// No such service, or the step that failed.
    pub async fn add_task(&mut self, service: &str) -> Result<Task, LabError> {
        let ix = self.service(service)?;
        let number = (1..=u16::MAX).find(|number| self.find(ix, *number).is_none());
        let number = number.ok_or_else(|| LabError::ServiceFull(service.to_owned()))?;
        self.add_by_hand(service, number).await
    }

    /// Makes a task that no lab file asks for, with an ENI of its own where it needs one. What App Runner does not run has none.
    async fn add_by_hand(&mut self, service: &str, number: u16) -> Result<Task, LabError> {
        let ix = self.service(service)?;
        if self.lab.overlay.is_at_rest(service) {
            return Err(LabError::AtRest(service.to_owned()));
        }
        let task = match self.require_eni(service, ix, number).await {
            Ok(()) => self.add(ix, number, true).await,
            Err(error) => Err(error),
        };
        if task.is_err() {
            // What failed first is what the caller wants to hear.
            let _ = self.keep_enis_of_tasks().await;
        }
        self.leave()?;
        task
    }

    /// Has the ENI made that a Fargate task needs, where there is none: the lab becomes another one.
    async fn require_eni(
        &mut self,
        service: &str,
        ix: ServiceIx,
        number: u16,
    ) -> Result<(), LabError> {
        let snapshot = self.snapshot();
        let is_fargate = snapshot.service(ix).kind == ServiceKind::Fargate;
        if !is_fargate || snapshot.choose_eni(ix, number).is_some() {
            return Ok(());
        }
        let mut tasks = self.tasks_by_hand();
        tasks.entry(service.to_owned()).or_default().insert(number);
        self.turn_to_tasks(tasks).await
    }

    /// Lets the ENIs go of Fargate tasks that are gone.
    async fn keep_enis_of_tasks(&mut self) -> Result<(), LabError> {
        self.turn_to_tasks(self.tasks_by_hand()).await
    }

    /// The tasks that no lab file asks for, by service.
    pub(super) fn tasks_by_hand(&self) -> BTreeMap<String, BTreeSet<u16>> {
        let mut tasks: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        for attachment in self.tasks.values().filter(|attachment| attachment.by_hand) {
            let numbers = tasks.entry(attachment.service.clone()).or_default();
            numbers.insert(attachment.task.number);
        }
        tasks
    }

    async fn turn_to_tasks(
        &mut self,
        tasks_by_hand: BTreeMap<String, BTreeSet<u16>>,
    ) -> Result<(), LabError> {
        let overlay = Overlay { tasks_by_hand, ..self.lab.overlay.clone() };
        let lab = self.lab.with_overlay(overlay).map_err(LabError::Config)?;
        if lab.overlay == self.lab.overlay {
            return Ok(());
        }
        // A process that dies half-way leaves nothing to go on with.
        self.leave_nothing()?;
        self.turn_to(lab, &mut |_| {}).await
    }

    /// Takes a task down: its link, its namespace, its flows. Every step is taken, whatever became of those before;
    /// after a failure the task is still listed, and can be removed again.
    ///
    /// # Errors
    /// No such task, or the first step that failed.
    pub async fn remove_task(&mut self, service: &str, number: u16) -> Result<(), LabError> {
        let ix = self.service(service)?;
        let unknown = || LabError::UnknownTask { service: service.to_owned(), number };
        let task = self.find(ix, number).ok_or_else(unknown)?;
        let attachment = self.tasks.get(&task.address).ok_or_else(unknown)?;
        let (namespace, ifindex) = (attachment.namespace.clone(), attachment.link.ifindex);
        // Nobody is to go on with half a task.
        self.leave_nothing()?;
        self.detach(task.address, &namespace, Some(ifindex)).await?;
        self.tasks.remove(&task.address);
        let kept = self.keep_enis_of_tasks().await;
        self.leave()?;
        kept
    }

    /// Makes a task; `by_hand` says that no lab file asks for it.
    pub(super) async fn add(
        &mut self,
        service: ServiceIx,
        number: u16,
        by_hand: bool,
    ) -> Result<Task, LabError> {
        let snapshot = self.snapshot();
        let device = device_of(&snapshot, service, number);
        let tun = device.and_then(|device| {
            Some(self.workers.get(&DeviceId::of(&snapshot, device))?.device().ifindex())
        });
        let (Some(device), Some(tun)) = (device, tun) else {
            let service = snapshot.service(service).name.clone();
            return Err(LabError::NoDevice { service, number });
        };
        let eni = match device {
            Device::Eni(eni) => Some(eni),
            Device::AppRunner | Device::NatGateway(_) => None,
        };
        let task = Task { service, number, address: self.free_address(&snapshot)?, eni };
        let netns = self.state.make_namespace(&task_namespace(&self.lab.name, &snapshot, &task))?;
        let device = DeviceId::of(&snapshot, device);
        let attached = self.attach(&snapshot, task, by_hand, &netns, device, tun).await;
        if attached.is_err() {
            let link = self.router.ifindex(&task_link_name(task.address)).await.ok();
            // What failed first is what the caller wants to hear.
            let _ = self.detach(task.address, netns.name(), link).await;
        }
        attached.map(|()| task)
    }

    async fn attach(
        &mut self,
        snapshot: &Snapshot,
        task: Task,
        by_hand: bool,
        netns: &Netns,
        device: DeviceId,
        tun: u32,
    ) -> Result<(), LabError> {
        let (namespace, mtu) = (netns.name().to_owned(), snapshot.parts().mtu.task);
        self.write_overlays(snapshot, &namespace, &task)?;
        let link = link_task(&self.router, netns, task.address, mtu).await?;
        self.current.store(Arc::new(snapshot.with_task(task)));
        self.steer.deliver_task(task.address, link)?;
        // Services see the task's own address, and answer it.
        self.steer.own(u32::from(Space::SERVICES.0), task.address, tun)?;
        self.steer.attach_task(&task_link_name(task.address), task.address, tun)?;
        let service = snapshot.service(task.service).name.clone();
        let device = Some(device);
        let attachment = Attachment { task, service, by_hand, namespace, link, device, mtu };
        self.tasks.insert(task.address, attachment);
        Ok(())
    }

    /// The files that programs of a task see in place of those in `/etc`. One that says the same already is not touched.
    pub(super) fn write_overlays(
        &self,
        snapshot: &Snapshot,
        namespace: &str,
        task: &Task,
    ) -> Result<(), LabError> {
        let resolv_conf = resolv_conf(snapshot, &self.lab.spec.region, task);
        self.state.overlay(namespace, "resolv.conf", &resolv_conf)?;
        Ok(self.state.overlay(namespace, "hosts", &hosts(task, namespace))?)
    }

    /// Undoes an attachment, whole or half. What is gone already is fine.
    pub(super) async fn detach(
        &mut self,
        address: Ipv4Addr,
        namespace: &str,
        ifindex: Option<u32>,
    ) -> Result<(), LabError> {
        let steered = match ifindex {
            Some(ifindex) => {
                self.steer_drops.forget(ifindex);
                self.steer.detach_task(ifindex)
            }
            None => Ok(()),
        };
        let withdrawn = self.steer.withdraw_task(address);
        let disowned = self.steer.disown(u32::from(Space::SERVICES.0), address);
        let before = self.snapshot();
        self.current.store(Arc::new(before.without_task(address)));
        // What waited for a worker that has not seen this yet could begin flows again.
        self.quiesce().await;
        self.engine.forget_task(Instant(clock::now()), &before, address);
        self.addresses.give_back(address);
        let unlinked = match self.router.delete(&task_link_name(address)).await {
            Err(LinkError::Missing { .. }) => Ok(()),
            deleted => deleted,
        };
        let removed = self.state.remove_namespace(namespace);
        steered?;
        withdrawn?;
        disowned?;
        unlinked?;
        Ok(removed?)
    }

    pub(super) fn service(&self, name: &str) -> Result<ServiceIx, LabError> {
        let snapshot = self.snapshot();
        let services = &snapshot.parts().services;
        services.iter().position(|s| s.name == name).map(ServiceIx::from).ok_or_else(|| {
            LabError::UnknownService {
                name: name.to_owned(),
                known: services.iter().map(|s| s.name.clone()).collect(),
            }
        })
    }

    pub(super) fn find(&self, service: ServiceIx, number: u16) -> Option<Task> {
        self.tasks.values().map(|a| a.task).find(|t| t.service == service && t.number == number)
    }

    fn free_address(&self, snapshot: &Snapshot) -> Result<Ipv4Addr, LabError> {
        let taken = |address| snapshot.task(address).is_some() || self.tasks.contains_key(&address);
        self.addresses.free(taken).ok_or_else(|| LabError::PoolEmpty {
            pool: self.lab.task_cidr,
            resting: self.addresses.resting(),
        })
    }
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

/// The resolver at the VPC's base plus two, or the link-local one (spec 8).
fn resolv_conf(snapshot: &Snapshot, region: &str, task: &Task) -> String {
    let vpc = task.eni.map(|eni| snapshot.subnet(snapshot.eni(eni).subnet).vpc);
    let resolver = vpc.and_then(|vpc| snapshot.vpc(vpc).resolver()).unwrap_or(exempt::RESOLVER);
    let search = search_domain(region);
    format!("nameserver {resolver}\nsearch {search}\noptions timeout:1 attempts:1\n")
}

/// The task itself and nothing else: every other name is the resolver's to know.
fn hosts(task: &Task, namespace: &str) -> String {
    format!("127.0.0.1 localhost\n{} {namespace}\n", task.address)
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
