//! The requirements of a measurement, and its end by a signal.

use super::BenchError;
use crate::cli::program::TIMEOUT;
use crate::cli::stop::Stop;
use crate::cli::{CliError, iperf};
use crate::daemon::LabError;
use std::future::Future;

/// Requires root, which makes namespaces.
pub(super) fn require_root() -> Result<(), CliError> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(LabError::NotRoot.into()) }
}

pub(super) fn require_iperf() -> Result<(), BenchError> {
    match [iperf::IPERF, TIMEOUT].into_iter().find(|tool| !tool.is_installed()) {
        Some(tool) => Err(BenchError::Missing(tool)),
        None => Ok(()),
    }
}

/// Runs `work` until it ends or a signal comes; then what `work` holds is dropped, which ends what
/// it started.
pub(super) fn until_signal<T>(
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut stop = Stop::listen()?;
        tokio::select! {
            outcome = work => outcome,
            () = stop.wait() => Err(BenchError::Interrupted.into()),
        }
    });
    // Load that is still running ends by itself, a moment later at the latest with the process.
    runtime.shutdown_background();
    outcome
}
