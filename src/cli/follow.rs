//! The end of a command that follows a lab. The first Ctrl-C asks the lab to record no more, and
//! its records are read to the end; the second ends the command at once, even one that waits for a
//! reader of its output.

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

/// Runs a command to its end; its argument tells it when the end is requested.
///
/// # Errors
/// The errors of the command.
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
        // On a thread of its own: it may wait for the reader of its output, and signals must be
        // handled then as well.
        let mut work =
            spawn_blocking(move || Handle::current().block_on(command(Asked(Some(asked)))));
        tokio::select! {
            done = &mut work => return outcome(done),
            () = stop.wait() => {}
        }
        // Without a receiver it has ended already.
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

/// The request for an end.
pub(super) struct Asked(Option<oneshot::Receiver<()>>);

/// A streamed answer until its end is requested.
pub(super) struct Following {
    answer: Answer,
    /// `None` once the lab has the request.
    asked: Option<oneshot::Receiver<()>>,
    until: Option<Instant>,
}

impl Following {
    /// Follows an answer until the end is requested, or so much time has passed.
    pub(super) fn new(answer: Answer, asked: Asked, duration: Option<Duration>) -> Self {
        // A time that the clock cannot represent never comes.
        let until = duration.and_then(|duration| Instant::now().checked_add(duration));
        Self { answer, asked: asked.0, until }
    }

    /// Returns the next bytes; `None` at the end.
    ///
    /// # Errors
    /// The lab ended in the middle of it.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(asked) = &mut self.asked {
            tokio::select! {
                bytes = self.answer.next() => return bytes,
                () = wished_for(asked, self.until) => {
                    self.asked = None;
                    self.answer.end().await?;
                }
            }
        }
        self.answer.next().await
    }

    /// Returns whether the end was requested: without that, an end is the lab's.
    pub(super) fn was_to_end(&self) -> bool {
        self.asked.is_none()
    }

    /// Returns the error of an answer that ended before its time.
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
        // The handler of signals lives as long as this; if it did not, that would be an end.
        _ = asked => {}
        () = elapsed => {}
    }
}
