//! Counts and watches: totals for each drop, NAT and task, and the records of live packets for
//! watchers.

pub mod drops;
pub mod nat_metrics;
pub mod port_holders;
pub mod totals;
pub mod watchers;

mod budget;
pub(in crate::pipeline) mod count;
pub(in crate::pipeline) mod nat_drops;
pub(in crate::pipeline) mod tell;
pub(in crate::pipeline) mod watched;
