//! The line of the lab file at which an object begins.

/// A line of the lab file, counted from 1; 0 where the object is implied.
pub type Line = u32;
