//! Completions in a shell: the script that a shell loads asks egret itself, which knows its own
//! options and what exists. `egret completions` prints the script.

pub mod hook;
mod joined;
mod known;
pub mod values;

/// The environment variable by which the script of a shell asks for completions.
pub(super) const VARIABLE: &str = "EGRET_COMPLETE";
