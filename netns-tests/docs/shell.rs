//! The reader's shell, and the terminal in which `egret up` stays.

use super::page::Action;
use crate::support::PATIENCE;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use tempfile::TempDir;

/// Ends the output of a command.
const END: &str = "--- end of the command";
/// The name of the pipe from the other terminal.
const OTHER: &str = ".other-terminal";
/// The name of the file with the process id of the last `egret up` there.
const UP: &str = ".up";
/// Begins a host of its own, with processes of its own: what a page leaves goes with its shell.
const HOST: &[&str] =
    &["--pid", "--mount-proc", "--fork", "--kill-child", "bash", "scripts/as-another-host", "bash"];
/// Runs each command that comes, ended by NUL. Commands have no standard input: nobody types.
const LOOP: &str = r#"
exec 3<&0 4>&1 5>.other-terminal </dev/null
while IFS= read -r -d '' command <&3; do
    eval "$command" 3<&-
    printf '\n%s\n' "$END" >&4
done
"#;

/// A shell at the top of a copy of the repository.
pub struct Shell {
    child: Child,
    commands: Option<ChildStdin>,
    /// Carries what the shell and its commands print.
    output: Output,
    /// Carries what `egret up` prints in the other terminal.
    other: Output,
    /// Is removed with the shell.
    folder: TempDir,
}

impl Shell {
    pub fn start(repository: &Path) -> Self {
        let folder = copy(repository);
        let other = folder.path().join(OTHER);
        mkfifo(&other, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let other = Output::new(
            OpenOptions::new()
                .read(true)
                .custom_flags(OFlag::O_NONBLOCK.bits())
                .open(other)
                .unwrap(),
        );
        let (output, printed) = std::io::pipe().unwrap();
        let mut bash = Command::new("unshare");
        bash.args(HOST).args(["--norc", "--noprofile", "-c", LOOP]).current_dir(folder.path());
        bash.env("END", END).env("PATH", path()).env("COLUMNS", "100").env_remove("EGRET_LAB");
        bash.stdin(Stdio::piped()).stdout(printed.try_clone().unwrap()).stderr(printed);
        let mut child = bash.spawn().unwrap();
        let commands = child.stdin.take();
        let output = Output::new(File::from(OwnedFd::from(output)));
        Self { child, commands, output, other, folder }
    }

    /// Does what a step says, and returns what that prints.
    pub fn does(&mut self, action: &Action) -> String {
        match action {
            Action::Command(command) => self.runs(command),
            Action::Foreground(command) => {
                // No job of the reader's shell, which would report its end there.
                let ends = format!("wait $!; printf '\\n%s\\n' '{END}'");
                self.runs(&format!("( {command} & echo $! > {UP}; {ends} ) >&5 2>&1 & disown"));
                let printed = self.other.until(|line| line.starts_with("ready:"));
                // The end of an `egret up` that the page killed comes before.
                let end = format!("{END}\n");
                printed.rsplit_once(&end).map_or(printed.clone(), |(_, own)| own.to_owned())
            }
            Action::File { name, text } => {
                std::fs::write(self.folder.path().join(name), text).unwrap();
                String::new()
            }
            Action::Patch(change) => {
                std::fs::write(self.folder.path().join(".change"), change).unwrap();
                let printed = self.runs("patch -p0 < .change > .patched 2>&1 || cat .patched");
                assert_eq!(printed, "", "patch: {printed}");
                String::new()
            }
        }
    }

    fn runs(&mut self, command: &str) -> String {
        let commands = self.commands.as_mut().unwrap();
        commands.write_all(format!("{command}\0").as_bytes()).unwrap();
        let printed = self.output.until(|line| line == END);
        let printed = printed.strip_suffix(&format!("\n{END}\n")).unwrap_or_else(|| {
            panic!("the shell ended in {command}: {printed}");
        });
        printed.to_owned()
    }

    /// Ends the lab in the other terminal, if there is one, and the shell.
    pub fn ends(mut self) {
        if self.folder.path().join(UP).exists() {
            self.runs(&format!("kill -TERM $(cat {UP}) 2> /dev/null"));
            self.other.until(|line| line == END);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.commands = None;
        // All processes of the page's host end with it, whatever a command waits for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads line by line what a program prints.
struct Output {
    from: File,
    unread: Vec<u8>,
}

impl Output {
    fn new(from: File) -> Self {
        Self { from, unread: Vec::new() }
    }

    /// Waits for a line; returns all until its end. Ends early only where nothing comes any more.
    fn until(&mut self, is_last: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        while let Some(line) = self.line() {
            text.push_str(&line);
            if is_last(line.trim_end_matches('\n')) {
                break;
            }
        }
        text
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            let mut ready = [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut ready, PollTimeout::try_from(PATIENCE).unwrap()).unwrap();
            let mut bytes = [0; 4096];
            let count = if ready == 0 { 0 } else { self.from.read(&mut bytes).unwrap() };
            if count == 0 {
                return None;
            }
            self.unread.extend_from_slice(&bytes[..count]);
        }
    }
}

/// Makes a copy of the repository's top whose examples may be changed. The rest are links: pages
/// only read it.
fn copy(repository: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(repository).unwrap() {
        let name = entry.unwrap().file_name();
        let (from, to) = (repository.join(&name), folder.path().join(&name));
        match name.to_str().unwrap() {
            ".git" => {}
            "examples" => {
                let copied = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
                assert!(copied.success());
            }
            _ => symlink(from, to).unwrap(),
        }
    }
    folder
}

/// The directories of programs, that of `egret` first.
fn path() -> String {
    let egret = Path::new(env!("CARGO_BIN_EXE_egret")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    format!("{}:{path}:/usr/local/sbin:/usr/sbin:/sbin", egret.display())
}
