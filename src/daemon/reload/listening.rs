//! The listeners of a namespace: those that are new are started before a change, and those that
//! change are replaced as part of it.

use crate::daemon::error::LabError;
use crate::daemon::needs::{AnswersNeeds, ListenNeeds, NamespaceId, Needs};
use crate::daemon::running::Running;
use crate::linux::listen::{self, Answers, Endpoint};
use std::collections::BTreeMap;

/// Starts the listeners that do not run; those that run are left alone, with their connections.
pub(super) fn start(
    running: &mut Running,
    id: &NamespaceId,
    listens: &BTreeMap<Endpoint, ListenNeeds>,
) -> Result<(), LabError> {
    for (endpoint, needs) in listens {
        let namespace = running.namespaces.get(id);
        if namespace.is_some_and(|built| !built.listeners.contains_key(endpoint)) {
            start_one(running, id, *endpoint, needs)?;
        }
    }
    Ok(())
}

/// Replaces the listeners that answer otherwise from now on. Their connections end.
pub(super) async fn replace(running: &mut Running, needs: &Needs) -> Result<(), LabError> {
    for (id, namespace) in &needs.namespaces {
        for (endpoint, wanted) in &namespace.listens {
            let Some(built) = running.namespaces.get_mut(id) else { continue };
            if built.listeners.get(endpoint).is_none_or(|(needs, _)| needs == wanted) {
                continue;
            }
            if let Some((_, listener)) = built.listeners.remove(endpoint) {
                listener.close().await;
            }
            start_one(running, id, *endpoint, wanted)?;
        }
    }
    Ok(())
}

fn start_one(
    running: &mut Running,
    id: &NamespaceId,
    endpoint: Endpoint,
    needs: &ListenNeeds,
) -> Result<(), LabError> {
    let answers = match &needs.answers {
        AnswersNeeds::Echo => Answers::Echo,
        AnswersNeeds::Nothing => Answers::Nothing,
        AnswersNeeds::Http(host) => Answers::Http(host.clone()),
        AnswersNeeds::Https { host, names, addresses } => {
            let tls = running.authority.certify(host, names, addresses)?;
            Answers::Https(host.clone(), tls)
        }
    };
    let Some(namespace) = running.namespaces.get_mut(id) else { return Ok(()) };
    let _threads = running.services.enter();
    let listener = listen::spawn(&namespace.netns, endpoint, answers, needs.delay)?;
    namespace.listeners.insert(endpoint, (needs.clone(), listener));
    Ok(())
}
