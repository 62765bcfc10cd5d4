//! Adds and removes tasks while the lab runs: a namespace, a link, an address, an ENI. Other tasks
//! are not affected. A task's namespace may be another program's, such as a container's.

use super::attach::Home;
use super::attachment::Attachment;
use super::error::{LabError, left};
use super::foreign::{AttachError, Attachable, require_free};
use super::origin::{Maker, Origin};
use super::running::Running;
use super::{attach, attached, handover, reload};
use crate::config::Overlay;
use crate::linux::Identity;
use crate::linux::netns;
use crate::vpc::{ServiceIx, ServiceKind, Task};
use std::collections::{BTreeMap, BTreeSet};

impl Running {
    /// Returns the task `number` of a service, and makes it if it does not exist.
    ///
    /// # Errors
    /// No such service, or the step that failed.
    pub async fn ensure_task(
        &mut self,
        service: &str,
        number: u16,
        maker: Maker,
    ) -> Result<Task, LabError> {
        attach::service(self, service)?;
        let Some(found) = attach::find(self, service, number) else {
            let task = add_by_hand(self, service, number, maker, Home::Own).await?;
            if maker == Maker::Exec {
                self.notes.push(format!(
                    "made task {service}/{number}, which did not exist; `egret task remove {service}/{number}` removes it"
                ));
            }
            return Ok(task);
        };
        let task = self.snapshot().task(found.address).copied();
        task.ok_or_else(|| LabError::HalfRemoved { service: service.to_owned(), number })
    }

    /// Makes one more task, with the lowest free number.
    ///
    /// # Errors
    /// No such service, or the step that failed.
    pub async fn add_task(&mut self, service: &str, maker: Maker) -> Result<Task, LabError> {
        let number = free_number(self, service)?;
        add_by_hand(self, service, number, maker, Home::Own).await
    }

    /// Makes a task of a namespace that another program made. One that is this service's already
    /// stays as it is.
    ///
    /// # Errors
    /// No such service, a namespace that cannot be attached, or the step that failed.
    pub(super) async fn add_foreign_task(
        &mut self,
        service: &str,
        number: Option<u16>,
        attachable: Attachable,
    ) -> Result<Task, LabError> {
        attach::service(self, service)?;
        let identity = attachable.identity()?;
        if let Some(task) = attached_already(self, service, number, &attachable, identity)? {
            return Ok(task);
        }
        require_free(identity)?;
        let number = match number {
            Some(number) if attach::find(self, service, number).is_some() => {
                return Err(AttachError::TaskTaken { service: service.to_owned(), number }.into());
            }
            Some(number) => number,
            None => free_number(self, service)?,
        };
        add_by_hand(self, service, number, Maker::Attach, Home::Foreign(attachable)).await
    }

    /// Takes a task down: its link, its namespace, its flows, and the ENI that was its own. Every
    /// step is taken, even if an earlier one fails; after a failure the task is still listed, and
    /// can be removed again.
    ///
    /// # Errors
    /// No such task, or the first step that failed.
    pub async fn remove_task(&mut self, service: &str, number: u16) -> Result<(), LabError> {
        let task = attach::find(self, service, number).map(|task| task.address);
        // A task that could not be removed stays listed even if its service is removed.
        let Some(address) = task else {
            attach::service(self, service)?;
            return Err(LabError::UnknownTask { service: service.to_owned(), number });
        };
        self.notes.clear();
        // A process killed in between leaves no handover.
        handover::leave_nothing(self)?;
        attach::take_down(self, address).await?;
        if let Err(error) = keep_enis_of_tasks(self).await {
            self.notes.push(format!("the ENI of {service}/{number} is not removed: {error}"));
        }
        attached::record(self);
        handover::leave_after(self, Ok(()))
    }
}

/// Makes a task that no lab file asks for, with an ENI of its own where it needs one. A service
/// that App Runner does not run gets none.
async fn add_by_hand(
    running: &mut Running,
    service: &str,
    number: u16,
    maker: Maker,
    home: Home,
) -> Result<Task, LabError> {
    if let Some(error) = running.at_rest(service) {
        return Err(error);
    }
    running.notes.clear();
    let ix = attach::service(running, service)?;
    let task = match require_eni(running, service, ix, number).await {
        Ok(()) => attach::add(running, ix, number, Origin::Command(maker), home).await,
        Err(error) => Err(error),
    };
    let task = match task {
        Ok(task) => Ok(task),
        Err(error) => {
            let kept = keep_enis_of_tasks(running).await;
            Err(error.and_left(left(&format!("the ENI of {service}/{number}"), kept)))
        }
    };
    attached::record(running);
    handover::leave_after(running, task)
}

/// Returns the task that a namespace is attached as already, if the request asks for just that.
///
/// # Errors
/// It is attached as another one, by another interface, or for another container.
fn attached_already(
    running: &Running,
    service: &str,
    number: Option<u16>,
    attachable: &Attachable,
    identity: Identity,
) -> Result<Option<Task>, LabError> {
    let is_it = |task: &&Attachment| netns::identity_of(&task.namespace) == Some(identity);
    let Some(found) = running.tasks.values().filter(|task| task.is_foreign).find(is_it) else {
        return Ok(None);
    };
    let is_asked = found.service == service
        && number.is_none_or(|number| number == found.number)
        && found.interface == attachable.interface
        && (attachable.container.is_none() || found.container == attachable.container)
        && !found.half_removed;
    let task = running.snapshot().task(found.address).copied().filter(|_| is_asked);
    if task.is_some() {
        return Ok(task);
    }
    let (name, interface) = (format!("{}/{}", found.service, found.number), &found.interface);
    Err(AttachError::Taken {
        holder: format!("task {name}, by {interface}"),
        way_out: format!("`egret task remove {name}` detaches it"),
    }
    .into())
}

fn free_number(running: &Running, service: &str) -> Result<u16, LabError> {
    attach::service(running, service)?;
    let number = (1..=u16::MAX).find(|number| attach::find(running, service, *number).is_none());
    number.ok_or_else(|| LabError::ServiceFull(service.to_owned()))
}

/// Adds the ENI that a Fargate task needs, if it has none: this makes another lab, which is
/// applied.
async fn require_eni(
    running: &mut Running,
    service: &str,
    ix: ServiceIx,
    number: u16,
) -> Result<(), LabError> {
    let snapshot = running.snapshot();
    let is_fargate = snapshot.service(ix).kind == ServiceKind::Fargate;
    if !is_fargate || snapshot.choose_eni(ix, number).is_some() {
        return Ok(());
    }
    let mut tasks = attach::tasks_by_hand(running);
    tasks.entry(service.to_owned()).or_default().insert(number);
    apply_tasks(running, tasks).await
}

/// Removes the ENIs of Fargate tasks that no longer exist.
async fn keep_enis_of_tasks(running: &mut Running) -> Result<(), LabError> {
    apply_tasks(running, attach::tasks_by_hand(running)).await
}

async fn apply_tasks(
    running: &mut Running,
    tasks_by_hand: BTreeMap<String, BTreeSet<u16>>,
) -> Result<(), LabError> {
    let overlay = Overlay { tasks_by_hand, ..running.lab.overlay.clone() };
    let lab = running.lab.with_overlay(overlay).map_err(LabError::Config)?;
    if lab.overlay == running.lab.overlay {
        return Ok(());
    }
    // A process killed during the change leaves no handover.
    handover::leave_nothing(running)?;
    reload::apply(running, lab, &mut |_| {}).await
}
