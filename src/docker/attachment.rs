//! Attaches a container's namespace to a lab, and detaches it. The lab keeps Docker's id of the
//! endpoint with the attachment, so that a plugin that starts again finds it.

use super::networks::{Role, Target};
use crate::daemon::control::{
    AttachResourceRequest, AttachTaskRequest, Removed, ResourceAnswer, TaskAnswer,
};
use crate::daemon::{Client, ClientError};
use crate::explain::{PsRow, ResourceRow, ServiceRow};
use crate::linux::Foreign;
use std::os::fd::OwnedFd;

/// Limits the search for a name that no interface has.
const INTERFACES: u16 = 1000;

/// Attaches a namespace, and returns a sentence about it. One that is attached already stays.
///
/// # Errors
/// The lab's refusal.
pub(super) async fn attach(
    target: &Target,
    endpoint: &str,
    namespace: Foreign,
) -> Result<String, String> {
    if let Some(found) = find(target, endpoint).await.map_err(said)? {
        return Ok(format!("{found} of lab {} is attached already", target.lab));
    }
    let interface = free_interface(&namespace)?;
    let (client, descriptor) = (Client::new(&target.lab), OwnedFd::from(namespace));
    let container = Some(endpoint.to_owned());
    let lab = &target.lab;
    match &target.role {
        Role::Service(service) => {
            let service = service.clone();
            let request = AttachTaskRequest { service, number: None, interface, container };
            let attached = client.post_with("/v1/tasks/attach", &request, descriptor).await;
            let TaskAnswer { task, notes } = attached.map_err(said)?;
            let PsRow { service, task, address, .. } = task;
            Ok(with(notes, format!("attached task {service}/{task} of lab {lab}: {address}")))
        }
        Role::Resource(name) => {
            let request = AttachResourceRequest { interface, container };
            let path = format!("/v1/resources/{name}/attach");
            let attached = client.post_with(&path, &request, descriptor).await;
            let ResourceAnswer { resource, address, notes, .. } = attached.map_err(said)?;
            Ok(with(notes, format!("attached resource {resource} of lab {lab}: {address}")))
        }
    }
}

/// Requires that a namespace could be attached: the lab runs, and has the service or the resource,
/// which no other container has.
///
/// # Errors
/// The reason why it could not.
pub(super) async fn require_room(target: &Target, endpoint: &str) -> Result<(), String> {
    let client = Client::new(&target.lab);
    let missing = |kind: &str, name: &str, known: Vec<&str>| {
        format!("lab {} has no {kind} {name}; it has {}", target.lab, known.join(", "))
    };
    match &target.role {
        Role::Service(name) => {
            let rows: Vec<ServiceRow> = client.get("/v1/services").await.map_err(said)?;
            match rows.iter().any(|row| row.service == *name) {
                true => Ok(()),
                false => {
                    let known = rows.iter().map(|row| row.service.as_str()).collect();
                    Err(missing("service", name, known))
                }
            }
        }
        Role::Resource(name) => {
            let rows: Vec<ResourceRow> = client.get("/v1/resources").await.map_err(said)?;
            let Some(row) = rows.iter().find(|row| row.resource == *name) else {
                let known = rows.iter().map(|row| row.resource.as_str()).collect();
                return Err(missing("resource", name, known));
            };
            match &row.namespace {
                Some(_) if row.container.as_deref() != Some(endpoint) => Err(format!(
                    "resource {name} of lab {0} is attached already, and one container answers for it: stop that one, or run `egret resource detach {name} --lab {0}`",
                    target.lab
                )),
                Some(_) | None => Ok(()),
            }
        }
    }
}

/// Detaches what is attached for an endpoint, and returns a sentence about it; `None` if nothing
/// is, or the lab does not run.
///
/// # Errors
/// The lab could not detach it.
pub(super) async fn detach(target: &Target, endpoint: &str) -> Result<Option<String>, String> {
    let found = match find(target, endpoint).await {
        Ok(Some(found)) => found,
        Ok(None) | Err(ClientError::NotRunning { .. }) => return Ok(None),
        Err(error) => return Err(said(error)),
    };
    match Client::new(&target.lab).delete::<Removed>(&found.path()).await {
        Ok(Removed { notes }) => {
            Ok(Some(with(notes, format!("detached {found} of lab {}", target.lab))))
        }
        Err(ClientError::NotRunning { .. } | ClientError::WentDown { .. }) => Ok(None),
        Err(error) => match find(target, endpoint).await {
            // Another command was faster.
            Ok(None) | Err(ClientError::NotRunning { .. }) => Ok(None),
            Ok(Some(_)) | Err(_) => Err(said(error)),
        },
    }
}

/// An attachment, as the lab lists it.
enum Found {
    Task(String, u16),
    Resource(String),
}

impl Found {
    /// Returns the path of the lab's API that detaches it.
    fn path(&self) -> String {
        match self {
            Self::Task(service, number) => format!("/v1/tasks/{service}/{number}"),
            Self::Resource(name) => format!("/v1/resources/{name}/attach"),
        }
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Task(service, number) => write!(f, "task {service}/{number}"),
            Self::Resource(name) => write!(f, "resource {name}"),
        }
    }
}

/// Finds what is attached for an endpoint.
async fn find(target: &Target, endpoint: &str) -> Result<Option<Found>, ClientError> {
    let client = Client::new(&target.lab);
    let is_it = |container: Option<&str>| container == Some(endpoint);
    Ok(match &target.role {
        Role::Service(_) => {
            let rows: Vec<PsRow> = client.get("/v1/ps").await?;
            let row = rows.into_iter().find(|row| is_it(row.container.as_deref()));
            row.map(|row| Found::Task(row.service, row.task))
        }
        Role::Resource(_) => {
            let rows: Vec<ResourceRow> = client.get("/v1/resources").await?;
            let row = rows.into_iter().find(|row| is_it(row.container.as_deref()));
            row.map(|row| Found::Resource(row.resource))
        }
    })
}

/// Returns the first of eth0, eth1 and so on that the namespace does not have.
fn free_interface(namespace: &Foreign) -> Result<String, String> {
    let there = namespace.interfaces();
    let there = there.map_err(|error| format!("listing the container's interfaces: {error}"))?;
    let mut names = (0..INTERFACES).map(|number| format!("eth{number}"));
    let free = names.find(|name| !there.contains(name));
    free.ok_or_else(|| format!("the container has {INTERFACES} interfaces"))
}

fn said(error: ClientError) -> String {
    error.to_string()
}

fn with(notes: Vec<String>, sentence: String) -> String {
    notes.into_iter().fold(sentence, |all, note| format!("{all}; {note}"))
}
