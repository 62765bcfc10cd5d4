//! Floor 8: a file per command. Each has `run(args, output) -> Result<ExitCode, CliError>`.

pub mod args;
mod check;
mod explain;
mod output;

pub use args::{Cli, Command};
pub use output::Output;

use crate::config::Diagnostics;
use crate::explain::TargetError;
use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;

/// The answer is no: the packet is dropped, the lab file has errors.
const NO: u8 = 1;
/// Usage or configuration error.
const UNUSABLE: u8 = 2;

/// Why a command could not answer. Every message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The lab file has errors.
    #[error("{file} cannot be used:\n{findings}Mend it; `egret check {file}` shows this again.")]
    Config {
        /// The file.
        file: String,
        /// The findings, rendered.
        findings: String,
    },
    /// The lab file cannot be read.
    #[error("{0}; give the path of a lab file that exists and may be read")]
    Unreadable(String),
    /// There is no running lab of this name.
    #[error(
        "no running lab `{0}`; use --config FILE to ask a lab file, or start it: sudo egret up FILE"
    )]
    NoRunningLab(String),
    /// A word of the command line means nothing in the lab.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The task pool is too small for this task.
    #[error(
        "task_cidr {pool} has no address for task {number}; use a lower number, or a larger task_cidr"
    )]
    TaskPool {
        /// `task_cidr`
        pool: String,
        /// The task.
        number: u16,
    },
    /// The task's address is also the destination's: no packet leaves the task.
    #[error("{0} is the task's own address; name a destination outside it")]
    OwnAddress(Ipv4Addr),
    /// Standard output failed.
    #[error("cannot write the answer: {0}; is the disk full?")]
    Output(#[from] io::Error),
    /// The command has no code in this build.
    #[error(
        "`egret {0}` is not built yet; `egret --help` lists the commands, check and explain --config work"
    )]
    NotBuilt(&'static str),
}

impl CliError {
    /// A lab file's errors, with the lines that they are about.
    fn config(file: &std::path::Path, findings: &Diagnostics, color: bool) -> Self {
        let mut rendered = String::new();
        // Writing to a String cannot fail.
        let _ = findings.render(&mut rendered, color);
        Self::Config { file: file.display().to_string(), findings: rendered }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(UNUSABLE)
    }
}

/// Runs a command.
///
/// # Errors
/// Why there is no answer, and the way out.
pub fn run(command: Command, output: Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Check(args) => check::run(&args, output),
        Command::Explain(args) => explain::run(&args, output),
        // The commands that need a running lab: each arm goes when its command arrives.
        Command::Up(_) => Err(CliError::NotBuilt("up")),
        Command::Down(_) => Err(CliError::NotBuilt("down")),
        Command::Exec(_) => Err(CliError::NotBuilt("exec")),
        Command::Task(_) => Err(CliError::NotBuilt("task")),
        Command::Flows(_) => Err(CliError::NotBuilt("flows")),
        Command::Drops(_) => Err(CliError::NotBuilt("drops")),
        Command::Enis(_) => Err(CliError::NotBuilt("enis")),
        Command::Ps(_) => Err(CliError::NotBuilt("ps")),
        Command::Demo(_) => Err(CliError::NotBuilt("demo")),
    }
}
