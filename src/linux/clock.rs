//! The only source of time: everything below this layer takes it as an argument.

use nix::time::ClockId;

/// Returns nanoseconds of `CLOCK_MONOTONIC`; it stands still while the machine is suspended.
#[must_use]
pub fn now() -> u64 {
    // The clock has existed since Linux 2.6, so the call cannot fail; 0 would only delay an expiry.
    nanoseconds(ClockId::CLOCK_MONOTONIC)
}

/// Returns nanoseconds since 1970-01-01 UTC, for people and capture files: it jumps when the clock
/// is set.
#[must_use]
pub fn wall() -> u64 {
    nanoseconds(ClockId::CLOCK_REALTIME)
}

fn nanoseconds(clock: ClockId) -> u64 {
    clock.now().map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_never_goes_back() {
        let first = super::now();
        assert!(first > 0);
        assert!(super::now() >= first);
    }
}
