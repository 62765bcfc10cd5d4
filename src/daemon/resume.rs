//! Resumes the lab of a killed process from its handover (`offload_grace`).
//!
//! Namespaces and veths stay as they are, and tc carries the offloaded flows by their stored
//! verdicts until the grace ends. The next process makes TUN devices, workers and listeners, fills
//! the maps of its own tc programs, adopts the flows, and only then replaces the old programs,
//! which until then send to devices that no longer exist. Every link has a program that checks
//! sources at all times.
//!
//! The next process first commits the configuration of the handover, and then its own, as
//! `egret apply` would. If the handover is not complete, as when the process was killed during a
//! change, `start` clears the lab and starts afresh. If it is complete, but its lab cannot become
//! the new one or a step fails, the lab stays, closed, for another attempt.

use super::attachment::Attachment;
use super::error::LabError;
use super::handover::{AGAIN, Left, LeftNamespace, LeftTask, PATIENCE, stays};
use super::namespace::{Namespace, attach_origin};
use super::needs::Needs;
use super::running::Running;
use super::{handover, lost_flows, reload};
use crate::config::Lab;
use crate::explain::{LostFlow, Resumed};
use crate::flow::Instant;
use crate::linux::netns::Netns;
use crate::linux::pinned_maps::LONG_AGO;
use crate::linux::task_link::find_task;
use crate::linux::{Heartbeat, Link, Mac, clock};
use crate::vpc::{Generation, Space};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant as Time};

/// Starts the heartbeat of the flow cache and writes the handover. Without a grace, the heartbeat
/// ends the flows of a process that hangs or is stopped; the tc programs of a process that ends are
/// removed with it.
pub(super) fn begin_to_stay(running: &mut Running) -> Result<(), LabError> {
    if let Some(cache) = &running.cache {
        let grace = if stays(&running.lab) { running.lab.offload_grace } else { HANGING };
        let heart = Heartbeat::start(std::sync::Arc::clone(cache), grace);
        running.heartbeat =
            Some(heart.map_err(|source| LabError::Worker {
                device: "the heartbeat".to_owned(),
                source,
            })?);
    }
    running.steer.take_over()?;
    handover::leave_after(running, Ok(()))
}

/// Resumes the lab of the handover, and then applies `lab`.
pub(super) async fn resume(
    running: &mut Running,
    (left, before): (Left, Lab),
    lab: Lab,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), LabError> {
    handover::leave_nothing(running)?;
    running.state.remove_socket()?;
    running.namespaces_made = left.namespaces_made;
    running.file_tasks = left.file_tasks;
    for namespace in left.namespaces {
        resume_namespace(running, namespace)?;
    }
    for task in left.tasks {
        resume_task(running, task).await?;
    }
    wait_for_devices(running, &before).await;
    reload::take_up(running, before, say).await?;
    let resumed = resume_flows(running)?;
    running.steer.take_over()?;
    resumed.lines().iter().for_each(|line| say(line));
    running.resumed = Some(resumed);
    let lab = lab.following(&running.lab).map_err(LabError::Config)?;
    let same = lab.source() == running.lab.source() && lab.overlay == running.lab.overlay;
    if !same || lab.time_scale != running.lab.time_scale {
        reload::apply(running, lab, say).await?;
    }
    Ok(())
}

/// Requires that the lab of a killed run can become another one.
///
/// # Errors
/// The difference that prevents it. Nothing was changed.
pub(super) fn require_successor(before: &Lab, lab: &Lab) -> Result<(), String> {
    let lab = lab.following(before).map_err(|errors| errors.to_string())?;
    reload::require_fixed(before, false, &lab).map_err(|error| error.to_string())
}

/// Leaves the lab of a killed run, which could not be resumed, to another attempt: its namespaces
/// and tasks stay, and no packet crosses.
///
/// # Errors
/// The kernel does not end the flows that it carries, or the handover cannot be written again.
pub(super) fn leave_closed(mut running: Running, left: &str) -> Result<(), LabError> {
    // The devices are removed first, and the heartbeat stops before the last change in the kernel.
    running.workers.clear();
    running.heartbeat = None;
    if let Some(cache) = &running.cache {
        cache.use_until(LONG_AGO)?;
    }
    running.state.leave(Some(left))?;
    running.state.let_go();
    Ok(())
}

fn resume_namespace(running: &mut Running, namespace: LeftNamespace) -> Result<(), LabError> {
    let (space, source) = (Space(namespace.space), namespace.source);
    let ifindex = attach_origin(&mut running.steer, &namespace.near, space, source)?;
    let [near, other] = namespace.macs.map(Mac);
    let built = Namespace {
        netns: Netns::open(&namespace.name)?,
        near: namespace.near,
        far: namespace.far,
        container: namespace.container,
        link: Link { ifindex, near, far: other },
        space,
        source,
        mtu: namespace.mtu,
        addresses: namespace.addresses,
        listeners: BTreeMap::new(),
    };
    running.namespaces.insert(namespace.id, built);
    Ok(())
}

async fn resume_task(running: &mut Running, task: LeftTask) -> Result<(), LabError> {
    let link = find_task(&running.router, task.address).await?;
    running.steer.deliver_task(task.address, link)?;
    let attachment = Attachment {
        service: task.service,
        number: task.number,
        address: task.address,
        origin: task.origin,
        namespace: task.namespace,
        interface: task.interface,
        is_foreign: task.is_foreign,
        container: task.container,
        link,
        device: None,
        mtu: task.mtu,
        half_removed: false,
    };
    running.tasks.insert(attachment.address, attachment);
    Ok(())
}

/// Waits until the devices of the killed process no longer exist: the next ones have the same
/// names.
async fn wait_for_devices(running: &Running, lab: &Lab) {
    let begun = Time::now();
    let names = Needs::of(lab, &lab.lower(Generation(0))).devices;
    for device in names.values() {
        while running.router.ifindex(&device.name).await.is_ok() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Adopts the offloaded flows. Returns how many were adopted, and which are lost. No packet is
/// judged in the meantime: the links still lead to the devices of the killed process.
fn resume_flows(running: &Running) -> Result<Resumed, LabError> {
    let (namespaces, tasks) = (running.namespaces.len(), running.tasks.len());
    let mut resumed = Resumed { namespaces, tasks, ..Resumed::default() };
    let Some(cache) = &running.cache else { return Ok(resumed) };
    let (now, snapshot) = (Instant(clock::now()), running.snapshot());
    for over in cache.take_handed_over()? {
        match running.engine.adopt(now, &snapshot, &over.record, over.carried) {
            Ok(()) => resumed.flows += 1,
            Err(denial) => resumed.lost.push(lost_flows::refused(running, &over, denial)),
        }
    }
    let ends = |flow: &LostFlow| (flow.inside.clone(), flow.destination.clone());
    let refused: HashSet<_> = resumed.lost.iter().map(ends).collect();
    let unknown = lost_flows::unknown_connections(running);
    resumed.lost.extend(unknown.into_iter().filter(|flow| !refused.contains(&ends(flow))));
    resumed.lost.sort();
    Ok(resumed)
}

/// Limits how long tc carries flows for a process whose heartbeat has stopped, in a lab without a
/// grace.
const HANGING: Duration = Duration::from_secs(3);
