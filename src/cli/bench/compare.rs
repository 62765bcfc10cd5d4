//! `egret bench paths`: egret's paths beside a bare veth, the kernel's own NAT, and the tools that
//! users would choose instead.

use super::args::{BuildArgs, seconds, whole_seconds};
use super::cells::{Cell, LONG, Method, SHORT};
use super::document::{Document, PathInfo};
use super::measure::{Lane, Outcome, rounds};
use super::paths::{ALL, DataPath};
use super::peer::Peer;
use super::print::{PrintArgs, print};
use super::session::{require_iperf, require_root, until_signal};
use super::{BenchError, curves, machine, targets};
use crate::cli::progress::Progress;
use crate::cli::{CliError, output};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Rounds and seconds of the two forms. Small packets need half the time.
const ROUNDS: u32 = 3;
const ROUNDS_LONG: u32 = 5;
const SECONDS: Duration = Duration::from_secs(1);
const SMALL: f64 = 0.5;
/// Limits the wait for a path's server, and sets the pause between two tries.
const READY_WITHIN: Duration = Duration::from_secs(10);
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each round measures every path once in each cell, in a rotating order. The table has medians over \
the rounds, and medians of the ratios within a round: other load on the machine affects all paths of \
a round.

TCP uses Reno: BBR paces itself by its estimate of the path, and a paced sender measures its own \
pacing. slirp4netns and pasta are measured where they are installed (apt-get install slirp4netns \
passt).

Exit codes:
  0  every path that is installed was measured; with --check, and every ratio is reached
  1  a measurement failed, a ratio is missed, or Ctrl-C ended it
  2  a usage error

Examples:
  sudo egret bench paths                                   under two minutes: what --check needs
  sudo egret bench paths --long --save bench.json          under fifteen: all cells and curves
  sudo egret bench paths --only nft,userspace --rounds 1   a quick look at two of them
  sudo egret bench paths --check                           exit code 1 if a ratio is missed
  sudo egret bench paths -o yaml > paths.yaml")]
pub(super) struct PathsArgs {
    /// Everything: more cells, more rounds, and the curves
    #[arg(long)]
    long: bool,
    /// How often everything is measured [default: 3, with --long 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// How long each measurement takes: iperf3 in whole seconds, small packets half as long [default: 1]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Only these paths
    #[arg(long, value_name = "PATH,...", value_enum, value_delimiter = ',')]
    only: Vec<DataPath>,
    /// TCP's congestion control
    #[arg(long, value_name = "NAME", default_value = "reno")]
    congestion: String,
    /// Hold the ratios against what egret must reach, exit code 1 where one is missed
    #[arg(long)]
    check: bool,
    /// Leave the curves of --long out
    #[arg(long)]
    skip_curves: bool,
    #[command(flatten)]
    measured: BuildArgs,
    #[command(flatten)]
    print: PrintArgs,
}

pub(super) fn run(args: &PathsArgs) -> Result<ExitCode, CliError> {
    require_root()?;
    require_iperf()?;
    let document = until_signal(measure(args))?;
    print(&document, &args.print)?;
    let good = document.failures.is_empty() && document.targets.iter().all(|target| target.met);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &PathsArgs) -> Result<Document, CliError> {
    let time = args.seconds.unwrap_or(SECONDS);
    let method = Method {
        seconds: whole_seconds(time),
        small: time.mul_f64(SMALL),
        congestion: Some(args.congestion.clone()),
    };
    let cells: &[Cell] = if args.long { &LONG } else { &SHORT };
    let times = args.rounds.unwrap_or(if args.long { ROUNDS_LONG } else { ROUNDS });
    let machine = machine::machine(args.measured.build.clone());
    if machine.load_before > machine.cpus as f64 / 2.0 {
        let load = machine.load_before;
        output::note(&format!("load average {load}: other programs are measured too"));
    }
    let progress = Progress::new();
    let mut stage = Stage::set(args, &progress).await?;
    let Outcome { metrics, failures } =
        rounds(&stage.lanes(cells)?, cells, &method, times, &progress).await;
    let mut failures = stage.sort_out(failures);
    let paths = stage.infos();
    // The curves must not compete with the paths.
    drop(stage);
    let mut curves = Vec::new();
    if args.long && !args.skip_curves {
        // The figures so far are useful without the curves.
        match curves::measure(&args.measured.egret()?, &progress).await {
            Ok(measured) => curves = measured,
            Err(error) => failures.push(format!("curves: {error}")),
        }
    }
    let (rounds, seconds, congestion) = (times, method.seconds, method.congestion);
    let mut document = Document {
        machine,
        rounds,
        seconds,
        congestion,
        paths,
        metrics,
        failures,
        curves,
        targets: Vec::new(),
    };
    if args.check {
        document.targets = targets::check(&document);
    }
    Ok(document)
}

/// The paths that were asked for, set up, or with the reason why they could not be.
struct Stage {
    paths: Vec<(DataPath, Result<Peer, String>)>,
}

impl Stage {
    async fn set(args: &PathsArgs, progress: &Progress) -> Result<Self, CliError> {
        let wanted = |path: &DataPath| args.only.is_empty() || args.only.contains(path);
        let egret = args.measured.egret()?;
        let mut paths = Vec::new();
        for path in ALL.into_iter().filter(wanted) {
            progress.say(&format!("setting up {}", path.key()));
            paths.push((path, set_up(path, &egret).await?));
        }
        Ok(Self { paths })
    }

    fn lanes(&self, cells: &[Cell]) -> Result<Vec<Lane>, BenchError> {
        let ready = self.paths.iter().filter_map(|(path, peer)| Some((*path, peer.as_ref().ok()?)));
        ready
            .map(|(path, peer)| {
                let between = path
                    .between(peer)
                    .map_err(|source| BenchError::Path { path: path.key(), source })?;
                let is_seen_rightly: fn(&str) -> bool = match path.translates() {
                    true => |address| DataPath::Nft.is_seen_rightly(address),
                    false => |address| DataPath::Veth.is_seen_rightly(address),
                };
                Ok(Lane {
                    key: path.key().to_owned(),
                    between,
                    cells: cells.to_vec(),
                    is_seen_rightly: Some(is_seen_rightly),
                })
            })
            .collect()
    }

    /// Makes failures of other projects' programs notes beside the figures, and no failure of the
    /// run. The last output of a path's program that has ended explains the rest.
    fn sort_out(&mut self, failures: Vec<(String, String)>) -> Vec<String> {
        let mut ours = Vec::new();
        for (path, peer) in &mut self.paths {
            let mut of_path =
                failures.iter().filter(|(key, _)| key == path.key()).map(|(_, said)| said.clone());
            let last_words = peer.as_mut().ok().and_then(Peer::last_words);
            if path.is_foreign() {
                of_path.for_each(|said| output::note(&format!("no figure: {said}")));
            } else {
                ours.extend(of_path.by_ref());
                ours.extend(last_words.map(|said| format!("{}: {said}", path.key())));
            }
        }
        ours
    }

    fn infos(&self) -> Vec<PathInfo> {
        let info = |(path, peer): &(DataPath, Result<Peer, String>)| PathInfo {
            key: path.key().to_owned(),
            about: path.about().to_owned(),
            skipped: peer.as_ref().err().cloned(),
        };
        self.paths.iter().map(info).collect()
    }
}

/// Sets a path up. The inner error is the reason why there is nothing to measure, which is no
/// failure of the run.
async fn set_up(path: DataPath, egret: &std::path::Path) -> Result<Result<Peer, String>, CliError> {
    if let Some(why) = path.missing() {
        return Ok(Err(why));
    }
    let failed = |source| BenchError::Path { path: path.key(), source };
    let started = match path.start(egret).await {
        Ok(mut peer) => reachable(path, &mut peer).await.map(|()| peer),
        Err(error) => Err(failed(error)),
    };
    match started {
        Ok(peer) => Ok(Ok(peer)),
        Err(error) if path.is_foreign() => Ok(Err(format!("did not run: {error}"))),
        Err(error) => Err(error.into()),
    }
}

/// Waits until a connection succeeds: a user-mode NAT does not report when it is ready.
async fn reachable(path: DataPath, peer: &mut Peer) -> Result<(), BenchError> {
    let failed = |source| BenchError::Path { path: path.key(), source };
    let between = path.between(peer).map_err(failed)?;
    let place = between.place();
    let _listener = between.server.run(|| std::net::TcpListener::bind(place))?;
    let end = Instant::now() + READY_WITHIN;
    loop {
        let tried =
            between.client.run(|| TcpStream::connect_timeout(&place.into(), READY_WITHIN / 10))?;
        let Err(error) = tried else { return Ok(()) };
        if let Some(said) = peer.last_words() {
            return Err(BenchError::Nothing(format!("{}: {said}", path.key())));
        }
        if Instant::now() >= end {
            return Err(BenchError::Nothing(format!(
                "{}: {place} cannot be reached: {error}",
                path.key()
            )));
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}
