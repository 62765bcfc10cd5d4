//! Forecasts the effect of a configuration that is not applied yet on a live flow: the evaluation
//! of the flow's next packet, with its own ports offered, and no table changed.

use super::context::Context;
use super::outcome::FlowOutcome;
use super::review::{self, Outcomes};
use super::{Denial, Recorder};
use crate::flow::Flow;

/// The outcome for a flow at its next packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// It continues, with its ports.
    Keeps,
    /// It would leave by another gateway, or its task is attached elsewhere: it ends
    /// (`flow-moved`).
    Moved,
    /// Its packets from the task are dropped; under a configuration that allows them again, it
    /// continues.
    Denied(Denial),
    /// Its packets still leave, and the replies are dropped.
    RepliesDenied(Denial),
}

/// Forecasts the outcome for a flow.
pub(super) fn forecast<R: Recorder>(context: &mut Context<'_, R>, flow: &Flow) -> Forecast {
    let Ok(Outcomes { egress, returned }) = review::review(context, flow) else {
        return Forecast::Moved;
    };
    match (egress, returned) {
        (FlowOutcome::Drop(denial), _) => Forecast::Denied(denial),
        (FlowOutcome::Forward(_), FlowOutcome::Drop(denial)) => Forecast::RepliesDenied(denial),
        (FlowOutcome::Forward(_), FlowOutcome::Forward(_)) => Forecast::Keeps,
    }
}
