//! A running lab: namespaces, links, TUN devices, tc programs, workers, listeners; built in order, taken down in reverse.

use super::addresses::Addresses;
use super::history::History;
use super::judge::EngineJudge;
use super::losses::Losses;
use super::state::{StateDir, StateError};
use super::steer_drops::SteerDrops;
use crate::config::{DeviceKind, Lab};
use crate::flow::{Instant, Space};
use crate::linux::link::{Link, LinkError, Links, link_space};
use crate::linux::listen::{EchoHandle, Endpoint, ListenError, spawn_echo};
use crate::linux::netns::{Netns, NetnsError};
use crate::linux::steer::{Steer, SteerError};
use crate::linux::tun::{self, TunError};
use crate::linux::worker::{Worker, WorkerHandle};
use crate::linux::{clock, exec};
use crate::pipeline::{DeviceId, Engine};
use crate::vpc::{Generation, Snapshot, VpcIx};
use arc_swap::ArcSwap;
use ipnetwork::Ipv4Network;
use std::collections::BTreeMap;
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
    pub(super) history: History,
    pub(super) steer: Steer,
    pub(super) steer_drops: SteerDrops,
    pub(super) losses: Losses,
    pub(super) router: Links,
    pub(super) workers: BTreeMap<DeviceId, WorkerHandle>,
    pub(super) tasks: BTreeMap<Ipv4Addr, super::tasks::Attachment>,
    pub(super) addresses: Addresses,
    _listeners: Vec<EchoHandle>,
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
            Ok(build) => {
                let mut running = build.into_running(state);
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
    ) -> Result<Build, LabError> {
        let snapshot = lab.lower(Generation(1));
        let router = state.make_namespace(&format!("{}-router", lab.name))?;
        let mut build = Build {
            engine: Arc::new(Engine::new(random_seed())),
            steer: Steer::load(&router)?,
            links: Links::open(&router)?,
            workers: BTreeMap::new(),
            listeners: Vec::new(),
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
        build.devices(&snapshot)?;
        say(&format!("{} TUN devices, one worker each", build.workers.len()));
        Ok(build)
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
}

impl Build {
    fn into_running(self, state: StateDir) -> Running {
        let task_cidr = self.lab.task_cidr;
        Running {
            lab: self.lab,
            engine: self.engine,
            history: History::new(self.current.load_full()),
            current: self.current,
            steer: self.steer,
            steer_drops: SteerDrops::default(),
            losses: Losses::default(),
            router: self.links,
            workers: self.workers,
            tasks: BTreeMap::new(),
            addresses: Addresses::new(task_cidr),
            _listeners: self.listeners,
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
        self.deliver_everything(space, link)?;
        for vpc in 0..parts.vpcs.len() {
            self.deliver_everything(u32::from(snapshot.space(vpc.into()).0), link)?;
        }
        let listen =
            parts.internet_hosts.iter().flat_map(|host| endpoints(host.address, &host.listen));
        self.listeners.push(spawn_echo(&netns, &listen.collect::<Vec<_>>())?);
        Ok(())
    }

    /// What no VPC's CIDR holds goes to the internet.
    fn deliver_everything(&mut self, space: u32, link: Link) -> Result<(), LabError> {
        if let Ok(everything) = Ipv4Network::new(Ipv4Addr::UNSPECIFIED, 0) {
            self.steer.deliver_prefix(space, everything, link)?;
        }
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
        for &cidr in &vpc.cidrs {
            self.steer.deliver_prefix(space, cidr, link)?;
        }
        let listen = resources.iter().flat_map(|r| endpoints(r.address, &r.listen));
        self.listeners.push(spawn_echo(&netns, &listen.collect::<Vec<_>>())?);
        Ok(())
    }

    fn devices(&mut self, snapshot: &Snapshot) -> Result<(), LabError> {
        let parts = snapshot.parts();
        for eni in &parts.enis {
            let space = snapshot.space(snapshot.subnet(eni.subnet).vpc);
            let owned = [(space, eni.address)];
            self.device(DeviceId::Eni(eni.id.clone()), &eni.device, space, &owned)?;
        }
        for nat in &parts.nat_gateways {
            let space = snapshot.space(snapshot.subnet(nat.subnet).vpc);
            let private = nat.addresses.iter().map(|own| (space, own.private));
            let public =
                nat.addresses.iter().filter_map(|own| Some((Space::INTERNET, own.public?)));
            let owned: Vec<_> = private.chain(public).collect();
            self.device(DeviceId::NatGateway(nat.id.clone()), &nat.device, space, &owned)?;
        }
        if let Some(address) = parts.apprunner_address {
            let owned = [(Space::INTERNET, address)];
            self.device(DeviceId::AppRunner, "app-runner", Space::INTERNET, &owned)?;
        }
        Ok(())
    }

    fn device(
        &mut self,
        device: DeviceId,
        name: &str,
        space: Space,
        owned: &[(Space, Ipv4Addr)],
    ) -> Result<(), LabError> {
        let mtu = self.current.load().parts().mtu;
        let largest = mtu.task.max(mtu.vpc).max(mtu.internet);
        let tun = tun::Device::open(&self.router, name, kind(self.lab.device), largest)?;
        self.steer.attach_tun(name, u32::from(space.0))?;
        for &(space, address) in owned {
            self.steer.own(u32::from(space.0), address, tun.ifindex())?;
        }
        let judge =
            EngineJudge::new(Arc::clone(&self.engine), Arc::clone(&self.current), device.clone());
        let worker = Worker::spawn(name, tun, judge)
            .map_err(|source| LabError::Worker { device: name.to_owned(), source })?;
        self.workers.insert(device, worker);
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
