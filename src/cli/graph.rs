//! `egret graph`: draws the network of a lab.

use super::completion::values;
use super::format::{Formats, OutputArgs, Rows, each};
use super::import::ImportArgs;
use super::running_lab::{running_lab, running_services};
use super::{CliError, LabArg, output};
use crate::config::lab_name;
use crate::explain::graph::{Graph, Tasks, dot, draw, mermaid, svg};
use crate::vpc::Generation;
use clap_complete::engine::ArgValueCompleter;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(override_usage = "egret graph [OPTIONS] <FILE|--from <SOURCE>|--lab <NAME>>")]
#[command(after_help = "\
The picture has fixed columns: services, connectors, ENIs, subnets, route tables, the targets of \
their routes, and what lies behind those. It shows the configuration; `egret reach` says what \
packets pass. The command needs no root and starts nothing. With --lab it asks a running lab, \
including everything that was made through the App Runner API, and needs root.

Without --svg or --dot the answer is a Mermaid flowchart: the only one of the three that is short \
enough to read as text, and Markdown of GitHub and GitLab shows it as a picture. A large lab is \
easier to read as SVG, which shows whole ids under the mouse.

Exit codes:
  0  the lab is drawn
  1  the lab ended before it answered
  2  a usage error, an error in the lab file or source, or no lab answers

Examples:
  egret graph lab.toml                     a Mermaid flowchart, for a merge request
  egret graph lab.toml --svg > vpc.svg     a picture for a browser, light and dark
  egret graph lab.toml --dot | dot -Tpdf > vpc.pdf
  egret graph --from examples/vpc --svg > vpc.svg
  sudo egret graph --lab staging --svg > staging.svg
  egret graph lab.toml --json | jq -r '.nodes[] | select(.kind == \"eni\") | .name'")]
pub struct GraphArgs {
    /// The lab file
    #[arg(required_unless_present_any = ["source", "lab"], conflicts_with_all = ["source", "lab"], add = ArgValueCompleter::new(values::lab_files))]
    pub file: Option<PathBuf>,
    /// In place of a lab file: what `egret import` reads
    #[arg(id = "source", long = "from", value_name = "SOURCE")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArgs,
    /// In place of a lab file: a running lab
    #[arg(long, value_name = "NAME", value_parser = lab_name, conflicts_with = "source", add = ArgValueCompleter::new(values::labs_that_run))]
    pub lab: Option<String>,
    #[command(flatten)]
    language: LanguageArgs,
    #[command(flatten)]
    output: OutputArgs<Drawn>,
}

/// The language of the picture.
#[derive(Debug, clap::Args)]
#[group(multiple = false, conflicts_with_all = ["output_format", "json"])]
struct LanguageArgs {
    /// Write an SVG file
    #[arg(long)]
    svg: bool,
    /// Write a Mermaid flowchart, as without an option
    #[arg(long)]
    mermaid: bool,
    /// Write the language of Graphviz
    #[arg(long)]
    dot: bool,
}

/// The formats of `egret graph`.
#[derive(Debug)]
pub struct Drawn;

impl Formats for Drawn {
    const CSV: Option<&'static str> = Some("One row for each edge");
    const NAME: Option<&'static str> = Some("The keys of the nodes");
    const TABLE: Option<&'static str> = Some("The picture, as a Mermaid flowchart");
    const WIDE: Option<&'static str> = Some("As table, with every line of each node");
}

const EDGES: Rows = Rows {
    lists: &["/edges"],
    columns: &["from", "to", "line", "label"],
    names: |answer| each(answer, "/nodes", &["key"]),
    ..Rows::NONE
};

/// Draws the lab.
pub(super) fn run(args: &GraphArgs) -> Result<ExitCode, CliError> {
    if args.from.is_none() {
        args.import.without_source()?;
    }
    let graph = graph(args)?;
    let format = args.output.format;
    let text = |w: &mut dyn Write| match args.language {
        LanguageArgs { svg: true, .. } => svg(w, &graph),
        LanguageArgs { dot: true, .. } => dot(w, &graph),
        LanguageArgs { .. } => mermaid(w, &graph, format.is_wide()),
    };
    format.print(&EDGES, || &graph, text)?;
    Ok(ExitCode::SUCCESS)
}

fn graph(args: &GraphArgs) -> Result<Graph, CliError> {
    let lab = match (&args.file, &args.from, &args.lab) {
        (_, Some(source), _) => args.import.load(source)?.lab,
        (_, None, Some(name)) => return of_running(name),
        (Some(file), None, None) => {
            LabArg::of_environment()?.load(file).map_err(CliError::Config)?
        }
        (None, None, None) => {
            let message = "give a lab file, --from SOURCE or --lab NAME";
            return Err(CliError::Usage(message.into()));
        }
    };
    Ok(draw(&lab.lower(Generation::default()), Tasks::Planned))
}

/// Draws the configuration of a running lab, even if its file has changed.
fn of_running(name: &str) -> Result<Graph, CliError> {
    let (_, snapshot) = running_lab(name)?;
    for row in running_services(name)? {
        if !snapshot.parts().services.iter().any(|own| own.name == row.service) {
            let (service, status) = (row.service, row.status);
            output::note(&format!(
                "not drawn: service {service:?} is {status}, and the lab does not have it"
            ));
        }
    }
    Ok(draw(&snapshot, Tasks::Running))
}

#[cfg(test)]
mod tests {
    use super::super::format::fields::{fields, keys};
    use super::*;
    use crate::explain::graph::Edge;

    #[test]
    fn columns_are_the_fields_of_the_rows() {
        assert_eq!(keys(&EDGES, ""), fields::<Edge>());
    }
}
