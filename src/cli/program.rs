//! Programs that a command runs in a namespace: finds, starts and ends them.

use crate::linux::Netns;
use crate::linux::descriptors;
use crate::linux::exec::{ExecError, run_dressed};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

/// The directories of programs for root, which a user's `PATH` may leave out.
const ROOTS: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// A program that is not egret's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The program.
    pub program: &'static str,
    /// The Debian package that contains it.
    pub package: &'static str,
}

/// The program that ends other programs when their time is up.
pub(super) const TIMEOUT: Tool = Tool { program: "timeout", package: "coreutils" };

impl Tool {
    /// Returns whether it is in one of the directories that are searched.
    pub(super) fn is_installed(&self) -> bool {
        std::env::split_paths(&search_path())
            .any(|directory| Path::new(&directory).join(self.program).is_file())
    }
}

/// Returns `PATH`, and after it the directories that it may lack.
pub(super) fn search_path() -> OsString {
    match std::env::var_os("PATH") {
        Some(mut path) if !path.is_empty() => {
            path.push(":");
            path.push(ROOTS);
            path
        }
        Some(_) | None => ROOTS.into(),
    }
}

/// Starts a program inside a namespace, its output piped. It is killed when the child is dropped.
pub(super) fn start<S: AsRef<OsStr> + Sync>(
    netns: &Netns,
    program: &str,
    arguments: &[S],
) -> Result<Child, ExecError> {
    spawn(netns, program, arguments, true)
}

/// Starts a program inside a namespace that ends after `limit` even if no process is left to end
/// it. Dropping the leash ends it at once.
pub(super) fn start_limited(
    netns: &Netns,
    limit: Duration,
    program: &str,
    arguments: &[&str],
) -> Result<(Child, Leash), ExecError> {
    let limit = limit.as_secs().to_string();
    let words: Vec<&str> =
        ["-k", "2", &limit, program].into_iter().chain(arguments.iter().copied()).collect();
    let child = spawn(netns, TIMEOUT.program, &words, false)?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    Ok((child, Leash(pid)))
}

/// A program that `timeout` runs, which passes SIGTERM on to it, and could not pass on SIGKILL.
pub(super) struct Leash(Option<Pid>);

impl Leash {
    /// Lets go of a program that has ended.
    pub(super) fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may just have ended.
            let _ = kill(pid, Signal::SIGTERM);
        }
    }
}

fn spawn<S: AsRef<OsStr> + Sync>(
    netns: &Netns,
    program: &str,
    arguments: &[S],
    kill_on_drop: bool,
) -> Result<Child, ExecError> {
    let runtime = Handle::current();
    let started = run_dressed(netns, || {
        let _runtime = runtime.enter();
        let mut command = std::process::Command::new(program);
        descriptors::restore(&mut command);
        Command::from(command)
            .args(arguments)
            .env("PATH", search_path())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(kill_on_drop)
            .spawn()
    })?;
    started.map_err(|source| ExecError::Start { program: program.to_owned(), source })
}

/// Returns the last line that a program wrote.
pub(super) fn last_words(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).join("\n");
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or_else(|| format!("ended with {}, silently", output.status), ToOwned::to_owned)
}
