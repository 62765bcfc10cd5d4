//! Services (spec 1.7): CreateService, DescribeService, ListServices, UpdateService, DeleteService,
//! PauseService, ResumeService, ListOperations. Changes that take time are operations, which
//! `operations` carries out after the answer.

use super::arn::ArnKind;
use super::clock::now;
use super::connectors;
use super::desk::{Desk, record};
use super::fault::{Fault, FaultKind};
use super::noting::Noting;
use super::operations;
use super::pages::List;
use super::records::{Operation, OperationType, Service, ServiceStatus};
use super::settings::{Network, Settings, Wanted, WantedNetwork};
use super::shape::typed;
use super::store::Store;
use super::tags;
use crate::config::Spec;
use crate::config::apprunner::RefuseSubnets;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// Letters and digits in a service's own domain name.
const LABEL: usize = 10;

/// Serves CreateService. `notes` lists what was accepted in its request without effect.
pub(super) fn create(
    desk: &Arc<Desk>,
    store: &mut Store,
    spec: &Spec,
    (request, notes): (Value, Vec<String>),
) -> Result<Value, Fault> {
    let name = request["ServiceName"].as_str().unwrap_or_default().to_owned();
    let tags = tags::of(&request["Tags"])?;
    let mut wanted: Wanted = typed(request)?;
    let mut noting = Noting::new(&spec.apprunner, notes);
    let network = wanted.network_configuration.take();
    let network = self::network((desk, store), Network::default(), network, &mut noting)?;
    refuse_subnets((desk, store), spec, &network)?;
    let settings = Settings::new(wanted, network, &desk.account, &mut noting)?;
    room_for(desk, store, spec, &name)?;
    let id = Uuid::new_v4().simple().to_string();
    let label: String = Uuid::new_v4().simple().to_string().chars().take(LABEL).collect();
    let service = Service {
        arn: desk.account.arn(ArnKind::Service, &[&name, &id]),
        url: format!("{label}.{}.awsapprunner.com", desk.account.region),
        id,
        name,
        status: ServiceStatus::OperationInProgress,
        created_at: now(),
        updated_at: now(),
        deleted_at: None,
        settings,
        before: None,
        in_force: None,
        starting: None,
    };
    let arn = service.arn.clone();
    let tagged = |store: &Store| tags::put(store, &arn, &tags);
    begin((desk, store), OperationType::Create, service, noting.notes(), tagged)
}

/// Serves DescribeService. A deleted service is `DELETED` for a while.
pub(super) fn describe(desk: &Desk, store: &Store, request: &Value) -> Result<Value, Fault> {
    let service = find(desk, store, request)?;
    Ok(json!({ "Service": service.document() }))
}

/// Serves ListServices: all that are not deleted.
pub(super) fn list(store: &Store, request: &Value) -> Result<Value, Fault> {
    let mut all = store.services()?;
    all.retain(|entry| !entry.value.is_deleted());
    let list = List { name: "ListServices", member: "ServiceSummaryList", newest_first: false };
    list.page(store, request, all, Service::summary)
}

/// Serves UpdateService. The answer has the new values already, the lab once the operation is done.
pub(super) fn update(
    desk: &Arc<Desk>,
    store: &mut Store,
    spec: &Spec,
    (request, notes): (Value, Vec<String>),
) -> Result<Value, Fault> {
    let mut noting = Noting::new(&spec.apprunner, notes);
    let mut service = able(desk, store, &request, &[ServiceStatus::Running])?;
    let mut wanted: Wanted = typed(request)?;
    let before = service.settings.clone();
    let network = wanted.network_configuration.take();
    let network = self::network((desk, store), before.network.clone(), network, &mut noting)?;
    // As in the operation: an update of other settings does not affect the network.
    if network != before.network {
        refuse_subnets((desk, store), spec, &network)?;
    }
    service.settings = before.updated(wanted, network, &desk.account, &mut noting)?;
    service.before = Some(before);
    begin((desk, store), OperationType::Update, service, noting.notes(), nothing)
}

/// Serves DeleteService.
pub(super) fn delete(desk: &Arc<Desk>, store: &mut Store, request: &Value) -> Result<Value, Fault> {
    let able_to = [
        ServiceStatus::Running,
        ServiceStatus::Paused,
        ServiceStatus::CreateFailed,
        ServiceStatus::DeleteFailed,
    ];
    let service = able(desk, store, request, &able_to)?;
    begin((desk, store), OperationType::Delete, service, Vec::new(), nothing)
}

/// Serves PauseService.
pub(super) fn pause(desk: &Arc<Desk>, store: &mut Store, request: &Value) -> Result<Value, Fault> {
    let service = able(desk, store, request, &[ServiceStatus::Running])?;
    begin((desk, store), OperationType::Pause, service, Vec::new(), nothing)
}

/// Serves ResumeService.
pub(super) fn resume(desk: &Arc<Desk>, store: &mut Store, request: &Value) -> Result<Value, Fault> {
    let service = able(desk, store, request, &[ServiceStatus::Paused])?;
    begin((desk, store), OperationType::Resume, service, Vec::new(), nothing)
}

/// Serves ListOperations: the newest first.
pub(super) fn list_operations(desk: &Desk, store: &Store, request: &Value) -> Result<Value, Fault> {
    let service = find(desk, store, request)?;
    let operations = store.operations(&service.arn)?;
    let name = format!("ListOperations {}", service.arn);
    let list = List { name: &name, member: "OperationSummaryList", newest_first: true };
    list.page(store, request, operations, Operation::document)
}

/// Records an operation, and what belongs to it, in one transaction; then answers, prints its log,
/// and starts it.
fn begin(
    (desk, store): (&Arc<Desk>, &mut Store),
    kind: OperationType,
    mut service: Service,
    log: Vec<String>,
    besides: impl FnOnce(&Store) -> Result<(), Fault>,
) -> Result<Value, Fault> {
    let (begun, from) = (now(), service.status);
    service.status = ServiceStatus::OperationInProgress;
    service.updated_at = begun;
    let operation = operations::new(kind, &service, from, begun, log);
    record(store, |store| {
        besides(store)?;
        store.put_service(&service)?;
        Ok(store.put_operation(&operation)?)
    })?;
    for line in &operation.log {
        desk.tell(&format!("App Runner: service {}: {line}", service.name));
    }
    operations::go_on(desk, operation.id.clone());
    Ok(json!({ "Service": service.document(), "OperationId": operation.id }))
}

fn nothing(_: &Store) -> Result<(), Fault> {
    Ok(())
}

fn find(desk: &Desk, store: &Store, request: &Value) -> Result<Service, Fault> {
    let arn = request["ServiceArn"].as_str().unwrap_or_default();
    desk.account.whole(arn, ArnKind::Service)?;
    store.service(arn)?.ok_or_else(|| {
        Fault::new(FaultKind::ResourceNotFound, format!("there is no service with the ARN {arn}"))
    })
}

/// Returns the service of a request, which must be in one of these states.
fn able(
    desk: &Desk,
    store: &Store,
    request: &Value,
    states: &[ServiceStatus],
) -> Result<Service, Fault> {
    let service = find(desk, store, request)?;
    if states.contains(&service.status) {
        return Ok(service);
    }
    let able: Vec<String> = states.iter().map(|status| status.word()).collect();
    Err(Fault::new(
        FaultKind::InvalidState,
        format!(
            "the service {} is {}; this needs {}",
            service.name,
            service.status.word(),
            able.join(" or ")
        ),
    ))
}

/// Returns the network of a service after an update, from its earlier one and the one that is
/// requested.
fn network(
    (desk, store): (&Desk, &Store),
    before: Network,
    wanted: Option<WantedNetwork>,
    noting: &mut Noting<'_>,
) -> Result<Network, Fault> {
    let find = |arn: &str| connectors::active(desk, store, arn).map(|connector| connector.arn);
    before.with(wanted.unwrap_or_default(), find, noting)
}

/// Refuses a network whose connector has subnets that App Runner does not take, if the lab file
/// demands that the request is refused. Otherwise the operation fails.
fn refuse_subnets(
    (desk, store): (&Desk, &Store),
    spec: &Spec,
    network: &Network,
) -> Result<(), Fault> {
    match spec.apprunner.refuse_subnets {
        RefuseSubnets::Operation => return Ok(()),
        RefuseSubnets::Request => {}
    }
    let Some(arn) = &network.vpc_connector else { return Ok(()) };
    let connector = connectors::active(desk, store, arn)?;
    spec.accept_subnets(&connector.subnets).map_err(|refusal| Fault::invalid(refusal.to_string()))
}

/// Checks that the account may have one more service, with this name.
fn room_for(desk: &Desk, store: &Store, spec: &Spec, name: &str) -> Result<(), Fault> {
    let services = store.services()?.into_iter().map(|entry| entry.value);
    let living: Vec<Service> = services.filter(|service| !service.is_deleted()).collect();
    if living.iter().any(|service| service.name == name) {
        return Err(Fault::invalid(format!(
            "there is a service with the name {name}: delete it first, or give another name"
        )));
    }
    // Services with a line come from the lab file.
    if spec.services.iter().any(|service| service.line != 0 && *service.name == name) {
        return Err(Fault::invalid(format!(
            "the lab file has a service with the name {name}: give another name"
        )));
    }
    if living.len() >= desk.quotas.services {
        return Err(Fault::new(
            FaultKind::ServiceQuotaExceeded,
            format!(
                "the account has {} services, which is its quota (`service_quota` in [apprunner]); those that failed to \
                 create count",
                living.len()
            ),
        ));
    }
    Ok(())
}
