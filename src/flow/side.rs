//! The two directions of a flow.

/// The direction of a packet, seen from the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From the task.
    Egress,
    /// Back to the task.
    Return,
}

impl Side {
    /// Both directions, in the order of pairs of counters.
    pub(super) const BOTH: [Self; 2] = [Self::Egress, Self::Return];
}
