//! The links of tasks: looked at on request, and repaired on request.

use super::attach;
use super::attachment::Attachment;
use super::error::LabError;
use super::running::Running;
use super::{handover, reload};
use crate::explain::{BrokenTask, PsRow};
use crate::linux::link::{Far, LinkError, Links, task_link_name};
use crate::linux::netns::Netns;
use crate::linux::task_link::{lead_to_router, link_task};
use crate::linux::{LinkFault, Remedy, TaskLink};
use crate::vpc::{ServiceIx, Task};
use std::net::Ipv4Addr;

impl Running {
    /// Looks at the links of tasks, and notes in their rows what is broken.
    pub async fn look_at_links(&self, rows: &mut [PsRow]) {
        for row in rows {
            let Some(attachment) = self.tasks.get(&row.address) else { continue };
            if let Some(broken) = broken(&self.router, attachment).await {
                "broken".clone_into(&mut row.state);
                (row.faults, row.way_out) = (broken.faults, Some(broken.way_out));
            }
        }
    }

    /// Lists the tasks of a service whose links are broken, in the order of their numbers.
    pub(super) async fn broken_tasks(
        &self,
        service: ServiceIx,
        is_asked: impl Fn(&Task) -> bool,
    ) -> Vec<BrokenTask> {
        let snapshot = self.snapshot();
        let own = |attachment: &&Attachment| {
            let task = snapshot.task(attachment.address);
            task.is_some_and(|task| task.service == service && is_asked(task))
        };
        let mut asked: Vec<&Attachment> = self.tasks.values().filter(own).collect();
        asked.sort_by_key(|attachment| attachment.number);
        let mut all = Vec::new();
        for attachment in asked {
            all.extend(broken(&self.router, attachment).await);
        }
        all
    }

    /// Restores the link of a task. Programs and connections of the task stay. Returns the
    /// differences that it repaired.
    ///
    /// # Errors
    /// No such task, one that cannot be repaired, or the step that failed.
    pub async fn repair_task(
        &mut self,
        service: &str,
        number: u16,
    ) -> Result<Vec<String>, LabError> {
        attach::service(self, service)?;
        let unknown = || LabError::UnknownTask { service: service.to_owned(), number };
        let address = attach::find(self, service, number).ok_or_else(unknown)?.address;
        let attachment = self.tasks.get(&address).ok_or_else(unknown)?;
        let link = task_link(attachment);
        let faults = link.faults(&self.router).await?;
        match faults.iter().map(LinkFault::remedy).max() {
            None => return Ok(Vec::new()),
            Some(Remedy::Settings) => link.restore(&self.router).await?,
            Some(Remedy::NewLink) => relink(self, address).await?,
            Some(Remedy::Blocked | Remedy::NewTask) => {}
        }
        match self.tasks.get(&address) {
            Some(attachment) => match broken(&self.router, attachment).await {
                Some(BrokenTask { task, faults, way_out }) => {
                    Err(LabError::StaysBroken { task, faults, way_out })
                }
                None => Ok(faults.iter().map(ToString::to_string).collect()),
            },
            None => Err(unknown()),
        }
    }
}

fn task_link(attachment: &Attachment) -> TaskLink {
    let &Attachment { address, link, mtu, .. } = attachment;
    let (namespace, interface) = (attachment.namespace.clone(), attachment.interface.clone());
    TaskLink { namespace, interface, address, link, mtu }
}

/// Looks at the link of a task; `None` if it is as the lab made it.
async fn broken(router: &Links, attachment: &Attachment) -> Option<BrokenTask> {
    let task = format!("{}/{}", attachment.service, attachment.number);
    match task_link(attachment).faults(router).await {
        Ok(faults) => {
            let repair = faults.iter().map(LinkFault::remedy).max()?;
            let way_out = way_out(repair, &task, attachment);
            Some(BrokenTask {
                task,
                faults: faults.iter().map(ToString::to_string).collect(),
                way_out,
            })
        }
        Err(error) => {
            let way_out = way_out(Remedy::Settings, &task, attachment);
            Some(BrokenTask { task, faults: vec![error.to_string()], way_out })
        }
    }
}

fn way_out(repair: Remedy, task: &str, attachment: &Attachment) -> String {
    let Attachment { namespace, interface, .. } = attachment;
    match repair {
        Remedy::Settings | Remedy::NewLink => format!("`egret task repair {task}` repairs it"),
        Remedy::Blocked => {
            let removed = format!("`ip -n {namespace} link del {interface}`");
            format!("{removed}, then `egret task repair {task}` repairs it")
        }
        Remedy::NewTask if attachment.is_foreign => {
            format!("`egret task remove {task}`, then attach its namespace again")
        }
        Remedy::NewTask => {
            format!("`egret task remove {task}`, then `egret exec {task} -- true` makes a new one")
        }
    }
}

/// Gives a task another link in place of one that was deleted. The configuration is committed again
/// under a new generation: until then the flow cache sends by the old link.
async fn relink(running: &mut Running, address: Ipv4Addr) -> Result<(), LabError> {
    // A process killed in between leaves no handover.
    handover::leave_nothing(running)?;
    let made = replace_link(running, address).await;
    let again = reload::apply(running, running.lab.clone(), &mut |_| {}).await;
    handover::leave_after(running, made.and(again))
}

async fn replace_link(running: &mut Running, address: Ipv4Addr) -> Result<(), LabError> {
    let Some(attachment) = running.tasks.get(&address) else { return Ok(()) };
    let (namespace, mtu) = (attachment.namespace.clone(), attachment.mtu);
    let (interface, device) = (attachment.interface.clone(), attachment.device.clone());
    let (name, before) = (task_link_name(address), attachment.link.ifindex);
    let detached = running.steer.detach_task(before);
    let last = detached.as_deref().unwrap_or_default();
    running.keep_drops_at_link(before, Some(address), last).await;
    detached?;
    match running.router.delete(&name).await {
        Ok(()) | Err(LinkError::Missing { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let netns = Netns::open(&namespace)?;
    let far = Far { netns: &netns, interface: &interface };
    let link = link_task(&running.router, far, address, mtu).await?;
    running.steer.deliver_task(address, link)?;
    let tun = device.and_then(|id| Some(running.workers.get(&id)?.device().ifindex()));
    if let Some(tun) = tun {
        running.steer.attach_task(&name, address, tun)?;
    }
    if let Some(attachment) = running.tasks.get_mut(&address) {
        attachment.link = link;
    }
    Ok(lead_to_router(far, link, address).await?)
}
