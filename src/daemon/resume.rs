//! Where `offload_grace` lets flows go on without the process: what it leaves to the next one, which goes on with it.
//!
//! Namespaces and veths stay as they are, and the kernel carries established flows by the verdicts that they have, for
//! the grace and no longer. The next process makes TUN devices, workers and listeners anew, tells its own tc programs all
//! they must know, takes the flows over, and only then puts those programs in place of the old ones, which until then
//! send to devices that are gone. At no moment is a link without a program that checks sources.
//!
//! It goes on under the configuration that was in force, and then turns to its own, as `egret apply` would. If what is
//! there does not fit together, as when the process died in the middle of a change, everything is cleared instead.

use super::attachment::Attachment;
use super::error::LabError;
use super::handover::{AGAIN, Handover, LeftSite, LeftTask, PATIENCE, stays};
use super::needs::Needs;
use super::reload::ReloadError;
use super::running::Running;
use super::site::{Site, far_of};
use super::{handover, reload};
use crate::config::Lab;
use crate::flow::Instant;
use crate::linux::link::find_task;
use crate::linux::netns::Netns;
use crate::linux::{Heartbeat, Link, Mac, clock};
use crate::vpc::{Generation, ServiceIx, Space, Task};
use std::collections::BTreeMap;
use std::time::{Duration, Instant as Time};

/// Lets flows go on without the process from here on, where that is wanted. Where it is not, the programs go with the
/// process, but for one that hangs or was stopped: then the flows end a little later.
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
    handover::leave(running)
}

/// Goes on with what the process before has left, and turns to `lab`.
pub(super) async fn resume(
    running: &mut Running,
    handover: Handover,
    lab: Lab,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), LabError> {
    let Handover { left, lab: before } = handover;
    handover::leave_nothing(running)?;
    running.state.remove_socket()?;
    running.sites_made = left.sites_made;
    running.file_tasks = left.file_tasks;
    for site in left.sites {
        resume_site(running, site)?;
    }
    for task in left.tasks {
        resume_task(running, task).await?;
    }
    wait_for_devices(running, &before).await;
    reload::apply(running, before, say).await?;
    let flows = resume_flows(running)?;
    running.steer.take_over()?;
    say(&format!("went on with what a killed run left: {flows}"));
    let lab = lab.following(&running.lab).map_err(|e| LabError::Inherited(e.to_string()))?;
    let same = lab.source() == running.lab.source() && lab.overlay == running.lab.overlay;
    if !same || lab.time_scale != running.lab.time_scale {
        match reload::require_fixed(running, &lab) {
            Ok(()) => reload::apply(running, lab, say).await?,
            Err(ReloadError::Lab(error)) => return Err(error),
            Err(other) => return Err(LabError::Inherited(other.to_string())),
        }
    }
    Ok(())
}

fn resume_site(running: &mut Running, site: LeftSite) -> Result<(), LabError> {
    let Some(far) = far_of(&site.id) else { return Ok(()) };
    let space = Space(site.space);
    let ifindex = running.steer.attach_space(&site.near, u32::from(space.0))?;
    let [near, other] = site.macs.map(Mac);
    let built = Site {
        netns: Netns::open(&site.namespace)?,
        near: site.near,
        far,
        link: Link { ifindex, near, far: other },
        space,
        mtu: site.mtu,
        addresses: site.addresses,
        listeners: BTreeMap::new(),
    };
    running.sites.insert(site.id, built);
    Ok(())
}

async fn resume_task(running: &mut Running, task: LeftTask) -> Result<(), LabError> {
    let LeftTask { service, number, address, by_hand, namespace, mtu } = task;
    let link = find_task(&running.router, address).await?;
    running.steer.deliver_task(address, link)?;
    // Positions are of the configuration that comes into force next.
    let task = Task { service: ServiceIx(0), number, address, eni: None };
    let attachment = Attachment { task, service, by_hand, namespace, link, device: None, mtu };
    running.tasks.insert(address, attachment);
    Ok(())
}

/// Waits until the devices of the process before are gone: they have the names that its successor's will have.
async fn wait_for_devices(running: &Running, lab: &Lab) {
    let begun = Time::now();
    let names = Needs::of(lab, &lab.lower(Generation(0))).devices;
    for device in names.values() {
        while running.router.ifindex(&device.name).await.is_ok() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// No packet can be judged yet: the links lead to the devices of the process before. What was to be said of flows is
/// returned.
fn resume_flows(running: &Running) -> Result<String, LabError> {
    let Some(cache) = &running.cache else { return Ok(String::new()) };
    let (now, snapshot) = (Instant(clock::now()), running.snapshot());
    let handed_over = cache.take_handed_over()?;
    let all = handed_over.len();
    let adopted = handed_over
        .iter()
        .filter(|s| running.engine.adopt(now, &snapshot, &s.record, s.carried).is_ok())
        .count();
    let lost = match all - adopted {
        0 => String::new(),
        lost => format!(", {lost} lost"),
    };
    let (sites, tasks) = (running.sites.len(), running.tasks.len());
    Ok(format!("{sites} namespaces, {tasks} tasks, {adopted} flows{lost}"))
}

/// How long the kernel carries flows for a process that says nothing any more, where it is not to go on without it.
const HANGING: Duration = Duration::from_secs(3);
