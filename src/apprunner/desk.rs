//! The account, the store and the lab that every operation works with, and changes to store and lab together.

use super::arn::Account;
use super::clock::now;
use super::fault::{Fault, Kind};
use super::ground::{Ground, Unfit};
use super::records::InForce;
use super::store::{Entry, Store, StoreError};
use crate::config::Overlay;
use crate::config::overlay::{OverlayConnector, OverlayEgress, OverlayService};
use crate::explain::ApiService;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How many there may be in the account (spec 1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Services, those among them that failed to create.
    pub services: usize,
    /// Active VPC connectors.
    pub vpc_connectors: usize,
}

/// A change of the store, which is done twice: once to see what comes of it.
pub(super) type Change = Box<dyn Fn(&mut Store) -> Result<Value, Fault> + Send + Sync>;

/// What every operation works with.
pub(super) struct Desk {
    pub(super) account: Account,
    pub(super) quotas: Quotas,
    /// How long what was deleted can still be described.
    pub(super) memory: Duration,
    pub(super) ground: Arc<dyn Ground>,
    pub(super) say: Arc<dyn Fn(&str) + Send + Sync>,
    /// Is held for as long as a statement takes, and never while the lab is changed.
    pub(super) store: Mutex<Store>,
    /// Is held by a change from the first look to the end: one change is made after the other.
    pub(super) turn: Mutex<()>,
}

impl Desk {
    /// Says what App Runner would write into a service's event log. What a call has in it commands no terminal.
    pub(super) fn tell(&self, line: &str) {
        (self.say)(&crate::edge::shown(line));
    }

    /// Shows what the account has. That it cannot be read is found by the next call too.
    pub(super) async fn show(&self, store: &mut Store) {
        let shown = shown(store);
        if let Ok(shown) = shown {
            self.ground.show(shown).await;
        }
    }

    /// Does a change to the store in one transaction, once what the store would have then is laid over the lab. The caller has
    /// the turn: the change is tried first and taken back, so that the store answers while the lab is changed, and then it is made.
    ///
    /// # Errors
    /// Why the change, or the lab, refuses; nothing has changed then.
    pub(super) async fn change<T>(
        &self,
        change: impl Fn(&mut Store) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let overlay = tried(&mut *self.store.lock().await, &change)?;
        self.ground.lay_over(overlay).await.map_err(unfit)?;
        let enis = self.ground.known_enis().await;
        let (made, before) = self.made(change, enis).await;
        if let Some(before) = before {
            self.lay_what_was(before).await;
        }
        made
    }

    /// Makes a change of the store that the lab has taken. If it fails, what the store has instead comes with it.
    async fn made<T>(
        &self,
        change: impl Fn(&mut Store) -> Result<T, Fault>,
        enis: Vec<(String, Duration)>,
    ) -> (Result<T, Fault>, Option<Result<Overlay, StoreError>>) {
        let mut store = self.store.lock().await;
        let store = &mut *store;
        let made = record(store, |store| {
            let answer = change(store)?;
            keep_enis(store, enis)?;
            Ok(answer)
        });
        if made.is_ok() {
            self.show(store).await;
        }
        let before = made.is_err().then(|| overlay(store));
        (made, before)
    }

    /// After a change that the lab took and the store did not: the lab goes back, too.
    async fn lay_what_was(&self, overlay: Result<Overlay, StoreError>) {
        let why = match overlay {
            Ok(before) => match self.ground.lay_over(before).await {
                // A lab that ends is made anew from the store.
                Ok(()) | Err(Unfit::Ending) => return,
                Err(Unfit::Refused(why) | Unfit::Failed(why)) => why,
            },
            Err(error) => error.to_string(),
        };
        self.tell(&format!("App Runner: the lab has a change that could not be kept: {why}"));
    }
}

/// Returns what the lab is to have after a change, and takes the change back.
fn tried<T>(
    store: &mut Store,
    change: impl Fn(&mut Store) -> Result<T, Fault>,
) -> Result<Overlay, Fault> {
    store.begin()?;
    let changed = change(store).and_then(|_| Ok(overlay(store)?));
    store.roll_back();
    changed
}

fn unfit(unfit: Unfit) -> Fault {
    match unfit {
        Unfit::Refused(why) => Fault::invalid(why),
        Unfit::Failed(why) => Fault::new(Kind::InternalServiceError, why),
        Unfit::Ending => Fault::new(Kind::ServiceUnavailable, "the lab is being taken down"),
    }
}

/// Returns what `egret services` shows of the account.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn shown(store: &Store) -> Result<Vec<ApiService>, StoreError> {
    let connectors = store.connectors()?;
    let name_of = |arn: &String| {
        let found = connectors.iter().find(|entry| entry.value.arn == *arn);
        found.map(|entry| entry.value.name.clone())
    };
    let services = store.services()?.into_iter().map(|entry| entry.value);
    let mut shown = Vec::new();
    for service in services.filter(|service| !service.is_deleted()) {
        let operations = store.operations(&service.arn)?;
        shown.push(ApiService {
            connector: service.settings.network.vpc_connector.as_ref().and_then(name_of),
            status: service.status.word(),
            operations: operations.iter().map(|entry| entry.value.shown()).collect(),
            name: service.name,
        });
    }
    Ok(shown)
}

/// Keeps when the ENIs are up, so that the first use of subnets and groups takes its time once.
fn keep_enis(store: &Store, enis: Vec<(String, Duration)>) -> Result<(), Fault> {
    for (eni, left) in enis {
        store.put_eni(&eni, now().after(left))?;
    }
    Ok(())
}

/// Does a change to the store in one transaction, which the lab need not hear of.
///
/// # Errors
/// Why the change refuses; nothing has changed then.
pub(super) fn record<T>(
    store: &mut Store,
    change: impl FnOnce(&mut Store) -> Result<T, Fault>,
) -> Result<T, Fault> {
    store.begin()?;
    let outcome = change(store);
    finish(store, outcome)
}

fn finish<T>(store: &Store, outcome: Result<T, Fault>) -> Result<T, Fault> {
    match outcome {
        Ok(answer) => match store.commit() {
            Ok(()) => Ok(answer),
            Err(error) => {
                store.roll_back();
                Err(error.into())
            }
        },
        Err(fault) => {
            store.roll_back();
            Err(fault)
        }
    }
}

/// All that the lab is to have of what the store has.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn overlay(store: &Store) -> Result<Overlay, StoreError> {
    let connectors = store.connectors()?;
    let name_of = |arn: &str| {
        let found = connectors.iter().find(|entry| entry.value.arn == arn);
        found.map_or_else(|| arn.to_owned(), |entry| entry.value.name.clone())
    };
    let mut services = Vec::new();
    for Entry { position, value: service } in store.services()? {
        let of = |name: &str, connector: Option<&String>, tasks| OverlayService {
            name: name.to_owned(),
            egress: match connector {
                Some(arn) => OverlayEgress::Vpc { connector: name_of(arn) },
                None => OverlayEgress::Default,
            },
            tasks,
        };
        let (in_force, starting) = (&service.in_force, service.starting.as_ref());
        if let Some(InForce { network, tasks }) = in_force {
            services.push(of(&service.name, network.vpc_connector.as_ref(), *tasks));
        }
        // ENIs come up for who uses them. What a service will be stands beside what it still is.
        if let Some(arn) = starting {
            let beside = format!("{position}-is-starting");
            let name = if in_force.is_some() { &beside } else { &service.name };
            services.push(of(name, Some(arn), 0));
        }
    }
    let active = connectors.iter().map(|entry| &entry.value).filter(|c| c.is_active());
    let connectors = active.map(|connector| OverlayConnector {
        name: connector.name.clone(),
        subnets: connector.subnets.clone(),
        security_groups: connector.security_groups.clone(),
    });
    Ok(Overlay { connectors: connectors.collect(), services, ..Overlay::default() })
}
