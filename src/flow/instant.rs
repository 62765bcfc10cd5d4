//! Time as a value. Only `linux::clock` reads a clock; tests and simulations make their own
//! instants.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since an arbitrary start. The value never decreases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The start.
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
