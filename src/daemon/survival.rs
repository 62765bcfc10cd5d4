//! Where `offload_grace` lets flows go on without the process: what it leaves to the next one, which goes on with it.
//!
//! Namespaces and veths stay as they are, and the kernel carries established flows by the verdicts that they have, for
//! the grace and no longer. The next process makes TUN devices, workers and listeners anew, tells its own tc programs all
//! they must know, takes the flows over, and only then puts those programs in place of the old ones, which until then
//! send to devices that are gone. At no moment is a link without a program that checks sources.
//!
//! It goes on under the configuration that was in force, and then turns to its own, as `egret apply` would. If what is
//! there does not fit together, as when the process died in the middle of a change, everything is cleared instead.

use super::needs::{Needs, SiteId};
use super::process;
use super::reload::{ReloadError, Site, far_of};
use super::running::{LabError, Running};
use super::state::StateDir;
use super::tasks::Attachment;
use crate::config::plan::Plan;
use crate::config::{Lab, Offload, Overlay};
use crate::flow::Instant;
use crate::linux::link::find_task;
use crate::linux::netns::{self, Netns};
use crate::linux::{Heartbeat, Link, Mac, Pins, clock};
use crate::vpc::{Generation, ServiceIx, Space, Task};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant as Time};

/// Of the file, and of what is pinned with it.
const FORMAT: u32 = 4;
/// How long the process before may take to be gone altogether.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(5);

/// How long the kernel carries flows for a process that says nothing any more, where it is not to go on without it.
const HANGING: Duration = Duration::from_secs(3);

/// What a process leaves.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Left {
    format: u32,
    file: String,
    text: String,
    /// What the App Runner API added to it.
    overlay: Overlay,
    /// What egret chose, in the course of all reloads.
    plan: Plan,
    time_scale: f64,
    task_cidr: String,
    sites: Vec<LeftSite>,
    sites_made: u32,
    /// How many tasks of each service the file asks for: one that is not there was removed by hand.
    file_tasks: BTreeMap<String, u16>,
    tasks: Vec<LeftTask>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LeftSite {
    id: SiteId,
    namespace: String,
    near: String,
    macs: [[u8; 6]; 2],
    space: u16,
    mtu: u16,
    addresses: Vec<Ipv4Addr>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LeftTask {
    service: String,
    number: u16,
    address: Ipv4Addr,
    by_hand: bool,
    namespace: String,
    mtu: u16,
}

/// What can be gone on with.
pub(super) struct Inheritance {
    left: Left,
    /// The configuration that was in force.
    lab: Lab,
}

impl Inheritance {
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

impl Running {
    /// Notes what the next process needs, where one may go on with it.
    pub(super) fn leave(&self) -> Result<(), LabError> {
        if self.heartbeat.is_none() {
            return Ok(());
        }
        let left = Left {
            format: FORMAT,
            file: self.lab.file.clone(),
            text: self.lab.source().to_owned(),
            overlay: self.lab.overlay.clone(),
            plan: self.lab.plan.clone(),
            time_scale: self.lab.time_scale,
            task_cidr: self.lab.task_cidr.to_string(),
            sites: self.sites.iter().map(|(id, site)| left_site(id, site)).collect(),
            sites_made: self.sites_made,
            file_tasks: self.file_tasks.clone(),
            tasks: self.tasks.values().map(left_task).collect(),
        };
        let text = serde_json::to_string(&left).map_err(std::io::Error::other)?;
        Ok(self.state.leave(Some(&text))?)
    }

    /// Before a change: half of one is nothing to go on with.
    pub(super) fn leave_nothing(&self) -> Result<(), LabError> {
        Ok(self.state.leave(None)?)
    }

    /// Lets flows go on without the process from here on, where that is wanted. Where it is not, the programs go with the
    /// process, but for one that hangs or was stopped: then the flows end a little later.
    pub(super) fn begin_to_stay(&mut self) -> Result<(), LabError> {
        if let Some(cache) = &self.cache {
            let grace = if stays(&self.lab) { self.lab.offload_grace } else { HANGING };
            let heart = Heartbeat::start(std::sync::Arc::clone(cache), grace);
            self.heartbeat = Some(heart.map_err(|source| LabError::Worker {
                device: "the heartbeat".to_owned(),
                source,
            })?);
        }
        self.steer.take_over()?;
        self.leave()
    }

    /// Goes on with what the process before has left, and turns to `lab`.
    pub(super) async fn inherit(
        &mut self,
        inheritance: Inheritance,
        lab: Lab,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), LabError> {
        let Inheritance { left, lab: before } = inheritance;
        self.leave_nothing()?;
        self.state.remove_socket()?;
        self.sites_made = left.sites_made;
        self.file_tasks = left.file_tasks;
        for site in left.sites {
            self.inherit_site(site)?;
        }
        for task in left.tasks {
            self.inherit_task(task).await?;
        }
        self.wait_for_devices(&before).await;
        self.turn_to(before, say).await?;
        let flows = self.inherit_flows()?;
        self.steer.take_over()?;
        say(&format!("went on with what a killed run left: {flows}"));
        let lab = lab.following(&self.lab).map_err(|e| LabError::Inherited(e.to_string()))?;
        let same = lab.source() == self.lab.source() && lab.overlay == self.lab.overlay;
        if !same || lab.time_scale != self.lab.time_scale {
            match self.require_fixed(&lab) {
                Ok(()) => self.turn_to(lab, say).await?,
                Err(ReloadError::Lab(error)) => return Err(error),
                Err(other) => return Err(LabError::Inherited(other.to_string())),
            }
        }
        Ok(())
    }

    fn inherit_site(&mut self, site: LeftSite) -> Result<(), LabError> {
        let Some(far) = far_of(&site.id) else { return Ok(()) };
        let space = Space(site.space);
        let ifindex = self.steer.attach_space(&site.near, u32::from(space.0))?;
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
        self.sites.insert(site.id, built);
        Ok(())
    }

    async fn inherit_task(&mut self, task: LeftTask) -> Result<(), LabError> {
        let LeftTask { service, number, address, by_hand, namespace, mtu } = task;
        let link = find_task(&self.router, address).await?;
        self.steer.deliver_task(address, link)?;
        // Positions are of the configuration that comes into force next.
        let task = Task { service: ServiceIx(0), number, address, eni: None };
        let attachment = Attachment { task, service, by_hand, namespace, link, device: None, mtu };
        self.tasks.insert(address, attachment);
        Ok(())
    }

    /// Waits until the devices of the process before are gone: they have the names that its successor's will have.
    async fn wait_for_devices(&self, lab: &Lab) {
        let begun = Time::now();
        let names = Needs::of(lab, &lab.lower(Generation(0))).devices;
        for device in names.values() {
            while self.router.ifindex(&device.name).await.is_ok() && begun.elapsed() < PATIENCE {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// No packet can be judged yet: the links lead to the devices of the process before. What was to be said of flows is
    /// returned.
    fn inherit_flows(&self) -> Result<String, LabError> {
        let Some(cache) = &self.cache else { return Ok(String::new()) };
        let (now, snapshot) = (Instant(clock::now()), self.snapshot());
        let survivors = cache.take_handed_over()?;
        let all = survivors.len();
        let adopted = survivors
            .iter()
            .filter(|s| self.engine.adopt(now, &snapshot, &s.record, s.carried).is_ok())
            .count();
        let lost = match all - adopted {
            0 => String::new(),
            lost => format!(", {lost} lost"),
        };
        let (sites, tasks) = (self.sites.len(), self.tasks.len());
        Ok(format!("{sites} namespaces, {tasks} tasks, {adopted} flows{lost}"))
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
