//! Prints figures, and saves them.

use super::BenchError;
use super::document::Document;
use super::table::{self, Style};
use crate::cli::{CliError, output};
use std::io;
use std::path::PathBuf;

/// How the figures are printed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PrintArgs {
    /// As JSON, with every single measurement
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// As Markdown
    #[arg(long)]
    markdown: bool,
    /// Also write the JSON to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

pub(super) fn print(document: &Document, args: &PrintArgs) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(document).map_err(io::Error::from)?;
    if let Some(file) = &args.save {
        let problem = |source| BenchError::File { file: file.clone(), source };
        std::fs::write(file, format!("{json}\n")).map_err(problem)?;
    }
    output::out(|w| match (args.json, args.markdown) {
        (true, _) => writeln!(w, "{json}"),
        (false, true) => table::print(w, document, Style::Markdown),
        (false, false) => table::print(w, document, Style::Plain),
    })?;
    Ok(())
}
