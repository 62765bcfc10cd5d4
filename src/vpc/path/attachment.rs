//! The attachment by which a task's packets enter a path.

use crate::vpc::{Egress, EniIx, Snapshot, Task};

/// The interface by which a task's packets enter the VPC, or App Runner's own network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attachment {
    /// An ENI in a subnet.
    Eni(EniIx),
    /// App Runner's own public egress.
    AppRunner,
}

impl Snapshot {
    /// Returns the attachment of a task. A task of a VPC service without an ENI has none, and least
    /// of all App Runner's own egress.
    pub fn attachment(&self, task: &Task) -> Option<Attachment> {
        match (task.eni, self.service(task.service).egress) {
            (Some(ix), _) => Some(Attachment::Eni(ix)),
            (None, Egress::Default) => Some(Attachment::AppRunner),
            (None, Egress::Vpc(_)) => None,
        }
    }
}
