//! Namespaces that other programs made, which are attached as tasks or as resources: what is
//! required of them, and what is left of an attachment when it ends.

use super::state;
use crate::linux::foreign::{Foreign, ForeignError, Identity};
use crate::linux::link::{LinkError, Links, Mac};
use crate::linux::netns::{self, Netns};
use std::io;

/// Bytes of the longest name of an interface (`IFNAMSIZ`, without its last byte).
const LONGEST_NAME: usize = 15;

/// The reason why a namespace cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The client passed none.
    #[error("the request has no namespace: the client passes its descriptor with the request")]
    Nothing,
    /// It is no network namespace.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// It cannot be identified.
    #[error("identifying the namespace: {0}")]
    Identity(#[from] io::Error),
    /// It cannot be looked at.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It is egret's own.
    #[error(
        "that is the namespace of this machine itself: its traffic would leave by the lab. Attach the namespace of a container, or one that `ip netns add` makes"
    )]
    Host,
    /// Another attachment has it, or a lab made it.
    #[error("that namespace is {holder} already: {way_out}")]
    Taken {
        /// The holder.
        holder: String,
        /// What to do.
        way_out: String,
    },
    /// The name cannot be an interface's.
    #[error(
        "`{0}` is not a name for an interface: use at most {LONGEST_NAME} letters, digits, `-`, `_` and `.`"
    )]
    InterfaceName(String),
    /// The namespace has such an interface.
    #[error("the namespace has an interface `{0}` already: choose another name with --ifname")]
    HasInterface(String),
    /// The namespace has another way out.
    #[error(
        "the namespace has a default route already, and traffic would pass egret by: start the container without a network, or remove the route with `ip route del default` in the namespace"
    )]
    HasDefaultRoute,
    /// The lab has no such resource.
    #[error("lab `{lab}` has no resource `{name}`{known}")]
    UnknownResource {
        /// The lab.
        lab: String,
        /// The name.
        name: String,
        /// Those that it has, for a message.
        known: String,
    },
    /// The resource is attached to another namespace.
    #[error("resource `{0}` is attached already: `egret resource detach {0}` detaches it")]
    ResourceTaken(String),
    /// The resource is not attached.
    #[error("resource `{0}` is not attached: the lab itself answers at its address")]
    NotAttached(String),
    /// The task exists in a namespace of its own.
    #[error(
        "task {number} of service `{service}` exists already: leave the number out, or remove the task with `egret task remove {service}/{number}`"
    )]
    TaskTaken {
        /// The service.
        service: String,
        /// The task.
        number: u16,
    },
}

/// A namespace to attach, and the name that its interface is to have.
#[derive(Debug)]
pub(super) struct Attachable {
    pub(super) namespace: Foreign,
    pub(super) interface: String,
    /// The id that a container engine gave what it attached.
    pub(super) container: Option<String>,
}

impl Attachable {
    /// Takes a namespace that a client passed.
    ///
    /// # Errors
    /// It is no network namespace, or it is this machine's; or no interface can have that name.
    pub(super) fn new(
        namespace: Foreign,
        interface: String,
        container: Option<String>,
    ) -> Result<Self, AttachError> {
        require_interface_name(&interface)?;
        match namespace.identity()? == Identity::own()? {
            true => Err(AttachError::Host),
            false => Ok(Self { namespace, interface, container }),
        }
    }

    pub(super) fn identity(&self) -> Result<Identity, AttachError> {
        Ok(self.namespace.identity()?)
    }
}

/// Requires that no namespace of a lab is this one.
///
/// # Errors
/// The lab that has it.
pub(super) fn require_free(identity: Identity) -> Result<(), AttachError> {
    for lab in state::all().unwrap_or_default() {
        // A list that cannot be read is of a lab that ends.
        let names = state::namespaces(&lab).unwrap_or_default();
        if let Some(name) = names.iter().find(|name| netns::identity_of(name) == Some(identity)) {
            return Err(AttachError::Taken {
                holder: format!("namespace {name} of lab `{lab}`"),
                way_out: format!("`egret ps --lab {lab}` shows its tasks; detach it there first"),
            });
        }
    }
    Ok(())
}

/// Requires that a link can be made in a namespace, and that nothing else leads out of it.
///
/// # Errors
/// An interface has the name, or there is a default route.
pub(super) async fn require_room(netns: &Netns, interface: &str) -> Result<(), AttachError> {
    let links = Links::open(netns)?;
    if links.exists(interface).await? {
        return Err(AttachError::HasInterface(interface.to_owned()));
    }
    if links.leads_everything().await? {
        return Err(AttachError::HasDefaultRoute);
    }
    Ok(())
}

/// Removes the interface that a killed process made in a namespace; the kernel may not have removed
/// it with the router's end yet. Another interface of that name is left alone.
///
/// # Errors
/// The kernel refuses.
pub(super) async fn remove_leftover(
    netns: &Netns,
    interface: &str,
    mac: Mac,
) -> Result<(), LinkError> {
    let links = Links::open(netns)?;
    if !links.has_mac(interface, mac).await? {
        return Ok(());
    }
    match links.delete(interface).await {
        // The kernel was faster.
        Err(LinkError::Missing { .. }) => Ok(()),
        deleted => deleted,
    }
}

fn require_interface_name(name: &str) -> Result<(), AttachError> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // These name other things in `/proc/sys/net/ipv6/conf`.
    let is_other = ["lo", "all", "default", ".", ".."].contains(&name);
    match name.is_empty() || name.len() > LONGEST_NAME || is_other || !name.chars().all(is_valid) {
        true => Err(AttachError::InterfaceName(name.to_owned())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_a_name_that_the_kernel_takes() {
        for name in ["eth0", "net1", "a", "en-p1_s0.10", "x23456789012345"] {
            assert!(require_interface_name(name).is_ok(), "{name}");
        }
        let wrong =
            ["", "lo", "all", "default", ".", "..", "a/b", "a b", "a:b", "ä", "x234567890123456"];
        for name in wrong {
            assert!(require_interface_name(name).is_err(), "{name}");
        }
    }
}
