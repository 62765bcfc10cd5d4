//! The users besides root who may ask a lab: the members of the group that `[access]` names. They
//! may read, and change nothing. Each request is decided by who sends it and by a list of what they
//! may ask; all else is root's. They have a share of the lab's means of their own, so that root
//! always gets an answer.

use super::bodies::Bodies;
use super::peer::Peer;
use super::shared::Problem;
use crate::config::{Diagnostics, Lab, LabFinding, Severity};
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use nix::unistd::Group;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The part of the connections that readers may have.
const PART: usize = 4;
/// Bytes of all requests of readers that are being read or answered.
const BODIES: usize = 1 << 20;
/// Requests of readers that are answered at once; the others wait.
const AT_ONCE: usize = 4;

/// The requests that readers may send: they change nothing, and no answer has the contents of
/// packets.
const READ_ONLY: [(Method, &str); 15] = [
    (Method::GET, "/v1/alive"),
    (Method::GET, "/v1/lab"),
    // Without the secrets of access keys.
    (Method::GET, "/v1/configuration"),
    (Method::POST, "/v1/flows"),
    (Method::POST, "/v1/drops"),
    (Method::GET, "/v1/enis"),
    (Method::GET, "/v1/names"),
    (Method::GET, "/v1/holders"),
    (Method::GET, "/v1/ps"),
    (Method::GET, "/v1/resources"),
    (Method::GET, "/v1/services"),
    (Method::POST, "/v1/explain"),
    (Method::POST, "/v1/reach"),
    (Method::POST, "/v1/trace"),
    (Method::POST, "/v1/top"),
];

/// Returns the group whose members may read from a lab, by its number; `None` if the file names
/// none.
///
/// # Errors
/// The host has no such group.
pub fn group(lab: &Lab) -> Result<Option<u32>, Diagnostics> {
    let Some(named) = &lab.spec.access_group else { return Ok(None) };
    // A host that cannot look groups up has none.
    if let Ok(Some(group)) = Group::from_name(named) {
        return Ok(Some(group.gid.as_raw()));
    }
    Err(Diagnostics(lab.located([LabFinding {
        severity: Severity::Error,
        span: named.span,
        rule: "unknown-group",
        message: format!("this host has no group `{}`", named.value),
        help: format!(
            "make it with `groupadd --system {0}`, and add users with `usermod -aG {0} USER`; or name a group of `getent \
             group`",
            named.value
        ),
    }])))
}

/// Returns the answer to a peer that may not send a request; `None` if it may.
pub(super) fn refusal(peer: &Peer, method: &Method, path: &str) -> Option<Response> {
    if peer.is_root() || is_for_readers(method, path) {
        return None;
    }
    let problem = Problem { error: need(path).to_owned() };
    Some((StatusCode::FORBIDDEN, Json(problem)).into_response())
}

fn is_for_readers(method: &Method, path: &str) -> bool {
    // A stream can be ended by who began it: see `Streams::end`.
    let is_end = || {
        let id = path.strip_prefix("/v1/streams/").and_then(|rest| rest.strip_suffix("/end"));
        id.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
    };
    READ_ONLY.iter().any(|(own, read)| own == method && *read == path)
        || (method == Method::POST && is_end())
}

/// Names what a request needs that a reader may not send.
fn need(path: &str) -> &'static str {
    match path {
        "/v1/apply" => "`egret apply` changes the lab: run it with sudo",
        "/v1/capture" => "`egret capture` shows the contents of packets: run it with sudo",
        "/v1/down" => "`egret down` ends the lab: run it with sudo",
        path if path == "/v1/tasks" || path.starts_with("/v1/tasks/") => {
            "`egret task`, `exec` and `bench` make or change tasks of the lab: run it with sudo"
        }
        _ => "this is for root only: run it with sudo",
    }
}

/// The means of a lab that its readers share.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// Where the bodies of their requests are.
    pub(super) bodies: Bodies,
}

/// The place of a connection. Root's takes none of the readers'.
#[derive(Debug)]
pub(super) struct Place {
    _of_readers: Option<OwnedSemaphorePermit>,
}

impl Readers {
    /// Divides the means: `connections` are those of root and readers together.
    pub(super) fn new(connections: usize, patience: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new((connections / PART).max(1))),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            bodies: Bodies::new(BODIES, patience),
        }
    }

    /// Admits a connection; `None` if readers have all of theirs.
    pub(super) fn admit(&self, peer: &Peer) -> Option<Place> {
        if peer.is_root() {
            return Some(Place { _of_readers: None });
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { _of_readers: Some(place) })
    }

    /// Waits for a reader's turn; root need not wait.
    pub(super) async fn turn(&self, peer: &Peer) -> Option<SemaphorePermit<'_>> {
        match peer.is_root() {
            true => None,
            // The semaphore is never closed.
            false => self.turns.acquire().await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn requests_that_are_not_listed_are_for_root_only() {
        let (root, reader) = (Peer::known(0), Peer::known(65_534));
        let may = |peer: &Peer, method: &Method, path: &str| refusal(peer, method, path).is_none();
        for (method, path) in [
            (Method::POST, "/v1/apply"),
            (Method::POST, "/v1/capture"),
            (Method::POST, "/v1/tasks"),
            (Method::DELETE, "/v1/tasks/web/1"),
            (Method::POST, "/v1/tasks/web/1/repair"),
            (Method::POST, "/v1/down"),
            (Method::GET, "/v1/flows"),
            (Method::POST, "/v1/alive/"),
            (Method::POST, "/v1//flows"),
            (Method::POST, "/v1/streams/1/end/"),
            (Method::POST, "/v1/streams/x/end"),
            (Method::GET, "/v1/new"),
        ] {
            assert!(!may(&reader, &method, path), "{method} {path}");
            assert!(may(&root, &method, path), "{method} {path}");
        }
        for (method, path) in &READ_ONLY {
            assert!(may(&reader, method, path), "{method} {path}");
        }
        assert!(may(&reader, &Method::POST, "/v1/streams/12/end"));
        assert!(!may(&Peer::unknown(), &Method::POST, "/v1/down"), "a peer that is not known");
    }

    #[test]
    fn readers_leave_most_connections_to_root() {
        let readers = Readers::new(8, Duration::from_secs(1));
        let (root, reader) = (Peer::known(0), Peer::known(65_534));
        let own: Vec<_> = (0..2).map(|_| readers.admit(&reader).unwrap()).collect();
        assert!(readers.admit(&reader).is_none());
        assert!(readers.admit(&root).is_some());
        drop(own);
        assert!(readers.admit(&reader).is_some());
    }

    #[test]
    fn unknown_group_is_an_error_at_its_line() {
        let text = include_str!("../../examples/minimal.toml");
        let with = |group: &str| {
            let text = format!("{text}\n[access]\ngroup = \"{group}\"\n");
            (Lab::parse("lab.toml", &text).unwrap(), text.lines().count())
        };
        assert_eq!(group(&with("root").0).unwrap(), Some(0));
        let (lab, lines) = with("no-such-group");
        let errors = group(&lab).unwrap_err();
        assert_eq!(usize::try_from(errors.0[0].line).unwrap(), lines);
        assert!(errors.0[0].message.contains("no group `no-such-group`"));
        assert_eq!(group(&Lab::parse("lab.toml", text).unwrap()).unwrap(), None);
    }
}
