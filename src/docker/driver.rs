//! The calls of libnetwork's remote driver protocol
//! (github.com/moby/moby/blob/v20.10.24/libnetwork/docs/remote.md), and their answers.
//!
//! When Docker starts a container, it calls Join before the container's network namespace exists,
//! and no call tells the driver that it does. So Join checks all that can be checked, and the
//! namespace is attached when it appears. A namespace that exists already is attached before Join
//! is answered. In both cases the answer names no interface: the lab makes it, and Docker moves
//! none.

use super::networks::{Networks, Target};
use super::{attachment, sandbox};
use crate::edge::shown;
use crate::linux::Foreign;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// The driver's own options among those of a network.
const OWN_OPTIONS: &str = "com.docker.network.generic";
/// The published ports among the options of an endpoint.
const PUBLISHED: &str = "com.docker.network.portmap";
/// The address space of Docker's IPAM driver `null`, which hands out no addresses.
const NO_ADDRESSES: &str = "null";
/// Bytes of the longest id. Docker's have 64.
const LONGEST_ID: usize = 128;
/// Characters of an id in messages, as in Docker's lists.
const SHORT: usize = 12;

/// Takes a line for the user.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// The answer to a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The protocol has no such call.
    UnknownCall(String),
    /// The body is not that of the call.
    BadRequest(String),
    /// The driver refuses, or failed.
    Refused(String),
}

impl From<String> for Refusal {
    fn from(said: String) -> Self {
        Self::Refused(said)
    }
}

/// The driver. Clones are the same one.
#[derive(Clone)]
pub struct Driver {
    networks: Arc<Networks>,
    /// The endpoints that wait for their namespace.
    waiting: Arc<Mutex<BTreeMap<String, JoinHandle<()>>>>,
    say: Say,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateNetwork {
    #[serde(rename = "NetworkID")]
    network: String,
    #[serde(default)]
    options: Option<Map<String, Value>>,
    #[serde(rename = "IPv4Data", default)]
    ipv4: Option<Vec<Pool>>,
}

/// A pool of addresses that Docker's address management has chosen.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pool {
    #[serde(default)]
    address_space: String,
    #[serde(default)]
    pool: String,
}

#[derive(Deserialize)]
struct OfNetwork {
    #[serde(rename = "NetworkID")]
    network: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateEndpoint {
    #[serde(flatten)]
    endpoint: OfEndpoint,
    #[serde(default)]
    options: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct OfEndpoint {
    #[serde(rename = "NetworkID")]
    network: String,
    #[serde(rename = "EndpointID")]
    endpoint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Join {
    #[serde(flatten)]
    endpoint: OfEndpoint,
    sandbox_key: PathBuf,
}

impl Driver {
    /// Makes the driver of these networks. `say` reports what is attached and detached.
    pub fn new(networks: Networks, say: Say) -> Self {
        Self { networks: Arc::new(networks), waiting: Arc::default(), say }
    }

    /// Answers a call, by its path and body.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn call(&self, path: &str, body: &[u8]) -> Result<Value, Refusal> {
        match path {
            "/Plugin.Activate" => return Ok(json!({"Implements": ["NetworkDriver"]})),
            "/NetworkDriver.GetCapabilities" => {
                return Ok(json!({"Scope": "local", "ConnectivityScope": "local"}));
            }
            "/NetworkDriver.CreateNetwork" => self.create_network(read(body)?)?,
            "/NetworkDriver.DeleteNetwork" => self.delete_network(&read(body)?)?,
            "/NetworkDriver.CreateEndpoint" => self.create_endpoint(&read(body)?)?,
            "/NetworkDriver.EndpointOperInfo" => {
                self.target(&read::<OfEndpoint>(body)?.network)?;
                return Ok(json!({"Value": {}}));
            }
            "/NetworkDriver.Join" => {
                self.join(read(body)?).await?;
                // Without a gateway of this network's, Docker would add one of its own.
                return Ok(json!({"DisableGatewayService": true}));
            }
            "/NetworkDriver.Leave" | "/NetworkDriver.DeleteEndpoint" => {
                self.leave(&read(body)?).await?;
            }
            // Of other hosts' containers, which a network of scope `local` does not have, and of
            // published ports, which CreateEndpoint refuses.
            "/NetworkDriver.DiscoverNew"
            | "/NetworkDriver.DiscoverDelete"
            | "/NetworkDriver.ProgramExternalConnectivity"
            | "/NetworkDriver.RevokeExternalConnectivity" => {}
            "/NetworkDriver.AllocateNetwork" | "/NetworkDriver.FreeNetwork" => {
                let said = "egret's networks are of this machine only: a swarm has no use for them";
                return Err(Refusal::Refused(said.to_owned()));
            }
            unknown => return Err(Refusal::UnknownCall(unknown.to_owned())),
        }
        Ok(json!({}))
    }

    /// Gives up the containers that still wait for their namespaces.
    pub async fn end(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        for (endpoint, job) in waiting {
            if !job.is_finished() {
                (self.say)(&format!("endpoint {} is not attached", short(&endpoint)));
            }
            give_up(job).await;
        }
    }

    fn create_network(&self, request: CreateNetwork) -> Result<(), Refusal> {
        let CreateNetwork { network, options, ipv4 } = request;
        require_id(&network)?;
        let mut options = options.unwrap_or_default();
        let own = match options.remove(OWN_OPTIONS) {
            Some(Value::Object(own)) => own,
            Some(_) | None => Map::new(),
        };
        let target = Target::of_options(&own)?;
        self.networks.add(&network, target.clone()).map_err(|error| error.to_string())?;
        (self.say)(&format!("network {} is for {target}", short(&network)));
        for pool in ipv4.unwrap_or_default() {
            if pool.address_space != NO_ADDRESSES {
                (self.say)(&format!(
                    "egret: network {} has addresses of {} in Docker's lists, which no container gets: the lab gives others. With `docker network create --ipam-driver null` Docker lists none",
                    short(&network),
                    shown(&pool.pool)
                ));
            }
        }
        Ok(())
    }

    fn delete_network(&self, request: &OfNetwork) -> Result<(), Refusal> {
        let removed = self.networks.remove(&request.network).map_err(|error| error.to_string())?;
        if let Some(target) = removed {
            (self.say)(&format!("removed network {}, of {target}", short(&request.network)));
        }
        Ok(())
    }

    fn create_endpoint(&self, request: &CreateEndpoint) -> Result<(), Refusal> {
        require_id(&request.endpoint.endpoint)?;
        self.target(&request.endpoint.network)?;
        let published = request.options.as_ref().and_then(|options| options.get(PUBLISHED));
        match published.and_then(Value::as_array).is_some_and(|ports| !ports.is_empty()) {
            true => Err(Refusal::Refused(
                "egret publishes no ports of containers: leave out -p, and reach the container from the lab"
                    .to_owned(),
            )),
            false => Ok(()),
        }
    }

    async fn join(&self, request: Join) -> Result<(), Refusal> {
        let Join { endpoint: OfEndpoint { network, endpoint }, sandbox_key } = request;
        require_id(&endpoint)?;
        let target = self.target(&network)?;
        if !sandbox_key.is_absolute() {
            let said = "the sandbox of the container is not named by an absolute path";
            return Err(Refusal::BadRequest(said.to_owned()));
        }
        self.forget(&endpoint).await;
        if let Some(namespace) = sandbox::open(&sandbox_key).map_err(|error| error.to_string())? {
            return self.attach(&target, &endpoint, namespace).await.map_err(Refusal::Refused);
        }
        attachment::require_room(&target, &endpoint).await?;
        let (own, id) = (self.clone(), endpoint.clone());
        let job = tokio::spawn(async move { own.attach_later(&target, &id, &sandbox_key).await });
        self.waiting().insert(endpoint, job);
        Ok(())
    }

    /// Attaches a container when its namespace appears. Docker does not wait for that, so a failure
    /// is only reported.
    async fn attach_later(&self, target: &Target, endpoint: &str, sandbox: &Path) {
        let attached = match sandbox::appears(sandbox).await {
            Ok(namespace) => self.attach(target, endpoint, namespace).await,
            Err(error) => Err(error),
        };
        if let Err(error) = attached {
            (self.say)(&format!(
                "egret: endpoint {} has no network, {target}: {error}",
                short(endpoint)
            ));
        }
    }

    async fn attach(
        &self,
        target: &Target,
        endpoint: &str,
        namespace: Foreign,
    ) -> Result<(), String> {
        let sentence = attachment::attach(target, endpoint, namespace).await?;
        (self.say)(&format!("endpoint {}: {sentence}", short(endpoint)));
        Ok(())
    }

    async fn leave(&self, request: &OfEndpoint) -> Result<(), Refusal> {
        require_id(&request.endpoint)?;
        self.forget(&request.endpoint).await;
        // Docker could not remove a container of a network that the driver does not know.
        let Some(target) = self.networks.get(&request.network) else { return Ok(()) };
        if let Some(sentence) = attachment::detach(&target, &request.endpoint).await? {
            (self.say)(&format!("endpoint {}: {sentence}", short(&request.endpoint)));
        }
        Ok(())
    }

    /// Ends the wait for the namespace of an endpoint. If the lab is about to attach it, it has
    /// done so before it answers the next request.
    async fn forget(&self, endpoint: &str) {
        let job = self.waiting().remove(endpoint);
        if let Some(job) = job {
            give_up(job).await;
        }
    }

    fn target(&self, network: &str) -> Result<Target, Refusal> {
        self.networks.get(network).ok_or_else(|| {
            Refusal::Refused(format!(
                "egret does not know network {}: remove it with `docker network rm`, and create it again",
                short(network)
            ))
        })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, JoinHandle<()>>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, job| !job.is_finished());
        waiting
    }
}

async fn give_up(job: JoinHandle<()>) {
    job.abort();
    // Its end, whatever it was.
    let _ = job.await;
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let said = format!("the request is not valid: {error}");
        Refusal::BadRequest(shown(&said).into_owned())
    })
}

fn require_id(id: &str) -> Result<(), Refusal> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !id.is_empty() && id.len() <= LONGEST_ID && id.chars().all(is_allowed) {
        true => Ok(()),
        false => Err(Refusal::BadRequest(format!(
            "an id has 1 to {LONGEST_ID} letters, digits, `-` and `_`"
        ))),
    }
}

/// Returns an id as Docker's lists show it, safe for a terminal.
fn short(id: &str) -> String {
    shown(&id.chars().take(SHORT).collect::<String>()).into_owned()
}
