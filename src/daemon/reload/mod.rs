//! `egret apply` and SIGHUP: another configuration for a running lab. It is read and validated as a whole, compared with
//! the one in force, and either put in its place whole or refused whole.

mod commit;
mod flow_ends;
mod reconcile;
mod tasks;

use super::aside::aside;
use super::error::{LabError, left};
use super::needs::Needs;
use super::origin::Origin;
use super::running::Running;
use super::{attach, handover};
use crate::config::changes::changes;
use crate::config::{Diagnostics, Lab, Overlay};
use crate::daemon::startup;
use crate::explain::{Reload, Since, Warning, check_since};
use crate::flow::Instant;
use crate::linux::clock;
use crate::vpc::{Generation, Snapshot};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
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
    /// The text that this one was made from, if it must be the one in force.
    #[serde(default)]
    pub before: Option<String>,
    /// True if the user named the lab, whatever the file calls it.
    #[serde(default)]
    pub keeps_name: bool,
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
    /// Another configuration has come into force since the text was made.
    #[error("the lab's configuration has changed in the meantime: try again")]
    Changed,
    /// The lab is to end.
    #[error("the lab is being taken down")]
    Ending,
    /// A step failed; what was done until then is undone, or is named.
    #[error("{0}; {but}the configuration before is in force again", but = but_for_that(.0))]
    Lab(#[from] LabError),
}

fn but_for_that(error: &LabError) -> &'static str {
    if matches!(error, LabError::NotUndone { .. }) { "but for that, " } else { "" }
}

impl Running {
    /// Applies a configuration, or says what that would do. `say` hears each step that makes something. Warnings are left
    /// to the caller: a check takes its time, and needs no lock.
    ///
    /// # Errors
    /// What is wrong with it, or the step that failed; the configuration before is in force then.
    pub async fn reload(
        &mut self,
        request: &Request,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reload, ReloadError> {
        self.notes.clear();
        if request.before.as_ref().is_some_and(|before| before != self.lab.source()) {
            return Err(ReloadError::Changed);
        }
        let lab = read(self, request)?;
        require_fixed(&self.lab, self.serves_apprunner, &lab)?;
        let changes = changes(&self.lab, &lab);
        let is_same = changes.is_empty() && lab.says_the_same(&self.lab);
        let next = next(self, &lab)?;
        let flows = aside(|| flow_ends::flow_ends(self, &next, &Needs::of(&lab, &next), &lab));
        let (name, is_wanted) = (lab.name.clone(), !request.dry_run);
        if is_wanted && !is_same {
            // A process killed during the change leaves no handover.
            handover::leave_nothing(self)?;
            let applied = apply(self, lab, say).await;
            handover::leave_after(self, applied)?;
        } else if is_wanted && lab.source() != self.lab.source() {
            let moved = commit::move_lines(self, lab);
            handover::leave_after(self, moved)?;
        }
        let (file, dry_run) = (request.file.clone(), request.dry_run);
        let generation = self.snapshot().generation.0;
        Ok(Reload {
            lab: name,
            file,
            dry_run,
            generation,
            applied: is_wanted && !is_same,
            changes,
            flows,
            warnings: Vec::new(),
            warnings_left_out: 0,
            old_warnings: 0,
            notes: self.take_notes(),
            processes: Vec::new(),
        })
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
        self.notes.clear();
        let overlay = with_tasks_by_hand(self, overlay);
        let lab = self.lab.with_overlay(overlay).map_err(ReloadError::Config)?;
        if lab.overlay == self.lab.overlay {
            return Ok(());
        }
        // A process killed during the change leaves no handover.
        handover::leave_nothing(self)?;
        let there = startup::enis(&self.lab);
        let applied = apply(self, lab, say).await;
        self.startup.began(Instant(clock::now()), &there, &self.lab);
        Ok(handover::leave_after(self, applied)?)
    }

    /// Lists the ENIs that the API has ever had made, each with how long it still takes to come up, by the real clock.
    pub fn known_enis(&self) -> Vec<(String, Duration)> {
        self.startup.all(Instant(clock::now()))
    }

    /// Takes over the ENIs that an earlier process knew.
    pub fn remember_enis(&mut self, enis: Vec<(String, Duration)>) {
        self.startup.remember(Instant(clock::now()), enis);
    }

    /// How long the ENIs of a connector still take to come up, by the real clock; nothing where no service uses it.
    pub fn startup(&self, connector: &str) -> Duration {
        self.startup.left(Instant(clock::now()), &self.lab, connector)
    }
}

/// Adds the warnings that a lab has and the one before had not, from a blocking thread. That a check fails is no reason not to
/// apply the lab.
pub(super) async fn warned(
    reload: Reload,
    (before, lab): (Lab, Lab),
    say: &mut (dyn FnMut(&str) + Send),
) -> Reload {
    let checked = tokio::task::spawn_blocking(move || check_since(&lab, &before)).await;
    let Since { new, old_warnings } = checked.unwrap_or_else(|error| {
        say(&format!("the new lab was not checked for warnings: {error}"));
        Since::default()
    });
    let mut new = Diagnostics(new);
    let warnings_left_out = new.listed();
    let warnings = new.iter().map(Warning::from).collect();
    Reload { warnings, warnings_left_out, old_warnings, ..reload }
}

/// With the tasks that are there: which of them need ENIs is the file's to say.
fn with_tasks_by_hand(running: &Running, overlay: Overlay) -> Overlay {
    Overlay { tasks_by_hand: attach::tasks_by_hand(running), ..overlay }
}

/// Reads the lab that a request is for.
///
/// # Errors
/// What is wrong with its text.
pub(super) fn read(running: &Running, request: &Request) -> Result<Lab, ReloadError> {
    let (plan, overlay) =
        (&running.lab.plan, with_tasks_by_hand(running, running.lab.overlay.clone()));
    let lab = Lab::parse_with(Some(plan), &request.file, &request.text, overlay)
        .map_err(ReloadError::Config)?;
    let lab = match request.time_scale {
        Some(scale) => lab.with_time_scale(scale),
        None => lab,
    };
    Ok(if request.keeps_name { lab.with_name(running.lab.name.clone()) } else { lab })
}

/// What everything on the box is named after, or made of once and for all.
pub(super) fn require_fixed(
    own: &Lab,
    serves_apprunner: bool,
    lab: &Lab,
) -> Result<(), ReloadError> {
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
    let region = serves_apprunner.then_some(region);
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
pub(super) async fn apply(
    running: &mut Running,
    lab: Lab,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), LabError> {
    let before = Before::of(running);
    let next = next(running, &lab)?;
    let needs = Needs::of(&lab, &next);
    if let Err(error) = carry_out(running, &lab, next, &needs, say).await {
        return Err(error.and_left(roll_back(running, before).await));
    }
    finish(running, &lab, (&before.needs, &needs)).await;
    Ok(())
}

/// Takes up the lab of a killed run again. After a failure it is half taken up, and all that the killed run had is there.
pub(super) async fn take_up(
    running: &mut Running,
    lab: Lab,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), LabError> {
    let next = next(running, &lab)?;
    let (before, needs) = (running.needs.clone(), Needs::of(&lab, &next));
    carry_out(running, &lab, next, &needs, say).await?;
    finish(running, &lab, (&before, &needs)).await;
    Ok(())
}

/// Ends what a change that was carried out leaves without use.
async fn finish(running: &mut Running, lab: &Lab, (before, needs): (&Needs, &Needs)) {
    flow_ends::end_flows_of_gone(running, before);
    running.engine.forget_addresses(&running.current.load());
    running.file_tasks = tasks::task_counts(lab);
    // From here on nothing depends on what is to go. What cannot be removed is taken down with the lab.
    let tasks = tasks::remove_file_tasks(running, lab).await;
    let rest = left("what nothing needs any more", reconcile::remove(running, needs).await);
    let note = |left| format!("not removed, `egret down` will: {left}");
    running.notes.extend(tasks.into_iter().chain(rest).map(note));
}

async fn carry_out(
    running: &mut Running,
    lab: &Lab,
    next: Snapshot,
    needs: &Needs,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), LabError> {
    reconcile::create(running, lab, &next, needs, say).await?;
    reconcile::update(running, lab.clone(), next, needs).await?;
    let before = running.file_tasks.clone();
    tasks::add_file_tasks(running, &before).await
}

/// Holds what a lab was before a change.
struct Before {
    lab: Lab,
    needs: Needs,
    file_tasks: BTreeMap<String, u16>,
    /// Its tasks, each with where it comes from.
    tasks: BTreeMap<Ipv4Addr, Origin>,
}

impl Before {
    fn of(running: &Running) -> Self {
        Self {
            lab: running.lab.clone(),
            needs: running.needs.clone(),
            file_tasks: running.file_tasks.clone(),
            tasks: tasks::origins(running),
        }
    }
}

/// Undoes what [`carry_out`] did, as far as it came. What fails on the way back stays, and does no harm: nothing
/// leads there. Returns it, and why.
async fn roll_back(running: &mut Running, before: Before) -> Vec<String> {
    let Before { lab, needs, file_tasks, tasks } = before;
    let tasks = tasks::restore_tasks(running, &tasks).await;
    running.file_tasks = file_tasks;
    // Under a number of its own: workers may have judged by the one that failed.
    let updated = match next(running, &lab) {
        Ok(again) => reconcile::update(running, lab, again, &needs).await,
        Err(error) => Err(error),
    };
    let removed = reconcile::remove(running, &needs).await;
    let rest = [left("the configuration before", updated), left("what was new", removed)];
    tasks.into_iter().chain(rest.into_iter().flatten()).collect()
}

/// The configuration of a lab under the next number, with the tasks of now.
fn next(running: &Running, lab: &Lab) -> Result<Snapshot, LabError> {
    let generation = Generation(running.snapshot().generation.0.saturating_add(1));
    tasks::with_own_tasks(running, lab.lower(generation))
}

fn seconds(lab: &Lab) -> String {
    format!("{:?}", lab.offload_grace)
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_default()
}
