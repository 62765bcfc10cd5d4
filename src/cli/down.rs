//! `egret down`: ends a running lab, or clears what a killed run left.

use super::format::OutputArgs;
use super::remaining::{Held, KillArg, Processes};
use super::runtime::runtime;
use super::{CliError, LabArg, output};
use crate::daemon::{Client, ClientError, StateDir, StateError, client};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Limits the time in which a lab must get ready, and end.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause between two questions to a lab that does not answer yet.
const AGAIN: Duration = Duration::from_millis(100);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Programs that still run in the lab's namespaces lose their network. They are listed; --kill ends \
them.

Exit codes:
  0  the lab is down, and no program is left
  1  the lab does not end
  2  the lab does not answer: its process is stopped (SIGSTOP)
  3  the lab is down, and programs still run

Examples:
  sudo egret down                 the lab called `egret`
  sudo egret down --lab staging   another one
  sudo egret down --kill          with the programs that still run in its tasks
  sudo egret down --json          the programs that still run, as JSON")]
pub struct DownArgs {
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    kill: KillArg,
    #[command(flatten)]
    output: OutputArgs<Processes>,
}

pub(super) fn run(args: &DownArgs) -> Result<ExitCode, CliError> {
    let lab = args.lab.name();
    let (ended, held) = runtime()?.block_on(async {
        let mut held = Held::of(lab).await;
        Ok::<_, CliError>((end(lab, &mut held).await?, held))
    })?;
    match ended {
        Ended::Running => output::note(&format!("lab `{lab}` is down")),
        Ended::Nothing { others } => {
            let others = client::elsewhere(&others);
            output::note(&format!("lab `{lab}` is not up{others}; nothing to clear"));
        }
        Ended::Killed(cleared) => {
            output::note(&format!("cleared what a killed run left: {}", cleared.join(", ")));
        }
    }
    Ok(held.remaining(args.kill)?.print(args.output.format)?)
}

/// The lab that was ended.
enum Ended {
    /// A lab that ran.
    Running,
    /// A killed run, with the namespaces that it left.
    Killed(Vec<String>),
    /// No run, and nothing that an earlier one left.
    Nothing {
        /// The labs that run.
        others: Vec<String>,
    },
}

async fn end(lab: &str, held: &mut Held) -> Result<Ended, CliError> {
    let begun = Instant::now();
    let mut was_held = false;
    let mut running = Vec::new();
    loop {
        held.hold_new();
        let asked: Result<serde_json::Value, _> =
            Client::new(lab).post("/v1/down", &serde_json::Value::Null).await;
        match asked {
            Ok(_) => {
                StateDir::take(lab, PATIENCE).map_err(stuck)?.0.release()?;
                return Ok(Ended::Running);
            }
            // It does not exist, does not exist yet, or is about to end.
            Err(ClientError::NotRunning { others, .. }) => running = others,
            Err(ClientError::Broken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match StateDir::take(lab, Duration::ZERO) {
            Ok((mut state, cleared)) => {
                state.release()?;
                return Ok(match was_held {
                    true => Ended::Running,
                    false if cleared.is_empty() => Ended::Nothing { others: running },
                    false => Ended::Killed(cleared),
                });
            }
            Err(StateError::Busy { .. }) if begun.elapsed() < PATIENCE => {}
            Err(error) => return Err(stuck(error)),
        }
        if !was_held {
            output::note(&format!("lab `{lab}` is still starting, or ending: waiting for it"));
            was_held = true;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn stuck(error: StateError) -> CliError {
    if let StateError::Busy { lab, pid } = error {
        return StateError::Stuck { lab, pid }.into();
    }
    error.into()
}
