//! Bounds the TCP services at exempt addresses, so that no task can use up the lab's descriptors or
//! another task's share: the connections at once, those of one task, and the life of each, even an
//! active one. Further ones wait in the kernel's queue; those beyond a task's share are closed.

use crate::linux::descriptors::Shares;
use crate::linux::listen::CONNECTIONS;
use axum::serve::Listener;
use dashmap::DashMap;
use std::future::Future as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// The life of a connection. A client that has more questions connects again (RFC 7766, 6.2.3).
pub(super) const LIFE: Duration = Duration::from_secs(10);
/// Connections of one task that one listener serves at once: enough for any resolver, which asks
/// over UDP first.
pub(super) const OF_ONE_TASK: usize = 16;
/// The pause before accepting again when the process is out of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// The room for connections of all such listeners together, apart from those of resources and
/// hosts, which last as long as tasks like.
static PLACES: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(Shares::now().services)));

/// A listener that serves at most [`CONNECTIONS`] at once, [`OF_ONE_TASK`] of one address, each for
/// at most [`LIFE`].
pub(super) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// The number of served connections of each address that has some.
    by_task: Arc<DashMap<IpAddr, usize>>,
}

/// A connection: reading and writing fail once its life is over.
pub(super) struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _places: [OwnedSemaphorePermit; 2],
    _share: TaskShare,
}

/// One of the connections that a task may have.
struct TaskShare {
    by_task: Arc<DashMap<IpAddr, usize>>,
    task: IpAddr,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        Self { listener, places, by_task: Arc::default() }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    // A task that already has its share is closed at once: waiting would keep
                    // others from being accepted.
                    let Some(share) = TaskShare::take(&self.by_task, from.ip()) else { continue };
                    let Ok(of_all) = Arc::clone(&PLACES).acquire_owned().await else { continue };
                    let end = Box::pin(tokio::time::sleep(LIFE));
                    let (_places, _share) = ([place, of_all], share);
                    return (Connection { stream, end, _places, _share }, from);
                }
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl TaskShare {
    /// Takes one connection of a task's share, unless the task has [`OF_ONE_TASK`].
    fn take(by_task: &Arc<DashMap<IpAddr, usize>>, task: IpAddr) -> Option<Self> {
        let mut count = by_task.entry(task).or_default();
        (*count < OF_ONE_TASK).then(|| {
            *count += 1;
            Self { by_task: Arc::clone(by_task), task }
        })
    }
}

impl Drop for TaskShare {
    fn drop(&mut self) {
        self.by_task.remove_if_mut(&self.task, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

impl Connection {
    /// Returns the stream, while its life lasts; a reader or writer that waits is woken at the end.
    fn alive(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(Pin::new(&mut self.stream)),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(context)?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(context)?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::AsyncReadExt as _;

    async fn bounded() -> (Bounded, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let bounded = Bounded::new(listener);
        let address = bounded.local_addr().unwrap();
        (bounded, address)
    }

    /// Connects as one of many tasks: every address of 127.0.0.0/8 is the machine's own.
    async fn connect_as(task: usize, address: SocketAddr) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let own = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + u32::try_from(task).unwrap());
        socket.bind((own, 0).into()).unwrap();
        socket.connect(address).await.unwrap()
    }

    #[tokio::test]
    async fn one_more_than_there_are_places_waits_until_another_is_over() {
        let (mut bounded, address) = bounded().await;
        let mut served = Vec::new();
        for number in 0..CONNECTIONS {
            let waiting = connect_as(number / OF_ONE_TASK, address).await;
            served.push((bounded.accept().await, waiting));
        }
        let _waiting = connect_as(CONNECTIONS, address).await;
        let mut next = Box::pin(bounded.accept());
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        served.pop();
        next.await;
    }

    #[tokio::test]
    async fn a_task_that_has_its_share_is_closed_and_another_is_served() {
        let (mut bounded, address) = bounded().await;
        let mut served = Vec::new();
        for _ in 0..OF_ONE_TASK {
            let own = connect_as(0, address).await;
            served.push((bounded.accept().await, own));
        }
        let mut one_too_many = connect_as(0, address).await;
        let other = connect_as(1, address).await;
        let (_other, from) = bounded.accept().await;
        assert_eq!(from, other.local_addr().unwrap());
        assert_eq!(one_too_many.read(&mut [0; 1]).await.unwrap(), 0);
        served.pop();
        let again = connect_as(0, address).await;
        assert_eq!(bounded.accept().await.1, again.local_addr().unwrap());
        drop(served);
        drop(_other);
        assert_eq!(bounded.by_task.len(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_is_over_after_its_life() {
        let (mut bounded, address) = bounded().await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = bounded.accept().await;
        connection.end.as_mut().reset(tokio::time::Instant::now());
        let read = connection.read(&mut [0; 1]).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
