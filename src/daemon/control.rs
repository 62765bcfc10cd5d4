//! The control API: JSON over HTTP on the lab's unix socket, for root only.

use super::configuration::configuration;
use super::drop_rows;
use super::error::LabError;
use super::explain::explain;
pub use super::explain::{ExplainAnswer, ExplainRequest, no_task};
use super::flows::FlowQuery;
pub use super::origin::Maker;
use super::peer::Peer;
use super::reach::reach;
pub use super::reach::{ReachAnswer, ReachRequest};
use super::reload::Request;
use super::running::Running;
use super::shared::{Problem, Shared, refused, withdrawn};
use super::top::top;
use super::watch::{capture, trace};
use crate::explain::{EniRow, HolderRow, PsRow, Selection, ServiceRow};
use crate::flow::Instant;
use crate::linux::clock;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use tokio::net::UnixListener;
use tokio::sync::{OwnedMutexGuard, watch};

/// What `GET /v1/lab` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LabInfo {
    /// The lab's name.
    pub name: String,
    /// The lab file.
    pub file: String,
    /// The process that runs it.
    pub pid: u32,
    /// The configuration in force.
    pub generation: u32,
    /// The services, in the lab file's order.
    pub services: Vec<String>,
    /// The VPCs' ids.
    pub vpcs: Vec<String>,
    /// How fast timeouts pass: at 100.0, 350 s pass in 3.5 s.
    pub time_scale: f64,
    /// The gateway endpoints' ids.
    #[serde(default)]
    pub gateway_endpoints: Vec<String>,
}

/// What `POST /v1/tasks` takes: a task that must be there, or one more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskRequest {
    /// The service.
    pub service: String,
    /// The task that must be there; without it, one more is made.
    pub number: Option<u16>,
    /// The command that asks.
    #[serde(default)]
    pub maker: Maker,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskAnswer {
    /// The task.
    #[serde(flatten)]
    pub task: PsRow,
    /// What went wrong beside that it was made.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What `DELETE /v1/tasks/SERVICE/N` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// What went wrong beside that the task was removed.
    pub notes: Vec<String>,
}

/// Makes the socket of the API. From here on clients can connect, and are answered once [`serve`] runs.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(socket: &std::path::Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the API until `ended` is set, then lets calls in progress finish.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    shared: Shared,
    listener: UnixListener,
    mut ended: watch::Receiver<bool>,
) -> io::Result<()> {
    let api = Router::new()
        .route("/v1/alive", get(alive))
        .route("/v1/lab", get(lab))
        .route("/v1/configuration", get(configuration))
        .route("/v1/flows", post(flows))
        .route("/v1/drops", post(drops))
        .route("/v1/enis", get(enis))
        .route("/v1/holders", get(holders))
        .route("/v1/ps", get(ps))
        .route("/v1/services", get(services))
        .route("/v1/tasks", post(add_task))
        .route("/v1/tasks/{service}/{number}", delete(remove_task))
        .route("/v1/tasks/{service}/{number}/repair", post(repair_task))
        .route("/v1/explain", post(explain))
        .route("/v1/reach", post(reach))
        .route("/v1/apply", post(apply))
        .route("/v1/trace", post(trace))
        .route("/v1/capture", post(capture))
        .route("/v1/streams/{id}/end", post(end_stream))
        .route("/v1/top", post(top))
        .route("/v1/down", post(down))
        .with_state(shared);
    let until = async move {
        // A sender that is gone is an end as well.
        let _ = ended.wait_for(|end| *end).await;
    };
    let api = api.into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, api).with_graceful_shutdown(until).await
}

/// Answers at once, whatever the lab is at work on.
async fn alive() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn lab(State(shared): State<Shared>) -> Json<LabInfo> {
    let running = shared.running.lock().await;
    let snapshot = running.snapshot();
    let parts = snapshot.parts();
    Json(LabInfo {
        name: running.lab().name.clone(),
        file: running.lab().file.clone(),
        pid: std::process::id(),
        generation: snapshot.generation.0,
        services: parts.services.iter().map(|s| s.name.clone()).collect(),
        vpcs: parts.vpcs.iter().map(|v| v.id.clone()).collect(),
        time_scale: running.lab().time_scale,
        gateway_endpoints: parts.gateway_endpoints.iter().map(|e| e.id.clone()).collect(),
    })
}

/// Nobody waits for the lab while its flows are looked through.
async fn flows(State(shared): State<Shared>, Json(query): Json<FlowQuery>) -> Response {
    let lab = shared.subject().await;
    let rows = tokio::task::spawn_blocking(move || {
        let configurations = lab.configurations;
        let (current, history) = (configurations.current.load(), configurations.history.load());
        query.rows(&lab.engine, Instant(clock::now()), &current, &history)
    });
    match rows.await {
        Ok(Ok(rows)) => Json(rows).into_response(),
        Ok(Err(error)) => refused(&error),
        Err(fault) => refused(&fault),
    }
}

async fn drops(State(shared): State<Shared>, Json(selection): Json<Selection>) -> Response {
    let mut running = shared.running.lock().await;
    let rows = running.drop_rows().await;
    match drop_rows::select(rows, selection, &running.snapshot()) {
        Ok(rows) => Json(rows).into_response(),
        Err(error) => refused(&error),
    }
}

async fn enis(State(shared): State<Shared>) -> Json<Vec<EniRow>> {
    Json(shared.running.lock().await.eni_rows().await)
}

async fn holders(State(shared): State<Shared>) -> Json<Vec<HolderRow>> {
    Json(shared.running.lock().await.holder_rows())
}

async fn ps(State(shared): State<Shared>) -> Json<Vec<PsRow>> {
    let running = shared.running.lock().await;
    let mut rows = running.ps_rows();
    running.look_at_links(&mut rows).await;
    Json(rows)
}

async fn services(State(shared): State<Shared>) -> Json<Vec<ServiceRow>> {
    Json(shared.running.lock().await.service_rows())
}

async fn add_task(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Json(request): Json<TaskRequest>,
) -> Response {
    let add =
        |mut running: OwnedMutexGuard<Running>| async move { added(&mut running, request).await };
    shared.for_client(&client, add).await
}

async fn added(running: &mut Running, request: TaskRequest) -> Result<Json<TaskAnswer>, LabError> {
    let task = match request.number {
        Some(number) => running.ensure_task(&request.service, number, request.maker).await?,
        None => running.add_task(&request.service, request.maker).await?,
    };
    let notes = running.take_notes();
    let mut rows = running.ps_rows();
    rows.retain(|row| row.address == task.address);
    running.look_at_links(&mut rows).await;
    let answer = rows.pop().map(|task| Json(TaskAnswer { task, notes }));
    answer.ok_or(LabError::UnknownTask { service: request.service, number: task.number })
}

async fn remove_task(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Path((service, number)): Path<(String, u16)>,
) -> Response {
    let remove = |mut running: OwnedMutexGuard<Running>| async move {
        running.remove_task(&service, number).await?;
        Ok::<_, LabError>(Json(Removed { notes: running.take_notes() }))
    };
    shared.for_client(&client, remove).await
}

async fn repair_task(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Path((service, number)): Path<(String, u16)>,
) -> Response {
    let repair = |mut running: OwnedMutexGuard<Running>| async move {
        running.repair_task(&service, number).await.map(Json)
    };
    shared.for_client(&client, repair).await
}

async fn apply(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Json(request): Json<Request>,
) -> Response {
    let own = shared.clone();
    let reload =
        |running| async move { own.reload_in(running, &request, &mut |_| {}).await.map(Json) };
    shared.for_client(&client, reload).await
}

async fn end_stream(State(shared): State<Shared>, Path(id): Path<u64>) -> Response {
    match shared.streams().end(id) {
        true => StatusCode::ACCEPTED.into_response(),
        false => {
            let error = format!("nothing with the id {id} goes on; it has ended, or never began");
            (StatusCode::NOT_FOUND, Json(Problem { error })).into_response()
        }
    }
}

async fn down(State(shared): State<Shared>, ConnectInfo(client): ConnectInfo<Peer>) -> Response {
    if client.has_gone() {
        return withdrawn();
    }
    shared.end();
    StatusCode::ACCEPTED.into_response()
}
