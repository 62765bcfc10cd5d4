//! `egret up -d`: starts the lab in a process of its own, without the caller's terminal, and waits
//! until that reports that the lab is ready.

use super::error::CliError;
use super::lab_log::{Begun, LabLog};
use super::notify::Message;
use super::output;
use super::progress::Progress;
use super::runtime::runtime;
use super::stop::Stop;
use crate::daemon::StateDir;
use crate::edge::own;
use crate::linux::session;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

/// The variable that makes a process the one in the background; its value is the file that it
/// writes to, before that is the lab's log.
const VARIABLE: &str = "EGRET_UP_LOG";
/// The variable of sd_notify(3).
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// Bytes of the longest message.
const LONGEST: usize = 1 << 18;
/// The most bytes that are shown of what a lab wrote that did not start.
const MOST_SHOWN: u64 = 64 << 10;

/// Returns whether this is the process in the background.
pub(super) fn is_in_background() -> bool {
    begun_log().is_some()
}

/// Gives the file that this process writes to the name of the lab's log, if it is the one in the
/// background. It must hold the lab.
///
/// # Errors
/// The log cannot be renamed, or noted in the lab's directory.
pub(super) fn take_log(state: &StateDir, given: Option<&Path>) -> Result<(), CliError> {
    let Some(begun) = begun_log() else { return Ok(()) };
    let log = LabLog::of(state.lab(), given)?;
    log.succeed(&begun)?;
    Ok(state.note_log(log.path())?)
}

fn begun_log() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Starts the same command again in the background, and waits until its lab is ready.
///
/// # Errors
/// The process or its files cannot be made; a signal ended the wait, and with it the lab.
pub(super) fn start(lab: &str, given: Option<&Path>) -> Result<ExitCode, CliError> {
    let begun = LabLog::of(lab, given)?.begin()?;
    runtime()?.block_on(async {
        // Before there is a process that a signal would leave alone.
        let stop = Stop::listen()?;
        let reports = Reports::listen()?;
        let child = spawn(&begun, &reports.path)?;
        Waiting { lab, begun, reports, child, stop }.wait().await
    })
}

fn spawn(begun: &Begun, reports: &Path) -> io::Result<Child> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    session::apart(&mut command);
    Command::from(command)
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, &begun.path)
        .env(NOTIFY_SOCKET, reports)
        .stdin(Stdio::null())
        .stdout(begun.write.try_clone()?)
        .stderr(begun.write.try_clone()?)
        .spawn()
}

/// A command that waits for the process that it has started.
struct Waiting<'a> {
    lab: &'a str,
    begun: Begun,
    reports: Reports,
    child: Child,
    stop: Stop,
}

impl Waiting<'_> {
    async fn wait(mut self) -> Result<ExitCode, CliError> {
        // What the steps are is in the log.
        let progress = io::stderr().is_terminal().then(Progress::new);
        let mut was_stopped = false;
        loop {
            tokio::select! {
                biased;
                message = self.reports.next() => {
                    let Message { is_ready, status, output } = message?;
                    if is_ready && !was_stopped {
                        drop(progress);
                        return self.is_ready(output);
                    }
                    if let (Some(progress), Some(status)) = (&progress, status) {
                        progress.say(&status);
                    }
                }
                () = self.stop.wait_for_another() => {
                    self.end();
                    was_stopped = true;
                }
                ended = self.child.wait() => {
                    drop(progress);
                    return self.has_ended(ended?, was_stopped);
                }
            }
        }
    }

    /// Asks the lab to end, as Ctrl-C does in the foreground: a second one ends it at once.
    fn end(&self) {
        let process = self.child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        if let Some(process) = process {
            // It may just have ended.
            let _ = kill(process, Signal::SIGINT);
        }
    }

    fn is_ready(&self, text: Option<String>) -> Result<ExitCode, CliError> {
        let text = text.unwrap_or_else(|| format!("ready: lab `{}` is up\n", self.lab));
        output::out(|w| w.write_all(text.as_bytes()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Shows what a process wrote that ended before its lab was ready.
    fn has_ended(mut self, status: ExitStatus, was_stopped: bool) -> Result<ExitCode, CliError> {
        let wrote = self.wrote()?;
        if !wrote.is_empty() {
            output::note(wrote.trim_end());
        }
        match (status.code(), status.signal()) {
            (Some(0), _) if was_stopped => Err(CliError::Stopped),
            (Some(0), _) => {
                Err(failed(format!("lab `{}` was taken down before it was ready", self.lab)))
            }
            (Some(code), _) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
            (None, signal) => {
                let signal = signal.and_then(|number| Signal::try_from(number).ok());
                let by = signal.map_or("a signal", Signal::as_str);
                Err(failed(format!(
                    "the process of lab `{0}` was ended by {by} before the lab was ready; `egret down --lab {0}` clears what is left",
                    self.lab
                )))
            }
        }
    }

    fn wrote(&mut self) -> io::Result<String> {
        let file = &mut self.begun.read;
        let begin = file.metadata()?.len().saturating_sub(MOST_SHOWN);
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.take(MOST_SHOWN).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn failed(said: String) -> CliError {
    CliError::Io(io::Error::other(said))
}

/// The socket on which the process reports, in a folder that only its user enters.
struct Reports {
    path: PathBuf,
    socket: UnixDatagram,
    buffer: Vec<u8>,
}

impl Reports {
    fn listen() -> io::Result<Self> {
        let folder = PathBuf::from(format!("/run/egret-up-{}", std::process::id()));
        own::folder(&folder, own::PRIVATE_FOLDER)?;
        let path = folder.join("notify");
        // One that was killed may have had the same number.
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { path, socket, buffer: vec![0; LONGEST] })
    }

    async fn next(&mut self) -> io::Result<Message> {
        let length = self.socket.recv(&mut self.buffer).await?;
        Ok(Message::read(self.buffer.get(..length).unwrap_or_default()))
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        // The folder is in a file system that does not outlive the machine's run.
        let _ = fs::remove_file(&self.path);
        let _ = self.path.parent().map(fs::remove_dir);
    }
}
