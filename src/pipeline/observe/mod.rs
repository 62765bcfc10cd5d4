//! Counting and watching: what each drop, NAT and task added up to, and what those see who watch live packets.

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
