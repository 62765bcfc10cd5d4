//! `egret schema`: prints the JSON Schema of a lab file.

use super::{CliError, output};
use crate::config::schema;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The schema is of draft 7. It knows every section and key of a lab file, with types, words, ranges \
and forms, and refuses unknown keys. `egret check` also finds what a schema cannot, such as a \
reference to an object that does not exist. A file of [[expect]] sections has the same schema.

An editor with Taplo, such as VS Code with Even Better TOML, completes keys and marks errors in a \
lab file whose first line is

  #:schema ./lab.schema.json

Exit codes:
  0  the schema is printed
  1  standard output cannot be written
  2  a usage error

Examples:
  egret schema > lab.schema.json
  egret schema | jq '.properties.service.items.properties | keys'")]
pub struct SchemaArgs {}

pub(super) fn run(_: &SchemaArgs) -> Result<ExitCode, CliError> {
    output::out(|w| output::json(w, &schema::lab_file()))?;
    Ok(ExitCode::SUCCESS)
}
