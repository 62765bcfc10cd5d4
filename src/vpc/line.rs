//! The line of the lab file that an object stands at.

/// A line of the lab file, counted from 1; 0 where the object is implied.
pub type Line = u32;
