//! ECS task metadata, version 2: the description of a task that Fargate serves to it at
//! 169.254.170.2.

use super::bounded::Bounded;
use crate::vpc::{Snapshot, Task};
use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// HTTP's port.
pub(super) const PORT: u16 = 80;
/// An account id from AWS's documentation: the lab has none.
const ACCOUNT: &str = "123456789012";

/// Answers for ever.
pub(super) async fn serve(listener: Bounded, current: Arc<ArcSwap<Snapshot>>) {
    let router = Router::new()
        .route("/v2/metadata", get(metadata))
        .route("/v2/metadata/", get(metadata))
        .with_state(current)
        .into_make_service_with_connect_info::<SocketAddr>();
    // Only with `tap_io` does axum pass on the address of a listener that is not one of its own.
    // `serve` ends only with the process.
    let _ = axum::serve(listener.tap_io(|_| {}), router).await;
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TaskMetadata {
    cluster: String,
    #[serde(rename = "TaskARN")]
    task_arn: String,
    family: String,
    revision: String,
    desired_status: &'static str,
    known_status: &'static str,
    containers: Vec<Container>,
    availability_zone: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    docker_id: String,
    name: String,
    desired_status: &'static str,
    known_status: &'static str,
    networks: Vec<Network>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Network {
    #[serde(rename = "NetworkMode")]
    mode: &'static str,
    #[serde(rename = "IPv4Addresses")]
    addresses: Vec<String>,
}

async fn metadata(
    State(current): State<Arc<ArcSwap<Snapshot>>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
) -> Response {
    let snapshot = current.load();
    let task = match from.ip() {
        IpAddr::V4(address) => snapshot.task(address),
        IpAddr::V6(_) => None,
    };
    match task {
        Some(task) => Json(of(&snapshot, task)).into_response(),
        None => (StatusCode::NOT_FOUND, "no task has this address\n").into_response(),
    }
}

/// Describes a task. The address is the task's own: the task does not see the ENI's translation
/// (spec 2.1).
fn of(snapshot: &Snapshot, task: &Task) -> TaskMetadata {
    let parts = snapshot.parts();
    let service = &snapshot.service(task.service).name;
    let id = format!("{:032x}", u32::from(task.address));
    let cluster = format!("arn:aws:ecs:{}:{ACCOUNT}:cluster/{}", parts.region, parts.lab);
    let subnet = task.eni.map(|eni| snapshot.subnet(snapshot.eni(eni).subnet));
    TaskMetadata {
        cluster,
        task_arn: format!("arn:aws:ecs:{}:{ACCOUNT}:task/{}/{id}", parts.region, parts.lab),
        family: service.clone(),
        revision: snapshot.generation.0.to_string(),
        desired_status: "RUNNING",
        known_status: "RUNNING",
        containers: vec![Container {
            docker_id: format!("{id}-{}", task.number),
            name: format!("{service}-{}", task.number),
            desired_status: "RUNNING",
            known_status: "RUNNING",
            networks: vec![Network { mode: "awsvpc", addresses: vec![task.address.to_string()] }],
        }],
        availability_zone: subnet.map(|subnet| subnet.availability_zone.clone()),
    }
}
