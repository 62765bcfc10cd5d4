//! The control API: JSON over HTTP on the lab's unix socket, for root, and for the readers that
//! `[access]` of the lab file names.

use super::attachments::{AttachmentRow, DetachRequest};
use super::bodies::{Bodies, Unread};
use super::checked::{self, Checked};
use super::configuration::configuration;
use super::drop_rows;
use super::error::LabError;
use super::explain::explain;
pub use super::explain::{ExplainAnswer, ExplainRequest, no_task};
use super::flows::FlowQuery;
use super::foreign::{AttachError, Attachable};
use super::http::{self, Bounds, HEAD};
pub use super::origin::Maker;
use super::passing::{PassingListener, PassingStream};
use super::peer::Peer;
use super::reach::reach;
pub use super::reach::{ReachAnswer, ReachRequest};
use super::readers::{Place, Readers, refusal};
use super::reload;
pub use super::resources::ResourceAnswer;
use super::running::Running;
use super::shared::{Problem, Shared, refused, withdrawn};
use super::top::top;
use super::watch::{capture, trace};
use crate::config::Lab;
use crate::explain::{EniRow, HolderRow, PsRow, ResourceRow, Selection, ServiceRow};
use crate::flow::Instant;
use crate::linux::Foreign;
use crate::linux::clock;
use crate::linux::descriptors::Shares;
use crate::linux::remedy::remedy;
use crate::vpc::Task;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{OwnedMutexGuard, watch};

/// Bytes of the largest request.
const LARGEST: usize = 64 << 10;
/// Bytes of the largest request with a lab file in it: in JSON a line takes more bytes than in the
/// file, and the request may also have the file as it was before.
const LARGEST_APPLY: usize = 4 * Lab::LONGEST;
/// The request with a lab file in it.
const APPLY_PATH: &str = "/v1/apply";
/// Bytes of all requests that are being read or answered.
const BODIES: usize = LARGEST_APPLY + (16 << 20);
/// Limits the time in which the body of a request must arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer to `GET /v1/lab`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LabInfo {
    /// The lab's name.
    pub name: String,
    /// The lab file.
    pub file: String,
    /// The process that runs it.
    pub pid: u32,
    /// The number of the committed configuration.
    pub generation: u32,
    /// The services, in the lab file's order.
    pub services: Vec<String>,
    /// The number of tasks.
    #[serde(default)]
    pub tasks: usize,
    /// The VPCs' ids.
    pub vpcs: Vec<String>,
    /// The speed of timeouts: at 100.0, 350 s pass in 3.5 s.
    pub time_scale: f64,
    /// The gateway endpoints' ids.
    #[serde(default)]
    pub gateway_endpoints: Vec<String>,
}

/// The request of `POST /v1/tasks`: a task that must exist, or one more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskRequest {
    /// The service.
    pub service: String,
    /// The task that must exist; without it, one more is made.
    pub number: Option<u16>,
    /// The command that makes the request.
    #[serde(default)]
    pub maker: Maker,
}

/// The answer to `POST /v1/tasks`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskAnswer {
    /// The task.
    #[serde(flatten)]
    pub task: PsRow,
    /// Notes for the client: that the task was made, and failures that did not undo it.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The request of `POST /v1/tasks/attach`: a namespace, whose descriptor the client passes with the
/// request, becomes a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttachTaskRequest {
    /// The service.
    pub service: String,
    /// The task's number; without it, the lowest free one.
    pub number: Option<u16>,
    /// The name of the task's interface in the namespace.
    pub interface: String,
    /// The id that a container engine gave what it attaches.
    #[serde(default)]
    pub container: Option<String>,
}

/// The request of `POST /v1/resources/NAME/attach`: a namespace, whose descriptor the client passes
/// with the request, answers at the resource's address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttachResourceRequest {
    /// The name of the resource's interface in the namespace.
    pub interface: String,
    /// The id that a container engine gave what it attaches.
    #[serde(default)]
    pub container: Option<String>,
}

/// The answer to `DELETE /v1/tasks/SERVICE/N` and to `DELETE /v1/resources/NAME/attach`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// Notes on what failed although the task was removed.
    pub notes: Vec<String>,
}

/// Makes the socket of the API, for the group of its directory too if it is shared. From here on
/// clients can connect, and are answered once [`serve`] runs.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(socket: &std::path::Path, is_shared: bool) -> io::Result<UnixListener> {
    let mode = std::fs::Permissions::from_mode(if is_shared { 0o660 } else { 0o600 });
    let made = UnixListener::bind(socket)
        .and_then(|listener| std::fs::set_permissions(socket, mode).map(|()| listener));
    made.map_err(|error| {
        let remedy = remedy(&error, "");
        let message = format!("making the control socket {}: {error}{remedy}", socket.display());
        io::Error::new(error.kind(), message)
    })
}

/// Serves the API until `ended` is set, then lets calls in progress finish.
pub async fn serve(shared: Shared, listener: UnixListener, ended: watch::Receiver<bool>) {
    let bounds = Bounds { connections: Shares::now().control, head: HEAD, life: None };
    let (bodies, readers) =
        (Bodies::new(BODIES, PATIENCE), Readers::new(bounds.connections, PATIENCE));
    let api = TowerToHyperService::new(router(shared));
    let respond = |stream: &PassingStream| {
        let peer = Peer::of(stream);
        let place = Arc::new(readers.admit(&peer)?);
        let bodies = if peer.is_root() { &bodies } else { &readers.bodies };
        let client =
            Client { peer, bodies: bodies.clone(), readers: readers.clone(), _place: place };
        let api = api.clone();
        Some(move |request| respond(request, client.clone(), api.clone()))
    };
    http::serve(PassingListener(listener), bounds, respond, ended).await;
}

/// The client of a connection, with the means that it may use.
#[derive(Clone)]
struct Client {
    peer: Peer,
    bodies: Bodies,
    readers: Readers,
    _place: Arc<Place>,
}

/// Answers a request that its client may send, once its body is read.
async fn respond(request: Request, client: Client, api: TowerToHyperService<Router>) -> Response {
    let Client { peer, bodies, readers, .. } = client;
    if let Some(refused) = refusal(&peer, request.method(), request.uri().path()) {
        return refused;
    }
    let _turn = readers.turn(&peer).await;
    let largest = if request.uri().path() == APPLY_PATH { LARGEST_APPLY } else { LARGEST };
    let (mut head, body) = request.into_parts();
    let body = match bodies.read(body, largest).await {
        Ok(body) => body,
        Err(unread) => return unread.into_response(),
    };
    head.extensions.insert(ConnectInfo(peer));
    let request = Request::from_parts(head, Body::from(body.bytes.clone()));
    // The router answers everything, if only with an error.
    match api.call(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

impl IntoResponse for Unread {
    fn into_response(self) -> Response {
        let status = match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::BAD_REQUEST,
        };
        (status, Json(Problem { error: self.to_string() })).into_response()
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/alive", get(alive))
        .route("/v1/lab", get(lab))
        .route("/v1/configuration", get(configuration))
        .route("/v1/flows", post(flows))
        .route("/v1/drops", post(drops))
        .route("/v1/enis", get(enis))
        .route("/v1/names", get(names))
        .route("/v1/holders", get(holders))
        .route("/v1/ps", get(ps))
        .route("/v1/services", get(services))
        .route("/v1/tasks", post(add_task))
        .route("/v1/tasks/attach", post(attach_task))
        .route("/v1/tasks/{service}/{number}", delete(remove_task))
        .route("/v1/tasks/{service}/{number}/repair", post(repair_task))
        .route("/v1/resources", get(resources))
        .route("/v1/resources/{name}/attach", post(attach_resource).delete(detach_resource))
        .route("/v1/attachments", get(attachments))
        .route("/v1/attachments/detach", post(detach_selected))
        .route("/v1/explain", post(explain))
        .route("/v1/reach", post(reach))
        .route(APPLY_PATH, post(apply))
        .route("/v1/trace", post(trace))
        .route("/v1/capture", post(capture))
        .route("/v1/streams/{id}/end", post(end_stream))
        .route("/v1/top", post(top))
        .route("/v1/down", post(down))
        // Bodies are read before, within bounds of their own.
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

/// Answers at once, whatever the lab works on.
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
        tasks: running.tasks.len(),
        vpcs: parts.vpcs.iter().map(|v| v.id.clone()).collect(),
        time_scale: running.lab().time_scale,
        gateway_endpoints: parts.gateway_endpoints.iter().map(|e| e.id.clone()).collect(),
    })
}

/// Lists flows while other calls to the lab go on.
async fn flows(State(shared): State<Shared>, Checked(query): Checked<FlowQuery>) -> Response {
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

async fn drops(State(shared): State<Shared>, Checked(selection): Checked<Selection>) -> Response {
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

/// Returns the names of objects by their ids.
async fn names(State(shared): State<Shared>) -> Json<BTreeMap<String, String>> {
    Json(shared.running.lock().await.snapshot().parts().name_tags.clone())
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

async fn resources(State(shared): State<Shared>) -> Json<Vec<ResourceRow>> {
    Json(shared.running.lock().await.resource_rows())
}

async fn services(State(shared): State<Shared>) -> Json<Vec<ServiceRow>> {
    Json(shared.running.lock().await.service_rows())
}

async fn add_task(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Checked(request): Checked<TaskRequest>,
) -> Response {
    let add =
        |mut running: OwnedMutexGuard<Running>| async move { added(&mut running, request).await };
    shared.for_client(&client, add).await
}

async fn attach_task(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Checked(request): Checked<AttachTaskRequest>,
) -> Response {
    let AttachTaskRequest { service, number, interface, container } = request;
    let attachable = match attachable(&client, interface, container) {
        Ok(attachable) => attachable,
        Err(error) => return LabError::from(error).into_response(),
    };
    let attach = |mut running: OwnedMutexGuard<Running>| async move {
        let task = running.add_foreign_task(&service, number, attachable).await?;
        task_answer(&mut running, &service, task).await
    };
    shared.for_client(&client, attach).await
}

/// Takes the namespace that a client has passed with its request.
fn attachable(
    client: &Peer,
    interface: String,
    container: Option<String>,
) -> Result<Attachable, AttachError> {
    let descriptor = client.take_descriptor().ok_or(AttachError::Nothing)?;
    Attachable::new(Foreign::passed(descriptor)?, interface, container)
}

async fn attach_resource(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    OfResource(name): OfResource,
    Checked(request): Checked<AttachResourceRequest>,
) -> Response {
    let attachable = match attachable(&client, request.interface, request.container) {
        Ok(attachable) => attachable,
        Err(error) => return LabError::from(error).into_response(),
    };
    let attach = |mut running: OwnedMutexGuard<Running>| async move {
        running.add_foreign_resource(&name, attachable).await.map(Json)
    };
    shared.for_client(&client, attach).await
}

async fn detach_resource(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    OfResource(name): OfResource,
) -> Response {
    let detach = |mut running: OwnedMutexGuard<Running>| async move {
        running.detach_resource(&name).await?;
        Ok::<_, LabError>(Json(Removed { notes: running.take_notes() }))
    };
    shared.for_client(&client, detach).await
}

async fn attachments(State(shared): State<Shared>) -> Json<Vec<AttachmentRow>> {
    Json(shared.running.lock().await.attachment_rows().await)
}

async fn detach_selected(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Checked(request): Checked<DetachRequest>,
) -> Response {
    let detach = |mut running: OwnedMutexGuard<Running>| async move {
        running.detach_selected(&request).await.map(Json)
    };
    shared.for_client(&client, detach).await
}

/// The resource that a request's path names.
struct OfResource(String);

impl<S: Send + Sync> FromRequestParts<S> for OfResource {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let named = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = named.map_err(|error| checked::refused(&error.body_text()))?;
        checked::words("resource", [&name]).map_err(|error| checked::refused(&error))?;
        Ok(Self(name))
    }
}

async fn added(running: &mut Running, request: TaskRequest) -> Result<Json<TaskAnswer>, LabError> {
    let task = match request.number {
        Some(number) => running.ensure_task(&request.service, number, request.maker).await?,
        None => running.add_task(&request.service, request.maker).await?,
    };
    task_answer(running, &request.service, task).await
}

async fn task_answer(
    running: &mut Running,
    service: &str,
    task: Task,
) -> Result<Json<TaskAnswer>, LabError> {
    let notes = running.take_notes();
    let mut rows = running.ps_rows();
    rows.retain(|row| row.address == task.address);
    running.look_at_links(&mut rows).await;
    let answer = rows.pop().map(|task| Json(TaskAnswer { task, notes }));
    answer.ok_or(LabError::UnknownTask { service: service.to_owned(), number: task.number })
}

/// The task that a request's path names.
struct OfTask(String, u16);

impl<S: Send + Sync> FromRequestParts<S> for OfTask {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let named = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((service, number)) =
            named.map_err(|error| checked::refused(&error.body_text()))?;
        checked::words("service", [&service]).map_err(|error| checked::refused(&error))?;
        match number.parse() {
            Ok(number @ 1..) => Ok(Self(service, number)),
            Ok(_) | Err(_) => {
                let error = format!("`{number}` is not a task number: give one from 1 to 65535");
                Err(checked::refused(&error))
            }
        }
    }
}

async fn remove_task(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    OfTask(service, number): OfTask,
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
    OfTask(service, number): OfTask,
) -> Response {
    let repair = |mut running: OwnedMutexGuard<Running>| async move {
        running.repair_task(&service, number).await.map(Json)
    };
    shared.for_client(&client, repair).await
}

async fn apply(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Checked(request): Checked<reload::Request>,
) -> Response {
    let own = shared.clone();
    let reload =
        |running| async move { own.reload_in(running, &request, &mut |_| {}).await.map(Json) };
    shared.for_client(&client, reload).await
}

async fn end_stream(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Path(id): Path<String>,
) -> Response {
    let Ok(id) = id.parse() else { return checked::refused("the id of a stream is a number") };
    match shared.streams().end(&client, id) {
        true => StatusCode::ACCEPTED.into_response(),
        false => {
            let error = format!("no stream has the id {id}: it has ended, or never began");
            (StatusCode::NOT_FOUND, Json(Problem { error })).into_response()
        }
    }
}

async fn down(State(shared): State<Shared>, ConnectInfo(client): ConnectInfo<Peer>) -> Response {
    if client.has_left() {
        return withdrawn();
    }
    shared.end();
    StatusCode::ACCEPTED.into_response()
}
