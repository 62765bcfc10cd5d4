//! The server of small packets: a process inside the server's namespace. It says `listening` when it listens, and ends when
//! its standard input does, so that it outlives nobody.

use super::connections::{AT_ONCE, answer_once};
use super::datagrams::{self, Received, receive};
use super::latency::respond_often;
use super::{Between, GLANCE, LoadError, wait_at_most};
use crate::cli::output;
use crate::linux::exec::spawn_in;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What it says when it listens.
const LISTENING: &str = "listening";

/// Arguments.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli::bench) struct ServeArgs {
    #[arg(value_enum)]
    kind: Kind,
    address: Ipv4Addr,
    port: u16,
    /// How many, from that one on
    ports: u16,
}

/// What it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Connections,
    Latency,
    Datagrams,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Latency => "latency",
            Self::Datagrams => "datagrams",
        }
    }
}

/// Listens, serves until standard input ends, and prints what it counted.
pub(in crate::cli::bench) fn serve(args: &ServeArgs) -> Result<ExitCode, LoadError> {
    let place = |n| SocketAddrV4::new(args.address, args.port.wrapping_add(n));
    let over = AtomicBool::new(false);
    let received = match args.kind {
        Kind::Connections | Kind::Latency => {
            let listeners =
                (0..args.ports.max(1)).map(|n| listen(place(n))).collect::<Result<Vec<_>, _>>()?;
            let kind = args.kind;
            thread::scope(|scope| {
                // A thread for each connection that may be open.
                for listener in listeners.iter().cycle().take(AT_ONCE.into()) {
                    let over = &over;
                    scope.spawn(move || serve_on(listener, over, kind));
                }
                until_end_of_input(&over);
            });
            Received::default()
        }
        Kind::Datagrams => {
            let place = place(0);
            let refused = |source| LoadError::Socket { what: "listening on UDP", place, source };
            let socket = datagrams::listen(place).map_err(refused)?;
            thread::scope(|scope| {
                let receiver = scope.spawn(|| receive(&socket, &over));
                until_end_of_input(&over);
                receiver.join().unwrap_or_default()
            })
        }
    };
    let counted = serde_json::to_string(&received).unwrap_or_default();
    // Nobody may be left to read it.
    let _ = output::out(|w| writeln!(w, "{counted}"));
    Ok(ExitCode::SUCCESS)
}

/// A listener whose `accept` returns after [`GLANCE`] at the latest.
fn listen(place: SocketAddrV4) -> Result<TcpListener, LoadError> {
    let listener = TcpListener::bind(place);
    listener
        .and_then(|listener| wait_at_most(&listener, GLANCE).map(|()| listener))
        .map_err(|source| LoadError::Socket { what: "listening on", place, source })
}

fn until_end_of_input(over: &AtomicBool) {
    // Both mean that nobody waits for the server.
    let _ = output::out(|w| writeln!(w, "{LISTENING}"));
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    over.store(true, Ordering::Relaxed);
}

fn serve_on(listener: &TcpListener, over: &AtomicBool, kind: Kind) {
    let answer: fn(TcpStream) -> io::Result<()> = match kind {
        Kind::Connections => answer_once,
        Kind::Latency | Kind::Datagrams => respond_often,
    };
    while !over.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            // What goes wrong is counted where it began.
            let _ = answer(stream);
        }
    }
}

/// The server, as its client holds it. Dropping it ends it.
pub(super) struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    /// Returns when it listens.
    pub(super) fn start(between: &Between, kind: Kind) -> Result<Self, LoadError> {
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
        // Whatever it said is what there is to show.
        let _ = server.child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
        Err(LoadError::Server(said.trim().trim_start_matches("egret: ").to_owned()))
    }

    /// Ends it, and returns what it counted.
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
