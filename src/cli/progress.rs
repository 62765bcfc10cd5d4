//! What a longer command is at, on standard error: a spinner on a terminal, a line per step elsewhere.

use crate::cli::output;
use indicatif::ProgressBar;
use std::future::Future;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

/// How long an answer may take before the user hears that it is being made.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Waits for an answer, and says so if it takes long.
pub(super) async fn patiently<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    if let Ok(answer) = tokio::time::timeout(PATIENCE, answer.as_mut()).await {
        return answer;
    }
    let _progress = in_progress();
    answer.await
}

/// Says that an answer about packets is being made.
pub(super) fn in_progress() -> Progress {
    let progress = Progress::new();
    progress.say("judging one packet of each kind; Ctrl-C ends it");
    progress
}

/// Shows the step at hand; gone without a trace when dropped.
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
