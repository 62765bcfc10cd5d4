//! The fuzz targets' bodies run over the inputs in `fuzz/seeds`, so that `cargo test` runs them
//! too: faults that the fuzzer once found stay fixed, and the targets keep compiling.
//!
//! `cargo test --test fuzz_seeds -- --ignored` rewrites the seeds of the packet path and the pcapng
//! writer; those of the lab file and of the importers are written by hand, and the examples are
//! seeds too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test"
)]

#[path = "bodies/mod.rs"]
mod bodies;

use bodies::{apprunner, control, import, lab, packets, pcapng, strings};
use std::path::{Path, PathBuf};

/// The function that a target runs on an input.
type Body = fn(&[u8]);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[track_caller]
fn replay(directory: &str, body: Body) {
    let files = std::fs::read_dir(root().join(directory)).unwrap();
    let mut count = 0;
    for file in files.map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
        let data = std::fs::read(&file).unwrap();
        if let Err(panic) = std::panic::catch_unwind(|| body(&data)) {
            eprintln!("with the input {}", file.display());
            std::panic::resume_unwind(panic);
        }
        count += 1;
    }
    assert!(count > 2, "{directory} has {count} inputs");
}

#[test]
fn packets_of_the_seeds() {
    replay("fuzz/seeds/packets", packets::run);
}

/// The seeds would be worth little if their packets were dropped immediately.
#[test]
fn most_packets_of_the_seeds_pass() {
    let forwarded: usize = packets::seeds().iter().map(|(_, bytes)| packets::forwards(bytes)).sum();
    assert!(forwarded > 20, "{forwarded}");
}

#[test]
fn lab_files_of_the_seeds_and_the_examples() {
    replay("fuzz/seeds/lab", lab::run);
    replay("examples", lab::run);
}

#[test]
fn captures_of_the_seeds() {
    replay("fuzz/seeds/pcapng", pcapng::run);
}

#[test]
fn sources_of_the_seeds() {
    replay("fuzz/seeds/import_describe", import::describe);
    replay("fuzz/seeds/import_cloudformation", import::cloudformation);
    replay("fuzz/seeds/import_terraform", import::terraform);
}

#[test]
fn calls_of_the_seeds() {
    replay("fuzz/seeds/apprunner", apprunner::run);
}

#[test]
fn requests_and_strings_of_the_seeds() {
    replay("fuzz/seeds/control", control::run);
    replay("fuzz/seeds/strings", strings::run);
}

/// The seeds would be worth little if their requests were refused.
#[test]
fn requests_of_the_seeds_are_taken() {
    for file in std::fs::read_dir(root().join("fuzz/seeds/control")).unwrap() {
        let path = file.unwrap().path();
        assert!(control::is_taken(&std::fs::read(&path).unwrap()), "{}", path.display());
    }
}

/// The seeds would be worth little if their calls were refused immediately.
#[test]
fn most_calls_of_the_seeds_are_met() {
    let data = std::fs::read(root().join("fuzz/seeds/apprunner/flow")).unwrap();
    let statuses = apprunner::statuses(&data);
    assert!(statuses.len() > 15 && statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

/// Each seed, cut at any place and with any byte inverted, is an input too: this is a small fuzzer.
#[test]
fn pieces_of_the_seeds() {
    let bodies: [(&str, Body); 8] = [
        ("packets", packets::run),
        ("pcapng", pcapng::run),
        ("import_describe", import::describe),
        ("import_cloudformation", import::cloudformation),
        ("import_terraform", import::terraform),
        ("apprunner", apprunner::run),
        ("control", control::run),
        ("strings", strings::run),
    ];
    for (name, body) in bodies {
        for file in std::fs::read_dir(root().join("fuzz/seeds").join(name)).unwrap() {
            let data = std::fs::read(file.unwrap().path()).unwrap();
            for at in (0..data.len()).step_by(data.len().div_ceil(40)) {
                body(&data[..at]);
                let mut other = data.clone();
                other[at] = !other[at];
                body(&other);
            }
        }
    }
}

#[test]
#[ignore = "writes the seeds of the packet path and the pcapng writer"]
fn write_seeds() {
    for (directory, seeds) in [("packets", packets::seeds()), ("pcapng", pcapng::seeds())] {
        for (name, bytes) in seeds {
            std::fs::write(root().join("fuzz/seeds").join(directory).join(name), bytes).unwrap();
        }
    }
}
