//! `egret apply` and SIGHUP: applies another configuration to a running lab. It is read and
//! validated as a whole, compared with the committed one, and either committed whole or refused
//! whole.

mod commit;
mod flow_ends;
mod listening;
mod reconcile;
mod tasks;

use super::aside::aside;
use super::error::{LabError, left};
use super::needs::Needs;
use super::origin::Origin;
use super::running::Running;
use super::{attach, attached, handover};
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

/// The request to apply a configuration.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Request {
    /// The file's name, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Overrides the file's `timeouts.time_scale`, as long as this configuration is committed.
    pub time_scale: Option<f64>,
    /// True to report only what would happen.
    pub dry_run: bool,
    /// The text that this one was made from, if that must be the committed one.
    #[serde(default)]
    pub before: Option<String>,
    /// True if the user named the lab, whatever the file calls it.
    #[serde(default)]
    pub keeps_name: bool,
}

/// The reason why a configuration was not committed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file has errors.
    #[error("{0}")]
    Config(Diagnostics),
    /// A key that is fixed while the lab runs has changed.
    #[error(
        "`{key}` cannot change while the lab is up: it is {before}, and {file} says {after}; take the lab down and bring it up again, or leave `{key}` as it is"
    )]
    Fixed {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
        /// The lab's value.
        before: String,
        /// The file's value.
        after: String,
    },
    /// Another configuration was committed since the text was made.
    #[error("the lab's configuration has changed in the meantime: try again")]
    Changed,
    /// The lab is ending.
    #[error("the lab is being taken down")]
    Ending,
    /// A step failed; the steps before it are rolled back, or the error lists what is left of them.
    #[error("{0}; {but}the lab has its earlier configuration again", but = but_for_that(.0))]
    Lab(#[from] LabError),
}

fn but_for_that(error: &LabError) -> &'static str {
    if matches!(error, LabError::NotUndone { .. }) { "but for that, " } else { "" }
}

impl Running {
    /// Applies a configuration, or reports what that would do. `say` gets a message for each step
    /// that creates something. The caller prints warnings: a check takes its time, and needs no
    /// lock.
    ///
    /// # Errors
    /// The configuration's errors, or the step that failed; the earlier configuration stays
    /// committed then.
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

    /// Commits all that was created through the App Runner API, in place of its earlier objects.
    /// Flows that both allow keep their ports. `say` gets a message for each step that creates
    /// something.
    ///
    /// # Errors
    /// References of the API's objects that the lab file does not have, or the step that failed;
    /// the earlier configuration stays committed then.
    pub async fn set_overlay(
        &mut self,
        overlay: Overlay,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), ReloadError> {
        self.notes.clear();
        let overlay = with_those_by_hand(self, overlay);
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

    /// Lists the ENIs that the API has ever had made, each with how long it still takes to come up,
    /// by the real clock.
    pub fn known_enis(&self) -> Vec<(String, Duration)> {
        self.startup.all(Instant(clock::now()))
    }

    /// Takes over the ENIs that an earlier process knew.
    pub fn remember_enis(&mut self, enis: Vec<(String, Duration)>) {
        self.startup.remember(Instant(clock::now()), enis);
    }

    /// Returns how long the ENIs of a connector still take to come up, by the real clock; zero
    /// where no service uses it.
    pub fn startup(&self, connector: &str) -> Duration {
        self.startup.left(Instant(clock::now()), &self.lab, connector)
    }
}

/// Adds the warnings that a lab has and the earlier one did not have, from a blocking thread. If a
/// check fails, the lab is applied all the same.
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

/// Adds the tasks made by hand and the attached resources to an overlay: the file decides which of
/// them stay.
fn with_those_by_hand(running: &Running, overlay: Overlay) -> Overlay {
    let attached_resources = running.attached_resources();
    Overlay { tasks_by_hand: attach::tasks_by_hand(running), attached_resources, ..overlay }
}

/// Reads the lab of a request.
///
/// # Errors
/// The errors of its text.
pub(super) fn read(running: &Running, request: &Request) -> Result<Lab, ReloadError> {
    let (plan, overlay) =
        (&running.lab.plan, with_those_by_hand(running, running.lab.overlay.clone()));
    let lab = Lab::parse_with(Some(plan), &request.file, &request.text, overlay)
        .map_err(ReloadError::Config)?;
    let lab = match request.time_scale {
        Some(scale) => lab.with_time_scale(scale),
        None => lab,
    };
    Ok(if request.keeps_name { lab.with_name(running.lab.name.clone()) } else { lab })
}

/// Requires that the keys stay the same that everything on the box is named after or made from.
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
        ("access.group", group(own), group(lab)),
    ];
    // ARNs contain the region.
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

/// Returns the group whose members may read; empty without one.
fn group(lab: &Lab) -> String {
    lab.spec.access_group.as_ref().map_or_else(String::new, |group| group.value.clone())
}

/// Turns the running lab into another one; `egret up` also makes the first lab with it, out of
/// nothing. After a failure the lab is rolled back.
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

/// Resumes the lab of a killed run. After a failure it is resumed in part, and all that the killed
/// run had is still there.
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

/// Ends and removes what nothing uses after a change that was carried out.
async fn finish(running: &mut Running, lab: &Lab, (before, needs): (&Needs, &Needs)) {
    flow_ends::end_flows_of_removed(running, before);
    running.engine.forget_addresses(&running.current.load());
    running.file_tasks = tasks::task_counts(lab);
    // From here on nothing depends on what is to be removed. What cannot be removed is taken down
    // with the lab.
    let tasks = tasks::remove_file_tasks(running, lab).await;
    let rest = left("what nothing needs any more", reconcile::remove(running, needs).await);
    attached::record(running);
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

/// A lab before a change.
struct Before {
    lab: Lab,
    needs: Needs,
    file_tasks: BTreeMap<String, u16>,
    /// Its tasks, each with its origin.
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

/// Rolls back what [`carry_out`] did, as far as it came. What cannot be rolled back stays, and does
/// no harm: nothing leads there. Returns those parts, each with the reason.
async fn roll_back(running: &mut Running, before: Before) -> Vec<String> {
    let Before { lab, needs, file_tasks, tasks } = before;
    let tasks = tasks::restore_tasks(running, &tasks).await;
    running.file_tasks = file_tasks;
    // Under a new generation: workers may have judged by the one that failed.
    let updated = match next(running, &lab) {
        Ok(again) => reconcile::update(running, lab, again, &needs).await,
        Err(error) => Err(error),
    };
    let removed = reconcile::remove(running, &needs).await;
    let rest = [left("the configuration before", updated), left("what was new", removed)];
    tasks.into_iter().chain(rest.into_iter().flatten()).collect()
}

/// Lowers a lab under the next generation, with the tasks that exist now.
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
