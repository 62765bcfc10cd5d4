//! What a longer command is at, on standard error: a spinner on a terminal, a line per step elsewhere.

use crate::cli::output;
use indicatif::ProgressBar;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

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
