//! What a configuration would make of a live flow, said before it is in force: the walk that the flow's next packet would
//! take, with its own ports offered, and no table touched.

use super::{Denial, Engine, FlowOutcome, Off};
use crate::flow::{Flow, Instant};
use crate::vpc::Snapshot;

/// What becomes of a flow at its next packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// It goes on, with its ports.
    Keeps,
    /// It would leave by another gateway, or its task is no more where it was: it ends (`flow-moved`).
    Moved,
    /// Its packets from the task are dropped; under a configuration that lets them pass again, it goes on.
    Denied(Denial),
    /// Its packets still go out, and those that come back are dropped.
    RepliesDenied(Denial),
}

impl Engine {
    /// What `snapshot`, which is not in force yet, makes of a flow. Its generation must be newer than the flow's.
    pub fn forecast(&self, now: Instant, snapshot: &Snapshot, flow: &Flow) -> Forecast {
        match self.review(now, snapshot, flow, &mut Off) {
            Err(_) => Forecast::Moved,
            Ok((FlowOutcome::Drop(denial), _)) => Forecast::Denied(denial),
            Ok((FlowOutcome::Forward(_), FlowOutcome::Drop(denial))) => {
                Forecast::RepliesDenied(denial)
            }
            Ok((FlowOutcome::Forward(_), FlowOutcome::Forward(_))) => Forecast::Keeps,
        }
    }
}
