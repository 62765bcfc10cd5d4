//! The page with which a listener answers HTTP: who was reached, and from where.

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Limits the time of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Limits the wait for the head of a request, and the idle time of a connection.
const HEAD: Duration = Duration::from_secs(10);
/// The longest life of a connection, besides the delay of its answers.
const LIFE: Duration = Duration::from_secs(60);
/// Bytes that one connection buffers, which bounds the head of a request.
const BUFFER: usize = 16 << 10;
/// Bytes of a request's body that are read, and thrown away.
const BODY: usize = 1 << 20;
/// Characters of the request line that the page has.
const LINE: usize = 1024;

/// The page of one connection, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Page {
    /// The resource or internet host that was reached.
    pub name: Arc<str>,
    /// The address that was reached, as the listener sees it.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
    /// `http` or `https`.
    pub protocol: String,
    /// The client, as the listener sees it.
    pub from: Source,
    /// The request line, at most its first 1024 characters.
    pub request: String,
}

/// The source of a connection: the address of a NAT gateway, an ENI or a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
}

impl Page {
    /// Returns the page of a host, without a connection.
    pub(super) fn new(name: Arc<str>, protocol: &str) -> Self {
        let from = Source { address: Ipv4Addr::UNSPECIFIED, port: 0 };
        let (address, request) = (Ipv4Addr::UNSPECIFIED, String::new());
        Self { name, address, port: 0, protocol: protocol.to_owned(), from, request }
    }

    fn of(self, stream: &TcpStream) -> Option<Self> {
        let (own, peer) = (v4(stream.local_addr().ok()?)?, v4(stream.peer_addr().ok()?)?);
        let from = Source { address: *peer.ip(), port: peer.port() };
        Some(Self { address: *own.ip(), port: own.port(), from, ..self })
    }

    fn json(&self) -> String {
        // Strings and numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    fn html(&self) -> String {
        let Self { name, address, port, protocol, from, request } = self;
        let (name, request) = (escaped(name), escaped(request));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{name}</title></head>\n\
             <body>\n<h1>{name}</h1>\n<p>You reached {name} at {address}:{port} over {protocol}.</p>\n\
             <p>You came from {}:{}.</p>\n<pre>{request}</pre>\n</body>\n</html>\n",
            from.address, from.port
        )
    }
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    if let SocketAddr::V4(address) = address { Some(address) } else { None }
}

fn escaped(text: &str) -> String {
    let entity = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#39;".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(entity).collect()
}

/// Serves a connection over TLS.
pub(super) async fn serve_tls(stream: TcpStream, tls: &TlsAcceptor, page: Page, delay: Duration) {
    let Some(page) = page.of(&stream) else { return };
    // A client that does not trust the certificate, or speaks no TLS, ends the connection.
    if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
        answer(stream, page, delay).await;
    }
}

/// Serves a connection.
pub(super) async fn serve(stream: TcpStream, page: Page, delay: Duration) {
    let Some(page) = page.of(&stream) else { return };
    answer(stream, page, delay).await;
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    page: Page,
    delay: Duration,
) {
    let service = service_fn(|request| answer_one(request, page.clone(), delay));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let served = server.serve_connection(TokioIo::new(stream), service);
    // A connection that breaks, or lives too long, is ended.
    let _ = timeout(LIFE + delay, served).await;
}

async fn answer_one(
    request: Request<Incoming>,
    page: Page,
    delay: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let line = format!("{} {} {:?}", request.method(), request.uri(), request.version());
    let page = Page { request: line.chars().take(LINE).collect(), ..page };
    let wants_json = request.uri().path().ends_with(".json") || accepts_json(request.headers());
    let is_read = skip(request.into_body()).await;
    tokio::time::sleep(delay).await;
    let (kind, text) = match (is_read, wants_json) {
        (false, _) => ("text/plain", format!("the body has more than {BODY} bytes\n")),
        (true, true) => ("application/json", page.json()),
        (true, false) => ("text/html; charset=utf-8", page.html()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    if !is_read {
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let all = headers.get_all(ACCEPT).iter();
    all.filter_map(|value| value.to_str().ok()).any(|value| value.contains("application/json"))
}

/// Reads a body and throws it away; returns false if it is longer than [`BODY`] or breaks off.
async fn skip(mut body: Incoming) -> bool {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > BODY {
            return false;
        }
    }
    true
}
