//! Standard output and standard error: no other code writes to them. Text from others cannot
//! command a terminal: see [`shown`](crate::edge::shown()).

use crate::edge::shown::{Shown, painted, shown_lines};
use crate::explain;
use crate::linux::terminal::size_of;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;

/// The command line's choice of colours, once it has been read.
static COLORS: OnceLock<ColorChoice> = OnceLock::new();

/// Sets whether the answer has colours. If not, no text asks a terminal for one.
pub fn choose(colors: ColorChoice) {
    // There is one command line.
    let _ = COLORS.set(colors);
}

fn colors() -> ColorChoice {
    COLORS.get().copied().unwrap_or(ColorChoice::Auto)
}

/// Lets texts and tables fit standard output: its terminal, or the width in `COLUMNS` without one.
pub fn fit() {
    let given = || std::env::var("COLUMNS").ok()?.parse().ok();
    explain::set_width(size_of(io::stdout()).map(|size| size.columns).or_else(given));
}

/// Lets texts and tables fit standard error.
pub fn fit_stderr() {
    explain::set_width(size_of(io::stderr()).map(|size| size.columns));
}

/// Writes to standard output. A reader that has closed it (`| head`) is not an error.
///
/// # Errors
/// Any other failure of standard output.
pub fn out(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = Shown::new(io::stdout().lock(), colors().on_stdout());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes to standard output, which stays open for more; returns whether it still has a reader.
///
/// # Errors
/// Any other failure of standard output.
pub fn more(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<bool> {
    let mut stdout = Shown::new(io::stdout().lock(), colors().on_stdout());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// Writes a value as JSON for people and programs.
///
/// # Errors
/// The errors of `w`.
pub fn json(w: &mut dyn io::Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *w, value)?;
    writeln!(w)
}

/// Sends a terminal a control sequence of egret's own.
///
/// # Errors
/// As [`out`].
pub fn command(sequence: &'static str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(sequence.as_bytes()).and_then(|()| stdout.flush())
}

/// Writes bytes to standard output as they are, for a program: the caller has removed what could
/// command a terminal.
///
/// # Errors
/// As [`out`].
pub fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

/// Writes a line to standard error; a failure of that cannot be reported.
pub fn note(line: &str) {
    let line = if colors().on_stderr() { painted(line) } else { shown_lines(line) };
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// To a terminal, unless NO_COLOR is set
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl ColorChoice {
    /// Returns whether standard output gets colours.
    pub fn on_stdout(self) -> bool {
        self.decide(io::stdout().is_terminal())
    }

    /// Returns whether standard error gets colours.
    pub fn on_stderr(self) -> bool {
        self.decide(io::stderr().is_terminal())
    }

    fn decide(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_comes_before_the_terminal() {
        assert!(ColorChoice::Always.decide(false));
        assert!(!ColorChoice::Never.decide(true));
        assert!(!ColorChoice::Auto.decide(false));
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert!(out(|_| Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert!(out(|_| Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
