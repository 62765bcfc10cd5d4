//! Sockets and echo servers inside a namespace: the listeners of resources and internet hosts of a
//! lab, so that a lab can be probed with nothing installed.
//!
//! Sockets are made inside the namespace and served by tokio outside of it. A TCP listener serves
//! at most [`CONNECTIONS`] connections at once, and all of them together as many as [`Shares`] has
//! for tasks; further ones wait in the kernel's queue.

use super::descriptors::Shares;
use super::{Netns, NetnsError};
use crate::packet::Protocol;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections that one TCP listener serves at once.
pub const CONNECTIONS: usize = 256;
/// Bytes that one connection buffers.
const CHUNK: usize = 16 * 1024;
/// The largest UDP payload over IPv4, rounded up.
const DATAGRAM: usize = 65536;
/// The pause before accepting again when the process is out of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// The room for connections of tasks that are served at once, by all listeners of the process
/// together: so tasks cannot take every descriptor.
static PLACES: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(Shares::now().listeners)));

/// An address, protocol and port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// An address of the namespace.
    pub address: Ipv4Addr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.protocol, self.address, self.port)
    }
}

/// The reason why a listener could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The protocol has no ports.
    #[error("cannot listen on {0}: only tcp and udp have ports")]
    Protocol(Endpoint),
    /// The kernel refused.
    #[error("listening on {endpoint} in network namespace `{netns}`: {source}")]
    Bind {
        /// The endpoint.
        endpoint: Endpoint,
        /// The namespace.
        netns: String,
        /// The kernel's error.
        source: io::Error,
    },
}

/// Running echo servers; dropping it ends them.
#[derive(Debug)]
pub struct EchoHandle {
    servers: JoinSet<()>,
}

impl EchoHandle {
    /// Returns the number of servers that run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Returns whether no servers run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }
}

/// Listens on all endpoints, or on none. Must be called within a tokio runtime. When it returns,
/// all accept.
///
/// # Errors
///
/// The first endpoint that failed, with the reason.
pub fn spawn_echo(netns: &Netns, endpoints: &[Endpoint]) -> Result<EchoHandle, ListenError> {
    let runtime = tokio::runtime::Handle::current();
    let sockets = netns.run(|| {
        let _runtime = runtime.enter();
        endpoints.iter().map(|endpoint| bind(netns, *endpoint)).collect::<Result<Vec<_>, _>>()
    })??;
    let mut servers = JoinSet::new();
    for socket in sockets {
        match socket {
            Socket::Tcp(listener) => servers.spawn_on(echo_tcp(listener), &runtime),
            Socket::Udp(socket) => servers.spawn_on(echo_udp(socket), &runtime),
        };
    }
    Ok(EchoHandle { servers })
}

/// Makes a TCP listener inside a namespace. Must be called within a tokio runtime.
///
/// # Errors
///
/// The listener cannot be made.
pub fn tcp_listener(
    netns: &Netns,
    address: Ipv4Addr,
    port: u16,
) -> Result<TcpListener, ListenError> {
    inside(netns, Endpoint { address, protocol: Protocol::Tcp, port }, bind_tcp)
}

/// Makes a UDP socket inside a namespace. Must be called within a tokio runtime.
///
/// # Errors
///
/// The socket cannot be made.
pub fn udp_socket(netns: &Netns, address: Ipv4Addr, port: u16) -> Result<UdpSocket, ListenError> {
    inside(netns, Endpoint { address, protocol: Protocol::Udp, port }, bind_udp)
}

fn inside<S: Send>(
    netns: &Netns,
    endpoint: Endpoint,
    bind: fn(SocketAddrV4) -> io::Result<S>,
) -> Result<S, ListenError> {
    let runtime = tokio::runtime::Handle::current();
    let bound = netns.run(|| {
        let _runtime = runtime.enter();
        bind(SocketAddrV4::new(endpoint.address, endpoint.port))
    })?;
    bound.map_err(|source| ListenError::Bind { endpoint, netns: netns.name().to_owned(), source })
}

enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

fn bind(netns: &Netns, endpoint: Endpoint) -> Result<Socket, ListenError> {
    let place = SocketAddrV4::new(endpoint.address, endpoint.port);
    let bound = match endpoint.protocol {
        Protocol::Tcp => bind_tcp(place).map(Socket::Tcp),
        Protocol::Udp => bind_udp(place).map(Socket::Udp),
        Protocol::Icmp | Protocol::Other(_) => return Err(ListenError::Protocol(endpoint)),
    };
    bound.map_err(|source| ListenError::Bind { endpoint, netns: netns.name().to_owned(), source })
}

fn bind_tcp(place: SocketAddrV4) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(place)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn bind_udp(place: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(place)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

async fn echo_tcp(listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Ends with this future, and ends its connections then.
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let Ok(share) = Arc::clone(&PLACES).acquire_owned().await else {
                    return;
                };
                connections.spawn(async move {
                    // A connection that breaks is ignored.
                    let _ = echo_connection(stream).await;
                    drop((place, share));
                });
            }
            Err(_) => tokio::time::sleep(BREATH).await,
        }
    }
}

/// Sends back all that arrives until the peer ends its direction, and then ends this one too.
async fn echo_connection(mut stream: TcpStream) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match stream.read(&mut chunk).await? {
            0 => return stream.shutdown().await,
            bytes => stream.write_all(chunk.get(..bytes).unwrap_or_default()).await?,
        }
    }
}

async fn echo_udp(socket: UdpSocket) {
    let mut datagram = vec![0; DATAGRAM];
    loop {
        // An error here is an ICMP error about an earlier reply: the next datagram is unaffected.
        if let Ok((bytes, peer)) = socket.recv_from(&mut datagram).await {
            let _ = socket.send_to(datagram.get(..bytes).unwrap_or_default(), peer).await;
        }
    }
}
