//! The plugin's socket: JSON over HTTP, for root only, within bounds.

use super::driver::{Driver, Refusal};
use crate::daemon::bodies::{Bodies, Unread};
use crate::daemon::http::{self, Bounds};
use crate::edge::{own, shown};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// The type of requests and answers.
const TYPE: &str = "application/vnd.docker.plugins.v1.2+json";
/// Connections at once. Docker has one for each call that it makes.
const CONNECTIONS: usize = 64;
/// Limits the idle time of a connection: Docker keeps some for the next call.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes of the largest request. Docker's have about a thousand.
const LARGEST: usize = 1 << 20;
/// Bytes of all requests that are being read or answered.
const BODIES: usize = 16 << 20;
/// Limits the time in which the body of a request must arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The reason why the plugin has no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It cannot be made.
    #[error("making the plugin's socket {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// A plugin answers there.
    #[error("a plugin listens at {0}: end it first, or give another path with --socket")]
    Live(PathBuf),
    /// The path is a file of another kind.
    #[error("{0} is there, and is no socket: remove it, or give another path with --socket")]
    NoSocket(PathBuf),
}

/// The socket by which Docker finds the plugin. Dropping it removes the file.
#[derive(Debug)]
pub struct PluginSocket {
    path: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
    listener: UnixListener,
}

impl PluginSocket {
    /// Makes the socket, and folders that are missing. One that a dead plugin left is replaced.
    ///
    /// # Errors
    /// A plugin listens there, or the socket cannot be made.
    pub async fn make(path: &Path) -> Result<Self, SocketError> {
        let error = |source| SocketError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            make_folders(folder).map_err(error)?;
        }
        remove_stale(path).await?;
        let listener = UnixListener::bind(path).map_err(error)?;
        std::fs::set_permissions(path, Permissions::from_mode(own::PRIVATE)).map_err(error)?;
        let about = std::fs::symlink_metadata(path).map_err(error)?;
        Ok(Self { path: path.to_owned(), file: (about.dev(), about.ino()), listener })
    }

    /// Answers Docker's calls until `ended` is set, then lets calls in progress finish, and removes
    /// the socket.
    pub async fn serve(self, driver: Driver, ended: watch::Receiver<bool>) {
        let Self { path, file, listener } = self;
        let _removed_at_the_end = Removed { path, file };
        let bodies = Bodies::new(BODIES, PATIENCE);
        let respond = |_: &UnixStream| {
            let (driver, bodies) = (driver.clone(), bodies.clone());
            Some(move |request| respond(request, driver.clone(), bodies.clone()))
        };
        let bounds = Bounds { connections: CONNECTIONS, head: IDLE, life: None };
        http::serve(listener, bounds, respond, ended).await;
    }
}

/// Removes the socket, unless another plugin has put its own there.
struct Removed {
    path: PathBuf,
    file: (u64, u64),
}

impl Drop for Removed {
    fn drop(&mut self) {
        let about = std::fs::symlink_metadata(&self.path);
        if about.is_ok_and(|about| (about.dev(), about.ino()) == self.file) {
            // Docker asks at the next start, and finds nobody there.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes the folders that are missing. Those of Docker keep their modes.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder == Path::new("") || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folders(above)?;
    }
    own::folder(folder, own::READABLE_FOLDER)
}

async fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let error = |source| SocketError::Io { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(error(source)),
        Ok(about) if !about.file_type().is_socket() => {
            return Err(SocketError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(error)
        }
        Err(source) => Err(error(source)),
        Ok(_) => Err(SocketError::Live(path.to_owned())),
    }
}

async fn respond(request: Request, driver: Driver, bodies: Bodies) -> Response {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        let said = "Docker's calls are POST requests";
        return answer(StatusCode::METHOD_NOT_ALLOWED, &failure(said));
    }
    let body = match bodies.read(body, LARGEST).await {
        Ok(body) => body,
        Err(unread) => return answer(status_of(&unread), &failure(&unread.to_string())),
    };
    match driver.call(head.uri.path(), &body.bytes).await {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(Refusal::Refused(said)) => answer(StatusCode::OK, &failure(&said)),
        Err(Refusal::BadRequest(said)) => answer(StatusCode::BAD_REQUEST, &failure(&said)),
        Err(Refusal::UnknownCall(call)) => {
            let said = format!("egret's network driver has no call `{}`", shown(&call));
            answer(StatusCode::NOT_FOUND, &failure(&said))
        }
    }
}

fn status_of(unread: &Unread) -> StatusCode {
    match unread {
        Unread::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Unread::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
        Unread::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Unread::Broken => StatusCode::BAD_REQUEST,
    }
}

fn failure(said: &str) -> Value {
    json!({ "Err": said })
}

fn answer(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, TYPE)], value.to_string()).into_response()
}
