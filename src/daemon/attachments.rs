//! Attached namespaces as a container engine knows them: by its id of the container and by the
//! interface there. Lists them, and detaches those that a request selects.

use super::attach::{RESOLVER_OPTIONS, resolver_of};
use super::attached::{self, Attached, Role};
use super::attachment::Attachment;
use super::error::LabError;
use super::namespace::Namespace;
use super::needs::NamespaceId;
use super::running::Running;
use crate::linux::{LinkFault, TaskLink};
use crate::vpc::dns::search_domain;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The object of a lab that namespaces are attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// A service: each namespace becomes one of its tasks.
    Service(String),
    /// A resource: one namespace answers at its address.
    Resource(String),
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(name) => write!(f, "service `{name}`"),
            Self::Resource(name) => write!(f, "resource `{name}`"),
        }
    }
}

/// A row of the answer to `GET /v1/attachments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentRow {
    /// The object that the namespace is attached to.
    pub object: Object,
    /// The attachment, as egret's commands name it: `task web/2`, `resource db`.
    pub name: String,
    /// The id that a container engine gave what it attached.
    pub container: Option<String>,
    /// The name that the lab gave the namespace.
    pub namespace: String,
    /// The interface that the lab made there.
    pub interface: String,
    /// The interface's hardware address.
    pub mac: String,
    /// The interface's MTU, in bytes.
    pub mtu: u16,
    /// The interface's address.
    pub address: Ipv4Addr,
    /// The resolver that programs there ask, if the lab answers them.
    pub resolver: Option<Resolver>,
    /// The differences of the link from what the lab made.
    pub faults: Vec<String>,
}

/// The resolver of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolver {
    /// Its address.
    pub address: Ipv4Addr,
    /// The domain in which a name without a dot is looked up.
    pub search: String,
    /// The options of `resolv.conf`.
    pub options: Vec<String>,
}

/// The request of `POST /v1/attachments/detach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachRequest {
    /// The object. It need not exist any more.
    pub object: Object,
    /// The attachments of that object.
    pub which: Which,
}

/// The attachments of an object that a request selects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// One that a container engine made.
    One(Holder),
    /// All that container engines made, except these.
    AllExcept(Vec<Holder>),
}

/// The key of an attachment that a container engine made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The engine's id of the container.
    pub container: String,
    /// The interface.
    pub interface: String,
}

/// The answer to `POST /v1/attachments/detach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// The attachments that were detached, as [`AttachmentRow::name`] has them.
    pub detached: Vec<String>,
    /// Notes on what failed although they were detached.
    pub notes: Vec<String>,
}

impl DetachRequest {
    /// Returns whether the request selects an attachment in the record of a lab.
    pub(super) fn selects(&self, attached: &Attached) -> bool {
        let is_of_object = match (&self.object, &attached.role) {
            (Object::Service(name), Role::Task { service, .. }) => name == service,
            (Object::Resource(name), Role::Resource { name: attached }) => name == attached,
            (Object::Service(_), Role::Resource { .. })
            | (Object::Resource(_), Role::Task { .. }) => false,
        };
        is_of_object && self.which.has(attached.container.as_deref(), &attached.interface)
    }
}

impl Which {
    fn has(&self, container: Option<&str>, interface: &str) -> bool {
        let Some(container) = container else { return false };
        let is = |holder: &Holder| holder.container == container && holder.interface == interface;
        match self {
            Self::One(holder) => is(holder),
            Self::AllExcept(holders) => !holders.iter().any(is),
        }
    }
}

impl Running {
    /// Lists the attached namespaces, each with what is wrong with its link.
    pub(super) async fn attachment_rows(&self) -> Vec<AttachmentRow> {
        let mut rows = Vec::new();
        for task in self.tasks.values().filter(|task| task.is_foreign && !task.half_removed) {
            rows.push(self.row_of_task(task).await);
        }
        for (id, namespace) in &self.namespaces {
            if let (NamespaceId::Resource(name), Some(address)) = (id, namespace.source) {
                rows.push(self.row_of_resource(name, namespace, address).await);
            }
        }
        rows
    }

    async fn row_of_task(&self, task: &Attachment) -> AttachmentRow {
        let &Attachment { address, link, mtu, .. } = task;
        let (namespace, interface) = (task.namespace.clone(), task.interface.clone());
        let link = TaskLink { namespace, interface, address, link, mtu };
        let faults = texts(link.faults(&self.router).await);
        let name = format!("task {}/{}", task.service, task.number);
        let object = Object::Service(task.service.clone());
        let resolver = self.resolver(address);
        AttachmentRow { resolver, ..row(object, name, task.container.clone(), link, faults) }
    }

    async fn row_of_resource(
        &self,
        name: &str,
        namespace: &Namespace,
        address: Ipv4Addr,
    ) -> AttachmentRow {
        let &Namespace { link, mtu, .. } = namespace;
        let (own, interface) = (namespace.netns.name().to_owned(), namespace.far.clone());
        let link = TaskLink { namespace: own, interface, address, link, mtu };
        let faults = texts(link.faults_to(&self.router, &namespace.near).await);
        let object = Object::Resource(name.to_owned());
        row(object, format!("resource {name}"), namespace.container.clone(), link, faults)
    }

    /// Returns the resolver of a task; `None` if the configuration has no such task.
    fn resolver(&self, address: Ipv4Addr) -> Option<Resolver> {
        let snapshot = self.snapshot();
        let task = snapshot.task(address)?;
        Some(Resolver {
            address: resolver_of(&snapshot, task),
            search: search_domain(&self.lab.spec.region),
            options: RESOLVER_OPTIONS.map(str::to_owned).to_vec(),
        })
    }

    /// Detaches what a request selects. All of it is tried, even if one fails; none is no error.
    ///
    /// # Errors
    /// The first step that failed.
    pub(super) async fn detach_selected(
        &mut self,
        request: &DetachRequest,
    ) -> Result<Detached, LabError> {
        let (mut detached, mut notes, mut first) = (Vec::new(), Vec::new(), Ok(()));
        for attached in attached::all(self).into_iter().filter(|all| request.selects(all)) {
            let done = match &attached.role {
                Role::Task { service, number, .. } => self.remove_task(service, *number).await,
                Role::Resource { name } => self.detach_resource(name).await,
            };
            notes.extend(self.take_notes());
            match done {
                Ok(()) => detached.push(attached.role.to_string()),
                Err(error) => first = first.and(Err(error)),
            }
        }
        first.map(|()| Detached { detached, notes })
    }
}

fn row(
    object: Object,
    name: String,
    container: Option<String>,
    link: TaskLink,
    faults: Vec<String>,
) -> AttachmentRow {
    let TaskLink { namespace, interface, address, link, mtu } = link;
    let mac = link.far.to_string();
    let resolver = None;
    AttachmentRow {
        object,
        name,
        container,
        namespace,
        interface,
        mac,
        mtu,
        address,
        resolver,
        faults,
    }
}

fn texts(faults: Result<Vec<LinkFault>, impl std::fmt::Display>) -> Vec<String> {
    match faults {
        Ok(faults) => faults.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    }
}
