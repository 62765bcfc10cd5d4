//! What holds for every format.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod same_vpc;
