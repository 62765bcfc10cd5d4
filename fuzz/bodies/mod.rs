//! The functions that the fuzz targets run on an input. The targets and `replay.rs` include them.

pub(crate) mod apprunner;
pub(crate) mod control;
pub(crate) mod import;
pub(crate) mod lab;
pub(crate) mod packets;
pub(crate) mod pcapng;
pub(crate) mod strings;
mod tape;
