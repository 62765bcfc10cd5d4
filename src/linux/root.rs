//! Skips tests that need root, and prints a line about it, which `scripts/test` shows.

#![allow(clippy::print_stdout, reason = "tests")]

/// Returns whether this is root; prints that the test skips itself if not.
pub(crate) fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        println!("skipped: {test} needs root");
    }
    is_root
}
