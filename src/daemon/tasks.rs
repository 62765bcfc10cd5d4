//! Tasks come and go while the lab runs: a namespace, a link, an address, an ENI; nobody else notices.

use super::error::LabError;
use super::running::Running;
use crate::config::Overlay;
use crate::vpc::{ServiceIx, ServiceKind, Task};
use std::collections::{BTreeMap, BTreeSet};

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
}
