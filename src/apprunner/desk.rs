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

/// What every operation works with.
pub(super) struct Desk {
    pub(super) account: Account,
    pub(super) quotas: Quotas,
    /// How long what was deleted can still be described.
    pub(super) memory: Duration,
    pub(super) ground: Arc<dyn Ground>,
    pub(super) say: Arc<dyn Fn(&str) + Send + Sync>,
    pub(super) store: Mutex<Store>,
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

    /// Does a change to the store in one transaction, and lays what the store has then over the lab before it counts.
    ///
    /// # Errors
    /// Why the change, or the lab, refuses; nothing has changed then.
    pub(super) async fn change<T>(
        &self,
        store: &mut Store,
        change: impl FnOnce(&mut Store) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        store.begin()?;
        let changed = change(store).and_then(|answer| Ok((answer, overlay(store)?)));
        let mut is_laid = false;
        let outcome = match changed {
            Ok((answer, overlay)) => match self.ground.lay_over(overlay).await {
                Ok(()) => {
                    is_laid = true;
                    let enis = self.ground.known_enis().await;
                    keep_enis(store, enis).map(|()| answer)
                }
                Err(Unfit::Refused(why)) => Err(Fault::invalid(why)),
                Err(Unfit::Failed(why)) => Err(Fault::new(Kind::InternalServiceError, why)),
                Err(Unfit::Ending) => {
                    Err(Fault::new(Kind::ServiceUnavailable, "the lab is being taken down"))
                }
            },
            Err(fault) => Err(fault),
        };
        let finished = finish(store, outcome);
        if is_laid && finished.is_err() {
            self.lay_what_was(overlay(store)).await;
        }
        finished
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
