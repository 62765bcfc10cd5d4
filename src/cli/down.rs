//! `egret down`: ends a running lab, or clears what a killed run left.

use super::{CliError, LabArg, output, runtime};
use crate::daemon::{Client, ClientError, StateDir};
use std::process::ExitCode;
use std::time::Duration;

/// How long a lab may take to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo egret down                 the lab called `egret`
  sudo egret down --lab staging   another one")]
pub struct DownArgs {
    #[command(flatten)]
    lab: LabArg,
}

pub(super) fn run(args: &DownArgs) -> Result<ExitCode, CliError> {
    let lab = &args.lab.lab;
    let asked: Result<serde_json::Value, _> =
        runtime()?.block_on(Client::new(lab).post("/v1/down", &serde_json::Value::Null));
    let was_running = match asked {
        Ok(_) => true,
        Err(ClientError::NotRunning { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    let (mut state, cleared) = StateDir::take(lab, PATIENCE)?;
    state.release()?;
    match (was_running, cleared.is_empty()) {
        (true, _) => output::note(&format!("lab `{lab}` is down")),
        (false, false) => {
            output::note(&format!("cleared what a killed run left: {}", cleared.join(", ")))
        }
        (false, true) => output::note(&format!("lab `{lab}` is not up; nothing to clear")),
    }
    Ok(ExitCode::SUCCESS)
}
