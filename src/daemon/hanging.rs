//! Workers that hang in a batch, and how many dead ones of each device were reported.

use crate::linux::epochs::Epoch;
use crate::pipeline::DeviceId;
use std::collections::BTreeMap;

/// What is known of a lab's dead workers beside their own figures.
#[derive(Debug, Default)]
pub(super) struct Hanging {
    /// The devices that are cut off because a worker hangs, each with the batch in which it does.
    pub(super) since: BTreeMap<DeviceId, Epoch>,
    /// Counts the workers of each device that were reported as dead.
    pub(super) reported: BTreeMap<DeviceId, usize>,
}
