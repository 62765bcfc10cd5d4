//! The handover: the committed lab, its namespaces and its tasks, written to the state directory
//! for the process that follows a killed one (`offload_grace`). `resume` reads it.

use super::attachment::Attachment;
use super::error::{LabError, left};
use super::namespace::Namespace;
use super::needs::{NamespaceId, Needs};
use super::origin::Origin;
use super::process;
use super::running::Running;
use super::state::StateDir;
use crate::config::plan::Plan;
use crate::config::{Lab, Offload, Overlay};
use crate::linux::Pins;
use crate::linux::netns;
use crate::linux::pinned_maps::{LAYOUT, require_own_layout};
use crate::vpc::Generation;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant as Time};

/// Writes the handover, if the lab has an `offload_grace`.
fn leave(running: &Running) -> Result<(), LabError> {
    if running.heartbeat.is_none() {
        return Ok(());
    }
    let left = Left {
        format: FORMAT,
        layout: LAYOUT,
        file: running.lab.file.clone(),
        text: running.lab.source().to_owned(),
        overlay: running.lab.overlay.clone(),
        plan: running.lab.plan.clone(),
        time_scale: running.lab.time_scale,
        task_cidr: running.lab.task_cidr.to_string(),
        namespaces: running
            .namespaces
            .iter()
            .map(|(id, namespace)| left_namespace(id, namespace))
            .collect(),
        namespaces_made: running.namespaces_made,
        file_tasks: running.file_tasks.clone(),
        // A task that is removed in part is left out: the list then differs from what exists, and
        // the next process starts afresh.
        tasks: running.tasks.values().filter(|task| !task.half_removed).map(left_task).collect(),
    };
    let text = serde_json::to_string(&left).map_err(std::io::Error::other)?;
    Ok(running.state.leave(Some(&text))?)
}

/// Writes the handover after a change, made or refused. If writing fails, that is a note, or is
/// added to the error: without a handover the next process starts afresh, which is no reason to
/// undo a change.
pub(super) fn leave_after<T>(
    running: &mut Running,
    change: Result<T, LabError>,
) -> Result<T, LabError> {
    let failed =
        left("if this process is killed, the next one cannot resume its flows", leave(running));
    match change {
        Ok(made) => {
            running.notes.extend(failed);
            Ok(made)
        }
        Err(error) => Err(error.and_left(failed)),
    }
}

/// Removes the handover before a change: a process killed during the change leaves none.
pub(super) fn leave_nothing(running: &Running) -> Result<(), LabError> {
    Ok(running.state.leave(None)?)
}

/// The number of the format of [`Left`]; the pinned maps have a number of their own.
const FORMAT: u32 = 7;

/// Limits the wait for the end of the killed process and of its devices.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks at a killed process: the kernel has no event for a process that is
/// not the parent.
pub(super) const AGAIN: Duration = Duration::from_millis(5);

/// The handover's contents.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Left {
    pub(super) format: u32,
    /// The number of the layout of the pinned maps.
    pub(super) layout: u32,
    pub(super) file: String,
    pub(super) text: String,
    /// The additions of the App Runner API to the file.
    pub(super) overlay: Overlay,
    /// The addresses and ids that egret chose, in all reloads.
    pub(super) plan: Plan,
    pub(super) time_scale: f64,
    pub(super) task_cidr: String,
    pub(super) namespaces: Vec<LeftNamespace>,
    pub(super) namespaces_made: u32,
    /// The number of tasks that the file asks for, by service: a missing one was removed by hand.
    pub(super) file_tasks: BTreeMap<String, u16>,
    pub(super) tasks: Vec<LeftTask>,
}

/// A namespace of the lab, with its veth.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LeftNamespace {
    pub(super) id: NamespaceId,
    pub(super) name: String,
    pub(super) near: String,
    pub(super) far: String,
    pub(super) container: Option<String>,
    pub(super) macs: [[u8; 6]; 2],
    pub(super) space: u16,
    pub(super) source: Option<Ipv4Addr>,
    pub(super) mtu: u16,
    pub(super) addresses: Vec<Ipv4Addr>,
}

/// A task of the lab.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LeftTask {
    pub(super) service: String,
    pub(super) number: u16,
    pub(super) address: Ipv4Addr,
    pub(super) origin: Origin,
    pub(super) namespace: String,
    pub(super) interface: String,
    pub(super) is_foreign: bool,
    pub(super) container: Option<String>,
    pub(super) mtu: u16,
}

/// A handover that was found complete.
pub(super) struct Handover {
    pub(super) left: Left,
    /// The handover as it was written, for another attempt.
    pub(super) text: String,
    /// The configuration that the killed process had committed.
    pub(super) lab: Lab,
}

impl Handover {
    /// Reads the handover of a lab; `None` if there is none. The error says why the lab cannot be
    /// resumed.
    pub(super) fn find(state: &StateDir, lab: &Lab) -> Result<Option<Self>, String> {
        if !Pins::exist(&lab.name) {
            return Ok(None);
        }
        let text = state.left().map_err(|error| error.to_string())?;
        let text = text.ok_or("it died in the middle of a change")?;
        let left: Left = serde_json::from_str(&text)
            .ok()
            .filter(|left: &Left| (left.format, left.layout) == (FORMAT, LAYOUT))
            .ok_or("another version of egret left it")?;
        require_own_layout(&lab.name).map_err(|error| error.to_string())?;
        if !stays(lab) {
            return Err("this configuration has no offload_grace".to_owned());
        }
        if left.task_cidr != lab.task_cidr.to_string() {
            return Err(format!("its task_cidr was {}", left.task_cidr));
        }
        let overlay = left.overlay.clone();
        let before = Lab::parse_with(Some(&left.plan), &left.file, &left.text, overlay)
            .map_err(|_| "its configuration is no longer valid")?
            .with_name(lab.name.clone())
            .with_offload(lab.offload)
            .with_time_scale(left.time_scale);
        let found = Self { left, text, lab: before };
        found.require_whole(state)?;
        Ok(Some(found))
    }

    fn require_whole(&self, state: &StateDir) -> Result<(), String> {
        let name = &self.lab.name;
        let listed = state.namespaces().map_err(|error| error.to_string())?;
        let own = [format!("{name}-router"), format!("{name}-services")].into_iter();
        let namespaces = self.left.namespaces.iter().map(|namespace| namespace.name.clone());
        let tasks = self.left.tasks.iter().map(|task| task.namespace.clone());
        let expected: BTreeSet<String> = own.chain(namespaces).chain(tasks).collect();
        if listed.into_iter().collect::<BTreeSet<_>>() != expected {
            return Err("it died in the middle of a change".to_owned());
        }
        if let Some(missing) = expected.iter().find(|name| !netns::exists(name)) {
            return Err(format!("its namespace {missing} does not exist"));
        }
        // Spaces are numbered in the order of VPCs, which a reload may have changed.
        let needs = Needs::of(&self.lab, &self.lab.lower(Generation(0)));
        let spaces = needs.namespaces.iter().map(|(id, namespace)| (id.clone(), namespace.space.0));
        let had =
            self.left.namespaces.iter().map(|namespace| (namespace.id.clone(), namespace.space));
        if spaces.collect::<BTreeMap<_, _>>() != had.collect() {
            return Err("its VPCs have other numbers".to_owned());
        }
        Ok(())
    }
}

/// Returns whether offloaded flows outlive the lab's process.
pub(super) fn stays(lab: &Lab) -> bool {
    !lab.offload_grace.is_zero() && lab.offload != Offload::Off
}

/// Waits until the killed process has ended, and its listeners and devices are closed: the next
/// process needs the same names. The kernel notifies only a parent, so this polls.
pub(super) async fn wait_for_process_before(state: &StateDir) {
    let begun = Time::now();
    let Some(before) = state.process_before() else { return };
    while process::is_ending(before) && begun.elapsed() < PATIENCE {
        tokio::time::sleep(AGAIN).await;
    }
}

fn left_namespace(id: &NamespaceId, namespace: &Namespace) -> LeftNamespace {
    LeftNamespace {
        id: id.clone(),
        name: namespace.netns.name().to_owned(),
        near: namespace.near.clone(),
        far: namespace.far.clone(),
        container: namespace.container.clone(),
        macs: [namespace.link.near.0, namespace.link.far.0],
        space: namespace.space.0,
        source: namespace.source,
        mtu: namespace.mtu,
        addresses: namespace.addresses.clone(),
    }
}

fn left_task(attachment: &Attachment) -> LeftTask {
    LeftTask {
        service: attachment.service.clone(),
        number: attachment.number,
        address: attachment.address,
        origin: attachment.origin,
        namespace: attachment.namespace.clone(),
        interface: attachment.interface.clone(),
        is_foreign: attachment.is_foreign,
        container: attachment.container.clone(),
        mtu: attachment.mtu,
    }
}
