//! Floor 8: a file per command.
