//! Floor 4: the engine. One file per stage; stages classify, `packet::rewrite` rewrites.

pub mod reason;
pub mod trace;
pub mod verdict;

pub use reason::{REASONS, Reason};
pub use trace::{Component, Detail, Outcome, Recorder, Stage, Step};
pub use verdict::{Denial, Evidence, Link, Verdict};
