//! A running lab: namespaces, links, TUN devices, tc programs, workers, listeners; built in order, taken down in reverse.

use super::addresses::Addresses;
use super::judge::EngineJudge;
use super::losses::Losses;
use super::services::Services;
use super::state::{StateDir, StateError};
use super::steer_drops::SteerDrops;
use super::watch::{Configurations, Subject};
use crate::config::{DeviceKind, Lab};
use crate::flow::{Instant, Space};
use crate::linux::link::{Link, LinkError, Links, link_space};
use crate::linux::listen::{EchoHandle, Endpoint, ListenError, spawn_echo};
use crate::linux::netns::{Netns, NetnsError};
use crate::linux::steer::{Steer, SteerError};
use crate::linux::tun::{self, TunError};
use crate::linux::worker::{Worker, WorkerHandle};
use crate::linux::{clock, exec};
use crate::pipeline::delivery::{deliveries, owned};
use crate::pipeline::{self, Device, DeviceId, Engine};
use crate::vpc::{GatewayEndpointIx, Generation, Snapshot, VpcIx};
use arc_swap::ArcSwap;
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// Why a lab did not come up, or could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Not root.
    #[error(
        "a lab needs root, for network namespaces, TUN devices and tc programs: run it with sudo"
    )]
    NotRoot,
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A TUN device.
    #[error(transparent)]
    Tun(#[from] TunError),
    /// The tc programs.
    #[error(transparent)]
    Steer(#[from] SteerError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A program to be run inside.
    #[error(transparent)]
    Exec(#[from] exec::ExecError),
    /// A worker's thread.
    #[error("starting the worker of {device}: {source}")]
    Worker {
        /// The device.
        device: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// No such service.
    #[error("the lab has no service `{name}`; it has {}", list(known))]
    UnknownService {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// No such task.
    #[error("service `{service}` has no task {number}; `egret ps` lists the tasks")]
    UnknownTask {
        /// The service.
        service: String,
        /// The task.
        number: u16,
    },
    /// A service has as many tasks as there are numbers.
    #[error("service `{0}` has 65535 tasks, and there are no more numbers: remove one first")]
    ServiceFull(String),
    /// No ENI, or no App Runner address, to attach a task to.
    #[error(
        "there is no ENI or address that task {number} of service `{service}` could leave by: give its vpc_connector a subnet, or set egress"
    )]
    NoDevice {
        /// The service.
        service: String,
        /// The task.
        number: u16,
    },
    /// The task pool is used up.
    #[error(
        "the task pool {pool} has no address left: set a larger task_cidr in the lab file{}",
        soon(*resting)
    )]
    PoolEmpty {
        /// The pool.
        pool: Ipv4Network,
        /// How many addresses are not in use, but were a moment ago.
        resting: usize,
    },
}

fn soon(resting: usize) -> String {
    match resting {
        0 => String::new(),
        n => format!(", or try again in a second or two, when {n} will have rested after use"),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A running lab.
pub struct Running {
    pub(super) lab: Lab,
    pub(super) engine: Arc<Engine>,
    pub(super) current: Arc<ArcSwap<Snapshot>>,
    pub(super) steer: Steer,
    pub(super) steer_drops: SteerDrops,
    pub(super) losses: Losses,
    pub(super) router: Links,
    pub(super) workers: BTreeMap<DeviceId, WorkerHandle>,
    pub(super) tasks: BTreeMap<Ipv4Addr, super::tasks::Attachment>,
    pub(super) addresses: Addresses,
    _listeners: Vec<EchoHandle>,
    _services: Services,
    pub(super) state: StateDir,
}

impl Running {
    /// Builds a lab; `say` hears each step. If a step fails, what was built is taken down again. Must be called within
    /// a tokio runtime.
    ///
    /// # Errors
    /// The step that failed, with the way out where there is one.
    pub async fn start(lab: Lab, say: &mut (dyn FnMut(&str) + Send)) -> Result<Self, LabError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        let (mut state, cleared) = StateDir::take(&lab.name, Duration::ZERO)?;
        if !cleared.is_empty() {
            say(&format!("cleared what a killed run left: {}", cleared.join(", ")));
        }
        let built = Self::build(lab, &state, say).await;
        match built {
            Ok((build, services)) => {
                let mut running = build.into_running(services, state);
                if let Err(error) = running.start_tasks().await {
                    running.stop()?;
                    return Err(error);
                }
                Ok(running)
            }
            Err(error) => {
                state.release()?;
                Err(error)
            }
        }
    }

    async fn build(
        lab: Lab,
        state: &StateDir,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(Build, Services), LabError> {
        let snapshot = lab.lower(Generation(1));
        let router = state.make_namespace(&format!("{}-router", lab.name))?;
        let mut build = Build {
            engine: Arc::new(Engine::new(random_seed())),
            steer: Steer::load(&router)?,
            links: Links::open(&router)?,
            workers: BTreeMap::new(),
            listeners: Vec::new(),
            ways: HashMap::new(),
            current: Arc::new(ArcSwap::from_pointee(snapshot.clone())),
            router,
            lab,
        };
        say(&format!("router namespace {}", build.router.name()));
        build.internet(state, &snapshot).await?;
        for (position, vpc) in snapshot.parts().vpcs.iter().enumerate() {
            build.vpc(state, &snapshot, position.into()).await?;
            say(&format!("VPC {} in namespace {}-{}", vpc.id, build.lab.name, vpc.id));
        }
        for position in 0..snapshot.parts().gateway_endpoints.len() {
            build.gateway_endpoint(state, &snapshot, position.into()).await?;
        }
        let services = build.services(state).await?;
        say(&format!(
            "DNS and the other exempt addresses in namespace {}-services",
            build.lab.name
        ));
        build.devices(&snapshot)?;
        say(&format!("{} TUN devices, one worker each", build.workers.len()));
        Ok((build, services))
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is needed to watch its packets, without the lab itself.
    pub(super) fn subject(&self) -> Subject {
        let configurations = Configurations { current: Arc::clone(&self.current) };
        let (engine, lab) = (Arc::clone(&self.engine), self.lab.name.clone());
        Subject { engine, configurations, lab }
    }

    /// Where the control socket belongs.
    pub fn socket(&self) -> std::path::PathBuf {
        self.state.socket()
    }

    /// Housekeeping, to be called about once a second of the lab's own time: expired flows end, counters are read.
    pub async fn tick(&mut self) {
        let now = Instant(clock::now());
        self.engine.sweep(now, &self.current.load());
        for address in self.addresses.tick() {
            self.engine.forget_task(now, &self.current.load(), address);
        }
        self.count_drops(now).await;
    }

    /// Reads what others than the engine have dropped.
    pub(super) async fn count_drops(&mut self, now: Instant) {
        self.steer_drops.update(now, &self.steer);
        for (device, worker) in &self.workers {
            // A device that is gone has nothing more to tell.
            let queue = self.router.transmit_drops(worker.device().ifindex()).await.ok();
            self.losses.update(now, device, &worker.stats(), queue);
        }
    }

    /// Takes everything down. A lab that is dropped without goes as well, but cannot say what failed.
    ///
    /// # Errors
    /// The first namespace that could not be removed.
    pub fn stop(&mut self) -> Result<(), LabError> {
        // The devices go first: from here on no packet crosses.
        self.workers.clear();
        Ok(self.state.release()?)
    }
}

/// A lab that is being built.
struct Build {
    lab: Lab,
    engine: Arc<Engine>,
    current: Arc<ArcSwap<Snapshot>>,
    router: Netns,
    links: Links,
    steer: Steer,
    workers: BTreeMap<DeviceId, WorkerHandle>,
    listeners: Vec<EchoHandle>,
    /// The veths to where packets leave.
    ways: HashMap<pipeline::Link, Link>,
}

/// Address spaces have 16 bits; what is numbered from here on is none.
const GATEWAY_ENDPOINTS: u32 = 1 << 16;

impl Build {
    fn into_running(self, services: Services, state: StateDir) -> Running {
        let task_cidr = self.lab.task_cidr;
        Running {
            lab: self.lab,
            engine: self.engine,
            current: self.current,
            steer: self.steer,
            steer_drops: SteerDrops::default(),
            losses: Losses::default(),
            router: self.links,
            workers: self.workers,
            tasks: BTreeMap::new(),
            addresses: Addresses::new(task_cidr),
            _listeners: self.listeners,
            _services: services,
            state,
        }
    }

    async fn internet(&mut self, state: &StateDir, snapshot: &Snapshot) -> Result<(), LabError> {
        let parts = snapshot.parts();
        let netns = state.make_namespace(&format!("{}-internet", self.lab.name))?;
        let addresses: Vec<_> = parts.internet_hosts.iter().map(|host| host.address).collect();
        let space = u32::from(Space::INTERNET.0);
        let link = link_space(
            &self.links,
            "internet",
            &netns,
            "net0",
            space,
            &addresses,
            parts.mtu.internet,
        )
        .await?;
        self.steer.attach_space("internet", space)?;
        self.ways.insert(pipeline::Link::Internet, link);
        let listen =
            parts.internet_hosts.iter().flat_map(|host| endpoints(host.address, &host.listen));
        self.listeners.push(spawn_echo(&netns, &listen.collect::<Vec<_>>())?);
        Ok(())
    }

    async fn vpc(
        &mut self,
        state: &StateDir,
        snapshot: &Snapshot,
        ix: VpcIx,
    ) -> Result<(), LabError> {
        let parts = snapshot.parts();
        let vpc = snapshot.vpc(ix);
        let netns = state.make_namespace(&format!("{}-{}", self.lab.name, vpc.id))?;
        let resources: Vec<_> =
            parts.resources.iter().filter(|r| snapshot.subnet(r.subnet).vpc == ix).collect();
        let addresses: Vec<_> = resources.iter().map(|r| r.address).collect();
        let space = u32::from(snapshot.space(ix).0);
        let near = format!("vpc-{}", ix.get());
        let link = link_space(&self.links, &near, &netns, "vpc0", space, &addresses, parts.mtu.vpc)
            .await?;
        self.steer.attach_space(&near, space)?;
        self.ways.insert(pipeline::Link::Vpc(ix), link);
        let listen = resources.iter().flat_map(|r| endpoints(r.address, &r.listen));
        self.listeners.push(spawn_echo(&netns, &listen.collect::<Vec<_>>())?);
        Ok(())
    }

    /// What answers at the exempt addresses.
    async fn services(&mut self, state: &StateDir) -> Result<Services, LabError> {
        let netns = state.make_namespace(&format!("{}-services", self.lab.name))?;
        let services = Services::start(netns, &self.links, &self.current).await?;
        self.steer.attach_space(Services::NEAR, u32::from(Space::SERVICES.0))?;
        self.ways.insert(pipeline::Link::Services, services.link());
        Ok(services)
    }

    fn devices(&mut self, snapshot: &Snapshot) -> Result<(), LabError> {
        for device in Device::all(snapshot) {
            let name = match device {
                Device::Eni(ix) => &snapshot.eni(ix).device,
                Device::NatGateway(ix) => &snapshot.nat_gateway(ix).device,
                Device::AppRunner => "app-runner",
            };
            self.device(snapshot, device, name)?;
        }
        Ok(())
    }

    /// What is behind a gateway endpoint: the internet's hosts that have an address of its service. They see the private
    /// addresses of the VPC, so they are not the ones of the internet's namespace, where no private address may appear.
    async fn gateway_endpoint(
        &mut self,
        state: &StateDir,
        snapshot: &Snapshot,
        ix: GatewayEndpointIx,
    ) -> Result<(), LabError> {
        let parts = snapshot.parts();
        let endpoint = snapshot.gateway_endpoint(ix);
        let netns = state.make_namespace(&format!("{}-{}", self.lab.name, endpoint.id))?;
        let entries = &snapshot.prefix_list(endpoint.prefix_list).entries;
        let of_service = |address| entries.iter().any(|entry| entry.contains(address));
        let hosts: Vec<_> =
            parts.internet_hosts.iter().filter(|host| of_service(host.address)).collect();
        let addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
        let near = format!("vpce-{}", ix.get());
        // The veth's addresses are made of this number, and those of a VPC's or the internet's of their spaces.
        let number = GATEWAY_ENDPOINTS + u32::from(ix.0);
        let mtu = parts.mtu.vpc;
        let link = link_space(&self.links, &near, &netns, "vpce0", number, &addresses, mtu).await?;
        self.steer.attach_space(&near, u32::from(snapshot.space(endpoint.vpc).0))?;
        self.ways.insert(pipeline::Link::Endpoint(ix), link);
        let listen = hosts.iter().flat_map(|host| endpoints(host.address, &host.listen));
        self.listeners.push(spawn_echo(&netns, &listen.collect::<Vec<_>>())?);
        Ok(())
    }

    /// What tc must know of a device.
    fn deliveries(&self, snapshot: &Snapshot, device: Device) -> Vec<(Ipv4Network, Link)> {
        let ways = deliveries(snapshot, device);
        ways.into_iter().filter_map(|(p, way)| Some((p, *self.ways.get(&way)?))).collect()
    }

    fn device(&mut self, snapshot: &Snapshot, device: Device, name: &str) -> Result<(), LabError> {
        let mtu = snapshot.parts().mtu;
        let largest = mtu.task.max(mtu.vpc).max(mtu.internet);
        let tun = tun::Device::open(&self.router, name, kind(self.lab.device), largest)?;
        self.steer.attach_tun(name)?;
        self.steer.set_deliveries(tun.ifindex(), &self.deliveries(snapshot, device))?;
        for (space, address) in owned(snapshot, device) {
            self.steer.own(u32::from(space.0), address, tun.ifindex())?;
        }
        let id = DeviceId::of(snapshot, device);
        let judge =
            EngineJudge::new(Arc::clone(&self.engine), Arc::clone(&self.current), id.clone());
        let worker = Worker::spawn(name, tun, judge)
            .map_err(|source| LabError::Worker { device: name.to_owned(), source })?;
        self.workers.insert(id, worker);
        Ok(())
    }
}

fn endpoints(address: Ipv4Addr, listen: &[crate::vpc::Listen]) -> impl Iterator<Item = Endpoint> {
    listen.iter().map(move |l| Endpoint { address, protocol: l.protocol, port: l.port })
}

fn kind(kind: DeviceKind) -> tun::DeviceKind {
    match kind {
        DeviceKind::Auto => tun::DeviceKind::Auto,
        DeviceKind::Vnet => tun::DeviceKind::Vnet,
        DeviceKind::Plain => tun::DeviceKind::Plain,
    }
}

/// A seed that nobody outside can guess (RFC 6056): the standard library's hasher keys come from the kernel.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
