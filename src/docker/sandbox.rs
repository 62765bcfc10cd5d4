//! A container's network namespace, which Docker names by a path. When Docker starts a container,
//! it asks the driver first, and the container's process makes the namespace afterwards: then the
//! path becomes a mount point.

use crate::linux::{Foreign, ForeignError};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Limits the wait for the process of a container.
const PATIENCE: Duration = Duration::from_secs(120);

/// Opens a namespace; `None` if the path is none yet.
///
/// # Errors
/// The path will never be one.
pub(super) fn open(path: &Path) -> Result<Option<Foreign>, ForeignError> {
    match Foreign::at(path) {
        Ok(namespace) => Ok(Some(namespace)),
        Err(ForeignError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        // The file that becomes a mount point.
        Err(ForeignError::NoNamespace(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until a path is a namespace.
///
/// # Errors
/// It does not become one in time, as a message.
pub(super) async fn appears(path: &Path) -> Result<Foreign, String> {
    match tokio::time::timeout(PATIENCE, appears_some_time(path)).await {
        Ok(appeared) => appeared,
        Err(_) => Err(format!(
            "{} did not become a network namespace within {} s: the plugin must see Docker's mounts, so run it in no mount namespace of its own",
            path.display(),
            PATIENCE.as_secs()
        )),
    }
}

async fn appears_some_time(path: &Path) -> Result<Foreign, String> {
    // Opened before the first look, so that no change is missed.
    let mounts = Mounts::open().map_err(|error| format!("watching mounts: {error}"))?;
    loop {
        if let Some(namespace) = open(path).map_err(|error| error.to_string())? {
            return Ok(namespace);
        }
        mounts.change().await.map_err(|error| format!("watching mounts: {error}"))?;
    }
}

/// The mounts that this process sees.
struct Mounts(AsyncFd<File>);

impl Mounts {
    #[allow(deprecated, reason = "its replacement is unsafe; the descriptor of a file stays")]
    fn open() -> io::Result<Self> {
        let file = File::open("/proc/self/mountinfo")?;
        Ok(Self(AsyncFd::with_interest(file, Interest::PRIORITY)?))
    }

    /// Waits for a change since this was opened, or since the last call.
    async fn change(&self) -> io::Result<()> {
        self.0.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}
