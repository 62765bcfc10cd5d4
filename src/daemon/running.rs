//! A running lab: its parts on the box and in the engine.

use super::addresses::Addresses;
use super::attachment::Attachment;
use super::authority::Authority;
use super::error::LabError;
use super::hanging::Hanging;
use super::history::History;
use super::kept_drops::KeptDrops;
use super::link_drops::{LinkDrops, NearEnd};
use super::losses::Losses;
use super::namespace::{Incoming, Namespace};
use super::needs::{NamespaceId, Needs};
use super::services::Services;
use super::startup::Startup;
use super::state::StateDir;
use super::steer_drops::SteerDrops;
use super::subject::{Configurations, Subject};
use crate::config::Lab;
use crate::explain::{ApiService, Resumed};
use crate::flow::Instant;
use crate::linux::link::{Links, task_link_name};
use crate::linux::netns::Netns;
use crate::linux::steer::Steer;
use crate::linux::worker::WorkerHandle;
use crate::linux::{FlowCache, Heartbeat};
use crate::pipeline::{DeviceId, Engine, SpaceAddr};
use crate::vpc::{Generation, Snapshot};
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A running lab.
pub struct Running {
    pub(super) lab: Lab,
    pub(super) engine: Arc<Engine>,
    pub(super) current: Arc<ArcSwap<Snapshot>>,
    pub(super) history: Arc<ArcSwap<History>>,
    /// The needs of the committed configuration on the box.
    pub(super) needs: Needs,
    pub(super) steer: Steer,
    /// The flow cache; `None` where offloading is off.
    pub(super) cache: Option<Arc<FlowCache>>,
    /// Extends the time for which tc carries flows, while the process lives.
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) steer_drops: SteerDrops,
    pub(super) link_drops: LinkDrops,
    pub(super) losses: Losses,
    /// Drops under names that the counters no longer have.
    pub(super) kept_drops: KeptDrops,
    /// The time of the last read of the counters outside the engine.
    pub(super) counted: Option<Instant>,
    pub(super) router: Links,
    pub(super) router_netns: Netns,
    pub(super) namespaces: BTreeMap<NamespaceId, Namespace>,
    /// The number of namespaces that were made or attached for gateway endpoints and resources: it
    /// numbers their veths.
    pub(super) namespaces_made: u32,
    /// The namespaces that the reload in progress is to attach.
    pub(super) incoming: BTreeMap<NamespaceId, Incoming>,
    pub(super) workers: BTreeMap<DeviceId, WorkerHandle>,
    /// The workers that hang.
    pub(super) hanging: Hanging,
    pub(super) device_mtu: BTreeMap<DeviceId, u16>,
    /// The device that takes packets for each address, as the tc programs have it.
    pub(super) owned: BTreeMap<SpaceAddr, DeviceId>,
    /// The private addresses of public endpoints, each with its public one.
    pub(super) public_addresses: BTreeMap<SpaceAddr, Ipv4Addr>,
    pub(super) tasks: BTreeMap<Ipv4Addr, Attachment>,
    /// The number of tasks that the lab file asks for, by service.
    pub(super) file_tasks: BTreeMap<String, u16>,
    pub(super) addresses: Addresses,
    /// True once App Runner's API is served over the lab.
    pub(super) serves_apprunner: bool,
    /// The services of the App Runner API's account.
    pub(super) api_services: Arc<ArcSwap<Vec<ApiService>>>,
    /// The ENIs of the API that are not up yet.
    pub(super) startup: Startup,
    /// The services at the exempt addresses.
    pub(super) services: Services,
    /// The authority that vouches for HTTPS listeners.
    pub(super) authority: Authority,
    pub(super) state: StateDir,
    /// The parts of a killed run that this start has resumed.
    pub(super) resumed: Option<Resumed>,
    /// Notes on the last change, for the client that asked for it.
    pub(super) notes: Vec<String>,
}

impl Running {
    /// Notes that App Runner's API is served over the lab from here on: the parts of ARNs cannot
    /// change any more.
    pub fn begin_to_serve_apprunner(&mut self) {
        self.serves_apprunner = true;
    }

    /// Returns the lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Returns the names of the attached resources.
    pub(super) fn attached_resources(&self) -> BTreeSet<String> {
        self.lab.overlay.attached_resources.clone()
    }

    /// Returns the committed configuration.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Returns the engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes the notes on the last change, such as failures that did not undo it.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Returns the parts of the lab that a watch of its packets needs.
    pub(super) fn subject(&self) -> Subject {
        let (current, history) = (Arc::clone(&self.current), Arc::clone(&self.history));
        let configurations = Configurations { current, history };
        let (engine, lab) = (Arc::clone(&self.engine), self.lab.name.clone());
        Subject { engine, configurations, lab }
    }

    /// Returns the path of the control socket.
    pub fn socket(&self) -> std::path::PathBuf {
        self.state.socket()
    }

    /// Reads the counters of drops outside the engine.
    pub(super) async fn count_drops(&mut self, now: Instant) {
        self.counted = Some(now);
        self.steer_drops.update(now, &self.steer);
        self.count_link_drops(now).await;
        for (device, worker) in &self.workers {
            // A device that no longer exists has no counters.
            let queue = self.router.transmit_drops(worker.device().ifindex()).await.ok();
            self.losses.update(now, device, &worker.stats(), queue);
        }
    }

    /// Reads the kernel's counters of the links of tasks and namespaces, in one request.
    pub(super) async fn count_link_drops(&mut self, now: Instant) {
        // Counters that cannot be read now are read the next time.
        let Ok(counters) = self.router.receive_drops().await else { return };
        let counters: BTreeMap<u32, u64> = counters.into_iter().collect();
        for (ifindex, end) in self.near_ends() {
            if let Some(&packets) = counters.get(&ifindex) {
                self.link_drops.update(now, ifindex, end, packets);
            }
        }
    }

    fn near_ends(&self) -> Vec<(u32, NearEnd)> {
        let of_tasks = self.tasks.values().map(|attachment| {
            let task = Some((attachment.service.clone(), attachment.number));
            let name = task_link_name(attachment.address);
            (attachment.link.ifindex, NearEnd { name, mtu: attachment.mtu, task })
        });
        let of_namespaces = self.namespaces.values().map(|namespace| {
            let (name, mtu) = (namespace.near.clone(), namespace.mtu);
            (namespace.link.ifindex, NearEnd { name, mtu, task: None })
        });
        of_tasks.chain(of_namespaces).collect()
    }

    /// Takes everything down. A lab that is dropped without this is taken down too, but cannot
    /// report a failure.
    ///
    /// # Errors
    /// The first namespace that could not be removed.
    pub fn stop(&mut self) -> Result<(), LabError> {
        // The devices are removed first, and then the flows that the kernel carries without them:
        // from here on no packet crosses.
        WorkerHandle::stop_all(self.workers.values_mut());
        self.workers.clear();
        self.heartbeat = None;
        if let Some(cache) = &self.cache {
            // If this fails, the flows end with the links.
            let _ = cache.use_generation(Generation(0));
        }
        Ok(self.state.release()?)
    }
}
