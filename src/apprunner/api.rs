//! The operations over one account: which there are, what each may ask for, and who does it. One call is at work at a time.

use super::arn::Account;
use super::fault::{Fault, Kind};
use super::ground::{Ground, Unfit};
use super::records::{InForce, Moment};
use super::shape::{Shape, checked};
use super::store::{Entry, Store, StoreError};
use super::{connectors, operations, services, shapes, tags};
use crate::config::Overlay;
use crate::config::overlay::{OverlayConnector, OverlayEgress, OverlayService};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;

/// How many there may be in the account (spec 1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Services, those among them that failed to create.
    pub services: usize,
    /// Active VPC connectors.
    pub vpc_connectors: usize,
}

/// An operation that egret serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    CreateVpcConnector,
    DescribeVpcConnector,
    ListVpcConnectors,
    DeleteVpcConnector,
    CreateService,
    DescribeService,
    ListServices,
    UpdateService,
    DeleteService,
    PauseService,
    ResumeService,
    ListOperations,
    TagResource,
    UntagResource,
    ListTagsForResource,
}

/// Operations of App Runner that have no part in outgoing traffic (spec 1.2).
const NOT_SERVED: [&str; 22] = [
    "AssociateCustomDomain",
    "CreateAutoScalingConfiguration",
    "CreateConnection",
    "CreateObservabilityConfiguration",
    "CreateVpcIngressConnection",
    "DeleteAutoScalingConfiguration",
    "DeleteConnection",
    "DeleteObservabilityConfiguration",
    "DeleteVpcIngressConnection",
    "DescribeAutoScalingConfiguration",
    "DescribeCustomDomains",
    "DescribeObservabilityConfiguration",
    "DescribeVpcIngressConnection",
    "DisassociateCustomDomain",
    "ListAutoScalingConfigurations",
    "ListConnections",
    "ListObservabilityConfigurations",
    "ListServicesForAutoScalingConfiguration",
    "ListVpcIngressConnections",
    "StartDeployment",
    "UpdateDefaultAutoScalingConfiguration",
    "UpdateVpcIngressConnection",
];

/// An account's App Runner, over a lab.
#[derive(Clone)]
pub(super) struct Api(Arc<Desk>);

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

impl Operation {
    const ALL: [(&str, Self); 15] = [
        ("CreateVpcConnector", Self::CreateVpcConnector),
        ("DescribeVpcConnector", Self::DescribeVpcConnector),
        ("ListVpcConnectors", Self::ListVpcConnectors),
        ("DeleteVpcConnector", Self::DeleteVpcConnector),
        ("CreateService", Self::CreateService),
        ("DescribeService", Self::DescribeService),
        ("ListServices", Self::ListServices),
        ("UpdateService", Self::UpdateService),
        ("DeleteService", Self::DeleteService),
        ("PauseService", Self::PauseService),
        ("ResumeService", Self::ResumeService),
        ("ListOperations", Self::ListOperations),
        ("TagResource", Self::TagResource),
        ("UntagResource", Self::UntagResource),
        ("ListTagsForResource", Self::ListTagsForResource),
    ];

    fn named(name: &str) -> Result<Self, Fault> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, operation)| *operation).ok_or_else(|| {
            let served: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            let served = served.join(", ");
            let what = match NOT_SERVED.contains(&name) {
                true => {
                    format!("egret does not serve {name}, which has no part in outgoing traffic")
                }
                false => format!("App Runner has no operation {name:?}"),
            };
            Fault::new(Kind::UnknownOperation, format!("{what}; egret serves {served}"))
        })
    }

    fn input(self) -> &'static Shape {
        match self {
            Self::CreateVpcConnector => &shapes::CREATE_VPC_CONNECTOR,
            Self::DescribeVpcConnector | Self::DeleteVpcConnector => &shapes::VPC_CONNECTOR,
            Self::ListVpcConnectors => &shapes::LIST_VPC_CONNECTORS,
            Self::CreateService => &shapes::CREATE_SERVICE,
            Self::UpdateService => &shapes::UPDATE_SERVICE,
            Self::DescribeService
            | Self::DeleteService
            | Self::PauseService
            | Self::ResumeService => &shapes::SERVICE,
            Self::ListServices => &shapes::LIST_SERVICES,
            Self::ListOperations => &shapes::LIST_OPERATIONS,
            Self::TagResource => &shapes::TAG_RESOURCE,
            Self::UntagResource => &shapes::UNTAG_RESOURCE,
            Self::ListTagsForResource => &shapes::LIST_TAGS_FOR_RESOURCE,
        }
    }
}

impl Api {
    /// Takes up an account where it was left: operations that were in progress go on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn begin(desk: Desk) -> Result<Self, StoreError> {
        let store = desk.store.into_inner();
        let pending = operations::in_progress(&store)?;
        let api = Self(Arc::new(Desk { store: Mutex::new(store), ..desk }));
        for id in pending {
            operations::go_on(&api.0, id);
        }
        Ok(api)
    }

    /// One call: the operation's name and the request's body.
    ///
    /// # Errors
    /// What the caller is told instead.
    pub(super) async fn call(&self, operation: &str, body: &[u8]) -> Result<Value, Fault> {
        let operation = Operation::named(operation)?;
        let request = checked(operation.input(), json(body)?)?;
        // A caller that hangs up drops its own future, and nothing half-way.
        let desk = Arc::clone(&self.0);
        let done = tokio::spawn(async move { desk.done(operation, request).await });
        done.await
            .unwrap_or_else(|fault| Err(Fault::new(Kind::InternalServiceError, fault.to_string())))
    }
}

/// The body; nothing at all is an empty request.
fn json(body: &[u8]) -> Result<Value, Fault> {
    if body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(body)
        .map_err(|error| Fault::new(Kind::Serialization, format!("the body is not JSON: {error}")))
}

impl Desk {
    async fn done(self: &Arc<Self>, operation: Operation, request: Value) -> Result<Value, Fault> {
        let mut store = self.store.lock().await;
        let store = &mut *store;
        self.forget_what_was_deleted(store)?;
        match operation {
            Operation::CreateVpcConnector => connectors::create(self, store, request).await,
            Operation::DescribeVpcConnector => connectors::describe(self, store, &request),
            Operation::ListVpcConnectors => connectors::list(store, &request),
            Operation::DeleteVpcConnector => connectors::delete(self, store, &request).await,
            Operation::CreateService => services::create(self, store, request).await,
            Operation::DescribeService => services::describe(self, store, &request),
            Operation::ListServices => services::list(store, &request),
            Operation::UpdateService => services::update(self, store, request),
            Operation::DeleteService => services::delete(self, store, &request),
            Operation::PauseService => services::pause(self, store, &request),
            Operation::ResumeService => services::resume(self, store, &request),
            Operation::ListOperations => services::list_operations(self, store, &request),
            Operation::TagResource => tags::tag(self, store, &request),
            Operation::UntagResource => tags::untag(self, store, &request),
            Operation::ListTagsForResource => tags::list(self, store, &request),
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
        let outcome = match changed {
            Ok((answer, overlay)) => match self.ground.lay_over(overlay).await {
                Ok(()) => Ok(answer),
                Err(Unfit::Refused(why)) => Err(Fault::invalid(why)),
                Err(Unfit::Failed(why)) => Err(Fault::new(Kind::InternalServiceError, why)),
                Err(Unfit::Ending) => {
                    Err(Fault::new(Kind::ServiceUnavailable, "the lab is being taken down"))
                }
            },
            Err(fault) => Err(fault),
        };
        let was_laid = outcome.is_ok();
        let finished = finish(store, outcome);
        if was_laid && finished.is_err() {
            // The disk did not take it: the lab goes back to what the store has. If that fails, the next change does it.
            let _ = self.ground.lay_over(overlay(store)?).await;
        }
        finished
    }

    fn forget_what_was_deleted(&self, store: &mut Store) -> Result<(), Fault> {
        let now = now();
        let is_old =
            |deleted: Option<Moment>| deleted.is_some_and(|at| now.since(at) > self.memory);
        let connectors = store.connectors()?.into_iter().map(|e| (e.value.arn, e.value.deleted_at));
        let services = store.services()?.into_iter().map(|e| (e.value.arn, e.value.deleted_at));
        for (arn, _) in connectors.chain(services).filter(|(_, deleted)| is_old(*deleted)) {
            record(store, |store| Ok(store.forget(&arn)?))?;
        }
        Ok(())
    }
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
        Ok(answer) => {
            store.commit().inspect_err(|_| store.roll_back())?;
            Ok(answer)
        }
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

/// The time of day: people read it in answers, and it goes on while no process runs.
#[expect(clippy::disallowed_methods, reason = "a person reads the date")]
pub(super) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The same, as records have it.
pub(super) fn now() -> Moment {
    let since = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::new(Kind::InternalServiceError, error.to_string())
    }
}
