//! Floor 8: a file per command.

pub mod demo;
pub mod down;
pub mod exec;
pub mod list;
pub mod output;
pub mod task;
pub mod up;

use crate::config::Diagnostics;
use crate::daemon::{ClientError, LabError, StateError};
use crate::linux::exec::ExecError;
use clap::{Parser, Subcommand};
use std::io;
use std::process::ExitCode;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "egret", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send real probes through a lab of its own and show what was expected beside what was seen
    Demo(demo::DemoArgs),
    /// Bring a lab up and keep it up until Ctrl-C
    Up(up::UpArgs),
    /// Take a lab down, or clear what a killed run left
    Down(down::DownArgs),
    /// Run a command inside a task, a VPC or the internet
    Exec(exec::ExecArgs),
    /// Add, remove or list tasks
    Task(task::TaskArgs),
    /// List the flows of a running lab
    Flows(list::ListArgs),
    /// List what was dropped, and by which rule
    Drops(list::ListArgs),
    /// List ENIs and gateways, and what went through them
    Enis(list::ListArgs),
    /// List tasks
    Ps(list::ListArgs),
}

/// Which running lab.
#[derive(Clone, Debug, clap::Args)]
pub struct LabArg {
    /// The lab's name, as `lab = "…"` in its file
    #[arg(long, env = "EGRET_LAB", default_value = "egret", value_name = "NAME")]
    pub lab: String,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The lab file has errors; they are in it.
    #[error("{} in the lab file", errors(.0))]
    Config(Diagnostics),
    /// The lab did not come up, or said no.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The lab's state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// A running lab was asked in vain.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A program could not be run inside.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The demo could not be given.
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    /// The arguments are off.
    #[error("{0}")]
    Usage(String),
    /// Output, or a socket.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn errors(diagnostics: &Diagnostics) -> String {
    match diagnostics.0.len() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    }
}

impl CliError {
    /// 2 for a usage or configuration error, 1 for the rest; 126 and 127 for `exec`, as a shell has it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => 2,
            Self::Exec(ExecError::Start { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                127
            }
            Self::Exec(ExecError::Start { .. }) => 126,
            Self::Lab(_)
            | Self::State(_)
            | Self::Client(_)
            | Self::Exec(_)
            | Self::Demo(_)
            | Self::Io(_) => 1,
        }
    }
}

/// Runs a command.
///
/// # Errors
/// Whatever kept it from giving an answer.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Up(args) => up::run(&args),
        Command::Down(args) => down::run(&args),
        Command::Exec(args) => exec::run(&args),
        Command::Task(args) => task::run(&args),
        Command::Flows(args) => list::flows(&args),
        Command::Drops(args) => list::drops(&args),
        Command::Enis(args) => list::enis(&args),
        Command::Ps(args) => list::ps(&args),
    }
}

/// A runtime for a command that waits for little.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
