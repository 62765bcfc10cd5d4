//! The namespaces, links and programs of a path. Dropping it ends the programs and removes the
//! namespaces.

use super::bare::BareError;
use crate::cli::program::{TIMEOUT, search_path};
use crate::linux::exec::{ExecError, spawn_in};
use crate::linux::netns::{self, DIRECTORY};
use crate::linux::{Netns, NetnsError, WorkerHandle};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::task::spawn_blocking;

/// Seconds after which a path's program ends even if no process is left to end it, and until it is
/// killed if it does not.
const AT_MOST: &str = "3600";
const KILL_AFTER: &str = "15";

/// The reason why a path could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A namespace could not be made or entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A program did not start.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The bare TUN could not start.
    #[error(transparent)]
    Bare(#[from] BareError),
    /// A program failed.
    #[error("{what}: {said}")]
    Failed {
        /// The command.
        what: String,
        /// Its output.
        said: String,
    },
    /// A pipe or a setting failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation.
        what: String,
        /// The kernel's error.
        source: io::Error,
    },
}

/// One path's namespaces and programs.
#[derive(Debug)]
pub(super) struct Peer {
    key: String,
    namespaces: Vec<Netns>,
    labs: Vec<String>,
    programs: Vec<Child>,
    workers: Vec<WorkerHandle>,
}

/// A namespace's word, a link in it, and the link's address.
type End<'a> = (&'a str, &'a str, &'a str);

impl Peer {
    pub(super) fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            namespaces: Vec::new(),
            labs: Vec::new(),
            programs: Vec::new(),
            workers: Vec::new(),
        }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Makes a namespace.
    pub(super) fn add_netns(&mut self, word: &str) -> Result<(), PeerError> {
        self.namespaces.push(Netns::create(&self.full(word))?);
        Ok(())
    }

    /// Returns a namespace that it made.
    pub(super) fn netns(&self, word: &str) -> Result<Netns, PeerError> {
        self.known(&self.full(word))
    }

    /// Returns a namespace that a lab of its made.
    pub(super) fn known(&self, name: &str) -> Result<Netns, PeerError> {
        Ok(Netns::open(name)?)
    }

    /// Returns the file by which another program finds a namespace.
    pub(super) fn file_of(&self, word: &str) -> String {
        format!("{DIRECTORY}/{}", self.full(word))
    }

    fn full(&self, word: &str) -> String {
        format!("bench-{}-{}-{word}", std::process::id(), self.key)
    }

    /// Links two namespaces.
    pub(super) fn veth(&self, near: End<'_>, far: End<'_>) -> Result<(), PeerError> {
        let there = self.full(far.0);
        self.ip(
            near.0,
            &format!("link add {} type veth peer name {} netns {there}", near.1, far.1),
        )?;
        for (word, link, address) in [near, far] {
            self.ip(word, &format!("addr add {address} dev {link}"))?;
            self.ip(word, &format!("link set {link} up"))?;
        }
        Ok(())
    }

    /// Runs `ip` with these words in a namespace.
    pub(super) fn ip(&self, word: &str, words: &str) -> Result<(), PeerError> {
        let words: Vec<&str> = words.split(' ').collect();
        self.feed(word, "ip", &words, "")
    }

    /// Runs a program in a namespace to its end, with `text` as its standard input.
    pub(super) fn feed(
        &self,
        word: &str,
        program: &str,
        arguments: &[&str],
        text: &str,
    ) -> Result<(), PeerError> {
        let what = format!("{program} {}", arguments.join(" "));
        let mut command = piped(program, arguments);
        let mut child = spawn_in(&self.netns(word)?, &mut command)?;
        let fed = write_to(&mut child, text);
        let ended = fed.and_then(|()| child.wait_with_output());
        let output = ended.map_err(|source| PeerError::Io { what: what.clone(), source })?;
        if output.status.success() {
            return Ok(());
        }
        Err(PeerError::Failed {
            what,
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Writes a setting under `/proc/sys/net` of a namespace.
    pub(super) fn set(&self, word: &str, setting: &str, value: &str) -> Result<(), PeerError> {
        let file = Path::new("/proc/sys/net").join(setting);
        let written = self.netns(word)?.run(|| std::fs::write(&file, value))?;
        written.map_err(|source| PeerError::Io { what: file.display().to_string(), source })
    }

    /// Starts a program in a namespace that runs until the path is dropped.
    pub(super) fn run_in(
        &mut self,
        word: &str,
        program: &str,
        arguments: &[&str],
    ) -> Result<(), PeerError> {
        let words = [&["-k", KILL_AFTER, AT_MOST, program][..], arguments].concat();
        let mut command = piped(TIMEOUT.program, &words);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.programs.push(spawn_in(&self.netns(word)?, &mut command)?);
        Ok(())
    }

    /// Keeps a worker until the path is dropped.
    pub(super) fn keep(&mut self, worker: WorkerHandle) {
        self.workers.push(worker);
    }

    /// Brings a lab up, and returns when it is ready.
    pub(super) async fn lab_up(
        &mut self,
        egret: &Path,
        name: &str,
        text: &str,
    ) -> Result<(), PeerError> {
        let what = || format!("{} up, lab `{name}`", egret.display());
        let failed = |source| PeerError::Io { what: what(), source };
        let program = egret.display().to_string();
        // In the foreground: otherwise `timeout` sends each signal twice, and a second one ends a
        // lab at once.
        let limit = ["--foreground", "-k", KILL_AFTER, AT_MOST];
        let words = [&limit[..], &[&program, "up", "--quiet", "/dev/stdin"]].concat();
        let mut child = piped(TIMEOUT.program, &words).spawn().map_err(failed)?;
        let fed = write_to(&mut child, text);
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        // From here on it is ended in any case, and what it made is cleared.
        self.programs.push(child);
        self.labs.push(name.to_owned());
        fed.map_err(failed)?;
        // Off the runtime's thread, so that Ctrl-C works meanwhile: the end of the program is the
        // end of its output.
        let ready = spawn_blocking(move || {
            let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
            lines.map_while(Result::ok).any(|line| line.starts_with("ready"))
        });
        if ready.await.unwrap_or(false) {
            return Ok(());
        }
        let mut said = String::new();
        // Its output so far is the explanation.
        let _ = stderr.map(|mut stderr| stderr.read_to_string(&mut said));
        Err(PeerError::Failed { what: what(), said: said.trim().to_owned() })
    }

    /// Returns the output of one of its programs that has ended in the meantime.
    pub(super) fn last_words(&mut self) -> Option<String> {
        let ended = self
            .programs
            .iter_mut()
            .find_map(|child| matches!(child.try_wait(), Ok(Some(_))).then_some(child))?;
        let mut said = String::new();
        // Its output so far is the explanation.
        let _ = ended.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
        Some(if said.trim().is_empty() { "ended".to_owned() } else { said.trim().to_owned() })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.workers.clear();
        for child in &mut self.programs {
            if let Ok(pid) = i32::try_from(child.id()) {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        for child in &mut self.programs {
            // `timeout` makes sure that this ends.
            let _ = child.wait();
        }
        let names = netns::list().unwrap_or_default();
        let of_labs = names
            .into_iter()
            .filter(|name| self.labs.iter().any(|lab| name.starts_with(&format!("{lab}-"))));
        // A lab removes its own namespaces; this is for one that had to be killed.
        let _ =
            netns::remove_all(of_labs.chain(self.namespaces.iter().map(|n| n.name().to_owned())));
    }
}

fn piped(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("PATH", search_path())
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn write_to(child: &mut Child, text: &str) -> io::Result<()> {
    match child.stdin.take().map(|mut stdin| stdin.write_all(text.as_bytes())) {
        // If the reader stops, its own error explains why.
        Some(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Some(_) | None => Ok(()),
    }
}
