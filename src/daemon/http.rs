//! Serves HTTP within bounds: the number of connections, the time for the head of a request, and a
//! request that panics costs only its own connection. Further connections wait in the kernel's
//! queue.

use super::shared::Problem;
use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::serve::Listener;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Limits the wait for the head of a request, and the idle time of a connection, unless a server
/// sets its own.
pub(crate) const HEAD: Duration = Duration::from_secs(10);
/// Bytes that one connection buffers, which bounds the head of a request.
const BUFFER: usize = 32 << 10;
/// Limits the wait for a connection's last answer, once the connection is to end.
const LAST: Duration = Duration::from_secs(30);

/// The bounds of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at once.
    pub(crate) connections: usize,
    /// Limits the wait for the head of a request, and the idle time of a connection.
    pub(crate) head: Duration,
    /// The longest life of a connection; `None` for as long as it is used.
    pub(crate) life: Option<Duration>,
}

/// Answers until `ended` is set, then lets calls in progress finish. `respond` makes the responder
/// of one connection; `None` closes it.
pub(crate) async fn serve<L, R, F>(
    mut listener: L,
    bounds: Bounds,
    respond: impl Fn(&L::Io) -> Option<R>,
    mut ended: watch::Receiver<bool>,
) where
    L: Listener,
    R: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await.0)
        };
        let (place, stream) = tokio::select! {
            accepted = accept => accepted,
            // A dropped sender is an end as well.
            _ = ended.wait_for(|end| *end) => break,
        };
        while connections.try_join_next().is_some() {}
        let Some(answer) = respond(&stream) else { continue };
        let one = connection(stream, answer, bounds, ended.clone());
        connections.spawn(async move {
            one.await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection. A connection that breaks is ignored.
async fn connection<R, F>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    respond: R,
    bounds: Bounds,
    mut ended: watch::Receiver<bool>,
) where
    R: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let service =
        service_fn(|request: http::Request<Incoming>| answered(respond(request.map(Body::new))));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(bounds.head).max_buf_size(BUFFER);
    let mut served = pin!(server.serve_connection(TokioIo::new(stream), service));
    let is_over = async {
        match bounds.life {
            Some(life) => tokio::time::sleep(life).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = served.as_mut() => return,
        () = is_over => {}
        _ = ended.wait_for(|end| *end) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST, served).await;
}

/// Answers one request, even if the responder panics.
async fn answered(answer: impl Future<Output = Response>) -> Result<Response, Infallible> {
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    Ok(answer.unwrap_or_else(|_| {
        let error =
            "egret has a bug: the request panicked; its message is on the lab's standard error";
        (StatusCode::INTERNAL_SERVER_ERROR, Json(Problem { error: error.to_owned() }))
            .into_response()
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    async fn server(connections: usize, head: Duration) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = watch::channel(false);
        let answer = async |request: Request| match request.uri().path() {
            "/panic" => panic!("a test wants a request that panics"),
            _ => StatusCode::NO_CONTENT.into_response(),
        };
        let respond = move |request| async move { answer(request).await };
        let bounds = Bounds { connections, head, life: None };
        tokio::spawn(serve(listener, bounds, move |_: &TcpStream| Some(respond), ended));
        (address, end)
    }

    async fn status(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn panic_in_a_request_costs_that_request_only() {
        let (address, _end) = server(8, HEAD).await;
        assert_eq!(status(address, "/panic").await, "500");
        assert_eq!(status(address, "/").await, "204");
    }

    #[tokio::test]
    async fn connections_that_ask_nothing_make_way_after_a_while() {
        let (address, _end) = server(2, Duration::from_millis(20)).await;
        let _idle = (
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        );
        assert_eq!(status(address, "/").await, "204");
    }

    #[tokio::test]
    async fn idle_connection_does_not_hold_up_the_end() {
        let (address, end) = server(2, HEAD).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert_eq!(status(address, "/").await, "204");
        end.send(true).unwrap();
        assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
