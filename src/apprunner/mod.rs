//! Layer 8: the App Runner API over a running lab, which AWS's CLI and SDKs talk to unchanged.
//!
//! `server` speaks the protocol and `signature` checks the caller; `api` has the operations,
//! `shape` and `shapes` the constraints on their requests; `connectors`, `services` and `tags` do
//! them; `operations` carries out those that take time; they all work with `desk`; `store` keeps
//! everything; `ground` is the lab that it is applied to. egret runs no containers: it runs a
//! service's network.

mod api;
mod arn;
mod clock;
mod connectors;
mod desk;
mod fault;
mod ground;
mod noting;
mod operations;
mod pages;
mod protocol;
mod records;
mod server;
mod services;
mod settings;
mod shape;
mod shapes;
mod signature;
mod source;
mod store;
mod tags;
#[cfg(test)]
mod tests;

pub use desk::Quotas;
pub use fault::{Fault, FaultKind};
pub use ground::{Ground, Unfit};
pub use server::Server;
pub use store::{Store, StoreError};

use crate::config::apprunner::AccessKey;
use crate::config::{Lab, Overlay};
use api::Api;
use arn::Account;
use desk::Desk;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The API's settings, from the lab file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Twelve digits.
    pub account: String,
    /// Such as `us-east-1`.
    pub region: String,
    /// The database that keeps what is created.
    pub store: PathBuf,
    /// Quotas.
    pub quotas: Quotas,
    /// The time for which a deleted resource can still be described.
    pub memory: Duration,
    /// The keys that requests must be signed with; without any, signatures are not checked.
    pub access_keys: Vec<AccessKey>,
}

impl Settings {
    fn account(&self) -> Account {
        Account { id: self.account.clone(), region: self.region.clone() }
    }

    /// Reads the lab's settings. By default the database is beside the file or folder that the lab
    /// comes from.
    pub fn of(lab: &Lab, source: &Path, time_scale: f64) -> Self {
        let api = &lab.spec.apprunner.api;
        let directory = source.parent().unwrap_or(Path::new(""));
        let beside = |name: &str| directory.join(name);
        let own = || {
            let mut name = source.file_name().unwrap_or_default().to_owned();
            name.push(".apprunner.sqlite");
            directory.join(name)
        };
        Self {
            account: api.account.clone(),
            region: lab.spec.region.clone(),
            store: api.store.as_deref().map_or_else(own, beside),
            quotas: Quotas { services: api.service_quota, vpc_connectors: api.vpc_connector_quota },
            memory: api.deleted_for.div_f64(time_scale),
            access_keys: api.access_keys.clone(),
        }
    }
}

/// An account's App Runner, before it has a lab.
pub struct AppRunner {
    settings: Settings,
    account: Account,
    store: Store,
}

impl AppRunner {
    /// Opens the database of the account, and makes it if it does not exist.
    ///
    /// # Errors
    /// The reason why the database cannot be used.
    pub fn open(settings: Settings) -> Result<Self, StoreError> {
        let account = settings.account();
        let store = Store::open(&settings.store, &account)?;
        Ok(Self { settings, account, store })
    }

    /// Makes an account whose records are lost with the process.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn in_memory(settings: Settings) -> Result<Self, StoreError> {
        let account = settings.account();
        let store = Store::in_memory(&account)?;
        Ok(Self { settings, account, store })
    }

    /// Returns the overlay that the lab starts with.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn overlay(&self) -> Result<Overlay, StoreError> {
        desk::overlay(&self.store)
    }

    /// Returns the path of the database.
    pub fn path(&self) -> &Path {
        &self.settings.store
    }

    /// Takes the account up over its lab, where the last process left it. `say` gets the lines that
    /// App Runner would write into a service's event log. Must be called within a runtime.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn over(
        self,
        ground: Arc<dyn Ground>,
        say: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Server, StoreError> {
        let now = clock::now();
        let enis = self.store.enis()?.into_iter().map(|(eni, up)| (eni, up.since(now)));
        ground.remember_enis(enis.collect()).await;
        ground.show(desk::shown(&self.store)?).await;
        let desk = Desk {
            account: self.account,
            quotas: self.settings.quotas,
            memory: self.settings.memory,
            ground,
            say,
            store: Mutex::new(self.store),
            turn: Mutex::new(()),
        };
        let api = Api::begin(desk)?;
        Ok(Server::new(api, self.settings.region, self.settings.access_keys))
    }
}
