//! The `egret` binary: parse the arguments, run the command, turn the outcome into an exit code.

use clap::Parser as _;
use egret::cli::{self, Cli, CliError, output};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let color = cli.color;
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => {
            if let CliError::Config(diagnostics) | CliError::Expectations(diagnostics) = &error {
                let mut text = String::new();
                if diagnostics.render(&mut text, color.on_stderr()).is_ok() {
                    output::note(text.trim_end());
                }
            }
            output::note(&format!("egret: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
