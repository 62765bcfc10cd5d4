//! Standard output and standard error: the only place that writes to them.

use std::io::{self, IsTerminal as _, Write as _};

/// Writes to standard output. A reader that has gone away (`| head`) is not an error.
///
/// # Errors
/// Any other failure of standard output.
pub fn out(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes a line to standard error; if even that fails there is nobody left to tell.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether standard output is a terminal that wants colours (`NO_COLOR` says no).
pub fn wants_color() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
