//! The AWS CLI, boto3 and moto of `scripts/aws-venv`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the environment with `bin/aws`, `bin/python` (boto3) and `bin/moto_server`. Where it
/// cannot be made, for example without a network, prints so and returns `None`.
///
/// # Panics
///
/// In CI (`CI=true`), where the environment must exist.
pub fn venv() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/aws-venv");
    let output = Command::new(script).arg("--ready").output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()));
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{complaint}");
    println!("skipped: no AWS CLI, boto3 and moto: {complaint}");
    None
}

#[test]
fn the_tools_are_those_that_are_pinned() {
    let Some(venv) = venv() else { return };
    let pins = include_str!("../requirements.txt");
    for (package, program, arguments) in [
        ("awscli", "aws", ["--version"].as_slice()),
        ("boto3", "python", &["-c", "import boto3; print(boto3.__version__)"]),
        ("moto", "python", &["-c", "import moto.server; print(moto.__version__)"]),
    ] {
        let output = Command::new(venv.join("bin").join(program)).args(arguments).output().unwrap();
        let said = super::lab::both_streams(&output);
        let pin = pins.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix("=="));
        assert!(said.contains(pin.unwrap()), "{package}: {said}");
    }
}
