//! The terminal of a command that shows live output.

use nix::libc::_POSIX_VDISABLE;
use nix::sys::termios::SpecialCharacterIndices::{VQUIT, VSUSP};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of columns.
    pub columns: usize,
    /// The number of rows.
    pub rows: usize,
}

/// Returns the size of standard output, if that is a terminal.
pub fn size() -> Option<Size> {
    size_of(io::stdout())
}

/// Returns the size of a terminal; `None` of something else.
pub fn size_of(stream: impl AsFd + IsTerminal) -> Option<Size> {
    if !stream.is_terminal() {
        return None;
    }
    let size = terminal_size::terminal_size_of(stream);
    Some(size.map_or(UNKNOWN, |(columns, rows)| Size {
        columns: usize::from(columns.0),
        rows: usize::from(rows.0),
    }))
}

/// The size of a terminal that does not say its own, such as a serial console.
const UNKNOWN: Size = Size { columns: 80, rows: 24 };

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
        // Ctrl-Z and Ctrl-\ would give the terminal to the shell as it is now.
        for key in [VSUSP, VQUIT] {
            now.control_chars[key as usize] = _POSIX_VDISABLE;
        }
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
