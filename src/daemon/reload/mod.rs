//! `egret apply` and SIGHUP: another configuration for a running lab. It is read and validated as a whole, compared with
//! the one in force, and either put in its place whole or refused whole.

mod fates;
mod reconcile;
mod tasks;

pub(in crate::daemon) use reconcile::{Site, far_of};

use super::history::History;
use super::needs::Needs;
use super::running::{LabError, Running};
use crate::config::changes::changes;
use crate::config::{Diagnostics, Lab, Overlay};
use crate::daemon::startup;
use crate::explain::{Reload, Warning};
use crate::flow::Instant;
use crate::linux::clock;
use crate::vpc::{Generation, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// What is to be put in force.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Request {
    /// The file's name, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Overrides the file's `timeouts.time_scale`, as long as this configuration is in force.
    pub time_scale: Option<f64>,
    /// Whether only to say what would happen.
    pub dry_run: bool,
}

/// Why a configuration was not put in force. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file has errors.
    #[error("{0}")]
    Config(Diagnostics),
    /// A key that a running lab keeps is another one.
    #[error(
        "`{key}` cannot change while the lab is up: it is {before}, and {file} says {after}; take the lab down and bring it up again, or leave `{key}` as it is"
    )]
    Fixed {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
        /// What the lab has.
        before: String,
        /// What the file says.
        after: String,
    },
    /// The lab is to end.
    #[error("the lab is being taken down")]
    Ending,
    /// A step failed; what was done until then is undone.
    #[error("{0}; the configuration before is in force again")]
    Lab(#[from] LabError),
}

impl Running {
    /// Puts a configuration in force, or says what that would do. `say` hears each step that makes something.
    ///
    /// # Errors
    /// What is wrong with it, or the step that failed; the configuration before is in force then.
    pub async fn reload(
        &mut self,
        request: &Request,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reload, ReloadError> {
        let lab = self.read(request)?;
        self.require_fixed(&lab)?;
        let changes = changes(&self.lab, &lab);
        // Lines are named too, so a file of which only they are others comes into force as well.
        let same = changes.is_empty() && lab.source() == self.lab.source();
        let next = self.next(&lab)?;
        let flows = self.fates(&next, &Needs::of(&lab, &next), &lab);
        let (new, old_warnings) = lab.lint_since(&self.lab);
        let warnings = new.iter().map(Warning::from).collect();
        if !request.dry_run && !same {
            // A process that dies half-way leaves nothing to go on with.
            self.leave_nothing()?;
            let turned = self.turn_to(lab, say).await;
            self.leave_or_say(say);
            turned?;
        }
        let (file, dry_run) = (request.file.clone(), request.dry_run);
        let generation = self.snapshot().generation.0;
        Ok(Reload { file, dry_run, generation, changes, flows, warnings, old_warnings })
    }

    /// Puts all that was created through the App Runner API in force, in place of all that was before. Flows that both
    /// allow keep their ports. `say` hears each step that makes something.
    ///
    /// # Errors
    /// What the API's objects miss in the lab file, or the step that failed; what was before is in force then.
    pub async fn set_overlay(
        &mut self,
        overlay: Overlay,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), ReloadError> {
        let overlay = self.with_tasks_by_hand(overlay);
        let lab = self.lab.with_overlay(overlay).map_err(ReloadError::Config)?;
        if lab.overlay == self.lab.overlay {
            return Ok(());
        }
        // A process that dies half-way leaves nothing to go on with.
        self.leave_nothing()?;
        let there = startup::enis(&self.lab);
        let turned = self.turn_to(lab, say).await;
        self.startup.began(Instant(clock::now()), &there, &self.lab);
        self.leave_or_say(say);
        Ok(turned?)
    }

    /// Notes what is in force for a process that may come after. Without it that one begins anew: no reason to undo what is
    /// in force now.
    fn leave_or_say(&self, say: &mut (dyn FnMut(&str) + Send)) {
        if let Err(error) = self.leave() {
            say(&format!(
                "if this process is killed, the next one does not go on with its flows: {error}"
            ));
        }
    }

    /// How long the ENIs of a connector still take to come up, by the real clock; nothing where no service uses it.
    pub fn startup(&self, connector: &str) -> Duration {
        self.startup.left(Instant(clock::now()), &self.lab, connector)
    }

    /// With the tasks that are there: which of them need ENIs is the file's to say.
    fn with_tasks_by_hand(&self, overlay: Overlay) -> Overlay {
        Overlay { tasks_by_hand: self.tasks_by_hand(), ..overlay }
    }

    fn read(&self, request: &Request) -> Result<Lab, ReloadError> {
        let (plan, overlay) = (&self.lab.plan, self.with_tasks_by_hand(self.lab.overlay.clone()));
        let lab = Lab::parse_with(Some(plan), &request.file, &request.text, overlay)
            .map_err(ReloadError::Config)?;
        Ok(match request.time_scale {
            Some(scale) => lab.with_time_scale(scale),
            None => lab,
        })
    }

    /// What everything on the box is named after, or made of once and for all.
    pub(super) fn require_fixed(&self, lab: &Lab) -> Result<(), ReloadError> {
        let own = &self.lab;
        let keys = [
            ("lab", own.name.clone(), lab.name.clone()),
            ("task_cidr", own.task_cidr.to_string(), lab.task_cidr.to_string()),
            ("device", word(own.device), word(lab.device)),
            ("offload", word(own.spec.offload), word(lab.spec.offload)),
            ("offload_grace", seconds(own), seconds(lab)),
            ("queues", word(own.spec.queues), word(lab.spec.queues)),
        ];
        // ARNs have it in them.
        let region = ("region", own.spec.region.clone(), lab.spec.region.clone());
        let region = self.serves_apprunner.then_some(region);
        let api = own.spec.apprunner.api.facts(&lab.spec.apprunner.api);
        let api = api.into_iter().chain(region);
        match keys.into_iter().chain(api).find(|(_, before, after)| before != after) {
            Some((key, before, after)) => {
                Err(ReloadError::Fixed { file: lab.file.clone(), key, before, after })
            }
            None => Ok(()),
        }
    }

    /// Turns the running lab into another one: also how `egret up` makes the first out of nothing. After a failure the
    /// lab is what it was.
    pub(super) async fn turn_to(
        &mut self,
        lab: Lab,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), LabError> {
        let before = (self.lab.clone(), self.needs.clone(), self.file_tasks.clone());
        let tasks: Vec<Ipv4Addr> = self.tasks.keys().copied().collect();
        let next = self.next(&lab)?;
        let needs = Needs::of(&lab, &next);
        if let Err(error) = self.go(&lab, next, &needs, say).await {
            self.go_back(before, &tasks).await;
            return Err(error);
        }
        self.end_flows_of_gone(&before.1);
        self.engine.forget_places(&self.current.load());
        self.file_tasks = tasks::task_counts(&lab);
        // From here on nothing depends on what is to go. What cannot be removed is taken down with the lab.
        let removed = self.remove_file_tasks(&lab).await;
        let shrunk = self.shrink(&needs).await;
        if let Err(error) = removed.and(shrunk) {
            say(&format!("not removed: {error}"));
        }
        Ok(())
    }

    async fn go(
        &mut self,
        lab: &Lab,
        next: Snapshot,
        needs: &Needs,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), LabError> {
        self.grow(lab, &next, needs, say).await?;
        self.switch(lab.clone(), next, needs).await?;
        let before = self.file_tasks.clone();
        self.add_file_tasks(&before).await
    }

    /// Undoes what [`Running::go`] did, as far as it came. What fails on the way back stays, and does no harm: nothing
    /// leads there.
    async fn go_back(
        &mut self,
        (lab, needs, file_tasks): (Lab, Needs, BTreeMap<String, u16>),
        tasks: &[Ipv4Addr],
    ) {
        let _ = self.remove_tasks_but(tasks).await;
        self.file_tasks = file_tasks;
        // Under a number of its own: workers may have judged by the one that failed.
        if let Ok(again) = self.next(&lab) {
            let _ = self.switch(lab, again, &needs).await;
        }
        let _ = self.shrink(&needs).await;
    }

    /// The configuration of a lab under the next number, with the tasks of now.
    fn next(&self, lab: &Lab) -> Result<Snapshot, LabError> {
        let generation = Generation(self.snapshot().generation.0.saturating_add(1));
        self.with_own_tasks(lab.lower(generation))
    }

    pub(super) fn put_in_force(
        &mut self,
        lab: Lab,
        snapshot: Snapshot,
        needs: &Needs,
    ) -> Result<(), LabError> {
        let snapshot = Arc::new(snapshot);
        let mut live = BTreeSet::new();
        self.engine.flows().for_each(|entry| {
            live.insert(entry.flow.admitted_under);
        });
        let mut history = History::clone(&self.history.load());
        history.record(Arc::clone(&snapshot), &live);
        self.history.store(Arc::new(history));
        self.lab = lab;
        self.needs = needs.clone();
        let generation = snapshot.generation;
        self.current.store(snapshot);
        match &self.cache {
            // From here on no packet passes by a verdict of before, but those that are on their way.
            Some(cache) => Ok(cache.use_generation(generation)?),
            None => Ok(()),
        }
    }
}

fn seconds(lab: &Lab) -> String {
    format!("{:?}", lab.offload_grace)
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_default()
}
