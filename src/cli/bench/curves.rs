//! Cost as work grows: live flows, rules, tasks on one ENI. Flows and rules cost what the engine
//! needs for a packet, measured without a kernel; tasks need a real lab.

use super::args::BuildArgs;
use super::document::{Curve, Document};
use super::peer::{Peer, PeerError};
use super::print::{PrintArgs, print};
use super::session::{require_root, until_signal};
use super::world::{World, rules_lab};
use super::{BenchError, machine};
use crate::cli::CliError;
use crate::cli::progress::Progress;
use crate::daemon::Client;
use crate::daemon::control::{Maker, TaskRequest};
use crate::explain::PsRow;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const FLOWS: [u32; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
const RULES: [u32; 5] = [10, 30, 100, 300, 1_000];
const TASKS: [u16; 4] = [1, 10, 100, 1_000];
/// Packets of one measurement, and measurements, of which the fastest counts: the others were
/// disturbed.
const PACKETS: u32 = 20_000;
const TRIES: u32 = 10;
/// Tasks that are attached one after the other, of which the median counts.
const ATTACHED: usize = 5;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The curves of flows and rules are the nanoseconds that the engine takes for a packet, in this \
process. The curves of tasks are the times that a lab with so many tasks on one ENI takes to come up \
and down, and the time of one more task.

Examples:
  sudo egret bench curves
  sudo egret bench curves --skip-tasks --json")]
pub(super) struct CurvesArgs {
    /// Leave the labs with up to 1,000 tasks out; then root is not needed
    #[arg(long)]
    skip_tasks: bool,
    #[command(flatten)]
    measured: BuildArgs,
    #[command(flatten)]
    print: PrintArgs,
}

pub(super) fn run(args: &CurvesArgs) -> Result<ExitCode, CliError> {
    let egret = args.measured.egret()?;
    if !args.skip_tasks {
        require_root()?;
    }
    let machine = machine::machine(args.measured.build.clone());
    let progress = Progress::new();
    let curves = until_signal(async {
        let mut curves = engine(&progress).await?;
        if !args.skip_tasks {
            curves.extend(tasks(&egret, &progress).await?);
        }
        Ok(curves)
    })?;
    drop(progress);
    let document = Document {
        machine,
        rounds: 1,
        seconds: 0,
        congestion: None,
        paths: Vec::new(),
        metrics: Vec::new(),
        failures: Vec::new(),
        curves,
        targets: Vec::new(),
    };
    print(&document, &args.print)?;
    Ok(ExitCode::SUCCESS)
}

/// Measures all curves.
pub(super) async fn measure(egret: &Path, progress: &Progress) -> Result<Vec<Curve>, CliError> {
    let mut curves = engine(progress).await?;
    curves.extend(tasks(egret, progress).await?);
    Ok(curves)
}

/// Measures the engine's curves, off the runtime's thread, since they compute.
async fn engine(progress: &Progress) -> Result<Vec<Curve>, CliError> {
    let mut hit = curve("flows", "packet of a live flow", "live flows", "ns");
    for flows in FLOWS {
        progress.say(&format!("a packet among {flows} live flows"));
        hit.points.push((f64::from(flows), on_a_thread(move || among_flows(flows)).await?));
    }
    let mut walk = curve("rules", "walk of a first packet", "rules of a security group", "ns");
    for rules in RULES {
        progress.say(&format!("a first packet under {rules} rules"));
        walk.points.push((f64::from(rules), on_a_thread(move || under_rules(rules)).await?));
    }
    Ok(vec![hit, walk])
}

async fn on_a_thread(
    work: impl FnOnce() -> Option<f64> + Send + 'static,
) -> Result<f64, BenchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.ok().flatten().ok_or_else(|| BenchError::Nothing("the engine dropped a packet".to_owned()))
}

/// Returns nanoseconds for a packet of a flow that is picked at random.
fn among_flows(flows: u32) -> Option<f64> {
    let mut world = World::new(&rules_lab(1))?;
    for n in 0..flows {
        world.open(n)?;
    }
    let packets: Vec<Vec<u8>> =
        (0..PACKETS).map(|n| World::segment(scattered(n) % flows)).collect();
    fastest(packets.len(), || packets.iter().all(|packet| world.passes(packet)))
}

/// Returns nanoseconds for the walk of a packet that the last of so many rules admits.
fn under_rules(rules: u32) -> Option<f64> {
    let world = World::new(&rules_lab(rules))?;
    fastest(PACKETS as usize, || (0..PACKETS).all(|n| world.is_admitted(n)))
}

/// Returns nanoseconds for each of so many, in the fastest of [`TRIES`]; `None` if one does not
/// pass.
fn fastest(many: usize, mut work: impl FnMut() -> bool) -> Option<f64> {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let begun = Instant::now();
        if !work() {
            return None;
        }
        best = best.min(begun.elapsed());
    }
    Some(best.as_secs_f64() * 1e9 / many as f64)
}

/// Returns the `n`th of a sequence without order (Knuth's multiplier).
fn scattered(n: u32) -> u32 {
    n.wrapping_mul(2_654_435_761) >> 7
}

async fn tasks(egret: &Path, progress: &Progress) -> Result<Vec<Curve>, CliError> {
    let mut up = curve("tasks-up", "lab comes up", "tasks on one ENI", "s");
    let mut one_more = curve("tasks-attach", "one more task", "tasks on one ENI", "ms");
    let mut down = curve("tasks-down", "lab goes down", "tasks on one ENI", "s");
    for tasks in TASKS {
        progress.say(&format!("a lab with {tasks} tasks on one ENI"));
        let (came, attached, went) = with_tasks(egret, tasks).await?;
        up.points.push((tasks.into(), came.as_secs_f64()));
        one_more.points.push((tasks.into(), attached.as_secs_f64() * 1e3));
        down.points.push((tasks.into(), went.as_secs_f64()));
    }
    Ok(vec![up, one_more, down])
}

/// Returns the times that a lab takes to start, to add one more task, and to end.
async fn with_tasks(egret: &Path, tasks: u16) -> Result<(Duration, Duration, Duration), CliError> {
    let failed = |source: PeerError| BenchError::Path { path: "curves", source };
    let name = format!("b{}-t{tasks}", std::process::id());
    let text = format!(
        "lab = \"{name}\"\n{}",
        rules_lab(1).replace("tasks = 1", &format!("tasks = {tasks}"))
    );
    let mut peer = Peer::new("curves");
    let begun = Instant::now();
    peer.lab_up(egret, &name, &text).await.map_err(failed)?;
    let came = begun.elapsed();
    let client = Client::new(&name);
    let mut attached = Vec::new();
    for _ in 0..ATTACHED {
        let begun = Instant::now();
        let request = TaskRequest { service: "web".to_owned(), number: None, maker: Maker::Bench };
        let _: PsRow = client.post("/v1/tasks", &request).await?;
        attached.push(begun.elapsed());
    }
    attached.sort_unstable();
    let median = attached.get(ATTACHED / 2).copied().unwrap_or_default();
    let begun = Instant::now();
    drop(peer);
    Ok((came, median, begun.elapsed()))
}

fn curve(key: &str, title: &str, of: &str, unit: &str) -> Curve {
    let [key, title, of, unit] = [key, title, of, unit].map(str::to_owned);
    Curve { key, title, of, unit, points: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_passes_what_is_measured() {
        assert!(among_flows(100).is_some_and(|ns| ns > 0.0));
        assert!(under_rules(1_000).is_some_and(|ns| ns > 0.0));
    }

    #[test]
    fn one_packet_that_does_not_pass_spoils_the_figure() {
        assert_eq!(fastest(1, || false), None);
        assert!(fastest(1, || true).is_some());
    }
}
