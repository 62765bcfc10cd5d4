//! `egret bench`: how fast a path is. Through one's own running lab, or egret's beside the kernel's and others' on this
//! machine.

mod bare;
mod cells;
mod chart;
mod compare;
mod curves;
mod document;
mod load;
mod machine;
mod measure;
mod own;
mod paths;
mod peer;
#[cfg(test)]
mod sample;
mod table;
mod targets;
mod world;

use super::program::{TIMEOUT, Tool};
use super::up::Stop;
use super::{CliError, iperf, output};
use crate::daemon::LabError;
use crate::linux::NetnsError;
use document::Document;
use peer::PeerError;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use table::Style;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  sudo egret bench web orders-db:5201           through each ENI that service web's tasks use
  sudo egret bench web 203.0.113.10:443 --json
  sudo egret bench paths                        egret beside the kernel's NAT and others, in under two minutes
  sudo egret bench paths --long --check         everything, in under fifteen, held against what egret must reach
  sudo egret bench curves                       what it costs as flows, rules and tasks grow
  egret bench chart bench.json > bench.svg      of what `--save bench.json` kept

The first form needs a running lab whose rules let the port through, with nothing listening on it yet: egret serves it
while it measures. TCP throughput is iperf3's, where it is installed; new connections, latency and datagrams are egret's
own. A service whose name is one of the commands is SERVICE/1. Ctrl-C ends what was started."
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

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
struct BuildArgs {
    /// The egret to measure [default: this one]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// What the report names as measured, such as a commit
    #[arg(long, value_name = "TEXT", default_value = concat!("egret ", env!("CARGO_PKG_VERSION")))]
    build: String,
}

impl BuildArgs {
    fn egret(&self) -> io::Result<PathBuf> {
        self.binary.clone().map_or_else(std::env::current_exe, Ok)
    }
}

/// How the figures are printed.
#[derive(Clone, Debug, clap::Args)]
struct PrintArgs {
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

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A program that it cannot do without.
    #[error("{}, which is not installed, is what it measures with: run scripts/setup, or `apt-get install {}`", .0.program, .0.package)]
    Missing(Tool),
    /// A path could not be set up.
    #[error("{path}: {source}")]
    Path {
        /// Which path.
        path: &'static str,
        /// Why.
        source: PeerError,
    },
    /// The server of small packets.
    #[error(transparent)]
    Load(#[from] load::LoadError),
    /// A namespace of the lab.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Nobody could be measured.
    #[error("{0}")]
    Nothing(String),
    /// A file of earlier figures, or for these.
    #[error("{}: {source}", file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A signal came.
    #[error("interrupted; what was started has been ended")]
    Interrupted,
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
            let style = if args.markdown { Style::Markdown } else { Style::Plain };
            output::out(|w| table::print(w, &document, style))?;
            Ok(ExitCode::SUCCESS)
        }
        None => own::run(&args.own),
    }
}

fn read(file: &PathBuf) -> Result<Document, CliError> {
    let problem = |source| BenchError::File { file: file.clone(), source };
    let text = std::fs::read(file).map_err(problem)?;
    Ok(serde_json::from_slice(&text).map_err(|error| problem(error.into()))?)
}

fn print(document: &Document, args: &PrintArgs) -> Result<(), CliError> {
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

/// Namespaces are root's.
fn require_root() -> Result<(), CliError> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(LabError::NotRoot.into()) }
}

fn require_iperf() -> Result<(), BenchError> {
    match [iperf::IPERF, TIMEOUT].into_iter().find(|tool| !tool.is_installed()) {
        Some(tool) => Err(BenchError::Missing(tool)),
        None => Ok(()),
    }
}

/// Does `work` until it is through or a signal comes; what `work` holds is dropped then, and with it goes what it started.
fn until_signal<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut stop = Stop::listen()?;
        tokio::select! {
            outcome = work => outcome,
            () = stop.wait() => Err(BenchError::Interrupted.into()),
        }
    });
    // Load that is still at work ends by itself, and a moment later at the latest with the process.
    runtime.shutdown_background();
    outcome
}

/// Seconds, as a fraction too.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) | Err(_) => Err("must be from 0.1 to 60 seconds".to_owned()),
    }
}

/// iperf3 takes whole seconds.
fn whole_seconds(time: Duration) -> u16 {
    u16::try_from(time.as_secs() + u64::from(time.subsec_nanos() > 0)).unwrap_or(u16::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;
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

    #[test]
    fn iperf3_gets_whole_seconds() {
        assert_eq!(seconds("0.3").map(whole_seconds), Ok(1));
        assert_eq!(seconds("2").map(whole_seconds), Ok(2));
        assert_eq!(seconds("2.5").map(whole_seconds), Ok(3));
        assert!(seconds("nan").is_err() && seconds("1e9").is_err());
    }
}
