//! Layer 1: the edge between egret and what others wrote. It decides which files egret opens, how
//! much it reads, and how text is shown.
//!
//! egret runs as root in folders and on input that other users may have prepared. `own` opens the
//! files that egret makes for itself, `output` those that the user names to be written, and `input`
//! those that the user names to be read. `shown` makes text safe for a terminal. `lookup` finds a
//! file that is written by its path.

pub mod input;
mod lookup;
pub mod output;
pub mod own;
mod refusal;
pub mod shown;

pub use shown::{and_more, is_hidden, shown, shown_lines, thousands};
