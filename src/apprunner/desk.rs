//! The account, the store and the lab that every operation works with; changes store and lab
//! together.

use super::arn::Account;
use super::clock::now;
use super::fault::{Fault, FaultKind};
use super::ground::{Ground, Unfit};
use super::records::InForce;
use super::store::{Positioned, Store, StoreError};
use crate::config::Overlay;
use crate::config::overlay::{OverlayConnector, OverlayEgress, OverlayService};
use crate::explain::ApiService;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The limits of the account (spec 1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Services, including those that failed to create.
    pub services: usize,
    /// Active VPC connectors.
    pub vpc_connectors: usize,
}

/// A change of the store, which is done twice: the first time to see its result.
pub(super) type Change = Box<dyn Fn(&mut Store) -> Result<Value, Fault> + Send + Sync>;

/// The account, the store and the lab that every operation works with.
pub(super) struct Desk {
    pub(super) account: Account,
    pub(super) quotas: Quotas,
    /// The time for which a deleted resource can still be described.
    pub(super) memory: Duration,
    pub(super) ground: Arc<dyn Ground>,
    pub(super) say: Arc<dyn Fn(&str) + Send + Sync>,
    /// The store, locked for as long as a statement takes, and never while the lab is changed.
    pub(super) store: Mutex<Store>,
    /// A lock that a change holds from its first look to its end: one change is made after the
    /// other.
    pub(super) turn: Mutex<()>,
}

impl Desk {
    /// Reports what App Runner would write into a service's event log. Text from a call cannot
    /// command a terminal.
    pub(super) fn tell(&self, line: &str) {
        (self.say)(&crate::edge::shown(line));
    }

    /// Shows the account's services. If they cannot be read, the next call finds that too.
    pub(super) async fn show(&self, store: &mut Store) {
        let shown = shown(store);
        if let Ok(shown) = shown {
            self.ground.show(shown).await;
        }
    }

    /// Makes a change of the store in one transaction, after applying to the lab what the store
    /// will then have. The caller holds `turn`: the change is tried first and taken back, so that
    /// the store answers while the lab is changed, and then it is made.
    ///
    /// # Errors
    /// The reason why the change, or the lab, refuses; nothing has changed then.
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

    /// Makes a change of the store that the lab has accepted. If it fails, the error comes with the
    /// overlay of the store as it is.
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

    /// Rolls the lab back after a change that the lab accepted and the store did not.
    async fn lay_what_was(&self, overlay: Result<Overlay, StoreError>) {
        let why = match overlay {
            Ok(before) => match self.ground.lay_over(before).await {
                // A lab that ends is made again from the store.
                Ok(()) | Err(Unfit::Ending) => return,
                Err(Unfit::Refused(why) | Unfit::Failed(why)) => why,
            },
            Err(error) => error.to_string(),
        };
        self.tell(&format!("App Runner: the lab has a change that could not be kept: {why}"));
    }
}

/// Returns the overlay that the lab gets by a change, and takes the change back.
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
        Unfit::Failed(why) => Fault::new(FaultKind::InternalServiceError, why),
        Unfit::Ending => Fault::new(FaultKind::ServiceUnavailable, "the lab is being taken down"),
    }
}

/// Returns the services of the account for `egret services`.
///
/// # Errors
/// The store cannot be read.
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

/// Keeps the time at which the ENIs are up, so that only the first use of subnets and groups takes
/// its time.
fn keep_enis(store: &Store, enis: Vec<(String, Duration)>) -> Result<(), Fault> {
    for (eni, left) in enis {
        store.put_eni(&eni, now().after(left))?;
    }
    Ok(())
}

/// Makes a change of the store in one transaction that does not affect the lab.
///
/// # Errors
/// The reason why the change refuses; nothing has changed then.
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

/// Returns the overlay: all of the store that the lab needs.
///
/// # Errors
/// The store cannot be read.
pub(super) fn overlay(store: &Store) -> Result<Overlay, StoreError> {
    let connectors = store.connectors()?;
    let name_of = |arn: &str| {
        let found = connectors.iter().find(|entry| entry.value.arn == arn);
        found.map_or_else(|| arn.to_owned(), |entry| entry.value.name.clone())
    };
    let mut services = Vec::new();
    for Positioned { position, value: service } in store.services()? {
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
        // ENIs come up for the services that use them. During an update the lab has both the
        // present and the future network of a service.
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
