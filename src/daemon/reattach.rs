//! Attaches again what a killed process had attached, and detaches all when a lab is taken down.

use super::attach::{self, Home};
use super::attached::{Attached, Role, record};
use super::error::LabError;
use super::foreign::remove_leftover;
use super::namespace::Incoming;
use super::origin::{Maker, Origin};
use super::resources;
use super::running::Running;
use crate::linux::link::Mac;
use crate::linux::netns::Netns;
use std::net::Ipv4Addr;

/// Attaches again the namespaces of a killed process. One that cannot be attached is let go, which
/// `say` reports.
pub(super) async fn attach_again(
    running: &mut Running,
    all: Vec<Attached>,
    say: &mut (dyn FnMut(&str) + Send),
) {
    for attached in all {
        let role = attached.role.clone();
        match attach_one(running, &attached).await {
            Ok(()) => say(&format!("attached {role} again")),
            Err(error) => {
                let removed = running.state.remove_namespace(&attached.namespace);
                let removed = removed.err().map_or_else(String::new, |error| format!("; {error}"));
                say(&format!("{role} of a killed run is not attached again: {error}{removed}"));
            }
        }
    }
    record(running);
}

async fn attach_one(running: &mut Running, attached: &Attached) -> Result<(), LabError> {
    let netns = Netns::open(&attached.namespace)?;
    remove_leftover(&netns, &attached.interface, Mac(attached.mac)).await?;
    match &attached.role {
        Role::Task { service, number, address } => {
            let ix = attach::service(running, service)?;
            let (interface, address) = (attached.interface.clone(), *address);
            let container = attached.container.clone();
            let home = Home::Named { netns, interface, container, address };
            let origin = Origin::Command(Maker::Attach);
            attach::add(running, ix, *number, origin, home).await.map(drop)
        }
        Role::Resource { name } => {
            let (interface, container) = (attached.interface.clone(), attached.container.clone());
            let incoming = Incoming { netns, interface, container };
            resources::attach_named(running, name, incoming).await
        }
    }
}

/// Detaches every attached namespace, before the lab is taken down: they outlive it, without its
/// interfaces. Every step is taken, even if an earlier one fails.
pub(super) async fn detach_all(running: &mut Running) -> Result<(), LabError> {
    let mut first = Ok(());
    let tasks: Vec<Ipv4Addr> =
        running.tasks.values().filter(|task| task.is_foreign).map(|task| task.address).collect();
    for address in tasks {
        first = first.and(attach::take_down(running, address).await);
    }
    first.and(resources::unlink_all(running).await)
}
