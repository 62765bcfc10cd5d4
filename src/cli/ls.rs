//! `egret ls`: the labs of this host.

use super::format::{Formats, OutputArgs, Rows, each};
use super::table_args::TableArgs;
use super::watch::{Listing, nothing};
use super::{CliError, output};
use crate::daemon::labs;
use crate::explain::LabRow;
use std::io;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
STATE is `up`; `busy` if the lab does not answer at once; `starting` or `ending`; `stopped` by a \
signal (SIGSTOP); or `left` by a run that was killed, which the next `egret up` or `egret down` \
clears.

Exit codes:
  0  the labs are listed, even if there are none
  2  a usage error, or this user may not ask for labs

Examples:
  sudo egret ls
  sudo egret ls --json | jq -r '.[] | select(.state == \"left\") | .lab'
  for lab in $(sudo egret ls -o name); do sudo egret down --lab $lab; done")]
pub struct LsArgs {
    #[command(flatten)]
    output: OutputArgs<Labs>,
    #[command(flatten)]
    table: TableArgs<LabRow>,
}

/// The formats of `egret ls`.
#[derive(Debug)]
pub struct Labs;

impl Formats for Labs {
    const CSV: Option<&'static str> = Some("One row for each lab");
    const NAME: Option<&'static str> = Some("The labs");
}

const LABS: Rows = Rows {
    lists: &[""],
    columns: &["lab", "state", "process", "services", "tasks", "generation", "file"],
    names: |answer| each(answer, "", &["lab"]),
    ..Rows::NONE
};

pub(super) fn run(args: &LsArgs) -> Result<ExitCode, CliError> {
    let (format, below) = (args.output.format, nothing);
    let listing = Listing { client: None, args: &args.table, format, rows: &LABS, below };
    listing.show(rows)
}

async fn rows() -> Result<Vec<LabRow>, CliError> {
    let labs = labs::all().await.map_err(refused)?;
    if labs.refused > 0 {
        let others = match labs.refused {
            1 => "1 more lab is".to_owned(),
            n => format!("{n} more labs are"),
        };
        output::note(&format!("{others} for others only: run it with sudo"));
    }
    Ok(labs.rows)
}

fn refused(error: io::Error) -> CliError {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let said = "the labs of this host are for root only: run it with sudo";
        return CliError::Usage(said.to_owned());
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::super::format::fields::{fields, keys};
    use super::*;

    #[test]
    fn columns_are_the_fields_of_the_rows() {
        assert_eq!(keys(&LABS, ""), fields::<LabRow>());
    }
}
