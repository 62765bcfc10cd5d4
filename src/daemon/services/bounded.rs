//! What bounds the TCP services at exempt addresses, so that no task can take the lab's descriptors with them: so many
//! connections at once, and so long for each, whatever it does. Further ones wait in the kernel's queue.

use crate::linux::descriptors::Shares;
use crate::linux::listen::CONNECTIONS;
use axum::serve::Listener;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// How long a connection lives. Who has more to ask connects again (RFC 7766, 6.2.3).
pub(super) const LIFE: Duration = Duration::from_secs(10);
/// How long to wait before accepting again when the process is out of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// The connections of all such listeners together, apart from those of resources and hosts, which last as long as tasks like.
static PLACES: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(Shares::now().services)));

/// A listener that serves at most [`CONNECTIONS`] at once, each for at most [`LIFE`].
pub(super) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

/// One of its connections: reading and writing fail once its life is over.
pub(super) struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _places: [OwnedSemaphorePermit; 2],
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // It is never closed.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let Ok(share) = Arc::clone(&PLACES).acquire_owned().await else {
                        continue;
                    };
                    let end = Box::pin(tokio::time::sleep(LIFE));
                    return (Connection { stream, end, _places: [place, share] }, from);
                }
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connection {
    /// The stream, while its life lasts; whoever waits on it is woken at the end.
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
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(context)?.poll_write(context, octets)
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

    #[tokio::test]
    async fn one_more_than_there_are_places_waits_until_another_is_over() {
        let (mut bounded, address) = bounded().await;
        let mut served = Vec::new();
        for _ in 0..CONNECTIONS {
            let waiting = TcpStream::connect(address).await.unwrap();
            served.push((bounded.accept().await, waiting));
        }
        let _waiting = TcpStream::connect(address).await.unwrap();
        let mut next = Box::pin(bounded.accept());
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        served.pop();
        next.await;
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
