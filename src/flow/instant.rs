//! Time as a value. The only producer is `linux::clock`; tests and simulations make their own.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since an arbitrary start that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The beginning of time.
    pub const ZERO: Self = Self(0);

    /// Returns how much later `self` is than `earlier`; zero if it is not.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}
