//! How a command ends that follows a lab. The first Ctrl-C asks the lab to record no more, and what it has recorded is read
//! to its end; the second ends the command at once, even one that waits for a reader of its output.

use super::error::AT_ONCE;
use super::runtime::runtime;
use super::stop::Stop;
use super::{CliError, output};
use crate::daemon::{Answer, ClientError};
use hyper::body::Bytes;
use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::Instant;

/// Runs a command to its end, which it learns to be wished for by its argument.
///
/// # Errors
/// Those of the command.
pub(super) fn run<W>(
    command: impl FnOnce(Asked) -> W + Send + 'static,
) -> Result<ExitCode, CliError>
where
    W: Future<Output = Result<ExitCode, CliError>>,
{
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let mut stop = Stop::listen()?;
        let (ask, asked) = oneshot::channel();
        // On a thread of its own: it may wait for whoever reads its output, and signals must be heard then as well.
        let mut work =
            spawn_blocking(move || Handle::current().block_on(command(Asked(Some(asked)))));
        tokio::select! {
            done = &mut work => return outcome(done),
            () = stop.wait() => {}
        }
        // It has ended already if nobody takes it.
        let _ = ask.send(());
        tokio::select! {
            done = &mut work => outcome(done),
            () = stop.wait_for_another() => {
                output::note("ended at once: the last packets may be missing");
                Ok(ExitCode::from(AT_ONCE))
            }
        }
    });
    runtime.shutdown_background();
    outcome
}

fn outcome(done: Result<Result<ExitCode, CliError>, JoinError>) -> Result<ExitCode, CliError> {
    done.map_err(io::Error::other)?
}

/// The wish for an end.
pub(super) struct Asked(Option<oneshot::Receiver<()>>);

/// An answer that goes on until its end is wished for.
pub(super) struct Following {
    answer: Answer,
    /// `None` once the lab knows of it.
    asked: Option<oneshot::Receiver<()>>,
    until: Option<Instant>,
}

impl Following {
    /// Follows an answer until the end is asked for, or so much time has passed.
    pub(super) fn new(answer: Answer, asked: Asked, duration: Option<Duration>) -> Self {
        // A time that no clock can tell does not come.
        let until = duration.and_then(|duration| Instant::now().checked_add(duration));
        Self { answer, asked: asked.0, until }
    }

    /// The next octets; `None` at the end.
    ///
    /// # Errors
    /// The lab ended in the middle of it.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(asked) = &mut self.asked {
            tokio::select! {
                octets = self.answer.next() => return octets,
                () = wished_for(asked, self.until) => {
                    self.asked = None;
                    self.answer.end().await?;
                }
            }
        }
        self.answer.next().await
    }

    /// Whether it was to end: without that, an end is the lab's.
    pub(super) fn was_to_end(&self) -> bool {
        self.asked.is_none()
    }

    /// The error of an answer that ended before its time.
    pub(super) fn went_down(&self) -> ClientError {
        self.answer.went_down()
    }
}

async fn wished_for(asked: &mut oneshot::Receiver<()>, until: Option<Instant>) {
    let elapsed = async {
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // Whoever hears signals is there as long as this is; were it not, it would be the end.
        _ = asked => {}
        () = elapsed => {}
    }
}
