//! `egret demo`: sends real probes through a lab of its own, and compares the results with what AWS
//! would do.

mod error;
mod judge;
mod net;
mod probe;

mod report;
mod stage;
mod throughput;
mod tools;

pub use error::DemoError;
pub use report::{ProbeRow, Report, ThroughputRow};

use super::format::{Formats, OutputArgs, Rows};
use super::progress::Progress;
use super::stop::Stop;
use super::{CliError, output};
use crate::config::{DeviceKind, Lab};
use crate::daemon::{LabError, Running, StateError};
use crate::linux::descriptors;
use error::LAB_FILE;
use futures_util::FutureExt as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The lab of the demo.
const LAB: &str = include_str!("../../../examples/three-az.toml");

/// Its name: not `egret`, so that a user's own lab may be up beside it.
const LAB_NAME: &str = "egret-demo";
/// The interval of the lab's housekeeping.
const TICK: Duration = Duration::from_secs(1);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The lab is examples/three-az.toml under the name `egret-demo`; it is taken down at the end.

Exit codes:
  0  every probe went as expected
  1  a probe did not, the lab failed, or Ctrl-C ended the demo
  2  a usage error

Examples:
  sudo egret demo                        probes, then iperf3 through each ENI
  sudo egret demo --skip-throughput      probes only, in a few seconds
  sudo egret demo --device plain         on a TUN without offloads, one packet per segment
  sudo egret demo --json | jq '.probes[] | select(.ok | not)'
  sudo egret demo -o yaml > demo.yaml")]
pub struct DemoArgs {
    #[command(flatten)]
    output: OutputArgs<Both>,
    /// Leave iperf3 out
    #[arg(long)]
    skip_throughput: bool,
    /// The TUN device behind each ENI
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceWord,
    /// How long each iperf3 run takes; there are four for each ENI
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=60))]
    seconds: u16,
}

/// The formats of `egret demo`, whose answer is two lists:
/// `{"probes": [...], "throughput": [...]}`.
#[derive(Debug)]
pub struct Both;

impl Formats for Both {
    const CSV: Option<&'static str> = None;
    const NAME: Option<&'static str> = None;
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DeviceWord {
    /// With a vnet header where the kernel offers it
    Auto,
    /// With a vnet header: super-packets stay whole
    Vnet,
    /// Without: one packet per segment
    Plain,
}

impl From<DeviceWord> for DeviceKind {
    fn from(word: DeviceWord) -> Self {
        match word {
            DeviceWord::Auto => Self::Auto,
            DeviceWord::Vnet => Self::Vnet,
            DeviceWord::Plain => Self::Plain,
        }
    }
}

pub(super) fn run(args: &DemoArgs) -> Result<ExitCode, CliError> {
    let begun = Instant::now();
    if !nix::unistd::geteuid().is_root() {
        return Err(LabError::NotRoot.into());
    }
    tools::require(!args.skip_throughput)?;
    let lab = lab(args.device.into())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let Some(report) = runtime.block_on(demonstrate(lab, args))? else {
        output::note("interrupted; the lab is down");
        return Ok(ExitCode::FAILURE);
    };
    let format = args.output.format;
    let took = begun.elapsed();
    format.print(&Rows::NONE, || &report, |w| report.text(w, took, format.is_wide()))?;
    if let Some(fault) = &report.fault {
        output::note(&format!("egret: {fault}"));
    }
    Ok(if report.is_as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lab(device: DeviceKind) -> Result<Lab, CliError> {
    let mut lab = Lab::parse(LAB_FILE, LAB).map_err(CliError::Config)?;
    LAB_NAME.clone_into(&mut lab.name);
    lab.device = device;
    Ok(lab)
}

/// Starts the lab, shows it, and takes it down, even after a failure. `None` after a signal.
async fn demonstrate(lab: Lab, args: &DemoArgs) -> Result<Option<Report>, CliError> {
    // If raising is refused, there are enough for so small a lab.
    let _ = descriptors::raise();
    // From here on a signal waits until the lab can be taken down in order.
    let mut stop = Stop::listen()?;
    let progress = Progress::new();
    progress.say(&format!("bringing lab `{LAB_NAME}` up"));
    let mut running = Running::start(lab, None, &mut |_| {}).await.map_err(not_started)?;
    let shown = AssertUnwindSafe(show(&mut running, args, &mut stop, &progress));
    let shown = shown.catch_unwind().await;
    progress.say("taking the lab down");
    let stopped = running.stop();
    match shown {
        Ok(report) => {
            stopped?;
            Ok(report?)
        }
        Err(panic) => resume_unwind(panic),
    }
}

fn not_started(error: LabError) -> CliError {
    if let LabError::State(StateError::Busy { pid, .. }) = error {
        return DemoError::Busy { pid }.into();
    }
    error.into()
}

async fn show(
    running: &mut Running,
    args: &DemoArgs,
    stop: &mut Stop,
    progress: &Progress,
) -> Result<Option<Report>, DemoError> {
    let stage = stage::Stage::of(running).await?;
    let probes = probe::script(&stage)?;
    progress.say(&format!("sending {} probes", probes.len()));
    let Some(seen) = keep(running, stop, probe::send(&stage, &probes)).await else {
        return Ok(None);
    };
    let (seen, drops, flows) = (seen?, running.drop_rows().await, running.flow_rows());
    let probes = probes.iter().zip(&seen).map(|(probe, seen)| probe.row(seen, &drops, &flows));
    let probes = probes.collect();
    let mut report = Report { probes, ..Report::default() };
    if !args.skip_throughput {
        let measured = throughput::measure(&stage, args.seconds, progress, &mut report.throughput);
        match keep(running, stop, measured).await {
            None => return Ok(None),
            Some(Ok(())) => {}
            Some(Err(error)) => report.fault = Some(error),
        }
    }
    Ok(Some(report))
}

/// Runs housekeeping while `work` is done. `None` if a signal came first; the work is dropped then,
/// with its children.
async fn keep<T>(
    running: &mut Running,
    stop: &mut Stop,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut interval = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            outcome = &mut work => return Some(outcome),
            _ = interval.tick() => running.tick(&mut output::note).await,
            () = stop.wait() => return None,
        }
    }
}
