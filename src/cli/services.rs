//! `egret services`: services with their state, and the reason why one does not run.

use super::completion::values;
use super::format::{Formats, OutputArgs, Rows, each};
use super::runtime::runtime;
use super::table_args::TableArgs;
use super::watch::{Listing, nothing};
use super::{CliError, LabArg};
use crate::config::known;
use crate::daemon::Client;
use crate::explain::{self, ServiceRow};
use clap_complete::engine::ArgValueCompleter;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For a service of the App Runner API, the ENIs that are still coming up and the operations are shown \
too. The log of an operation says why a service failed to create or why an update was rolled back. \
It also names the settings that App Runner requires and egret does not use.

Exit codes:
  0  the services are listed
  1  the lab ended before it answered
  2  a usage error, an unknown service, or no lab answers

Examples:
  sudo egret services
  sudo egret services web           its ENIs and operations, the newest first, with their logs
  sudo egret services -o json | jq '.[] | select(.status != \"RUNNING\")'")]
pub struct ServicesArgs {
    /// The service; all in a table if left out
    #[arg(add = ArgValueCompleter::new(values::services))]
    name: Option<String>,
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    output: OutputArgs<Services>,
    #[command(flatten)]
    table: TableArgs<ServiceRow>,
}

/// The formats of `egret services`.
#[derive(Debug)]
pub struct Services;

impl Formats for Services {
    const CSV: Option<&'static str> = Some("One row for each service");
    const NAME: Option<&'static str> = Some("The services");
}

const SERVICES: Rows = Rows {
    lists: &[""],
    columns: &[
        "service",
        "origin",
        "status",
        "egress",
        "connector",
        "not_through_vpc",
        "tasks",
        "enis",
        "operations",
    ],
    names: |answer| each(answer, "", &["service"]),
    ..Rows::NONE
};

pub(super) fn run(args: &ServicesArgs) -> Result<ExitCode, CliError> {
    let client = Client::new(args.lab.name());
    let Some(name) = &args.name else {
        let (format, below) = (args.output.format, nothing);
        let listing =
            Listing { client: Some(&client), args: &args.table, format, rows: &SERVICES, below };
        return listing.show(async || Ok(client.get::<Vec<ServiceRow>>("/v1/services").await?));
    };
    let mut rows: Vec<ServiceRow> = runtime()?.block_on(client.get("/v1/services"))?;
    let all: Vec<String> = rows.iter().map(|row| row.service.clone()).collect();
    rows.retain(|row| row.service == *name);
    let [row] = rows.as_slice() else {
        return Err(CliError::Usage(format!(
            "lab `{}` has no service `{name}`{}",
            args.lab.name(),
            known(name, "it has", &all.iter().map(String::as_str).collect::<Vec<_>>())
        )));
    };
    args.output.format.print(&SERVICES, || &rows, |w| explain::print_service(w, row))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::super::format::fields::{fields, keys};
    use super::*;

    #[test]
    fn columns_are_the_fields_of_the_rows() {
        assert_eq!(keys(&SERVICES, ""), fields::<ServiceRow>());
    }
}
