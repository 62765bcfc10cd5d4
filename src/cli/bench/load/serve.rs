//! The server of small packets: a process inside the server's namespace. It prints `listening` when
//! it listens, and ends when its standard input does, so that it never outlives its parent.

use super::LoadError;
use super::connections::{AT_ONCE, answer_once};
use super::datagrams::{self, receive};
use super::latency::respond_often;
use super::server::{LISTENING, Received, ServerKind};
use super::socket::{GLANCE, wait_at_most};
use crate::cli::output;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Arguments.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli::bench) struct ServeArgs {
    #[arg(value_enum)]
    kind: ServerKind,
    address: Ipv4Addr,
    port: u16,
    /// How many, from that one on
    ports: u16,
}

/// Listens, serves until standard input ends, and prints its counts.
pub(in crate::cli::bench) fn serve(args: &ServeArgs) -> Result<ExitCode, LoadError> {
    let place = |n| SocketAddrV4::new(args.address, args.port.wrapping_add(n));
    let over = AtomicBool::new(false);
    let received = match args.kind {
        ServerKind::Connections | ServerKind::Latency => {
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
        ServerKind::Datagrams => {
            let sockets = (0..args.ports.max(1))
                .map(|n| listen_udp(place(n)))
                .collect::<Result<Vec<_>, _>>()?;
            thread::scope(|scope| {
                let over = &over;
                let start = |socket| scope.spawn(move || receive(socket, over));
                let receivers: Vec<_> = sockets.iter().map(start).collect();
                until_end_of_input(over);
                receivers.into_iter().map(|one| one.join().unwrap_or_default()).sum()
            })
        }
    };
    let counted = serde_json::to_string(&received).unwrap_or_default();
    // The reader may have ended.
    let _ = output::out(|w| writeln!(w, "{counted}"));
    Ok(ExitCode::SUCCESS)
}

/// Makes a listener whose `accept` returns after [`GLANCE`] at the latest.
fn listen(place: SocketAddrV4) -> Result<TcpListener, LoadError> {
    let listener = TcpListener::bind(place);
    listener
        .and_then(|listener| wait_at_most(&listener, GLANCE).map(|()| listener))
        .map_err(|source| LoadError::Socket { what: "listening on", place, source })
}

fn listen_udp(place: SocketAddrV4) -> Result<UdpSocket, LoadError> {
    let refused = |source| LoadError::Socket { what: "listening on UDP", place, source };
    datagrams::listen(place).map_err(refused)
}

fn until_end_of_input(over: &AtomicBool) {
    // The end of input, or a failure of either, means that no client waits for the server.
    let _ = output::out(|w| writeln!(w, "{LISTENING}"));
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    over.store(true, Ordering::Relaxed);
}

fn serve_on(listener: &TcpListener, over: &AtomicBool, kind: ServerKind) {
    let answer: fn(TcpStream) -> io::Result<()> = match kind {
        ServerKind::Connections => answer_once,
        ServerKind::Latency | ServerKind::Datagrams => respond_often,
    };
    while !over.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            // An error is counted on the other side.
            let _ = answer(stream);
        }
    }
}
