//! Sockets and servers inside a namespace: the listeners of resources and internet hosts of a lab,
//! so that a lab can be probed with nothing installed.
//!
//! Sockets are made inside the namespace and served by tokio outside of it. A TCP listener serves
//! at most [`CONNECTIONS`] connections at once, and all of them together as many as [`Shares`] has
//! for tasks; further ones wait in the kernel's queue.

mod echo;
mod page;

use super::descriptors::Shares;
use super::{Netns, NetnsError, sys};
use crate::packet::Protocol;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind as bind_socket,
    listen as listen_on, setsockopt, socket, sockopt,
};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use page::{Page, Source};

/// Connections that one TCP listener serves at once.
pub const CONNECTIONS: usize = 256;
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

/// The answers of a listener.
#[derive(Clone)]
pub enum Answers {
    /// Sends back what arrives.
    Echo,
    /// Answers HTTP requests over TCP with this host's page.
    Http(Arc<str>),
    /// Answers HTTP requests over TLS with this host's page.
    Https(Arc<str>, TlsAcceptor),
    /// Holds the port, takes no packet and answers none.
    Nothing,
}

/// A running listener; dropping it ends it.
#[derive(Debug)]
pub struct Listener {
    servers: JoinSet<()>,
    /// The socket to which no packet gets.
    _deaf: Option<OwnedFd>,
}

impl Listener {
    /// Ends the listener with its connections. When this returns, its port is free.
    pub async fn close(mut self) {
        self.servers.shutdown().await;
    }
}

/// Listens at an endpoint. Each answer waits for `delay`. Must be called within a tokio runtime,
/// which serves the listener. When it returns, the listener accepts.
///
/// # Errors
///
/// The socket cannot be made.
pub fn spawn(
    netns: &Netns,
    endpoint: Endpoint,
    answers: Answers,
    delay: Duration,
) -> Result<Listener, ListenError> {
    let runtime = Handle::current();
    let mut servers = JoinSet::new();
    let mut deaf = None;
    match (endpoint.protocol, answers) {
        (Protocol::Tcp | Protocol::Udp, Answers::Nothing) => {
            deaf = Some(inside(netns, endpoint, |place| bind_deaf(endpoint.protocol, place))?);
        }
        (Protocol::Tcp, answers) => {
            let listener = inside(netns, endpoint, bind_tcp)?;
            servers.spawn_on(serve_tcp(listener, answers, delay), &runtime);
        }
        (Protocol::Udp, Answers::Echo) => {
            let socket = inside(netns, endpoint, bind_udp)?;
            servers.spawn_on(echo::datagrams(socket, delay), &runtime);
        }
        (Protocol::Udp | Protocol::Icmp | Protocol::Other(_), _) => {
            return Err(ListenError::Protocol(endpoint));
        }
    }
    Ok(Listener { servers, _deaf: deaf })
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
    bind: impl FnOnce(SocketAddrV4) -> io::Result<S> + Send,
) -> Result<S, ListenError> {
    let runtime = Handle::current();
    let bound = netns.run(|| {
        let _runtime = runtime.enter();
        bind(SocketAddrV4::new(endpoint.address, endpoint.port))
    })?;
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

/// Makes a socket that has the port and gets no packet: its filter takes none, before the port is
/// its own. For those who send, packets arrive and nothing answers.
fn bind_deaf(protocol: Protocol, place: SocketAddrV4) -> io::Result<OwnedFd> {
    let is_tcp = protocol == Protocol::Tcp;
    let of = if is_tcp { SockType::Stream } else { SockType::Datagram };
    let fd = socket(AddressFamily::Inet, of, SockFlag::SOCK_CLOEXEC, None)?;
    sys::take_no_packets(&fd)?;
    if is_tcp {
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    bind_socket(fd.as_raw_fd(), &SockaddrIn::from(place))?;
    if is_tcp {
        listen_on(&fd, Backlog::new(1)?)?;
    }
    Ok(fd)
}

/// Serves connections, each for as long as its answers take.
async fn serve_tcp(listener: TcpListener, answers: Answers, delay: Duration) {
    accept(listener, move |stream| {
        let answers = answers.clone();
        async move {
            match answers {
                // A connection that breaks is ignored.
                Answers::Echo => drop(echo::connection(stream, delay).await),
                Answers::Http(name) => page::serve(stream, Page::new(name, "http"), delay).await,
                Answers::Https(name, tls) => {
                    page::serve_tls(stream, &tls, Page::new(name, "https"), delay).await;
                }
                Answers::Nothing => {}
            }
        }
    })
    .await;
}

async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
) {
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
                let served = serve(stream);
                connections.spawn(async move {
                    served.await;
                    drop((place, share));
                });
            }
            Err(_) => tokio::time::sleep(BREATH).await,
        }
    }
}
