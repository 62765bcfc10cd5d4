//! A terminal whose other end a test holds: it shows what a program complains about there, and what
//! the program does when the terminal is closed.

use super::PATIENCE;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

/// The test's end. The terminal is closed when this is dropped.
pub struct Terminal {
    master: PtyMaster,
    said: String,
}

impl Terminal {
    /// Opens a terminal, and returns the test's end and the end that a program gets.
    pub fn open() -> (Self, File) {
        // No child may inherit it, or the terminal would stay open.
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname_r(&master).unwrap();
        let mut options = File::options();
        options.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
        let other_end = options.open(name).unwrap();
        (Self { master, said: String::new() }, other_end)
    }

    /// Types a text.
    pub fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until a program has printed this since the last call, and returns everything that it
    /// has printed since.
    pub fn hears(&mut self, text: &str) -> String {
        while !self.said.contains(text) {
            let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            let patience = PollTimeout::try_from(PATIENCE).unwrap();
            assert_eq!(poll(&mut ready, patience), Ok(1), "no `{text}` in {}", self.said);
            let mut bytes = [0; 4096];
            let count = self.master.read(&mut bytes).unwrap();
            self.said.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        std::mem::take(&mut self.said)
    }

    /// Runs a program on a terminal of this size to its end, and returns what it shows, without
    /// what switches and clears screens.
    pub fn shows(command: &mut Command, columns: u16, rows: u16) -> String {
        let (mut terminal, other_end) = Self::open();
        resize(&other_end, columns, rows);
        let ends = || Stdio::from(other_end.try_clone().unwrap());
        let mut child = command.stdin(Stdio::null()).stdout(ends()).stderr(ends()).spawn().unwrap();
        // The command holds ends of its own.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        drop(other_end);
        let mut bytes = Vec::new();
        // The terminal's end is an error, once no program has it.
        let _ = terminal.master.read_to_end(&mut bytes);
        child.wait().unwrap();
        let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
        SCREENS.iter().fold(text, |text, sequence| text.replace(sequence, ""))
    }
}

fn resize(terminal: &File, columns: u16, rows: u16) {
    let mut stty = Command::new("stty");
    stty.args(["cols", &columns.to_string(), "rows", &rows.to_string()]);
    assert!(stty.stdin(terminal.try_clone().unwrap()).status().unwrap().success());
}

/// The sequences that switch and clear screens.
const SCREENS: [&str; 5] = ["\x1b[?1049h", "\x1b[?1049l", "\x1b[?25l", "\x1b[?25h", "\x1b[H\x1b[J"];
