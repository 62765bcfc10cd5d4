#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod lowering;

use super::*;

const THREE_AZ: &str = include_str!("../../../examples/three-az.toml");
const MINIMAL: &str = include_str!("../../../examples/minimal.toml");

#[track_caller]
fn lab(text: &str) -> Lab {
    match Lab::parse("lab.toml", text) {
        Ok(lab) => lab,
        Err(errors) => panic!("{errors}"),
    }
}
