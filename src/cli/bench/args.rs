//! Arguments that several of the commands take.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BuildArgs {
    /// The egret to measure [default: this one]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// What the report names as measured, such as a commit
    #[arg(long, value_name = "TEXT", default_value = concat!("egret ", env!("CARGO_PKG_VERSION")))]
    pub(super) build: String,
}

impl BuildArgs {
    pub(super) fn egret(&self) -> io::Result<PathBuf> {
        self.binary.clone().map_or_else(std::env::current_exe, Ok)
    }
}

/// Parses seconds, which may have a fraction.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) | Err(_) => Err("must be from 0.1 to 60 seconds".to_owned()),
    }
}

/// Rounds up to whole seconds, as iperf3 takes them.
pub(super) fn whole_seconds(time: Duration) -> u16 {
    u16::try_from(time.as_secs() + u64::from(time.subsec_nanos() > 0)).unwrap_or(u16::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iperf3_gets_whole_seconds() {
        assert_eq!(seconds("0.3").map(whole_seconds), Ok(1));
        assert_eq!(seconds("2").map(whole_seconds), Ok(2));
        assert_eq!(seconds("2.5").map(whole_seconds), Ok(3));
        assert!(seconds("nan").is_err() && seconds("1e9").is_err());
    }
}
