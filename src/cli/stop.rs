//! Signals that end a command, or ask a lab to read its file again.

use std::io;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERMs that come together are one request: timeout(1) sends one to the process, and one to its
/// group.
const TOGETHER: Duration = Duration::from_secs(1);

/// The request of a signal.
pub(super) enum Asked {
    End,
    Reload,
}

/// Receives Ctrl-C, SIGTERM and SIGHUP.
pub(super) struct Stop {
    signals: [Signal; 3],
    had_terminal: bool,
    /// The time of the last SIGTERM that counted.
    terminated: Option<Instant>,
}

impl Stop {
    /// Begins to receive the signals.
    pub(super) fn listen() -> io::Result<Self> {
        let listen = |kind| signal(kind);
        Ok(Self {
            signals: [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            ],
            had_terminal: has_terminal(),
            terminated: None,
        })
    }

    /// Waits for a signal. SIGHUP asks for the end if the controlling terminal has closed, and
    /// otherwise for a reload.
    pub(super) async fn wait_or_reload(&mut self) -> Asked {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => Asked::End,
            () = another(terminate, &mut self.terminated) => Asked::End,
            _ = hangup.recv() => match self.had_terminal && !has_terminal() {
                true => Asked::End,
                false => Asked::Reload,
            },
        }
    }

    /// Waits for a second request to end. A SIGHUP is none: the shell and the kernel each send one
    /// when a terminal closes.
    pub(super) async fn wait_for_another(&mut self) {
        let [interrupt, terminate, _] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            () = another(terminate, &mut self.terminated) => {}
        }
    }

    /// Waits for any of the signals.
    pub(super) async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Waits for a SIGTERM that did not come together with the last one.
async fn another(terminate: &mut Signal, last: &mut Option<Instant>) {
    loop {
        terminate.recv().await;
        if last.is_none_or(|last| last.elapsed() > TOGETHER) {
            *last = Some(Instant::now());
            return;
        }
    }
}

/// Returns whether the process has a controlling terminal: only then can SIGHUP mean that it has
/// closed.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
