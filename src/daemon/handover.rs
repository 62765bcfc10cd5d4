//! The handover: the lab in force, its namespaces and its tasks, written down for the process that comes after a killed one
//! (`offload_grace`). `resume` takes it up.

use super::attachment::Attachment;
use super::error::LabError;
use super::needs::{Needs, SiteId};
use super::process;
use super::running::Running;
use super::site::Site;
use super::state::StateDir;
use crate::config::plan::Plan;
use crate::config::{Lab, Offload, Overlay};
use crate::linux::Pins;
use crate::linux::netns;
use crate::vpc::Generation;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant as Time};

/// Notes what the next process needs, where one may go on with it.
pub(super) fn leave(running: &Running) -> Result<(), LabError> {
    if running.heartbeat.is_none() {
        return Ok(());
    }
    let left = Left {
        format: FORMAT,
        file: running.lab.file.clone(),
        text: running.lab.source().to_owned(),
        overlay: running.lab.overlay.clone(),
        plan: running.lab.plan.clone(),
        time_scale: running.lab.time_scale,
        task_cidr: running.lab.task_cidr.to_string(),
        sites: running.sites.iter().map(|(id, site)| left_site(id, site)).collect(),
        sites_made: running.sites_made,
        file_tasks: running.file_tasks.clone(),
        tasks: running.tasks.values().map(left_task).collect(),
    };
    let text = serde_json::to_string(&left).map_err(std::io::Error::other)?;
    Ok(running.state.leave(Some(&text))?)
}

/// Before a change: half of one is nothing to go on with.
pub(super) fn leave_nothing(running: &Running) -> Result<(), LabError> {
    Ok(running.state.leave(None)?)
}

/// Of the file, and of what is pinned with it.
const FORMAT: u32 = 4;

/// How long the process before may take to be gone altogether.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const AGAIN: Duration = Duration::from_millis(5);

/// What a process leaves.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Left {
    pub(super) format: u32,
    pub(super) file: String,
    pub(super) text: String,
    /// What the App Runner API added to it.
    pub(super) overlay: Overlay,
    /// What egret chose, in the course of all reloads.
    pub(super) plan: Plan,
    pub(super) time_scale: f64,
    pub(super) task_cidr: String,
    pub(super) sites: Vec<LeftSite>,
    pub(super) sites_made: u32,
    /// How many tasks of each service the file asks for: one that is not there was removed by hand.
    pub(super) file_tasks: BTreeMap<String, u16>,
    pub(super) tasks: Vec<LeftTask>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LeftSite {
    pub(super) id: SiteId,
    pub(super) namespace: String,
    pub(super) near: String,
    pub(super) macs: [[u8; 6]; 2],
    pub(super) space: u16,
    pub(super) mtu: u16,
    pub(super) addresses: Vec<Ipv4Addr>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LeftTask {
    pub(super) service: String,
    pub(super) number: u16,
    pub(super) address: Ipv4Addr,
    pub(super) by_hand: bool,
    pub(super) namespace: String,
    pub(super) mtu: u16,
}

/// What can be gone on with.
pub(super) struct Handover {
    pub(super) left: Left,
    /// The configuration that was in force.
    pub(super) lab: Lab,
}

impl Handover {
    /// What is there for a lab; `None` if nothing is, or why it cannot be gone on with.
    pub(super) fn find(state: &StateDir, lab: &Lab) -> Result<Option<Self>, String> {
        if !Pins::exist(&lab.name) {
            return Ok(None);
        }
        let text = state.left().map_err(|error| error.to_string())?;
        let text = text.ok_or("it died in the middle of a change")?;
        let left: Left = serde_json::from_str(&text)
            .ok()
            .filter(|left: &Left| left.format == FORMAT)
            .ok_or("another version of egret left it")?;
        if !stays(lab) {
            return Err("this configuration has no offload_grace".to_owned());
        }
        if left.task_cidr != lab.task_cidr.to_string() {
            return Err(format!("its task_cidr was {}", left.task_cidr));
        }
        let overlay = left.overlay.clone();
        let before = Lab::parse_with(Some(&left.plan), &left.file, &left.text, overlay)
            .map_err(|_| "its configuration is no longer valid")?
            .with_offload(lab.offload)
            .with_time_scale(left.time_scale);
        let found = Self { left, lab: before };
        found.require_whole(state)?;
        Ok(Some(found))
    }

    fn require_whole(&self, state: &StateDir) -> Result<(), String> {
        let name = &self.lab.name;
        let listed = state.namespaces().map_err(|error| error.to_string())?;
        let own = [format!("{name}-router"), format!("{name}-services")].into_iter();
        let sites = self.left.sites.iter().map(|site| site.namespace.clone());
        let tasks = self.left.tasks.iter().map(|task| task.namespace.clone());
        let expected: BTreeSet<String> = own.chain(sites).chain(tasks).collect();
        if listed.into_iter().collect::<BTreeSet<_>>() != expected {
            return Err("it died in the middle of a change".to_owned());
        }
        if let Some(gone) = expected.iter().find(|name| !netns::exists(name)) {
            return Err(format!("its namespace {gone} is gone"));
        }
        // Spaces are numbered in the order of VPCs, which a reload may have changed.
        let needs = Needs::of(&self.lab, &self.lab.lower(Generation(0)));
        let spaces = needs.sites.iter().map(|(id, site)| (id.clone(), site.space.0));
        let had = self.left.sites.iter().map(|site| (site.id.clone(), site.space));
        if spaces.collect::<BTreeMap<_, _>>() != had.collect() {
            return Err("its VPCs are numbered otherwise".to_owned());
        }
        Ok(())
    }
}

/// Whether a lab's flows go on without its process.
pub(super) fn stays(lab: &Lab) -> bool {
    !lab.offload_grace.is_zero() && lab.offload != Offload::Off
}

/// Waits until the process before has let go of all that it had: its successor needs the same. The kernel tells nobody but
/// its parent.
pub(super) async fn wait_for_process_before(state: &StateDir) {
    let begun = Time::now();
    let Some(before) = state.process_before() else { return };
    while process::is_ending(before) && begun.elapsed() < PATIENCE {
        tokio::time::sleep(AGAIN).await;
    }
}

fn left_site(id: &SiteId, site: &Site) -> LeftSite {
    LeftSite {
        id: id.clone(),
        namespace: site.netns.name().to_owned(),
        near: site.near.clone(),
        macs: [site.link.near.0, site.link.far.0],
        space: site.space.0,
        mtu: site.mtu,
        addresses: site.addresses.clone(),
    }
}

fn left_task(attachment: &Attachment) -> LeftTask {
    LeftTask {
        service: attachment.service.clone(),
        number: attachment.task.number,
        address: attachment.task.address,
        by_hand: attachment.by_hand,
        namespace: attachment.namespace.clone(),
        mtu: attachment.mtu,
    }
}
