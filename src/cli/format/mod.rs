//! The formats in which commands print: the formats of each command, and the way in which each is
//! written.

mod answer;
mod args;
mod csv;
#[cfg(test)]
pub(super) mod fields;
mod formats;
mod rows;
mod stream;
mod yaml;

pub(super) use args::{FORMAT, JSON};
pub use args::{Formats, OutputArgs};
pub use formats::Format;
pub(super) use rows::{Rows, each};
pub(super) use stream::Stream;
pub(super) use yaml::write as yaml;
