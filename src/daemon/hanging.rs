//! Workers that hang in a batch, and how many dead ones of each device were reported.

use crate::linux::epochs::Epoch;
use crate::pipeline::DeviceId;
use std::collections::BTreeMap;

/// The state of a lab's dead workers that their own figures do not show.
#[derive(Debug, Default)]
pub(super) struct Hanging {
    /// The devices that are cut off because a worker hangs, each with that worker's batch.
    pub(super) since: BTreeMap<DeviceId, Epoch>,
    /// The number of workers of each device that were reported as dead.
    pub(super) reported: BTreeMap<DeviceId, usize>,
}
