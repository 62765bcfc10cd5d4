//! Detaches namespaces of a lab that was killed, without starting it: the next `egret up` does not
//! attach them again.

use super::attached::{self, Attached, Role, left_attached};
use super::attachments::DetachRequest;
use super::foreign::remove_leftover;
use super::state::{self, StateDir, StateError};
use crate::linux::ipv6;
use crate::linux::link::Mac;
use crate::linux::netns::Netns;

/// Forgets the attachments of a lab that a request selects, and returns them by name. A lab that
/// left nothing has none. Must be called within a tokio runtime.
///
/// # Errors
/// [`StateError::Busy`] if a process has the lab: it must be asked. Otherwise the record, or a name,
/// could not be changed.
pub async fn forget_attached(
    lab: &str,
    request: &DetachRequest,
) -> Result<Vec<String>, StateError> {
    if !state::directory(lab).exists() {
        return Ok(Vec::new());
    }
    let state = StateDir::visit(lab)?;
    let forgotten = forget(&state, request).await;
    state.let_go();
    forgotten
}

async fn forget(state: &StateDir, request: &DetachRequest) -> Result<Vec<String>, StateError> {
    let (selected, kept): (Vec<Attached>, Vec<Attached>) =
        left_attached(state).into_iter().partition(|attached| request.selects(attached));
    if selected.is_empty() {
        return Ok(Vec::new());
    }
    // A name without a record is cleared by the next `egret up`.
    attached::write(state, &kept)?;
    for attached in &selected {
        clear(attached).await;
        state.remove_namespace(&attached.namespace)?;
    }
    Ok(selected.into_iter().map(|attached| attached.role.to_string()).collect())
}

/// Removes from a namespace what the killed process made there. The interface leads nowhere since
/// then, so a failure does no harm.
async fn clear(attached: &Attached) {
    let Ok(netns) = Netns::open(&attached.namespace) else { return };
    let _ = remove_leftover(&netns, &attached.interface, Mac(attached.mac)).await;
    if let Role::Task { address, .. } = attached.role {
        let _ = ipv6::forget(&netns, address).await;
    }
}
