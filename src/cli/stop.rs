//! Signals that end a command, or ask a lab to read its file again.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Says what a signal asks for.
pub(super) enum Asked {
    End,
    Reload,
}

/// Receives Ctrl-C, SIGTERM and SIGHUP.
pub(super) struct Stop {
    signals: [tokio::signal::unix::Signal; 3],
    had_terminal: bool,
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
        })
    }

    /// Waits for a signal. SIGHUP asks for the end if the controlling terminal has closed, and otherwise for a reload.
    pub(super) async fn wait_or_reload(&mut self) -> Asked {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => Asked::End,
            _ = terminate.recv() => Asked::End,
            _ = hangup.recv() => match self.had_terminal && !has_terminal() {
                true => Asked::End,
                false => Asked::Reload,
            },
        }
    }

    /// Waits for a second request to end. A SIGHUP is none: the shell and the kernel each send one when a terminal closes.
    pub(super) async fn wait_for_another(&mut self) {
        let [interrupt, terminate, _] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
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

/// Returns whether the process has a controlling terminal: only then can SIGHUP mean that it has closed.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
