//! Expectations: services must reach some destinations, and must not reach others.

mod fixes;
mod github;
mod judge;
mod junit;
mod known;
mod live;
mod printed;
mod report;
mod resolve;
mod run;
mod seen;
mod tested;

#[cfg(test)]
mod tests;

pub use fixes::{MOST_FIXES, propose_fixes};
pub use github::{github, github_errors};
pub use junit::junit;
pub use live::{
    Contradiction, Leaving, Live, NotTried, Plan, Probe, Sight, Wire, live_summary, plan,
};
pub use printed::summary;
pub use report::TestReport;
pub use run::{Subject, TestError, name_errors, test};
pub use tested::{Failure, Tested};
