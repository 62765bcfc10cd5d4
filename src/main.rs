//! The `egret` binary: parses the arguments, runs the command, turns the outcome into an exit code.
//! If a shell asks for completions, it answers these instead; as `egret-cni` it is the CNI plugin.

use egret::cli::completion::hook;
use egret::cli::{self, cni, failure};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = hook::answer(&words) {
        return code;
    }
    let words = cni::as_command(words);
    let (cli, form) = match failure::parse(&words) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let color = cli.color;
    cli::output::choose(color);
    cli::run(cli).unwrap_or_else(|error| failure::report(error, form, color))
}
