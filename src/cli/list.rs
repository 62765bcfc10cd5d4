//! `egret flows`, `drops`, `enis` and `ps`: tables from a running lab.

use super::{CliError, LabArg, output, runtime};
use crate::daemon::Client;
use crate::explain::{self, DropRow, EniRow, FlowRow, PsRow, Row};
use serde::de::DeserializeOwned;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    lab: LabArg,
    /// As JSON, with raw numbers
    #[arg(long)]
    json: bool,
}

pub(super) fn flows(args: &ListArgs) -> Result<ExitCode, CliError> {
    show::<FlowRow>(args, "/v1/flows")
}

pub(super) fn drops(args: &ListArgs) -> Result<ExitCode, CliError> {
    show::<DropRow>(args, "/v1/drops")
}

pub(super) fn enis(args: &ListArgs) -> Result<ExitCode, CliError> {
    show::<EniRow>(args, "/v1/enis")
}

pub(super) fn ps(args: &ListArgs) -> Result<ExitCode, CliError> {
    show::<PsRow>(args, "/v1/ps")
}

fn show<R: Row + DeserializeOwned>(args: &ListArgs, path: &str) -> Result<ExitCode, CliError> {
    let rows: Vec<R> = runtime()?.block_on(Client::new(&args.lab.lab).get(path))?;
    output::out(|w| explain::print(w, &rows, args.json))?;
    Ok(ExitCode::SUCCESS)
}
