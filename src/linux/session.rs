//! Programs that go on without the terminal of their caller.

use super::sys;
use std::process::Command;

/// Makes a program start in a session of its own: neither Ctrl-C nor the end of the terminal reach
/// it.
pub fn apart(command: &mut Command) {
    sys::new_session(command);
}
