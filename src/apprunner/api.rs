//! The operations over one account: their names, the shapes of their requests, and the code that
//! does them. One call is at work at a time.

use super::clock::now;
use super::desk::{Change, Desk, record};
use super::fault::{Fault, FaultKind};
use super::records::Moment;
use super::shape::{Shape, checked};
use super::store::{Store, StoreError};
use super::{connectors, operations, services, shapes, tags};
use crate::config::Spec;
use crate::config::apprunner::AppRunner;
use crate::daemon::bodies::Whole;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Mutex;

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

/// Operations of App Runner that do not affect outgoing traffic (spec 1.2).
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
pub(super) struct Api(pub(super) Arc<Desk>);

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
            Fault::new(FaultKind::UnknownOperation, format!("{what}; egret serves {served}"))
        })
    }

    /// Returns whether it may change services.
    fn changes(self) -> bool {
        match self {
            Self::CreateService
            | Self::UpdateService
            | Self::DeleteService
            | Self::PauseService
            | Self::ResumeService => true,
            Self::CreateVpcConnector
            | Self::DescribeVpcConnector
            | Self::ListVpcConnectors
            | Self::DeleteVpcConnector
            | Self::DescribeService
            | Self::ListServices
            | Self::ListOperations
            | Self::TagResource
            | Self::UntagResource
            | Self::ListTagsForResource => false,
        }
    }

    /// Returns whether it changes nothing at all.
    fn looks(self) -> bool {
        match self {
            Self::DescribeVpcConnector
            | Self::ListVpcConnectors
            | Self::DescribeService
            | Self::ListServices
            | Self::ListOperations
            | Self::ListTagsForResource => true,
            Self::CreateVpcConnector
            | Self::DeleteVpcConnector
            | Self::CreateService
            | Self::UpdateService
            | Self::DeleteService
            | Self::PauseService
            | Self::ResumeService
            | Self::TagResource
            | Self::UntagResource => false,
        }
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
    /// Takes up an account where the last process left it: operations that were in progress go on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn begin(desk: Desk) -> Result<Self, StoreError> {
        let store = desk.store.into_inner();
        let pending = operations::in_progress(&store)?;
        let api = Self(Arc::new(Desk { store: Mutex::new(store), ..desk }));
        for id in pending {
            operations::go_on(&api.0, id);
        }
        Ok(api)
    }

    /// Serves one call: the operation's name and the request's body, whose room is kept until the
    /// call is done, even if its caller hangs up.
    ///
    /// # Errors
    /// The fault that the caller gets instead.
    pub(super) async fn call(&self, operation: &str, body: Whole) -> Result<Value, Fault> {
        let operation = Operation::named(operation)?;
        let lab = match operation.changes() {
            true => self.0.ground.lab().await.spec.apprunner,
            // The other operations request nothing that egret does not run.
            false => AppRunner::default(),
        };
        let request = checked(operation.input(), json(&body.bytes)?, &lab)?;
        // A caller that hangs up drops its own future, and leaves nothing half done.
        let desk = Arc::clone(&self.0);
        let done = tokio::spawn(async move {
            let outcome = done(&desk, operation, request).await;
            drop(body);
            outcome
        });
        done.await.unwrap_or_else(|fault| {
            Err(Fault::new(FaultKind::InternalServiceError, fault.to_string()))
        })
    }
}

/// Parses the body; an empty body is an empty request.
fn json(body: &[u8]) -> Result<Value, Fault> {
    if body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(body).map_err(|error| {
        Fault::new(FaultKind::Serialization, format!("the body is not JSON: {error}"))
    })
}

/// Does the operation. One that changes something waits for the change before; one that only reads
/// waits for none, and for no reload.
async fn done(
    desk: &Arc<Desk>,
    operation: Operation,
    request: (Value, Vec<String>),
) -> Result<Value, Fault> {
    let (_turn, spec) = match operation.looks() {
        true => (None, None),
        false => (Some(desk.turn.lock().await), Some(desk.ground.lab().await.spec)),
    };
    match at_the_store(desk, operation, spec.as_ref(), request).await? {
        Step::Answer(answer) => Ok(answer),
        Step::Change(change) => desk.change(&*change).await,
    }
}

/// Does the part of an operation that needs only the store; afterwards, even after a failure,
/// `egret services` shows the account as it then is.
async fn at_the_store(
    desk: &Arc<Desk>,
    operation: Operation,
    spec: Option<&Spec>,
    request: (Value, Vec<String>),
) -> Result<Step, Fault> {
    let mut store = desk.store.lock().await;
    let store = &mut *store;
    forget_what_was_deleted(desk, store)?;
    let outcome = dispatched(desk, store, operation, spec, request);
    if operation.changes() {
        desk.show(store).await;
    }
    outcome
}

/// The next step once the store was asked.
enum Step {
    /// None: this is the answer.
    Answer(Value),
    /// A change of the lab and the store.
    Change(Change),
}

fn dispatched(
    desk: &Arc<Desk>,
    store: &mut Store,
    operation: Operation,
    spec: Option<&Spec>,
    (request, notes): (Value, Vec<String>),
) -> Result<Step, Fault> {
    // An operation that changes something has requested it.
    let spec =
        || spec.ok_or_else(|| Fault::new(FaultKind::InternalServiceError, "the lab was not asked"));
    let answer = match operation {
        Operation::CreateVpcConnector => {
            return connectors::create(desk, store, spec()?, request).map(Step::Change);
        }
        Operation::DeleteVpcConnector => {
            return connectors::delete(desk, store, &request).map(Step::Change);
        }
        Operation::DescribeVpcConnector => connectors::describe(desk, store, &request),
        Operation::ListVpcConnectors => connectors::list(store, &request),
        Operation::CreateService => services::create(desk, store, spec()?, (request, notes)),
        Operation::DescribeService => services::describe(desk, store, &request),
        Operation::ListServices => services::list(store, &request),
        Operation::UpdateService => services::update(desk, store, spec()?, (request, notes)),
        Operation::DeleteService => services::delete(desk, store, &request),
        Operation::PauseService => services::pause(desk, store, &request),
        Operation::ResumeService => services::resume(desk, store, &request),
        Operation::ListOperations => services::list_operations(desk, store, &request),
        Operation::TagResource => tags::tag(desk, store, &request),
        Operation::UntagResource => tags::untag(desk, store, &request),
        Operation::ListTagsForResource => tags::list(desk, store, &request),
    };
    answer.map(Step::Answer)
}

fn forget_what_was_deleted(desk: &Desk, store: &mut Store) -> Result<(), Fault> {
    let now = now();
    let is_old = |deleted: Option<Moment>| deleted.is_some_and(|at| now.since(at) > desk.memory);
    let connectors = store.connectors()?.into_iter().map(|e| (e.value.arn, e.value.deleted_at));
    let services = store.services()?.into_iter().map(|e| (e.value.arn, e.value.deleted_at));
    for (arn, _) in connectors.chain(services).filter(|(_, deleted)| is_old(*deleted)) {
        record(store, |store| Ok(store.forget(&arn)?))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const PAGE: &str = include_str!("../../docs/reference/app-runner-api.md");

    #[test]
    fn the_page_about_the_api_has_every_operation_and_no_other() {
        let (_, section) = PAGE.split_once("\n## Operations\n").unwrap_or_default();
        let section = section.split("\n## ").next().unwrap_or_default();
        let (served, others) = section.split_once("The other operations").unwrap_or_default();
        // Operations begin with a capital and are one word.
        let names = |text: &'static str| -> BTreeSet<&str> {
            let quoted = text.split('`').skip(1).step_by(2);
            let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_alphabetic());
            let words = quoted.filter(|name| *name != "UnknownOperationException");
            words.filter(is_name).filter(|name| *name != "POST").collect()
        };
        assert_eq!(names(served), Operation::ALL.iter().map(|(name, _)| *name).collect());
        assert_eq!(names(others), NOT_SERVED.into_iter().collect());
    }
}
