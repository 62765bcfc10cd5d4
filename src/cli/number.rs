//! Parses numbers and times of the command line, with errors that say which are valid.

use std::time::Duration;

/// The least and the longest time between two tables.
const PERIODS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(86_400)];

/// Parses the time between two tables.
pub(super) fn period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text).ok();
    let period = period.filter(|period| (PERIODS[0]..=PERIODS[1]).contains(period));
    period.ok_or_else(|| "give a time from 100ms to 1day, such as 2s".to_owned())
}

/// Parses the longest time of a wait.
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| *time <= PERIODS[1]);
    time.ok_or_else(|| "give a time up to 1day, such as 60s".to_owned())
}

/// Parses a number of rows, records or tables.
pub(super) fn positive(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "give a whole number from 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_have_bounds() {
        assert_eq!(period("1s"), Ok(Duration::from_secs(1)));
        for wrong in ["0s", "99ms", "2days", "500000000000years", "soon"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
        assert_eq!(patience("0s"), Ok(Duration::ZERO));
        assert!(patience("2days").is_err() && patience("60").is_err());
        assert_eq!(positive("10"), Ok(10));
        for wrong in ["0", "-1", "x", "1.5", "99999999999999999999"] {
            assert_eq!(positive(wrong), Err("give a whole number from 1".to_owned()), "{wrong}");
        }
    }
}
