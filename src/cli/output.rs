//! Standard output and error: colour where it is wanted, and no complaint when the reader has gone.

use super::args::ColorChoice;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    color: ColorChoice,
}

impl Output {
    /// As the user asked.
    pub fn new(color: ColorChoice) -> Self {
        Self { color }
    }

    /// Whether standard output takes colour.
    pub fn color(self) -> bool {
        self.decide(io::stdout().is_terminal())
    }

    /// Whether standard error takes colour.
    pub fn error_color(self) -> bool {
        self.decide(io::stderr().is_terminal())
    }

    /// Prints to standard output. A closed pipe (`egret flows | head`) ends the printing and is no error.
    ///
    /// # Errors
    /// Any other error of the output.
    pub fn print(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut text = Vec::new();
        write(&mut text)?;
        let mut stdout = io::stdout().lock();
        unless_closed(stdout.write_all(&text).and_then(|()| stdout.flush()))
    }

    /// Prints to standard error, for what cannot be said elsewhere: whether it arrives is not looked at.
    pub fn complain(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "egret: {}", text.trim_end());
    }

    fn decide(self, terminal: bool) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            }
        }
    }
}

fn unless_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert!(unless_closed(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(unless_closed(Err(ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn colour_follows_the_choice_before_the_terminal() {
        assert!(Output::new(ColorChoice::Always).decide(false));
        assert!(!Output::new(ColorChoice::Never).decide(true));
        assert!(!Output::new(ColorChoice::Auto).decide(false));
    }
}
