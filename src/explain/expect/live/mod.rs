//! Sends packets in a running lab, to compare their results with the verdicts.

mod judge;
mod listeners;
mod plan;
mod probe;
mod report;
mod sight;
#[cfg(test)]
mod tests;

pub use plan::{Plan, plan};
pub use probe::Probe;
pub use report::{Contradiction, Live, NotTried, live_summary};
pub use sight::{Leaving, Sight, Wire};
