//! The width for which texts and tables are laid out.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The width without a terminal, in columns.
const USUAL: usize = 100;

/// The least width for which texts are laid out. On a narrower terminal lines are broken by it.
const LEAST: usize = 40;

static WIDTH: AtomicUsize = AtomicUsize::new(USUAL);

/// Sets the width of the output, in columns; `None` if it is no terminal.
pub fn set_width(columns: Option<usize>) {
    WIDTH.store(columns.unwrap_or(USUAL).max(LEAST), Ordering::Relaxed);
}

/// Returns the widest line, in columns.
pub fn width() -> usize {
    WIDTH.load(Ordering::Relaxed)
}
