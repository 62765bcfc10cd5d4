//! What each fuzz target does with an input. The targets and `replay.rs` include it.

pub(crate) mod apprunner;
pub(crate) mod control;
pub(crate) mod import;
pub(crate) mod lab;
pub(crate) mod packets;
pub(crate) mod pcapng;
pub(crate) mod strings;
mod tape;
