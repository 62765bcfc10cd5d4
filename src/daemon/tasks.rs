//! Tasks come and go while the lab runs: a namespace, a link, an address, an ENI; nobody else notices.

use super::running::{LabError, Running};
use crate::linux::link::{Link, link_task, task_link_name};
use crate::linux::netns::Netns;
use crate::pipeline::Device;
use crate::vpc::{ServiceIx, Snapshot, Task};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A task's place on the box.
pub(super) struct Attachment {
    pub(super) task: Task,
    pub(super) namespace: String,
    pub(super) link: Link,
}

impl Running {
    pub(super) async fn start_tasks(&mut self) -> Result<(), LabError> {
        let services: Vec<(ServiceIx, u16)> = self
            .snapshot()
            .parts()
            .services
            .iter()
            .enumerate()
            .map(|(position, service)| (position.into(), service.tasks))
            .collect();
        for (service, tasks) in services {
            for number in 1..=tasks {
                self.add(service, number).await?;
            }
        }
        Ok(())
    }

    /// The task `number` of a service, made if it is not there.
    ///
    /// # Errors
    /// No such service, or the step that failed.
    pub async fn ensure_task(&mut self, service: &str, number: u16) -> Result<Task, LabError> {
        let ix = self.service(service)?;
        match self.find(ix, number) {
            Some(task) => Ok(task),
            None => self.add(ix, number).await,
        }
    }

    /// One task more, with the lowest number that is free.
    ///
    /// # Errors
    /// No such service, or the step that failed.
    pub async fn add_task(&mut self, service: &str) -> Result<Task, LabError> {
        let ix = self.service(service)?;
        let number =
            (1..=u16::MAX).find(|number| self.find(ix, *number).is_none()).unwrap_or(u16::MAX);
        self.add(ix, number).await
    }

    /// Takes a task down: its link, its namespace, its flows.
    ///
    /// # Errors
    /// No such task, or the step that failed.
    pub async fn remove_task(&mut self, service: &str, number: u16) -> Result<(), LabError> {
        let ix = self.service(service)?;
        let unknown = || LabError::UnknownTask { service: service.to_owned(), number };
        let task = self.find(ix, number).ok_or_else(unknown)?;
        let attachment = self.tasks.remove(&task.address).ok_or_else(unknown)?;
        self.steer.detach_task(attachment.link.ifindex)?;
        self.current.store(Arc::new(self.snapshot().without_task(task.address)));
        self.engine.forget_task(task.address);
        self.router.delete(&task_link_name(task.address)).await?;
        Ok(self.state.remove_namespace(&attachment.namespace)?)
    }

    async fn add(&mut self, service: ServiceIx, number: u16) -> Result<Task, LabError> {
        let snapshot = self.snapshot();
        let address = self.free_address(&snapshot)?;
        let task = Task { service, number, address, eni: snapshot.choose_eni(service, number) };
        let namespace = task_namespace(&self.lab.name, &snapshot, &task);
        let netns = self.state.make_namespace(&namespace)?;
        let made = self.attach(&snapshot, task, &netns).await;
        if made.is_err() {
            // What failed first is what the caller wants to hear.
            let _ = self.state.remove_namespace(&namespace);
        }
        made.map(|()| task)
    }

    async fn attach(
        &mut self,
        snapshot: &Snapshot,
        task: Task,
        netns: &Netns,
    ) -> Result<(), LabError> {
        let namespace = netns.name();
        self.state.overlay(
            namespace,
            "resolv.conf",
            &resolv_conf(snapshot, &self.lab.spec.region, &task),
        )?;
        self.state.overlay(namespace, "hosts", &hosts(snapshot, &task))?;
        let link = link_task(&self.router, netns, task.address, snapshot.parts().mtu.task).await?;
        let device = task.eni.map_or(Device::AppRunner, Device::Eni);
        let tun = self.workers.get(&device).map_or(0, |worker| worker.device().ifindex());
        self.current.store(Arc::new(snapshot.with_task(task)));
        self.steer.deliver_task(task.address, link)?;
        self.steer.attach_task(&task_link_name(task.address), task.address, tun)?;
        self.tasks.insert(task.address, Attachment { task, namespace: namespace.to_owned(), link });
        Ok(())
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
        let pool = self.lab.task_cidr;
        let (first, last) =
            (u32::from(pool.network()).saturating_add(1), u32::from(pool.broadcast()));
        // Tasks are few and packed from the start, so the first gap is near.
        (first..last)
            .map(Ipv4Addr::from)
            .find(|address| snapshot.task(*address).is_none())
            .ok_or(LabError::PoolEmpty(pool))
    }
}

/// The namespace of a task.
pub(super) fn task_namespace(lab: &str, snapshot: &Snapshot, task: &Task) -> String {
    format!("{lab}-{}-{}", snapshot.service(task.service).name, task.number)
}

/// The resolver at the VPC's base plus two, or the link-local one (spec 8).
fn resolv_conf(snapshot: &Snapshot, region: &str, task: &Task) -> String {
    let vpc = task.eni.map(|eni| snapshot.subnet(snapshot.eni(eni).subnet).vpc);
    let resolver = vpc
        .and_then(|vpc| snapshot.vpc(vpc).cidrs.first().copied())
        .map_or(Ipv4Addr::new(169, 254, 169, 253), |cidr| {
            Ipv4Addr::from(u32::from(cidr.network()).wrapping_add(2))
        });
    format!(
        "nameserver {resolver}\nsearch {region}.compute.internal\noptions timeout:1 attempts:1\n"
    )
}

/// The lab's names, so that a task can use them.
fn hosts(snapshot: &Snapshot, task: &Task) -> String {
    let parts = snapshot.parts();
    let vpc = task.eni.map(|eni| snapshot.subnet(snapshot.eni(eni).subnet).vpc);
    let mut text = String::from("127.0.0.1 localhost\n");
    for resource in parts.resources.iter().filter(|r| Some(snapshot.subnet(r.subnet).vpc) == vpc) {
        let _ = writeln!(text, "{} {}", resource.address, resource.name);
    }
    for host in &parts.internet_hosts {
        let _ = writeln!(text, "{} {}", host.address, host.name);
    }
    text
}
