//! A running lab: namespaces, links, TUN devices, tc programs, workers, listeners; built in order, taken down in reverse.

use super::addresses::Addresses;
use super::history::History;
use super::losses::Losses;
use super::needs::{Needs, SiteId};
use super::reload::Site;
use super::services::Services;
use super::startup::Startup;
use super::state::{StateDir, StateError};
use super::steer_drops::SteerDrops;
use super::survival::{self, Inheritance};
use super::watch::{Configurations, Subject};
use crate::config::{Diagnostics, Lab, Offload};
use crate::flow::Instant;
use crate::linux::link::{LinkError, Links};
use crate::linux::listen::ListenError;
use crate::linux::netns::{Netns, NetnsError};
use crate::linux::tun::TunError;
use crate::linux::worker::WorkerHandle;
use crate::linux::{FlowCache, Heartbeat, Pins};
use crate::linux::{Steer, SteerError};
use crate::linux::{clock, exec};
use crate::pipeline::{DeviceId, Engine, Place};
use crate::vpc::{Generation, Parts, Snapshot, Space};
use arc_swap::ArcSwap;
use ipnetwork::Ipv4Network;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// How often counters are read that are not the engine's: one call to the kernel for each device.
const COUNTERS: Duration = Duration::from_secs(1);

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
    /// The lab has no room for what is to be made.
    #[error("{0}")]
    Config(Diagnostics),
    /// What the process before has left cannot be turned into this lab.
    #[error("what a killed run left is cleared, as it cannot become this lab: {0}; start it again")]
    Inherited(String),
    /// The thread that waits for the lab's name ended.
    #[error("taking hold of the lab: {0}")]
    Hold(io::Error),
    /// What the next process needs cannot be written down.
    #[error("writing down what the next process needs: {0}")]
    Leave(#[from] io::Error),
    /// No such service.
    #[error("the lab has no service `{name}`; it has {}", list(known))]
    UnknownService {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// App Runner runs nothing of a service of its API.
    #[error(
        "service `{0}` is paused or still starting, so App Runner runs no task of it: resume it, or wait until it is RUNNING"
    )]
    AtRest(String),
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
    pub(super) history: Arc<ArcSwap<History>>,
    /// What the configuration in force needs on the box.
    pub(super) needs: Needs,
    pub(super) steer: Steer,
    /// What carries established flows in the kernel; `None` where offloading is off.
    pub(super) cache: Option<Arc<FlowCache>>,
    /// What lets flows go on without the process, for as long as it has spoken.
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) steer_drops: SteerDrops,
    pub(super) losses: Losses,
    /// When the counters of others than the engine were read last.
    pub(super) counted: Option<Instant>,
    pub(super) router: Links,
    pub(super) router_netns: Netns,
    pub(super) sites: BTreeMap<SiteId, Site>,
    /// How many sites without an address space of their own there were.
    pub(super) sites_made: u32,
    pub(super) workers: BTreeMap<DeviceId, WorkerHandle>,
    pub(super) device_mtu: BTreeMap<DeviceId, u16>,
    /// Who takes packets for which address, as the tc programs have it.
    pub(super) owned: BTreeMap<Place, DeviceId>,
    pub(super) tasks: BTreeMap<Ipv4Addr, super::tasks::Attachment>,
    /// How many tasks of each service the lab file asks for.
    pub(super) file_tasks: BTreeMap<String, u16>,
    pub(super) addresses: Addresses,
    /// Whether App Runner's API is served over it.
    pub(super) serves_apprunner: bool,
    /// Which ENIs of the API are not up yet.
    pub(super) startup: Startup,
    /// What answers at the exempt addresses.
    pub(super) services: Services,
    pub(super) state: StateDir,
}

impl Running {
    /// Builds a lab; `say` hears each step. If a step fails, what was built is taken down again. `time_scale` overrides
    /// the file's. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The step that failed, with the way out where there is one.
    pub async fn start(
        lab: Lab,
        time_scale: Option<f64>,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, LabError> {
        let state = Self::hold(&lab.name).await?;
        Self::start_in(state, lab, time_scale, say).await
    }

    /// Takes hold of a lab's name, for [`Running::start_in`]. A process that had it and was killed is waited for: when this
    /// returns, its listeners are closed too. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StateError::Busy`] when another process has it that is not about to end.
    pub async fn hold(name: &str) -> Result<StateDir, LabError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        let name = name.to_owned();
        let held = tokio::task::spawn_blocking(move || StateDir::hold_after_killed(&name));
        let state = held.await.map_err(|error| LabError::Hold(error.into()))??;
        survival::wait_for_process_before(&state).await;
        Ok(state)
    }

    /// As [`Running::start`], once its name is held.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub async fn start_in(
        mut state: StateDir,
        lab: Lab,
        time_scale: Option<f64>,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, LabError> {
        let lab = match time_scale {
            Some(scale) => lab.with_time_scale(scale),
            None => lab,
        };
        let inheritance = Inheritance::find(&state, &lab).unwrap_or_else(|why| {
            say(&format!("what a killed run left is not gone on with: {why}"));
            None
        });
        if inheritance.is_none() {
            let cleared = state.clear()?;
            if !cleared.is_empty() {
                say(&format!("cleared what a killed run left: {}", cleared.join(", ")));
            }
        }
        let begun = begin(&lab, &state, inheritance.is_some(), say).await;
        let Base { steer, cache, router, router_netns, nothing, current, services } = match begun {
            Ok(base) => base,
            Err(error) => {
                state.release()?;
                return Err(error);
            }
        };
        let mut running = Self {
            engine: Arc::new(engine(&lab, cache.is_some())),
            current,
            services,
            heartbeat: None,
            history: Arc::new(ArcSwap::from_pointee(History::new(nothing))),
            needs: Needs::default(),
            steer,
            cache,
            steer_drops: SteerDrops::default(),
            losses: Losses::default(),
            counted: None,
            router,
            router_netns,
            sites: BTreeMap::new(),
            sites_made: 0,
            workers: BTreeMap::new(),
            device_mtu: BTreeMap::new(),
            owned: BTreeMap::new(),
            tasks: BTreeMap::new(),
            file_tasks: BTreeMap::new(),
            addresses: Addresses::new(lab.task_cidr),
            serves_apprunner: false,
            startup: Startup::default(),
            state,
            lab: lab.clone(),
        };
        let up = match inheritance {
            Some(inheritance) => running.inherit(inheritance, lab, say).await,
            None => running.turn_to(lab, say).await,
        };
        if let Err(error) = up.and_then(|()| running.begin_to_stay()) {
            running.stop()?;
            return Err(error);
        }
        Ok(running)
    }

    /// From here on App Runner's API is served over the lab: what is in ARNs cannot change any more.
    pub fn begin_to_serve_apprunner(&mut self) {
        self.serves_apprunner = true;
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
        let (current, history) = (Arc::clone(&self.current), Arc::clone(&self.history));
        let configurations = Configurations { current, history };
        let (engine, lab) = (Arc::clone(&self.engine), self.lab.name.clone());
        Subject { engine, configurations, lab }
    }

    /// Where the control socket belongs.
    pub fn socket(&self) -> std::path::PathBuf {
        self.state.socket()
    }

    /// Housekeeping, to be called about once a second of the lab's own time: expired flows end. Counters are read once a
    /// second of real time.
    pub async fn tick(&mut self) {
        let now = Instant(clock::now());
        self.engine.sweep(now, &self.current.load());
        for address in self.addresses.tick() {
            self.engine.forget_task(now, &self.current.load(), address);
        }
        if self.counted.is_none_or(|then| now.since(then) >= COUNTERS) {
            self.count_drops(now).await;
        }
    }

    /// Reads what others than the engine have dropped.
    pub(super) async fn count_drops(&mut self, now: Instant) {
        self.counted = Some(now);
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
        // The devices go first, and what the kernel carries without them: from here on no packet crosses.
        self.workers.clear();
        self.heartbeat = None;
        if let Some(cache) = &self.cache {
            // If it is not taken, it goes with the links.
            let _ = cache.use_generation(Generation(0));
        }
        Ok(self.state.release()?)
    }
}

/// What a lab begins with, whatever its configuration.
struct Base {
    steer: Steer,
    cache: Option<Arc<FlowCache>>,
    router: Links,
    router_netns: Netns,
    /// The configuration that has nothing.
    nothing: Arc<Snapshot>,
    current: Arc<ArcSwap<Snapshot>>,
    services: Services,
}

async fn begin(
    lab: &Lab,
    state: &StateDir,
    inherits: bool,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Base, LabError> {
    let namespace = |role: &str| {
        let name = format!("{}-{role}", lab.name);
        Ok::<_, LabError>(if inherits {
            Netns::open(&name)?
        } else {
            state.make_namespace(&name)?
        })
    };
    let router_netns = namespace("router")?;
    let (mut steer, cache) = load(lab, &router_netns, say)?;
    let router = Links::open(&router_netns)?;
    say(&format!("router namespace {}", router_netns.name()));
    let parts = Parts { mtu: lab.spec.mtu, ..Parts::default() };
    // Nothing that was decided before is to be of the generation of a configuration of now.
    let generation = match cache.as_ref().filter(|_| inherits) {
        Some(cache) => cache.generation()?,
        None => Generation(0),
    };
    let nothing = Arc::new(Snapshot::build(generation, parts));
    let current = Arc::new(ArcSwap::new(Arc::clone(&nothing)));
    let services =
        services(namespace("services")?, inherits, &router, &mut steer, &current).await?;
    say(&format!("DNS and the other exempt addresses in namespace {}-services", lab.name));
    Ok(Base { steer, cache, router, router_netns, nothing, current, services })
}

fn engine(lab: &Lab, offloads: bool) -> Engine {
    let engine = Engine::new(random_seed());
    match (offloads, survival::stays(lab)) {
        (false, _) => engine,
        (true, false) => engine.offloading(),
        (true, true) => engine.offloading_at_once(),
    }
}

/// What answers at the exempt addresses.
async fn services(
    netns: Netns,
    is_linked: bool,
    router: &Links,
    steer: &mut Steer,
    current: &Arc<ArcSwap<Snapshot>>,
) -> Result<Services, LabError> {
    let services = Services::start(netns, router, current, is_linked).await?;
    steer.attach_space(Services::NEAR, u32::from(Space::SERVICES.0))?;
    Ok(services)
}

/// The tc programs, with the flow cache where it is wanted and to be had.
fn load(
    lab: &Lab,
    router: &Netns,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(Steer, Option<Arc<FlowCache>>), LabError> {
    if survival::stays(lab) {
        let pins = Pins::prepare(&lab.name).map_err(SteerError::from)?;
        let (steer, cache) = Steer::load_to_stay(router, pins)?;
        return Ok((steer, Some(Arc::new(cache))));
    }
    let caching = || Steer::load_with_cache(router).map(|(s, cache)| (s, Some(Arc::new(cache))));
    Ok(choose(lab.offload, caching, || Ok((Steer::load(router)?, None)), say)?)
}

/// What carries packets: with a flow cache, or without.
fn choose<T>(
    wanted: Offload,
    with: impl FnOnce() -> Result<T, SteerError>,
    without: impl FnOnce() -> Result<T, SteerError>,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<T, SteerError> {
    match wanted {
        Offload::On => with(),
        Offload::Off => without(),
        Offload::Auto => with().or_else(|refused| {
            let found = without()?;
            say(&format!("offload is off, as the kernel does not take the flow cache: {refused}"));
            Ok(found)
        }),
    }
}

/// A seed that nobody outside can guess (RFC 6056): the standard library's hasher keys come from the kernel.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is chosen on a kernel that takes the flow cache or not, and what is said.
    fn chosen(wanted: Offload, takes: bool) -> (Result<&'static str, String>, Vec<String>) {
        let mut said = Vec::new();
        let with = || if takes { Ok("cache") } else { Err(SteerError::NoCache) };
        let found = choose(wanted, with, || Ok("no cache"), &mut |word| said.push(word.to_owned()));
        (found.map_err(|error| error.to_string()), said)
    }

    #[test]
    fn without_a_kernel_for_it_offload_is_off_unless_the_file_insists() {
        assert_eq!(chosen(Offload::Auto, true), (Ok("cache"), vec![]));
        assert_eq!(chosen(Offload::On, true), (Ok("cache"), vec![]));
        for takes in [true, false] {
            assert_eq!(chosen(Offload::Off, takes), (Ok("no cache"), vec![]));
        }
        let refused = SteerError::NoCache.to_string();
        let said = format!("offload is off, as the kernel does not take the flow cache: {refused}");
        assert_eq!(chosen(Offload::Auto, false), (Ok("no cache"), vec![said]));
        assert_eq!(chosen(Offload::On, false), (Err(refused), vec![]));
    }

    #[test]
    fn a_kernel_that_takes_neither_is_no_reason_to_say_that_one_is_off() {
        let mut said = Vec::new();
        let with = || Err::<(), _>(SteerError::NoGrace);
        let found = choose(Offload::Auto, with, || Err(SteerError::NoCache), &mut |word| {
            said.push(word.to_owned());
        });
        assert!(matches!(found, Err(SteerError::NoCache)));
        assert_eq!(said, Vec::<String>::new());
    }
}
