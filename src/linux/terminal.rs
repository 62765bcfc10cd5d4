//! The terminal of a command that shows live output.

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io;

/// Returns the rows of the terminal, if there is one.
pub fn rows() -> Option<u16> {
    terminal_size::terminal_size().map(|(_, terminal_size::Height(rows))| rows)
}

/// A terminal whose keys are read one by one and not shown. Dropping it restores it.
#[derive(Debug)]
pub struct KeyByKey {
    before: Termios,
}

impl KeyByKey {
    /// Takes standard input, if it is a terminal.
    pub fn take() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut now = before.clone();
        now.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &now).ok()?;
        Some(Self { before })
    }
}

impl Drop for KeyByKey {
    fn drop(&mut self) {
        // A terminal that was closed needs nothing.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
    }
}
