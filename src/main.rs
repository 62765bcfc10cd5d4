//! The `egret` binary: parse the arguments, run the command, turn the outcome into an exit code.

use clap::Parser;
use egret::cli::{self, Cli, Output};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Cli { color, command } = Cli::parse();
    let output = Output::new(color);
    match cli::run(command, output) {
        Ok(code) => code,
        Err(error) => {
            output.complain(&error.to_string());
            error.exit_code()
        }
    }
}
