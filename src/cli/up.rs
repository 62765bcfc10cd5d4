//! `egret up`: a lab in the foreground.

use super::{CliError, output};
use crate::config::Lab;
use crate::daemon::{Running, control};
use crate::explain;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

/// How long calls in progress may take once the lab is to end.
const GRACE: Duration = Duration::from_secs(5);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo egret up examples/three-az.toml      bring it up; Ctrl-C takes it down
  sudo egret exec web -- curl http://orders-db:5432/    (in another terminal)
  sudo egret drops                                       what died, and by which rule

Ctrl-C, SIGTERM and the terminal going away (SIGHUP) take the lab down in order; a second one of them does not wait for
anything. To keep a lab up without a terminal, start it with `setsid`, or as a service.

`egret check FILE` finds errors in a lab file without root.")]
pub struct UpArgs {
    /// The lab file
    pub file: PathBuf,
    /// Say nothing but errors and the line that begins with `ready`
    #[arg(long, short)]
    pub quiet: bool,
}

pub(super) fn run(args: &UpArgs) -> Result<ExitCode, CliError> {
    let lab = Lab::load(&args.file).map_err(CliError::Config)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome = runtime.block_on(up(lab, args.quiet));
    // After a second signal nobody waits for what is still at work.
    runtime.shutdown_background();
    outcome
}

async fn up(lab: Lab, quiet: bool) -> Result<ExitCode, CliError> {
    let begun = Instant::now();
    // From here on a signal waits until the lab can be taken down in order.
    let mut stop = Stop::listen()?;
    let name = lab.name.clone();
    let running = Running::start(lab, &mut |step| {
        if !quiet {
            output::note(step);
        }
    })
    .await?;
    let (shared, ended) = control::Shared::new(running);
    // However this ends, the lab is taken down.
    let served = serve(&shared, ended, begun, quiet, &mut stop).await;
    let stopped = take_down(shared, &name, &mut stop).await;
    served.and(stopped)?;
    if !quiet {
        output::note(&format!("lab `{name}` is down"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Says that the lab is ready, answers clients and keeps house, until a signal comes or a client asks for the end.
async fn serve(
    shared: &control::Shared,
    ended: watch::Receiver<bool>,
    begun: Instant,
    quiet: bool,
    stop: &mut Stop,
) -> Result<(), CliError> {
    let facts = shared.facts().await;
    if !quiet {
        output::out(|w| {
            explain::print(w, &facts.enis, false)?;
            writeln!(w)?;
            explain::print(w, &facts.tasks, false)?;
            writeln!(w)
        })?;
    }
    // Before anybody hears that the lab is ready: what they do next is to connect.
    let listener = control::listen(&facts.socket)?;
    let mut server = tokio::spawn(control::serve(shared.clone(), listener, ended.clone()));
    output::out(|w| {
        let (name, took) = (&facts.name, begun.elapsed());
        writeln!(w, "ready: lab `{name}` is up after {took:.2?}; Ctrl-C takes it down")
    })?;
    let early = keep(shared, facts.tick, stop, ended, &mut server).await;
    shared.end();
    let served = match early {
        Some(served) => served,
        None => tokio::select! {
            served = tokio::time::timeout(GRACE, &mut server) => match served {
                Ok(served) => served,
                // Who has not finished asking by now is not waited for.
                Err(_) => return Ok(()),
            },
            () = stop.wait() => return Ok(()),
        },
    };
    Ok(served.map_err(io::Error::other)??)
}

/// Takes the lab down; a signal in the meantime ends the process at once.
async fn take_down(shared: control::Shared, lab: &str, stop: &mut Stop) -> Result<(), CliError> {
    let mut down = tokio::task::spawn_blocking(move || shared.stop());
    tokio::select! {
        stopped = &mut down => Ok(stopped.map_err(io::Error::other)??),
        () = stop.wait() => Err(CliError::Io(io::Error::other(format!(
            "ended at once; `egret down --lab {lab}` clears what is left"
        )))),
    }
}

/// Keeps house until a signal comes, a client asks for the end, or the API ends, which is returned then.
async fn keep(
    shared: &control::Shared,
    tick: Duration,
    stop: &mut Stop,
    mut ended: watch::Receiver<bool>,
    server: &mut JoinHandle<io::Result<()>>,
) -> Option<Result<io::Result<()>, JoinError>> {
    let mut interval = tokio::time::interval(tick);
    loop {
        tokio::select! {
            _ = interval.tick() => shared.tick().await,
            () = stop.wait() => return None,
            _ = ended.wait_for(|end| *end) => return None,
            served = &mut *server => return Some(served),
        }
    }
}

/// Ctrl-C, SIGTERM and the terminal going away.
pub(super) struct Stop {
    signals: [tokio::signal::unix::Signal; 3],
}

impl Stop {
    pub(super) fn listen() -> io::Result<Self> {
        let listen = |kind| signal(kind);
        Ok(Self {
            signals: [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            ],
        })
    }

    pub(super) async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
