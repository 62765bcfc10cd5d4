//! Sends single packets from inside a namespace, each on a socket of its own, and waits for an
//! answer: a TCP connection, a datagram to be echoed, a ping.

use super::{Netns, NetnsError};
use crate::packet::Protocol;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// The time after which a datagram or a ping that is not answered is sent again, as TCP does it.
const AGAIN: Duration = Duration::from_secs(1);

/// A DNS query for a name that does not exist: a resolver answers it, and an echo server sends it
/// back.
const QUERY: &[u8] =
    b"\xe9\x7e\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05egret\x07invalid\x00\x00\x01\x00\x01";
/// A request of a time client (RFC 5905): version 3, mode 3.
const TIME_REQUEST: &[u8] = &{
    let mut request = [0; 48];
    request[0] = 0x1b;
    request
};
/// The port of time servers.
const NTP: u16 = 123;
/// An ICMP echo request. The kernel sets identifier and checksum.
const ECHO_REQUEST: &[u8] = b"\x08\x00\x00\x00\x00\x00\x00\x01egret";

/// The reason why no packet can be sent.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Only TCP, UDP and pings are sent.
    #[error("cannot send protocol {0}: only tcp, udp and icmp are sent")]
    Protocol(Protocol),
    /// The socket cannot be made, or cannot have the source port.
    #[error("opening a {protocol} socket in network namespace `{netns}`: {source}")]
    Socket {
        /// The protocol.
        protocol: Protocol,
        /// The namespace.
        netns: String,
        /// The kernel's error.
        source: io::Error,
    },
}

/// A socket inside a namespace that has sent nothing yet.
#[derive(Debug)]
pub struct Probe {
    socket: Socket,
    to: SocketAddrV4,
    source_port: u16,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpSocket),
    /// UDP, or a ping socket, with its payload.
    Datagram(std::net::UdpSocket, &'static [u8]),
}

impl Probe {
    /// Opens a socket inside a namespace. Without a source port the kernel chooses one.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn open(
        netns: &Netns,
        protocol: Protocol,
        from: SocketAddrV4,
        to: SocketAddrV4,
    ) -> Result<Self, ProbeError> {
        let open: fn(SocketAddrV4) -> io::Result<(Socket, u16)> = match protocol {
            Protocol::Tcp => tcp,
            Protocol::Udp if to.port() == NTP => |from| udp(from, TIME_REQUEST),
            Protocol::Udp => |from| udp(from, QUERY),
            Protocol::Icmp => ping,
            Protocol::Other(_) => return Err(ProbeError::Protocol(protocol)),
        };
        let (socket, source_port) = netns.run(|| open(from))?.map_err(|source| {
            ProbeError::Socket { protocol, netns: netns.name().to_owned(), source }
        })?;
        Ok(Self { socket, to, source_port })
    }

    /// Returns the source port, or the identifier of a ping.
    pub fn source_port(&self) -> u16 {
        self.source_port
    }

    /// Sends the packet, repeats it, and waits for an answer. Dropping the future closes the
    /// socket.
    ///
    /// # Errors
    /// The kernel's error if the packet was refused.
    pub async fn answer(self) -> io::Result<()> {
        self.connection().await.map(drop)
    }

    /// Does what [`Probe::answer`] does, and returns the connection that it made over TCP.
    ///
    /// # Errors
    /// As [`Probe::answer`].
    pub async fn connection(self) -> io::Result<Option<TcpStream>> {
        match self.socket {
            Socket::Tcp(socket) => socket.connect(self.to.into()).await.map(Some),
            Socket::Datagram(socket, payload) => {
                let socket = UdpSocket::from_std(socket)?;
                socket.connect(self.to).await?;
                echoed(&socket, payload).await.map(|()| None)
            }
        }
    }
}

async fn echoed(socket: &UdpSocket, payload: &[u8]) -> io::Result<()> {
    let mut answer = [0; 512];
    loop {
        socket.send(payload).await?;
        if let Ok(received) = tokio::time::timeout(AGAIN, socket.recv(&mut answer)).await {
            return received.map(drop);
        }
    }
}

fn tcp(from: SocketAddrV4) -> io::Result<(Socket, u16)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from.into())?;
    let port = socket.local_addr()?.port();
    Ok((Socket::Tcp(socket), port))
}

fn udp(from: SocketAddrV4, payload: &'static [u8]) -> io::Result<(Socket, u16)> {
    datagram(std::net::UdpSocket::bind(from)?, payload)
}

fn ping(from: SocketAddrV4) -> io::Result<(Socket, u16)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, flags, SockProtocol::Icmp)?;
    let from = nix::sys::socket::SockaddrIn::from(from);
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &from)?;
    datagram(fd.into(), ECHO_REQUEST)
}

fn datagram(socket: std::net::UdpSocket, payload: &'static [u8]) -> io::Result<(Socket, u16)> {
    socket.set_nonblocking(true)?;
    let port = match socket.local_addr()? {
        SocketAddr::V4(own) => own.port(),
        SocketAddr::V6(own) => own.port(),
    };
    Ok((Socket::Datagram(socket, payload), port))
}

/// Returns the address of any interface with a port; 0 lets the kernel choose one.
pub fn any(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)
}
