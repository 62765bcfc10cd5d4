//! The record of attached namespaces in the state directory: after SIGKILL, the next `egret up`
//! attaches again those that still exist. An attachment is recorded once it is complete.

use super::attachment::Attachment;
use super::needs::NamespaceId;
use super::running::Running;
use super::state::{self, StateDir, StateError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// An attached namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attached {
    /// The name that the lab gave it.
    pub(super) namespace: String,
    /// The interface that the lab made in it.
    pub(super) interface: String,
    /// The interface's hardware address.
    pub(super) mac: [u8; 6],
    /// The id that a container engine gave what it attached.
    pub(super) container: Option<String>,
    pub(super) role: Role,
}

/// The object of the lab that a namespace is attached as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    Task { service: String, number: u16, address: Ipv4Addr },
    Resource { name: String },
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Task { service, number, .. } => write!(f, "task {service}/{number}"),
            Self::Resource { name } => write!(f, "resource {name}"),
        }
    }
}

/// Records the attached namespaces of a lab. If that fails, the next process does not attach them
/// again, which is a note.
pub(super) fn record(running: &mut Running) {
    let is_whole = |task: &&Attachment| !task.half_removed;
    let all: Vec<Attached> =
        tasks(running).filter(is_whole).map(of_task).chain(resources(running)).collect();
    if let Err(error) = write(&running.state, &all) {
        let note =
            format!("if this process is killed, the next one attaches nothing again: {error}");
        running.notes.push(note);
    }
}

/// Returns all attached namespaces, also those that are detached in part only.
pub(super) fn all(running: &Running) -> Vec<Attached> {
    tasks(running).map(of_task).chain(resources(running)).collect()
}

/// Writes the record of a lab.
///
/// # Errors
/// The record cannot be written. The earlier one may still be there.
pub(super) fn write(state: &StateDir, all: &[Attached]) -> Result<(), StateError> {
    match all.is_empty() {
        true => state.record_attached(None),
        false => text(all).and_then(|text| state.record_attached(Some(&text))),
    }
}

fn text(all: &[Attached]) -> Result<String, StateError> {
    let path = std::path::PathBuf::from("the record of attached namespaces");
    serde_json::to_string(all).map_err(|error| StateError::Io {
        what: "writing",
        path,
        source: error.into(),
    })
}

fn tasks(running: &Running) -> impl Iterator<Item = &Attachment> {
    running.tasks.values().filter(|task| task.is_foreign)
}

fn of_task(task: &Attachment) -> Attached {
    let (service, number, address) = (task.service.clone(), task.number, task.address);
    Attached {
        namespace: task.namespace.clone(),
        interface: task.interface.clone(),
        mac: task.link.far.0,
        container: task.container.clone(),
        role: Role::Task { service, number, address },
    }
}

fn resources(running: &Running) -> impl Iterator<Item = Attached> {
    running.namespaces.iter().filter_map(|(id, namespace)| {
        let NamespaceId::Resource(name) = id else { return None };
        Some(Attached {
            namespace: namespace.netns.name().to_owned(),
            interface: namespace.far.clone(),
            mac: namespace.link.far.0,
            container: namespace.container.clone(),
            role: Role::Resource { name: name.clone() },
        })
    })
}

/// Returns the namespaces that a killed process had attached and that still have their names. A
/// record that cannot be read is none: its namespaces are then cleared like the lab's own.
pub(super) fn left_attached(state: &StateDir) -> Vec<Attached> {
    let own = state.namespaces().unwrap_or_default();
    let mut all = read(state.lab());
    all.retain(|attached| own.contains(&attached.namespace));
    all
}

/// Returns the names of the namespaces that a lab, running or not, has attached. Their programs are
/// not the lab's.
pub fn attached_namespaces(lab: &str) -> BTreeSet<String> {
    read(lab).into_iter().map(|attached| attached.namespace).collect()
}

fn read(lab: &str) -> Vec<Attached> {
    let text = state::attached(lab).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Returns whether a namespace is attached.
pub(super) fn is_any(running: &Running) -> bool {
    tasks(running).any(|task| !task.half_removed) || resources(running).next().is_some()
}
