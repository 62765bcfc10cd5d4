//! Progress messages of a longer command, on standard error: a spinner on a terminal, a line per
//! step elsewhere.

use crate::cli::output;
use indicatif::ProgressBar;
use std::future::Future;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

/// The time after which the user gets a message that an answer is being made.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The message while an answer about packets is being made.
const JUDGING: &str = "judging one packet of each kind; Ctrl-C ends it";

/// Waits for an answer about packets, with a message if it takes long.
pub(super) async fn patiently<T>(answer: impl Future<Output = T>) -> T {
    saying(JUDGING, answer).await
}

/// Waits for an answer of a running lab, with a message if it takes long.
pub(super) async fn waiting<T>(lab: &str, answer: impl Future<Output = T>) -> T {
    saying(&format!("waiting for the lab `{lab}`; Ctrl-C ends it"), answer).await
}

async fn saying<T>(what: &str, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    if let Ok(answer) = tokio::time::timeout(PATIENCE, answer.as_mut()).await {
        return answer;
    }
    let progress = Progress::new();
    progress.say(what);
    answer.await
}

/// Prints that an answer about packets is being made.
pub(super) fn in_progress() -> Progress {
    let progress = Progress::new();
    progress.say(JUDGING);
    progress
}

/// Prints the service that an answer is made for, if it takes long.
pub(super) struct Patience {
    service: String,
    begin: Instant,
    progress: Option<Progress>,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { service: String::new(), begin: Instant::now(), progress: None }
    }

    /// Notes that the answer for a service is being made.
    pub(super) fn goes_on(&mut self, service: &str) -> bool {
        if self.service != service {
            *self = Self { service: service.to_owned(), ..Self::new() };
        }
        if self.progress.is_none() && self.begin.elapsed() > PATIENCE {
            let progress = Progress::new();
            let service = &self.service;
            progress.say(&format!("{service}: judging one packet of each kind; Ctrl-C ends it"));
            self.progress = Some(progress);
        }
        true
    }
}

/// Shows the present step; leaves no trace when dropped.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar }
    }

    pub(super) fn say(&self, step: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(step.to_owned()),
            None => output::note(step),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
