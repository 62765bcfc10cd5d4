//! The two directions of a flow.

/// Which way a packet goes, seen from the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From the task.
    Egress,
    /// Back to the task.
    Return,
}

impl Side {
    /// Both, in the order in which pairs of counters have them.
    pub(super) const BOTH: [Self; 2] = [Self::Egress, Self::Return];
}
