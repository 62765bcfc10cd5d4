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

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo egret up examples/three-az.toml      bring it up; Ctrl-C takes it down
  sudo egret exec web -- curl http://orders-db:5432/    (in another terminal)
  sudo egret drops                                       what died, and by which rule

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
    runtime.block_on(up(lab, args.quiet))
}

async fn up(lab: Lab, quiet: bool) -> Result<ExitCode, CliError> {
    let begun = Instant::now();
    // From here on a signal waits until the lab can be taken down in order.
    let mut stop = Stop::listen()?;
    let tick = Duration::from_secs(1).div_f64(lab.time_scale.clamp(1.0, 100.0));
    let name = lab.name.clone();
    let running = Running::start(lab, &mut |step| {
        if !quiet {
            output::note(step);
        }
    })
    .await?;
    if !quiet {
        output::out(|w| {
            explain::print(w, &running.eni_rows(), false)?;
            writeln!(w)?;
            explain::print(w, &running.ps_rows(), false)?;
            writeln!(w)
        })?;
    }
    // Before anybody hears that the lab is ready: what they do next is to connect.
    let listener = match control::listen(&running.socket()) {
        Ok(listener) => listener,
        Err(error) => {
            running.stop()?;
            return Err(error.into());
        }
    };
    let (shared, ended) = control::Shared::new(running);
    let server = tokio::spawn(control::serve(shared.clone(), listener, ended.clone()));
    output::out(|w| {
        writeln!(w, "ready: lab `{name}` is up after {:.2?}; Ctrl-C takes it down", begun.elapsed())
    })?;
    keep(&shared, tick, &mut stop, ended).await;
    shared.end();
    let served = server.await.map_err(io::Error::other)?;
    if let Some(running) = shared.into_running() {
        running.stop()?;
    }
    served?;
    if !quiet {
        output::note(&format!("lab `{name}` is down"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps house until a signal comes, or a client asks for the end.
async fn keep(
    shared: &control::Shared,
    tick: Duration,
    stop: &mut Stop,
    mut ended: watch::Receiver<bool>,
) {
    let mut interval = tokio::time::interval(tick);
    loop {
        tokio::select! {
            _ = interval.tick() => shared.tick().await,
            () = stop.wait() => return,
            _ = ended.wait_for(|end| *end) => return,
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
