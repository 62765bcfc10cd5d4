//! The time of day.

use super::records::Moment;
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the time of day: people read it in answers, and it goes on while no process runs.
#[expect(clippy::disallowed_methods, reason = "a person reads the date")]
pub(super) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Returns the time of day as records have it.
pub(super) fn now() -> Moment {
    let since = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
