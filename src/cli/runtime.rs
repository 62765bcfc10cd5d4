//! The runtime of a command that waits for little.

use std::io;

/// Makes a runtime for a command that waits for little.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
