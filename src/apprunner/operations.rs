//! Operations on services, which go on after their call was answered, and after a restart (spec
//! 1.7, 1.12).
//!
//! While an operation is in progress the lab keeps the service's earlier configuration. The
//! operation ends in one transaction, together with the new configuration.

use super::clock::now;
use super::connectors;
use super::desk::{Desk, record};
use super::fault::{Fault, FaultKind};
use super::records::{
    InForce, Moment, Operation, OperationStatus, OperationType, Service, ServiceStatus,
};
use super::store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Tasks of a service: one, until a command adds more (MinSize of auto scaling).
const TASKS: u16 = 1;

/// The pauses between two attempts at a change that the store refuses: doubled each time, up to the
/// longest.
const SHORTEST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Makes a new operation on a service that is in the state `from`.
pub(super) fn new(
    kind: OperationType,
    service: &Service,
    from: ServiceStatus,
    begun: Moment,
    log: Vec<String>,
) -> Operation {
    Operation {
        id: Uuid::new_v4().to_string(),
        kind,
        status: OperationStatus::InProgress,
        service_arn: service.arn.clone(),
        started_at: begun,
        updated_at: begun,
        ended_at: None,
        due_at: None,
        from,
        log,
    }
}

/// Lists the operations that have not ended.
///
/// # Errors
/// The store cannot be read.
pub(super) fn in_progress(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut pending = store.all_operations()?;
    pending.retain(|operation| operation.status == OperationStatus::InProgress);
    Ok(pending.into_iter().map(|operation| operation.id).collect())
}

/// Carries out an operation in a task of its own, which no caller can cancel.
pub(super) fn go_on(desk: &Arc<Desk>, id: String) {
    tokio::spawn(carry_out(Arc::clone(desk), id));
}

async fn carry_out(desk: Arc<Desk>, id: String) {
    let mut rest = SHORTEST_REST;
    loop {
        match step(&desk, &id).await {
            Ok(Some(wait)) => {
                rest = SHORTEST_REST;
                tokio::time::sleep(wait).await;
            }
            Ok(None) => return,
            // It is still in progress in the store, and goes on when the lab is up again.
            Err(fault) if fault.kind == FaultKind::ServiceUnavailable => return,
            // For example a disk that is full for now.
            Err(fault) => {
                desk.tell(&format!("App Runner: operation {id} is tried again: {fault}"));
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

/// Does what can be done now. Returns how long to wait before the next step; `None` if there is
/// none.
async fn step(desk: &Desk, id: &str) -> Result<Option<Duration>, Fault> {
    let _turn = desk.turn.lock().await;
    let outcome = advanced(desk, id).await;
    desk.show(&mut *desk.store.lock().await).await;
    outcome
}

async fn advanced(desk: &Desk, id: &str) -> Result<Option<Duration>, Fault> {
    let pending = pending(&*desk.store.lock().await, id)?;
    let Some((operation, service)) = pending else { return Ok(None) };
    let prepared = match operation.due_at {
        Some(due) => Ok((service.clone(), due)),
        None => prepare(desk, &operation, &service).await?,
    };
    let (service, due) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => return fail(desk, operation, service, &why).await.map(|()| None),
    };
    let left = due.since(now());
    if !left.is_zero() {
        return Ok(Some(left));
    }
    let (ended, done) = (ended(&operation, OperationStatus::Succeeded), done(&operation, &service));
    let applied = desk.change(|store| {
        store.put_service(&done)?;
        Ok(store.put_operation(&ended)?)
    });
    match applied.await {
        Ok(()) => Ok(None),
        // It goes on when the lab is up again.
        Err(fault) if fault.kind == FaultKind::ServiceUnavailable => Err(fault),
        Err(fault) => fail(desk, operation, service, &fault.message).await.map(|()| None),
    }
}

fn pending(store: &Store, id: &str) -> Result<Option<(Operation, Service)>, Fault> {
    let operation = store.operation(id)?;
    let operation = operation.filter(|found| found.status == OperationStatus::InProgress);
    let Some(operation) = operation else { return Ok(None) };
    let service = store.service(&operation.service_arn)?;
    Ok(service.map(|service| (operation, service)))
}

/// Makes the ENIs that the service is to use come up. Returns the service with them, and the time
/// when they are up. The inner error is the reason why App Runner does not take them.
async fn prepare(
    desk: &Desk,
    operation: &Operation,
    service: &Service,
) -> Result<Result<(Service, Moment), String>, Fault> {
    let arn = service.settings.network.vpc_connector.as_deref();
    let arn = arn.filter(|_| waits_for_enis(operation, service));
    let Some(arn) = arn else { return Ok(Ok((service.clone(), now()))) };
    let active = connectors::active(desk, &*desk.store.lock().await, arn);
    let connector = match active {
        Ok(connector) => connector,
        Err(fault) => return Ok(Err(fault.message)),
    };
    let lab = desk.ground.lab().await;
    if let Err(refusal) = lab.spec.accept_subnets(&connector.subnets) {
        return Ok(Err(refusal.to_string()));
    }
    if lab.spec.apprunner.startup_latency.is_none() {
        return Ok(Ok((service.clone(), now())));
    }
    let starting = Service { starting: Some(arn.to_owned()), ..service.clone() };
    let begun = desk.change(|store| Ok(store.put_service(&starting)?)).await;
    match begun {
        Ok(()) => {}
        Err(fault) if fault.kind == FaultKind::ServiceUnavailable => return Err(fault),
        Err(fault) => return Ok(Err(fault.message)),
    }
    let due = now().after(desk.ground.startup(&connector.name).await);
    let known = Operation { due_at: Some(due), ..operation.clone() };
    record(&mut *desk.store.lock().await, |store| Ok(store.put_operation(&known)?))?;
    Ok(Ok((starting, due)))
}

fn waits_for_enis(operation: &Operation, service: &Service) -> bool {
    match operation.kind {
        OperationType::Create => true,
        // Only an update that changes the network waits for it.
        OperationType::Update => {
            let before = service.before.as_ref().map(|before| &before.network);
            before != Some(&service.settings.network)
        }
        // A paused service keeps its ENIs.
        OperationType::Pause | OperationType::Resume | OperationType::Delete => false,
    }
}

/// Returns the service once the operation has succeeded.
fn done(operation: &Operation, service: &Service) -> Service {
    let mut done = service.clone();
    let ended = now();
    done.updated_at = ended;
    (done.before, done.starting) = (None, None);
    let running = |tasks| Some(InForce { network: service.settings.network.clone(), tasks });
    (done.status, done.in_force) = match operation.kind {
        OperationType::Create | OperationType::Update | OperationType::Resume => {
            (ServiceStatus::Running, running(TASKS))
        }
        OperationType::Pause => (ServiceStatus::Paused, running(0)),
        OperationType::Delete => {
            done.deleted_at = Some(ended);
            (ServiceStatus::Deleted, None)
        }
    };
    done
}

fn ended(operation: &Operation, status: OperationStatus) -> Operation {
    let at = now();
    Operation { status, updated_at: at, ended_at: Some(at), ..operation.clone() }
}

/// Ends an operation that cannot be done. App Runner writes the reason into the service's event
/// log; egret prints it where the lab runs.
async fn fail(
    desk: &Desk,
    operation: Operation,
    mut service: Service,
    why: &str,
) -> Result<(), Fault> {
    let status = match operation.kind {
        OperationType::Update => OperationStatus::RollbackSucceeded,
        OperationType::Create
        | OperationType::Pause
        | OperationType::Resume
        | OperationType::Delete => OperationStatus::Failed,
    };
    service.status = match operation.kind {
        OperationType::Create => ServiceStatus::CreateFailed,
        OperationType::Delete => ServiceStatus::DeleteFailed,
        OperationType::Update | OperationType::Pause | OperationType::Resume => operation.from,
    };
    if let Some(before) = service.before.take() {
        service.settings = before;
    }
    let was_starting = service.starting.take().is_some();
    let mut ended = ended(&operation, status);
    ended.log.push(why.to_owned());
    service.updated_at = ended.updated_at;
    {
        let mut store = desk.store.lock().await;
        let store = &mut *store;
        record(store, |store| {
            store.put_service(&service)?;
            Ok(store.put_operation(&ended)?)
        })?;
        desk.show(store).await;
    }
    if was_starting {
        // Removes its ENIs; if that fails, the next change removes them.
        let _ = desk.change(|_| Ok(())).await;
    }
    let outcome = failure_of(operation.kind);
    desk.tell(&format!("App Runner: service {} {outcome}: {why}", service.name));
    Ok(())
}

fn failure_of(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Create => "failed to create",
        OperationType::Update => "was rolled back to what it was before",
        OperationType::Pause => "could not be paused",
        OperationType::Resume => "could not be resumed",
        OperationType::Delete => "could not be deleted",
    }
}
