//! Sends the packet from the task's namespace, and reads the answer.

use super::super::CliError;
use super::drops::Drop;
use super::report::Outcome;
use super::wanted::{Speaks, Wanted};
use crate::daemon::state;
use crate::linux::Netns;
use crate::linux::listen::Page;
use crate::linux::probe::{Probe, ProbeError, any};
use crate::packet::Protocol;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::io;
use std::net::SocketAddrV4;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Bytes of an answer over HTTP that are read.
const BODY: usize = 64 << 10;

/// The packet that is to be sent.
pub(super) struct Sending<'s> {
    pub(super) lab: &'s str,
    pub(super) wanted: &'s Wanted,
    pub(super) to: SocketAddrV4,
    probe: Probe,
}

/// Limits the wait for the lab's report on a packet that was refused: the lab may have done so.
const REPORT: Duration = Duration::from_millis(500);

/// What has happened to a packet.
pub(super) struct Sent {
    pub(super) outcome: Outcome,
    /// What was said: the answer's first line, or the error.
    pub(super) said: Option<String>,
    /// The page of a listener.
    pub(super) page: Option<Page>,
    /// The reason for which the lab dropped it.
    pub(super) dropped_for: Option<String>,
    pub(super) took: Duration,
    /// Stays open, so that the lab still lists its flow.
    _connection: Option<TcpStream>,
}

impl<'s> Sending<'s> {
    /// Opens the socket.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub(super) fn open(
        lab: &'s str,
        wanted: &'s Wanted,
        netns: &Netns,
        to: SocketAddrV4,
    ) -> Result<Self, ProbeError> {
        let probe = Probe::open(netns, protocol(wanted.speaks), any(0), to)?;
        Ok(Self { lab, wanted, to, probe })
    }

    /// Returns the protocol of the packet.
    pub(super) fn protocol(&self) -> Protocol {
        protocol(self.wanted.speaks)
    }

    /// Returns the source port, or the identifier of a ping.
    pub(super) fn source_port(&self) -> u16 {
        self.probe.source_port()
    }

    /// Sends it, and waits for the answer, or for the lab's report that it was dropped.
    ///
    /// # Errors
    /// The files with the lab's certificates cannot be read, or the lab went down.
    pub(super) async fn send(
        self,
        patience: Duration,
        dropped: impl Future<Output = Result<Drop, CliError>>,
    ) -> Result<Sent, CliError> {
        let (mut dropped, begun) = (pin!(dropped), Instant::now());
        let sent = tokio::select! {
            sent = self.answer(patience) => sent?,
            drop = &mut dropped => return Ok(Sent::dropped(drop?, begun.elapsed())),
        };
        if sent.outcome != Outcome::Refused {
            return Ok(sent);
        }
        match timeout(REPORT, dropped).await {
            Ok(drop) => Ok(Sent::dropped(drop?, sent.took)),
            Err(_) => Ok(sent),
        }
    }

    async fn answer(self, patience: Duration) -> Result<Sent, CliError> {
        let Self { lab, wanted, to, probe } = self;
        let tls = match wanted.speaks {
            Speaks::Https => Some(tls(lab)?),
            Speaks::Tcp | Speaks::Udp | Speaks::Icmp | Speaks::Http => None,
        };
        let begun = Instant::now();
        let mut is_accepted = false;
        let answered = timeout(patience, async {
            let connection = probe.connection().await?;
            is_accepted = true;
            match (wanted.speaks, connection) {
                (Speaks::Http, Some(stream)) => get(wanted, to, stream).await,
                (Speaks::Https, Some(stream)) => {
                    let name = ServerName::try_from(wanted.host.clone()).map_err(io::Error::other);
                    let connector = tls.ok_or(io::ErrorKind::InvalidInput)?;
                    let stream = connector.connect(name?, stream).await?;
                    get(wanted, to, stream).await
                }
                (Speaks::Tcp | Speaks::Udp | Speaks::Icmp | Speaks::Http | Speaks::Https, own) => {
                    Ok((None, None, own))
                }
            }
        })
        .await;
        let took = begun.elapsed();
        let (outcome, said, page, connection) = match answered {
            Ok(Ok((said, page, connection))) => (Outcome::Answered, said, page, connection),
            Ok(Err(error)) => (failure(&error, is_accepted), Some(words(&error)), None, None),
            Err(_) if is_accepted => (Outcome::Accepted, None, None, None),
            Err(_) => (Outcome::Silent, None, None, None),
        };
        Ok(Sent { outcome, said, page, dropped_for: None, took, _connection: connection })
    }
}

impl Sent {
    fn dropped(drop: Drop, took: Duration) -> Self {
        let said = match &drop.rule {
            Some(rule) => format!("{}, {rule}", drop.reason),
            None => drop.reason.clone(),
        };
        Self {
            outcome: Outcome::Dropped,
            said: Some(said),
            page: None,
            dropped_for: Some(drop.reason),
            took,
            _connection: None,
        }
    }
}

fn protocol(speaks: Speaks) -> Protocol {
    match speaks {
        Speaks::Tcp | Speaks::Http | Speaks::Https => Protocol::Tcp,
        Speaks::Udp => Protocol::Udp,
        Speaks::Icmp => Protocol::Icmp,
    }
}

/// Names the failure of a connection.
fn failure(error: &io::Error, is_accepted: bool) -> Outcome {
    match (error.kind(), is_accepted) {
        (io::ErrorKind::TimedOut, false) => Outcome::Silent,
        (_, false) => Outcome::Refused,
        (_, true) => Outcome::Failed,
    }
}

type Got = (Option<String>, Option<Page>, Option<TcpStream>);

/// Gets the path, and reads the page if it is a listener's.
async fn get<S>(wanted: &Wanted, to: SocketAddrV4, stream: S) -> io::Result<Got>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Ends with the sender.
    let driver = tokio::spawn(connection);
    let host = format!("{}:{}", wanted.host, to.port());
    let request = Request::get(&wanted.path)
        .header(HOST, host)
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let line = format!("{:?} {}", response.version(), response.status());
    let body = Limited::new(response.into_body(), BODY).collect().await;
    let page = body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    driver.abort();
    Ok((Some(line), page, None))
}

/// Makes the client's end of TLS, which trusts what programs in tasks do.
fn tls(lab: &str) -> Result<TlsConnector, CliError> {
    let (all, own) = (state::trusted(lab), state::ca(lab));
    let file = if all.exists() { all } else { own };
    let wrong = |why: String| io::Error::other(format!("reading {}: {why}", file.display()));
    let certificates =
        CertificateDer::pem_file_iter(&file).map_err(|why| wrong(why.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.flatten());
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| wrong(why.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(client)))
}

/// Returns the kernel's error text, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
