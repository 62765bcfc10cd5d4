//! A running lab as its clients share it, and the answers to calls that fail.

use super::attached;
use super::error::LabError;
use super::foreign::AttachError;
use super::peer::Peer;
use super::reattach;
use super::reload::{self, ReloadError, Request};
use super::running::Running;
use super::streams::Streams;
use super::subject::Subject;
use crate::config::{Lab, Overlay};
use crate::explain::{ApiService, EniRow, PsRow, Reload, Resumed};
use crate::flow::Instant;
use crate::linux::clock;
use crate::linux::descriptors::Shares;
use arc_swap::ArcSwap;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

/// Limits how often housekeeping runs, which holds the lock and looks at every flow. The next
/// packet of an expired flow also finds that it is expired, so no verdict depends on this.
const SHORTEST: Duration = Duration::from_millis(100);

/// A running lab as its clients share it.
#[derive(Clone)]
pub struct Shared {
    pub(super) running: Arc<Mutex<Running>>,
    api_services: Arc<ArcSwap<Vec<ApiService>>>,
    streams: Streams,
    end: watch::Sender<bool>,
}

/// A description of a lab that has started, for the command that started it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The lab's name.
    pub name: String,
    /// The speed of its timeouts.
    pub time_scale: f64,
    /// The path of its control socket.
    pub socket: PathBuf,
    /// Whether others than root may read from it.
    pub is_shared: bool,
    /// Its ENIs and gateways.
    pub enis: Vec<EniRow>,
    /// Its tasks.
    pub tasks: Vec<PsRow>,
    /// The parts of a killed run that were resumed.
    pub resumed: Option<Resumed>,
}

/// The answer to any call that fails.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The error, and how to fix it.
    pub error: String,
}

impl Shared {
    /// Shares a running lab; `end` is set when a client asks for its end.
    pub fn new(running: Running) -> (Self, watch::Receiver<bool>) {
        let (end, ended) = watch::channel(false);
        let api_services = Arc::clone(&running.api_services);
        let running = Arc::new(Mutex::new(running));
        (
            Self { running, api_services, streams: Streams::new(Shares::now().control / 2), end },
            ended,
        )
    }

    /// Describes the lab once it has started.
    pub async fn facts(&self) -> Facts {
        let mut running = self.running.lock().await;
        let lab = running.lab();
        Facts {
            name: lab.name.clone(),
            time_scale: lab.time_scale,
            socket: running.socket(),
            is_shared: lab.spec.access_group.is_some(),
            enis: running.eni_rows().await,
            tasks: running.ps_rows(),
            resumed: running.resumed.clone(),
        }
    }

    /// Runs housekeeping once. Returns the longest time until the next: a second of the lab's own
    /// time, and at least 100 ms. `say` gets a message for each worker that has died since.
    pub async fn tick(&self, say: &mut (dyn FnMut(&str) + Send)) -> Duration {
        let mut running = self.running.lock().await;
        running.tick(say).await;
        Duration::from_secs(1).div_f64(running.lab().time_scale.max(1.0)).max(SHORTEST)
    }

    /// Applies another configuration. Calls are served one after the other.
    ///
    /// # Errors
    /// As [`Running::reload`].
    pub async fn reload(
        &self,
        request: &Request,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reload, ReloadError> {
        let running = Arc::clone(&self.running).lock_owned().await;
        self.reload_in(running, request, say).await
    }

    /// Applies a configuration as [`Shared::reload`] does, to a lab that is locked already. A
    /// change that is half made when the lab is to end is left as it is: all of it is taken down.
    pub(super) async fn reload_in(
        &self,
        mut running: OwnedMutexGuard<Running>,
        request: &Request,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reload, ReloadError> {
        let before = running.lab().clone();
        let mut ended = self.ended();
        let reload = tokio::select! {
            biased;
            _ = ended.wait_for(|end| *end) => return Err(ReloadError::Ending),
            reload = running.reload(request, say) => reload?,
        };
        let lab = match request.dry_run {
            true => reload::read(&running, request)?,
            false => running.lab().clone(),
        };
        // Other calls are served while the labs are checked.
        drop(running);
        Ok(reload::warned(reload, (before, lab), say).await)
    }

    /// Does the work that a client asks for once it is its turn, and then to its end, even if the
    /// client closes its connection meanwhile: a change that is half made helps nobody. A request
    /// is withdrawn if its client has closed its connection before.
    pub(super) async fn for_client<W>(
        &self,
        client: &Peer,
        work: impl FnOnce(OwnedMutexGuard<Running>) -> W,
    ) -> Response
    where
        W: Future + Send + 'static,
        W::Output: IntoResponse + Send,
    {
        let running = Arc::clone(&self.running).lock_owned().await;
        if client.has_left() {
            return withdrawn();
        }
        if *self.end.borrow() {
            return ReloadError::Ending.into_response();
        }
        match tokio::spawn(work(running)).await {
            Ok(answer) => answer.into_response(),
            Err(fault) => {
                let error =
                    format!("this is a bug in egret, and the request may be half done: {fault}");
                (StatusCode::INTERNAL_SERVER_ERROR, Json(Problem { error })).into_response()
            }
        }
    }

    /// Applies all that was created through the App Runner API, in place of its earlier objects.
    /// Returns the notes on it, as [`Running::take_notes`] does.
    ///
    /// # Errors
    /// As [`Running::set_overlay`]; or the lab is ending, and does not change any more.
    pub async fn set_overlay(&self, overlay: Overlay) -> Result<Vec<String>, ReloadError> {
        let mut running = self.running.lock().await;
        if *self.end.borrow() {
            return Err(ReloadError::Ending);
        }
        running.set_overlay(overlay, &mut |_| {}).await?;
        Ok(running.take_notes())
    }

    /// Stores the services of the App Runner API's account, whatever the lab works on.
    pub fn show_services(&self, services: Vec<ApiService>) {
        self.api_services.store(Arc::new(services));
    }

    /// Lists known ENIs as [`Running::known_enis`] does.
    pub async fn known_enis(&self) -> Vec<(String, Duration)> {
        self.running.lock().await.known_enis()
    }

    /// Takes over known ENIs as [`Running::remember_enis`] does.
    pub async fn remember_enis(&self, enis: Vec<(String, Duration)>) {
        self.running.lock().await.remember_enis(enis);
    }

    /// Returns the startup time of a connector as [`Running::startup`] does.
    pub async fn startup(&self, connector: &str) -> Duration {
        self.running.lock().await.startup(connector)
    }

    /// Returns the committed lab: the file and the additions of the App Runner API.
    pub async fn lab(&self) -> Lab {
        self.running.lock().await.lab().clone()
    }

    /// Returns the parts of the lab that a watch of its packets needs.
    pub(super) async fn subject(&self) -> Subject {
        self.running.lock().await.subject()
    }

    /// Counts the packets that full queues of devices have dropped by now; `None` if the lab is
    /// busy for longer than `longest`.
    pub(super) async fn queue_full(&self, longest: Duration) -> Option<u64> {
        let mut running = tokio::time::timeout(longest, self.running.lock()).await.ok()?;
        running.count_drops(Instant(clock::now())).await;
        Some(running.losses.queue_full())
    }

    /// Returns the streams to clients.
    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Returns a receiver that is set when the lab is to end.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.end.subscribe()
    }

    /// Ends the API.
    pub fn end(&self) {
        // Without a receiver it has ended already.
        let _ = self.end.send(true);
    }

    /// Takes the lab down once no call is at work on it; other holders are left with a lab that has
    /// ended. Must be called on a thread that the runtime has for blocking work.
    ///
    /// # Errors
    /// As [`Running::stop`].
    pub fn stop(&self) -> Result<(), LabError> {
        let mut running = self.running.blocking_lock();
        let detached = match attached::is_any(&running) {
            true => Handle::current().block_on(reattach::detach_all(&mut running)),
            false => Ok(()),
        };
        running.stop().and(detached)
    }
}

/// Answers a client that has closed its connection. Nobody reads the answer.
pub(super) fn withdrawn() -> Response {
    let error = "withdrawn: the client has disconnected".to_owned();
    (StatusCode::REQUEST_TIMEOUT, Json(Problem { error })).into_response()
}

/// Answers a client that may try again later.
pub(super) fn busy(error: &dyn std::error::Error) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(Problem { error: error.to_string() })).into_response()
}

pub(super) fn refused(error: &dyn std::error::Error) -> Response {
    (StatusCode::BAD_REQUEST, Json(Problem { error: error.to_string() })).into_response()
}

impl LabError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotUndone { error, .. } => error.status(),
            Self::UnknownService { .. }
            | Self::UnknownTask { .. }
            | Self::Attach(AttachError::UnknownResource { .. } | AttachError::NotAttached(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::Attach(_) => StatusCode::BAD_REQUEST,
            Self::ServiceFull(_)
            | Self::AtRest { .. }
            | Self::HalfRemoved { .. }
            | Self::PoolEmpty { .. }
            | Self::NoDevice { .. }
            | Self::StaysBroken { .. }
            | Self::Config(_) => StatusCode::CONFLICT,
            Self::NotRoot
            | Self::State(_)
            | Self::Netns(_)
            | Self::Link(_)
            | Self::Tun(_)
            | Self::Steer(_)
            | Self::Listen(_)
            | Self::Authority(_)
            | Self::Exec(_)
            | Self::NotResumed(_)
            | Self::HalfResumed(_)
            | Self::Leave(_)
            | Self::Hold(_)
            | Self::Threads(_)
            | Self::Scarce(_)
            | Self::Hanging { .. }
            | Self::Worker { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for LabError {
    fn into_response(self) -> Response {
        (self.status(), Json(Problem { error: self.to_string() })).into_response()
    }
}

impl IntoResponse for ReloadError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Config(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Fixed { .. } | Self::Changed => StatusCode::CONFLICT,
            Self::Lab(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Ending => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(Problem { error: self.to_string() })).into_response()
    }
}
