//! Prints figures, and saves them.

use super::BenchError;
use super::document::Document;
use super::table::{self, Style};
use crate::cli::CliError;
use crate::cli::format::{FORMAT, Formats, JSON, OutputArgs, Rows};
use crate::edge::{self, own};
use crate::explain::output_width;
use std::io;
use std::path::PathBuf;

/// How the figures are printed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PrintArgs {
    #[command(flatten)]
    output: OutputArgs<Figures>,
    /// As Markdown
    #[arg(long, conflicts_with_all = [JSON, FORMAT])]
    markdown: bool,
    /// Also write the JSON to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// The formats of figures, which are of a path, a metric and a round: no row has one of each.
#[derive(Debug)]
pub(super) struct Figures;

impl Formats for Figures {
    const CSV: Option<&'static str> = None;
    const NAME: Option<&'static str> = None;
}

pub(super) fn print(document: &Document, args: &PrintArgs) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(document).map_err(io::Error::from)?;
    if let Some(file) = &args.save {
        let problem = |source| BenchError::File { file: file.clone(), source };
        let text = format!("{json}\n");
        edge::output::write(file, own::READABLE, text.as_bytes()).map_err(problem)?;
    }
    let width = if args.output.format.is_wide() { usize::MAX } else { output_width() };
    let style = if args.markdown { Style::Markdown } else { Style::Plain { width } };
    Ok(args.output.format.print(&Rows::NONE, || document, |w| table::print(w, document, style))?)
}
