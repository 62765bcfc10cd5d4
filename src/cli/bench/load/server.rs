//! The server of small packets, as its client handles it.

use super::{Between, LoadError};
use crate::linux::exec::spawn_in;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The service of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ServerKind {
    Connections,
    Latency,
    Datagrams,
}

impl ServerKind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Latency => "latency",
            Self::Datagrams => "datagrams",
        }
    }
}

/// The server's counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Received {
    /// Packets while the sender was at work. Packets that waited in a queue until it had ended say
    /// nothing about a rate.
    pub(super) in_time: u64,
    pub(super) late: u64,
}

impl std::iter::Sum for Received {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            in_time: sum.in_time + one.in_time,
            late: sum.late + one.late,
        })
    }
}

/// The line that it prints when it listens.
pub(super) const LISTENING: &str = "listening";

/// The server, as its client handles it. Dropping it ends it.
pub(super) struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    /// Starts the server, and returns when it listens.
    pub(super) fn start(between: &Between, kind: ServerKind) -> Result<Self, LoadError> {
        let io_failed = |error: io::Error| LoadError::Server(format!("starting a server: {error}"));
        let [address, port, ports] =
            [between.address.to_string(), between.port.to_string(), between.ports.to_string()];
        let mut command = Command::new(std::env::current_exe().map_err(io_failed)?);
        command.args(["bench", "serve", kind.word(), &address, &port, &ports]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn_in(&between.server, &mut command)?;
        let stdout = child.stdout.take();
        let stdout =
            stdout.ok_or_else(|| LoadError::Server("a server without output".to_owned()))?;
        let mut server = Self { child, lines: BufReader::new(stdout) };
        if server.line().as_deref() == Some(LISTENING) {
            return Ok(server);
        }
        let mut said = String::new();
        // Its output so far is the explanation.
        let _ = server.child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
        Err(LoadError::Server(said.trim().trim_start_matches("egret: ").to_owned()))
    }

    /// Ends it, and returns its counts.
    pub(super) fn end(mut self) -> Result<Received, LoadError> {
        drop(self.child.stdin.take());
        let counted = self.line().and_then(|line| serde_json::from_str(&line).ok());
        counted.ok_or_else(|| LoadError::Server("the server ended before its time".to_owned()))
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
