//! The protocol: JSON 1.0 over HTTP, as AWS's SDKs speak it (spec 1.1).

use super::api::Api;
use super::clock::wall_clock;
use super::fault::{Fault, FaultKind};
use super::protocol::{self, Foreign, Protocol};
use super::signature::{self, Claimed, Signed};
use crate::config::apprunner::AccessKey;
use crate::daemon::bodies::{Bodies, Unread};
use crate::daemon::http::{self, Bounds, HEAD};
use crate::linux::descriptors::Shares;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::Value;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes of the largest body: far above a request with the longest parameters that a person would
/// write.
const LARGEST_BODY: usize = 1 << 20;
/// Limits the time in which a body must arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of all bodies that are being read or answered, at most.
const BODIES: usize = 16 << 20;
/// The life of a connection. A client that has more requests connects again.
const LIFE: Duration = Duration::from_secs(300);
const TARGET: &str = "x-amz-target";

/// An account's App Runner as its clients see it.
#[derive(Clone)]
pub struct Server {
    api: Api,
    region: String,
    /// The keys that sign requests; without any, signatures are not checked.
    access_keys: Arc<[AccessKey]>,
    /// True if it listens on loopback, where a name must not lead: a web page could make its own
    /// name lead here (DNS rebinding), and call as root what no other host reaches.
    by_address: bool,
    bodies: Bodies,
}

impl Server {
    pub(super) fn new(api: Api, region: String, access_keys: Vec<AccessKey>) -> Self {
        let bodies = Bodies::new(BODIES, PATIENCE);
        Self { api, region, access_keys: access_keys.into(), by_address: false, bodies }
    }

    /// Answers until `ended` is set, then lets calls in progress finish.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        ended: watch::Receiver<bool>,
    ) -> io::Result<()> {
        self.by_address = listener.local_addr()?.ip().is_loopback();
        let bounds = Bounds { connections: Shares::now().api, head: HEAD, life: Some(LIFE) };
        let respond = |_: &TcpStream| {
            let server = self.clone();
            Some(move |request| {
                let server = server.clone();
                async move { server.answer(request).await }
            })
        };
        http::serve(listener, bounds, respond, ended).await;
        Ok(())
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request) -> Response {
        let foreign = Foreign::of(request.headers());
        let protocol = foreign.as_ref().map_or(Protocol::Json, |foreign| foreign.protocol);
        match self.outcome(request, foreign.as_ref()).await {
            Ok(document) => protocol::json(StatusCode::OK, &document),
            Err(fault) => protocol.error(&fault),
        }
    }

    async fn outcome(&self, request: Request, foreign: Option<&Foreign>) -> Result<Value, Fault> {
        let (head, body) = request.into_parts();
        if self.by_address && !is_address(&head.headers) {
            return Err(Fault::new(
                FaultKind::UnknownOperation,
                "the App Runner API listens on loopback here, for calls to its address or to localhost",
            ));
        }
        if let Some(foreign) = foreign {
            return Err(Fault::new(FaultKind::UnknownOperation, foreign.message()));
        }
        let operation = operation(&head.method, &head.uri, &head.headers)?;
        let claimed = self.claimed(&head.method, &head.uri, &head.headers)?;
        let body = self.bodies.read(body, LARGEST_BODY).await?;
        if let Some(claimed) = claimed {
            claimed.covers(&body.bytes)?;
        }
        self.api.call(&operation, body).await
    }

    /// Checks the signature as far as possible without the body; `None` if no signature is
    /// required.
    fn claimed(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<Claimed>, Fault> {
        if self.access_keys.is_empty() {
            return Ok(None);
        }
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers: Vec<(&str, String)> =
            headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = Signed {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: &headers,
        };
        signature::check(request, &self.access_keys, &self.region, wall_clock()).map(Some)
    }
}

/// Returns whether a request is for an address, or for `localhost`.
fn is_address(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_address = host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok();
    is_address || host.split(':').next() == Some("localhost")
}

/// Returns the operation that a request asks for.
fn operation(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<String, Fault> {
    let unknown = |message: &str| Fault::new(FaultKind::UnknownOperation, message);
    if method != Method::POST || uri.path() != "/" {
        return Err(unknown(
            "this is egret's App Runner API: it answers to POST / of AWS's SDKs and CLI",
        ));
    }
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    // Browsers ask before they send this type, and egret never permits it.
    if !header(header::CONTENT_TYPE.as_str())
        .unwrap_or_default()
        .starts_with("application/x-amz-json-1.")
    {
        return Err(unknown("the Content-Type must be application/x-amz-json-1.0"));
    }
    let target = header(TARGET).unwrap_or_default();
    let operation = target.strip_prefix("AppRunner.").map(str::to_owned);
    operation.ok_or_else(|| {
        let message = format!(
            "the header X-Amz-Target {target:?} names no operation: AppRunner.<Operation> does"
        );
        unknown(&message)
    })
}

impl From<Unread> for Fault {
    fn from(unread: Unread) -> Self {
        let kind = match unread {
            Unread::TooLarge(_) => FaultKind::RequestEntityTooLarge,
            Unread::TooSlow(_) => FaultKind::RequestTimeout,
            Unread::Busy => FaultKind::ServiceUnavailable,
            // The client has closed its connection, so the answer is not read.
            Unread::Broken => FaultKind::Serialization,
        };
        Self::new(kind, unread.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_addresses() {
        for (host, is) in [
            ("127.0.0.1:4566", true),
            ("127.0.0.1", true),
            ("[::1]:4566", true),
            ("localhost:4566", true),
            ("localhost", true),
            ("localhost.example:4566", false),
            ("rebound.example", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            assert_eq!(is_address(&headers), is, "{host}");
        }
        assert!(!is_address(&HeaderMap::new()));
    }
}
