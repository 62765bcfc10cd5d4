//! `egret wait`: waits until a lab is ready, or down.

use super::error::NO;
use super::runtime::runtime;
use super::{CliError, LabArg, number, output};
use crate::daemon::{Client, ClientError, labs, state};
use std::process::ExitCode;
use std::time::Duration;

/// The pause between two looks.
const AGAIN: Duration = Duration::from_millis(100);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A lab is ready once it answers. It is down once no process has it, whatever a killed run has left: \
`egret ls` shows that.

Exit codes:
  0  the lab is ready, or down
  1  it is not after the time
  2  a usage error, or this user may not ask the lab

Examples:
  sudo egret wait && sudo egret ps          once another command has started it
  sudo egret wait --lab shop --timeout 5m
  sudo egret wait --down --timeout 10s")]
pub struct WaitArgs {
    #[command(flatten)]
    lab: LabArg,
    /// Wait until the lab is down
    #[arg(long)]
    down: bool,
    /// The longest wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = number::patience)]
    timeout: Duration,
}

pub(super) fn run(args: &WaitArgs) -> Result<ExitCode, CliError> {
    let lab = args.lab.name();
    let until = async {
        while !is_reached(lab, args.down).await? {
            tokio::time::sleep(AGAIN).await;
        }
        Ok::<_, CliError>(())
    };
    let waited = runtime()?.block_on(async { tokio::time::timeout(args.timeout, until).await });
    match waited {
        Ok(reached) => reached.map(|()| ExitCode::SUCCESS),
        Err(_) => {
            let state = if args.down { "down" } else { "ready" };
            let waited = humantime::format_duration(args.timeout);
            output::note(&format!("egret: lab `{lab}` is not {state} after {waited}"));
            Ok(ExitCode::from(NO))
        }
    }
}

/// Returns whether a lab answers, or is down.
async fn is_reached(lab: &str, down: bool) -> Result<bool, CliError> {
    match Client::new(lab).get::<()>("/v1/alive").await {
        Ok(()) => Ok(!down),
        Err(error @ ClientError::NotRoot { .. }) => Err(error.into()),
        Err(_) => Ok(down && !is_held(lab)),
    }
}

/// Returns whether a process still has a lab that does not answer. Another user than root sees only
/// its socket.
fn is_held(lab: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    labs::process_of(lab).is_some() || (!is_root && state::socket(lab).exists())
}
