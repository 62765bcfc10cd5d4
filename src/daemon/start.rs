//! Starts a lab: holds its state directory, resumes or clears the lab of a killed run, and builds
//! everything in order.

use super::addresses::Addresses;
use super::authority::Authority;
use super::error::{LabError, left};
use super::handover::{Handover, stays, wait_for_process_before};
use super::hanging::Hanging;
use super::history::History;
use super::kept_drops::KeptDrops;
use super::link_drops::LinkDrops;
use super::losses::Losses;
use super::needs::Needs;
use super::running::Running;
use super::services::Services;
use super::startup::Startup;
use super::state::StateDir;
use super::steer_drops::SteerDrops;
use super::{attached, reattach, reload, resume, state};
use crate::config::{Lab, Offload};
use crate::linux::exec;
use crate::linux::link::Links;
use crate::linux::netns::Netns;
use crate::linux::pinned_maps::end_offloaded_flows;
use crate::linux::{FlowCache, Pins, Steer, SteerError, ipv6};
use crate::pipeline::Engine;
use crate::vpc::{Generation, Parts, Snapshot, Space};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Running {
    /// Builds a lab; `say` gets a message for each step. If a step fails, what was built is taken
    /// down again. `time_scale` overrides the file's. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The step that failed, with a way to fix it where there is one.
    pub async fn start(
        lab: Lab,
        time_scale: Option<f64>,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, LabError> {
        let state = Self::hold(&lab.name).await?;
        Self::start_in(state, lab, time_scale, say).await
    }

    /// Takes hold of a lab's name, for [`Running::start_in`]. Waits for the end of a killed process
    /// that had it: when this returns, its listeners are closed too. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`StateError::Busy`](super::StateError::Busy) if another process has it that is not about to
    /// end.
    pub async fn hold(name: &str) -> Result<StateDir, LabError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        let name = name.to_owned();
        let held = tokio::task::spawn_blocking(move || StateDir::hold_after_killed(&name));
        let state = held.await.map_err(|error| LabError::Hold(error.into()))??.require_room()?;
        wait_for_process_before(&state).await;
        Ok(state)
    }

    /// Builds a lab as [`Running::start`] does, once its name is held.
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
        let handover = Handover::find(&state, &lab).unwrap_or_else(|why| {
            say(&format!("cannot resume the lab of a killed run: {why}; starting afresh"));
            None
        });
        let attached = match handover {
            Some(_) => Vec::new(),
            None => attached::left_attached(&state),
        };
        if handover.is_none() {
            let kept = attached.iter().map(|attached| attached.namespace.clone()).collect();
            let cleared = state.clear_except(&kept)?;
            if !cleared.is_empty() {
                say(&format!("cleared what a killed run left: {}", cleared.join(", ")));
            }
        }
        if let Some(handover) = &handover
            && let Err(why) = resume::require_successor(&handover.lab, &lab)
        {
            state.let_go();
            return Err(LabError::NotResumed(why));
        }
        let begun = begin(&lab, &state, handover.is_some(), say).await;
        let Base { steer, cache, router, router_netns, nothing, current, services, authority } =
            match begun {
                Ok(base) => base,
                Err(error) if handover.is_some() => {
                    let closed = end_offloaded_flows(&lab.name);
                    state.let_go();
                    let closed = left("the offloaded flows", closed.map_err(LabError::from));
                    return Err(LabError::HalfResumed(Box::new(error.and_left(closed))));
                }
                Err(error) => {
                    let released = state.release();
                    return Err(error.and_left(left(&left_by(&lab.name), released)));
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
            link_drops: LinkDrops::default(),
            losses: Losses::default(),
            kept_drops: KeptDrops::default(),
            counted: None,
            router,
            router_netns,
            namespaces: BTreeMap::new(),
            namespaces_made: 0,
            incoming: BTreeMap::new(),
            workers: BTreeMap::new(),
            hanging: Hanging::default(),
            device_mtu: BTreeMap::new(),
            owned: BTreeMap::new(),
            public_addresses: BTreeMap::new(),
            tasks: BTreeMap::new(),
            file_tasks: BTreeMap::new(),
            addresses: Addresses::new(lab.task_cidr),
            serves_apprunner: false,
            api_services: Arc::default(),
            startup: Startup::default(),
            authority,
            state,
            resumed: None,
            notes: Vec::new(),
            lab: lab.clone(),
        };
        let (up, text) = match handover {
            Some(Handover { left: kept, text, lab: before }) => {
                let resumed = resume::resume(&mut running, (kept, before), lab, say).await;
                (resumed, Some(text))
            }
            None => (reload::apply(&mut running, lab, say).await, None),
        };
        match (up.and_then(|()| resume::begin_to_stay(&mut running)), text) {
            (Ok(()), _) => {
                reattach::attach_again(&mut running, attached, say).await;
                running.take_notes().iter().for_each(|note| say(note));
                Ok(running)
            }
            (Err(error), Some(text)) => {
                let closed = left("what the killed run left", resume::leave_closed(running, &text));
                Err(LabError::HalfResumed(Box::new(error.and_left(closed))))
            }
            (Err(error), None) => {
                let stopped = running.stop();
                Err(error.and_left(left(&left_by(&running.lab.name), stopped)))
            }
        }
    }
}

/// Names what remains of a lab that did not start, with the way to remove it.
fn left_by(lab: &str) -> String {
    format!("the lab's namespaces and files (`egret down --lab {lab}` removes them)")
}

/// The parts that a lab starts with, whatever its configuration.
struct Base {
    steer: Steer,
    cache: Option<Arc<FlowCache>>,
    router: Links,
    router_netns: Netns,
    /// The empty configuration.
    nothing: Arc<Snapshot>,
    current: Arc<ArcSwap<Snapshot>>,
    services: Services,
    authority: Authority,
}

async fn begin(
    lab: &Lab,
    state: &StateDir,
    resumes: bool,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Base, LabError> {
    let namespace = |role: &str| {
        let name = format!("{}-{role}", lab.name);
        Ok::<_, LabError>(if resumes {
            Netns::open(&name)?
        } else {
            state.make_namespace(&name)?
        })
    };
    let authority = authority(lab, state, say)?;
    let router_netns = namespace("router")?;
    let (mut steer, cache) = load(lab, &router_netns, say)?;
    let router = Links::open(&router_netns)?;
    say(&format!("router namespace {}", router_netns.name()));
    if let Some(why) = ipv6::refusal(&router_netns) {
        say(&why);
    }
    let parts = Parts { mtu: lab.spec.mtu, ..Parts::default() };
    // Generations continue from the handover's: no stored verdict may have the generation of a
    // later configuration.
    let generation = match cache.as_ref().filter(|_| resumes) {
        Some(cache) => cache.generation()?,
        None => Generation(0),
    };
    let nothing = Arc::new(Snapshot::build(generation, parts));
    let current = Arc::new(ArcSwap::new(Arc::clone(&nothing)));
    let services = services(namespace("services")?, resumes, &router, &mut steer, &current).await?;
    say(&format!("DNS and the other exempt addresses in namespace {}-services", lab.name));
    Ok(Base { steer, cache, router, router_netns, nothing, current, services, authority })
}

/// Makes the authority of the lab, and the files by which programs trust it.
fn authority(
    lab: &Lab,
    state: &StateDir,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Authority, LabError> {
    let authority = Authority::new(&lab.name)?;
    let host = std::fs::read_to_string(exec::TRUSTED_BY_HOST);
    state.trust(&authority.pem(), host.as_deref().ok())?;
    if let Err(why) = host {
        say(&format!(
            "programs in tasks trust the lab's certificates only if they are given {}: reading {} of this host: {why}",
            state::ca(&lab.name).display(),
            exec::TRUSTED_BY_HOST
        ));
    }
    Ok(authority)
}

fn engine(lab: &Lab, offloads: bool) -> Engine {
    let engine = Engine::new(random_seed());
    match (offloads, stays(lab)) {
        (false, _) => engine,
        (true, false) => engine.offloading(),
        (true, true) => engine.offloading_at_once(),
    }
}

/// Starts the services at the exempt addresses.
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

/// Loads the tc programs, with the flow cache if the lab wants it and the kernel supports it.
fn load(
    lab: &Lab,
    router: &Netns,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(Steer, Option<Arc<FlowCache>>), LabError> {
    if stays(lab) {
        let pins = Pins::prepare(&lab.name).map_err(SteerError::from)?;
        let (steer, cache) = Steer::load_to_stay(router, pins)?;
        return Ok((steer, Some(Arc::new(cache))));
    }
    let caching = || Steer::load_with_cache(router).map(|(s, cache)| (s, Some(Arc::new(cache))));
    Ok(choose(lab.offload, caching, || Ok((Steer::load(router)?, None)), say)?)
}

/// Chooses between the tc programs with the flow cache and those without.
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

/// Returns a seed that cannot be guessed from outside (RFC 6056): the standard library's hasher
/// keys come from the kernel.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is chosen on a kernel that supports the flow cache or not, and the messages.
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
