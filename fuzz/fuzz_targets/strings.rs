//! See `bodies/strings.rs`.

#![no_main]

#[allow(dead_code, reason = "the other targets' bodies, and the seeds")]
#[path = "../bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::strings::run(data));
