//! Signals that end a command, or ask a lab to read its file again.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// What a signal asks for.
pub(super) enum Asked {
    End,
    Reload,
}

/// Ctrl-C, SIGTERM and SIGHUP.
pub(super) struct Stop {
    signals: [tokio::signal::unix::Signal; 3],
    had_terminal: bool,
}

impl Stop {
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

    /// SIGHUP asks for the end if it says that the terminal has gone away, and otherwise for a reload.
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

    /// Once the end has been asked for, a hangup says nothing new: the shell and the kernel each send one.
    pub(super) async fn wait_for_another(&mut self) {
        let [interrupt, terminate, _] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    pub(super) async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Whether the process has a controlling terminal: only then SIGHUP can mean that it has gone.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
