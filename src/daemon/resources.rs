//! Attaches namespaces that other programs made as resources: a program or a container answers at
//! the resource's address, behind its security groups and network ACLs. The lab's own listeners
//! stop meanwhile. This is another configuration, which a reload applies.

use super::attached;
use super::error::{LabError, left};
use super::foreign::{AttachError, Attachable, require_free, require_room};
use super::namespace::Incoming;
use super::needs::{NamespaceId, resource_namespace};
use super::running::Running;
use super::{handover, reload};
use crate::config::{Overlay, known};
use crate::linux::Identity;
use crate::linux::link::LinkError;
use crate::linux::netns;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The answer to `POST /v1/resources/NAME/attach`.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ResourceAnswer {
    /// The resource.
    pub resource: String,
    /// The name that the lab gave the namespace.
    pub namespace: String,
    /// The interface that the lab made there.
    pub interface: String,
    /// The resource's address.
    pub address: Ipv4Addr,
    /// Notes on what failed although the resource was attached.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Running {
    /// Attaches a namespace as a resource. One that is this resource's already stays as it is.
    ///
    /// # Errors
    /// No such resource, a namespace that cannot be attached, or the step that failed.
    pub(super) async fn add_foreign_resource(
        &mut self,
        name: &str,
        attachable: Attachable,
    ) -> Result<ResourceAnswer, LabError> {
        self.notes.clear();
        require_resource(self, name)?;
        let identity = attachable.identity()?;
        if is_attached_already(self, name, &attachable, identity)? {
            return answer(self, name);
        }
        require_free(identity)?;
        let namespace = resource_namespace(&self.lab.name, name);
        let netns = self.state.name_namespace(&namespace, &attachable.namespace)?;
        let Attachable { interface, container, .. } = attachable;
        let attached = attach_named(self, name, Incoming { netns, interface, container }).await;
        if let Err(error) = attached {
            let removed = self.state.remove_namespace(&namespace);
            return Err(error.and_left(left(&format!("namespace {namespace}"), removed)));
        }
        attached::record(self);
        answer(self, name)
    }

    /// Detaches a resource: the lab itself answers at its address again. The namespace stays,
    /// without its interface.
    ///
    /// # Errors
    /// No such resource, one that is not attached, or the step that failed.
    pub(super) async fn detach_resource(&mut self, name: &str) -> Result<(), LabError> {
        self.notes.clear();
        require_resource(self, name)?;
        let mut all = self.attached_resources();
        if !all.remove(name) {
            return Err(AttachError::NotAttached(name.to_owned()).into());
        }
        apply(self, all).await?;
        attached::record(self);
        Ok(())
    }
}

/// Attaches a namespace that has its name.
pub(super) async fn attach_named(
    running: &mut Running,
    name: &str,
    incoming: Incoming,
) -> Result<(), LabError> {
    require_resource(running, name)?;
    require_room(&incoming.netns, &incoming.interface).await?;
    incoming.netns.bring_loopback_up()?;
    let mut all = running.attached_resources();
    all.insert(name.to_owned());
    let id = NamespaceId::Resource(name.to_owned());
    running.incoming.insert(id.clone(), incoming);
    let applied = apply(running, all).await;
    running.incoming.remove(&id);
    applied
}

/// Removes the links of all attached resources, before the lab is taken down. Every step is taken,
/// even if an earlier one fails.
pub(super) async fn unlink_all(running: &mut Running) -> Result<(), LabError> {
    let mut first = Ok(());
    for (id, namespace) in &running.namespaces {
        if let NamespaceId::Resource(_) = id {
            first = first.and(match running.router.delete(&namespace.near).await {
                Err(LinkError::Missing { .. }) => Ok(()),
                deleted => deleted,
            });
        }
    }
    Ok(first?)
}

async fn apply(
    running: &mut Running,
    attached_resources: BTreeSet<String>,
) -> Result<(), LabError> {
    let overlay = Overlay { attached_resources, ..running.lab.overlay.clone() };
    let lab = running.lab.with_overlay(overlay).map_err(LabError::Config)?;
    // A process killed during the change leaves no handover.
    handover::leave_nothing(running)?;
    let applied = reload::apply(running, lab, &mut |_| {}).await;
    handover::leave_after(running, applied)
}

/// Returns whether a namespace is attached as this resource.
///
/// # Errors
/// Another namespace is, or it is by another interface, or for another container.
fn is_attached_already(
    running: &Running,
    name: &str,
    attachable: &Attachable,
    identity: Identity,
) -> Result<bool, LabError> {
    let id = NamespaceId::Resource(name.to_owned());
    let Some(namespace) = running.namespaces.get(&id) else { return Ok(false) };
    let is_it = netns::identity_of(namespace.netns.name()) == Some(identity)
        && namespace.far == attachable.interface
        && (attachable.container.is_none() || namespace.container == attachable.container);
    match is_it {
        true => Ok(true),
        false => Err(AttachError::ResourceTaken(name.to_owned()).into()),
    }
}

fn answer(running: &mut Running, name: &str) -> Result<ResourceAnswer, LabError> {
    let unattached = || AttachError::NotAttached(name.to_owned());
    let id = NamespaceId::Resource(name.to_owned());
    let notes = running.take_notes();
    let namespace = running.namespaces.get(&id).ok_or_else(unattached)?;
    Ok(ResourceAnswer {
        resource: name.to_owned(),
        namespace: namespace.netns.name().to_owned(),
        interface: namespace.far.clone(),
        address: namespace.source.ok_or_else(unattached)?,
        notes,
    })
}

fn require_resource(running: &Running, name: &str) -> Result<(), LabError> {
    let snapshot = running.snapshot();
    let names: Vec<&str> = snapshot.parts().resources.iter().map(|r| r.name.as_str()).collect();
    if names.contains(&name) {
        return Ok(());
    }
    let (lab, name, known) =
        (running.lab.name.clone(), name.to_owned(), known(name, "it has", &names));
    Err(AttachError::UnknownResource { lab, name, known }.into())
}
