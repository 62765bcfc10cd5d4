//! `egret bench`: measures the speed of paths: through the user's own running lab, or egret's
//! beside the kernel's and others' on this machine.

mod args;
mod bare;
mod cells;
mod chart;
mod compare;
mod curves;
mod document;
mod error;
mod load;
mod machine;
mod measure;
mod own;
mod paths;
mod peer;
mod print;
#[cfg(test)]
mod sample;
mod session;
mod table;
mod targets;
mod world;

pub use error::BenchError;

use super::{CliError, output};
use crate::edge;
use crate::explain::output_width;
use document::Document;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::Style;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = "\
The first form needs a running lab whose rules let the port through, and nothing may listen on it:
egret listens there while it measures. iperf3 measures TCP throughput, where it is installed; egret
measures new connections, latency and datagrams. Write a service that has the name of a command as
SERVICE/1. Ctrl-C ends everything that was started.

Exit codes:
  0  there are figures; with --check, and every ratio is reached
  1  a measurement failed, a ratio is missed, or Ctrl-C ended it
  2  a usage error, an unknown name, a file that cannot be read, or no lab answers

Examples:
  sudo egret bench web orders-db:5201       through each ENI that service web's tasks use
  sudo egret bench web 203.0.113.10:443 --json
  sudo egret bench paths                    egret, the kernel's NAT and others, in two minutes
  sudo egret bench paths --long --check     everything, in 15 minutes, with the required ratios
  sudo egret bench curves                   the costs of more flows, rules and tasks
  egret bench chart bench.json > bench.svg  of the file of `--save bench.json`"
)]
pub struct BenchArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    own: own::OwnArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Measure egret's paths beside a bare veth, the kernel's own NAT, slirp4netns and pasta
    Paths(compare::PathsArgs),
    /// Measure what a packet, a flow and a task cost as their number grows
    Curves(curves::CurvesArgs),
    /// Draw what was kept with --save, as SVG
    Chart(FileArgs),
    /// Serve small packets in the namespace that it is started in, until its standard input ends
    #[command(hide = true)]
    Serve(load::ServeArgs),
    /// Print what was kept with --save as a table again
    Table(TableArgs),
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// What --save wrote
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
struct TableArgs {
    #[command(flatten)]
    file: FileArgs,
    /// As Markdown
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(args: &BenchArgs) -> Result<ExitCode, CliError> {
    match &args.action {
        Some(Action::Paths(args)) => compare::run(args),
        Some(Action::Curves(args)) => curves::run(args),
        Some(Action::Chart(args)) => {
            let document = read(&args.file)?;
            output::out(|w| chart::draw(w, &document))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Action::Serve(args)) => Ok(load::serve(args).map_err(BenchError::from)?),
        Some(Action::Table(args)) => {
            let document = read(&args.file.file)?;
            let style = if args.markdown {
                Style::Markdown
            } else {
                Style::Plain { width: output_width() }
            };
            output::out(|w| table::print(w, &document, style))?;
            Ok(ExitCode::SUCCESS)
        }
        None => own::run(&args.own),
    }
}

/// The longest file of figures, in bytes.
const LONGEST: usize = 64 << 20;

fn read(file: &Path) -> Result<Document, CliError> {
    let problem = |source| BenchError::File { file: file.to_owned(), source };
    let text = edge::input::read(file, LONGEST).map_err(problem)?;
    Ok(serde_json::from_str(&text).map_err(|error| problem(error.into()))?)
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use clap::Parser as _;

    #[test]
    fn a_lab_or_a_command_but_not_nothing() {
        let parse =
            |words: &[&str]| Cli::try_parse_from([&["egret", "bench"], words].concat()).is_ok();
        assert!(parse(&["web", "orders-db:5201", "--json"]));
        assert!(parse(&["paths", "--long", "--check"]));
        assert!(parse(&["curves", "--json"]));
        assert!(parse(&["paths/1", "orders-db"]));
        assert!(!parse(&[]));
        assert!(!parse(&["web"]));
        assert!(!parse(&["paths", "--json", "--markdown"]));
        assert!(!parse(&["web", "db", "--seconds", "0"]));
    }
}
