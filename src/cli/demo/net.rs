//! Probes by socket: a nonce is sent and must come back.

use super::DemoError;
use crate::linux::Netns;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The bytes that a probe sends.
type Nonce = [u8; 8];

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// An answer, in the words of the table.
    Answer(String),
    /// No answer arrived.
    Silence,
    /// Something arrived that is no answer.
    Fault(String),
}

/// Connects, and has a nonce echoed.
pub(super) async fn tcp_echo(from: &Netns, to: SocketAddrV4, patience: Duration) -> Seen {
    let stream = match connect(from, to, patience).await {
        Ok(stream) => stream,
        Err(seen) => return seen,
    };
    let nonce = nonce();
    match said(timeout(patience, exchange(stream, nonce)).await) {
        Ok(answer) if answer == nonce => Seen::Answer("echo".to_owned()),
        Ok(answer) => Seen::Fault(format!("connected, but {} other bytes came", answer.len())),
        Err(fault) => Seen::Fault(format!("connected, then: {fault}")),
    }
}

/// Connects to a [`reporter`], and asks for the address that it sees.
pub(super) async fn who_am_i(
    from: &Netns,
    to: SocketAddrV4,
    patience: Duration,
) -> Result<Ipv4Addr, Seen> {
    let stream = connect(from, to, patience).await?;
    let nonce = nonce();
    let answer = said(timeout(patience, exchange(stream, nonce)).await)
        .map_err(|fault| Seen::Fault(format!("connected, then: {fault}")))?;
    let address = answer.strip_prefix(&nonce).and_then(|rest| <[u8; 4]>::try_from(rest).ok());
    address
        .map(Ipv4Addr::from)
        .ok_or_else(|| Seen::Fault(format!("connected, but {} other bytes came", answer.len())))
}

/// Sends a datagram, and has it echoed.
pub(super) async fn udp_echo(from: &Netns, to: SocketAddrV4, patience: Duration) -> Seen {
    let nonce = nonce();
    match timeout(patience, exchange_datagram(from, to, nonce)).await {
        Err(_) => Seen::Silence,
        Ok(Ok(answer)) if answer == nonce => Seen::Answer("echo".to_owned()),
        Ok(Ok(answer)) => Seen::Fault(format!("{} other bytes came", answer.len())),
        Ok(Err(error)) => Seen::Fault(error.to_string()),
    }
}

/// Sends every peer its nonce and the address that it comes from; accepts when this returns, ends
/// when the set is dropped.
pub(super) fn reporter(netns: &Netns, place: SocketAddrV4) -> Result<JoinSet<()>, DemoError> {
    let runtime = Handle::current();
    let listener = netns.run(|| {
        let _runtime = runtime.enter();
        let listener = std::net::TcpListener::bind(place)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    })?;
    let listener = listener.map_err(|source| DemoError::Listen { place, source })?;
    let mut server = JoinSet::new();
    server.spawn(async move {
        // A peer that breaks off fails only its own probe.
        while let Ok((stream, peer)) = listener.accept().await {
            let _ = report(stream, peer.ip()).await;
        }
    });
    Ok(server)
}

async fn report(mut stream: TcpStream, peer: std::net::IpAddr) -> io::Result<()> {
    let mut nonce = Nonce::default();
    stream.read_exact(&mut nonce).await?;
    stream.write_all(&nonce).await?;
    if let std::net::IpAddr::V4(peer) = peer {
        stream.write_all(&peer.octets()).await?;
    }
    stream.shutdown().await
}

async fn connect(from: &Netns, to: SocketAddrV4, patience: Duration) -> Result<TcpStream, Seen> {
    let socket = from.run(TcpSocket::new_v4).map_err(io::Error::other);
    let socket = socket.and_then(|made| made).map_err(|error| Seen::Fault(error.to_string()))?;
    match timeout(patience, socket.connect(to.into())).await {
        Err(_) => Err(Seen::Silence),
        Ok(Err(error)) => Err(Seen::Fault(error.to_string())),
        Ok(Ok(stream)) => Ok(stream),
    }
}

/// Sends all data, then reads until the peer ends its direction.
async fn exchange(mut stream: TcpStream, nonce: Nonce) -> io::Result<Vec<u8>> {
    stream.write_all(&nonce).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.take(64).read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn exchange_datagram(from: &Netns, to: SocketAddrV4, nonce: Nonce) -> io::Result<Vec<u8>> {
    let socket = from.run(|| {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        Ok::<_, io::Error>(socket)
    });
    let socket = UdpSocket::from_std(socket.map_err(io::Error::other)??)?;
    socket.connect(to).await?;
    socket.send(&nonce).await?;
    let mut answer = [0; 64];
    let bytes = socket.recv(&mut answer).await?;
    Ok(answer.get(..bytes).unwrap_or_default().to_vec())
}

fn said<T>(outcome: Result<io::Result<T>, tokio::time::error::Elapsed>) -> Result<T, String> {
    match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// Returns another value every time: the standard library's hasher keys are random.
fn nonce() -> Nonce {
    std::collections::hash_map::RandomState::new().build_hasher().finish().to_be_bytes()
}
