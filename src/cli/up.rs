//! `egret up`: runs a lab in the foreground.

use super::api::{ApiArgs, FrontDoor};
use super::completion::values;
use super::format::{Format, Formats, OutputArgs, Rows, Stream};
use super::import::{ImportArgs, LabSource};
use super::kept_file::KeptFile;
use super::output;
use super::remaining::Held;
use super::stop::{Asked, Stop};
use super::{CliError, LabArg, background, list, notify};
use crate::config::{Lab, Offload, time_scale};
use crate::daemon::reload::Request;
use crate::daemon::shared::{Facts, Shared};
use crate::daemon::{LabError, Running, StateDir, control, readers, scarce};
use crate::edge::shown;
use crate::explain::{self, Resumed, TableStyle};
use crate::linux::privileges::keep_those_of_a_lab;
use crate::linux::{descriptors, lift_memory_limit};
use clap_complete::engine::ArgValueCompleter;
use futures_util::FutureExt as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

/// Limits the time that calls in progress have once the lab is to end.
const GRACE: Duration = Duration::from_secs(5);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ctrl-C, SIGTERM and the end of the terminal take the lab down in order. A second Ctrl-C, or a second \
SIGTERM more than a second later, ends egret at once.

With --detach the lab runs in the background, and the command returns when it is ready. If it does \
not get ready, its error and exit code are those of the foreground. `egret wait`, `egret logs` and \
`egret down` are for such labs, and `egret ls` lists all. What the lab prints is in its log, which \
only root reads. That of the run before is kept, with `.1` at its end. Its size has no limit: only \
reloads, faults and calls of the App Runner API add lines, packets and tasks do not.

After SIGKILL no packet crosses, and the next `egret up` starts afresh. With \
`offload_grace = \"20s\"` in the file, offloaded flows continue for that time, and an `egret up` \
within it resumes them.

SIGHUP reads the file or the source again and does what `egret apply FILE` does, with the \
`--time-scale` of this command. A file with errors changes nothing.

`egret check FILE` finds errors in a lab file without root.

Exit codes:
  0  the lab was up, and is taken down; with --detach, it is ready
  1  the lab failed to start or to end, or a second signal ended egret at once
  2  a usage error, or an error in the lab file or the source
  130  with --detach, a signal ended the command, and with it the lab, before it was ready

Examples:
  sudo egret up examples/three-az.toml         bring it up; Ctrl-C takes it down
  sudo egret up -d examples/three-az.toml      in the background; `sudo egret down` takes it down
  sudo egret up --from examples/vpc            from what describes a VPC: see `egret import`
  sudo egret exec web -- ping -c1 orders-db    in another terminal
  sudo egret drops                             dropped packets, and the rules that dropped them
  sudo egret up lab.toml --api 127.0.0.1:4566  with the App Runner API, for the AWS CLI and SDKs
  sudo egret up lab.toml --json                one object when it is up, with what was resumed")]
pub struct UpArgs {
    /// The lab file
    #[arg(required_unless_present = "source", conflicts_with = "source", add = ArgValueCompleter::new(values::lab_files))]
    pub file: Option<PathBuf>,
    /// In place of a lab file: what `egret import` reads
    #[arg(id = "source", long = "from", value_name = "SOURCE")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    pub(super) import: ImportArgs,
    /// Run the lab in the background, and return when it is ready
    #[arg(long, short)]
    pub detach: bool,
    /// With --detach: the lab's log [default: /var/log/egret/LAB.log]
    #[arg(long, value_name = "FILE", requires = "detach")]
    pub log: Option<PathBuf>,
    /// Print only errors and the line that begins with `ready`
    #[arg(long, short)]
    pub quiet: bool,
    /// How fast timeouts pass, in place of the file's `timeouts.time_scale`: at 100, 350 s pass in 3.5 s. An `egret apply`
    /// without this option takes the file's value again
    #[arg(long, value_name = "F", value_parser = time_scale)]
    pub time_scale: Option<f64>,
    /// Whether the kernel forwards established flows, in place of the file's `offload`
    #[arg(long, value_enum, value_name = "WHERE")]
    pub offload: Option<OffloadWord>,
    #[command(flatten)]
    output: OutputArgs<WhenUp>,
    /// The App Runner API
    #[command(flatten)]
    pub api: ApiArgs,
}

/// The formats of the output of `egret up` when the lab is up: the tables and the line that begins
/// with `ready`, or an object.
#[derive(Debug)]
pub struct WhenUp;

impl Formats for WhenUp {
    const CSV: Option<&'static str> = None;
    const NAME: Option<&'static str> = None;
}

/// The output of `egret up --json` when the lab is up.
#[derive(Debug, serde::Serialize)]
struct Ready<'a> {
    lab: &'a str,
    seconds: f64,
    time_scale: f64,
    /// The URL of the App Runner API.
    api: Option<String>,
    /// `null` for a lab that started afresh.
    resumed: Option<&'a Resumed>,
}

/// The command, with what it has kept since it began.
struct Command<'a> {
    args: &'a UpArgs,
    kept: Option<Arc<KeptFile>>,
    begun: Instant,
}

/// `offload`, as the lab file has it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum OffloadWord {
    /// If the kernel can
    Auto,
    /// Always: an error if the kernel cannot
    On,
    /// Never: user space forwards every packet
    Off,
}

impl From<OffloadWord> for Offload {
    fn from(word: OffloadWord) -> Self {
        match word {
            OffloadWord::Auto => Self::Auto,
            OffloadWord::On => Self::On,
            OffloadWord::Off => Self::Off,
        }
    }
}

impl UpArgs {
    fn source(&self) -> Result<LabSource, CliError> {
        if self.from.is_none() {
            self.import.without_source()?;
        }
        let order = |source: &PathBuf| self.import.order(source, self.lab.given());
        LabSource::of(self.file.as_deref(), self.from.as_ref().map(order))
    }

    /// Returns the file or folder that the lab comes from.
    fn origin(&self) -> &Path {
        self.file.as_deref().or(self.from.as_deref()).unwrap_or(Path::new(""))
    }
}

pub(super) fn run(args: &UpArgs) -> Result<ExitCode, CliError> {
    if args.detach && !background::is_in_background() {
        return detach(args);
    }
    if let Err(error) = descriptors::raise() {
        output::note(&format!("the limit of descriptors is not raised: {error}"));
    }
    let lab = args.source()?.load(args.quiet)?;
    if !args.quiet {
        args.lab.note_other_name(&lab, "comes up as");
    }
    let lab = args.lab.rename(lab);
    let lab = match args.offload {
        Some(word) => lab.with_offload(word.into()),
        None => lab,
    };
    readers::group(&lab).map_err(CliError::Config)?;
    scarce::check(&lab).map_err(LabError::from)?;
    let runtime = runtime()?;
    let kept = args.file.as_deref().and_then(KeptFile::open).map(Arc::new);
    let outcome = runtime.block_on(up(lab, args, kept));
    // After a second signal, work that still runs is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Starts the lab in the background. Its file is read here too: its errors need no log.
fn detach(args: &UpArgs) -> Result<ExitCode, CliError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(LabError::NotRoot.into());
    }
    let origin = args.origin();
    if std::fs::metadata(origin).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        return Err(CliError::Usage(format!(
            "{} can be read once only, and with --detach the lab's process reads it too: give a regular file",
            shown(&origin.display().to_string())
        )));
    }
    let lab = args.lab.rename(args.source()?.load(args.quiet)?);
    readers::group(&lab).map_err(CliError::Config)?;
    background::start(&lab.name, args.log.as_deref())
}

/// Makes the threads of the lab, which never have more rights than it needs. This thread has root's
/// until all is open.
fn runtime() -> io::Result<Runtime> {
    // Only root may.
    lift_memory_limit();
    // Two: a long request does not keep the lab from its housekeeping.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // A kernel that refuses this also refuses it to the thread that calls `up`, and that one
    // reports it.
    let lose_rights = || drop(keep_those_of_a_lab());
    builder.worker_threads(2).enable_all().on_thread_start(lose_rights).build()
}

async fn up(lab: Lab, args: &UpArgs, kept: Option<Arc<KeptFile>>) -> Result<ExitCode, CliError> {
    let quiet = args.quiet;
    let command = Command { args, kept, begun: Instant::now() };
    // From here on a signal waits until the lab can be taken down in order.
    let mut stop = Stop::listen()?;
    let name = lab.name.clone();
    let time_scale = args.time_scale.unwrap_or(lab.time_scale);
    // First of all: if the lab is up already, or was until a moment ago, any other obstacle comes
    // from that lab.
    let state = tokio::select! {
        held = Running::hold(&name) => held?,
        () = stop.wait_for_another() => return Ok(is_down(&name, quiet)),
    };
    let prepared = background::take_log(&state, args.log.as_deref())
        .and_then(|()| Ok(state.open_to(readers::group(&lab).map_err(CliError::Config)?)?));
    let opened = match prepared {
        Ok(()) => open(lab, args, time_scale).await,
        Err(error) => Err(error),
    };
    let (lab, door) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            state.let_go();
            return Err(error);
        }
    };
    let before = Held::unnamed(&name);
    let mut starting = tokio::spawn(start(state, lab, args.time_scale, quiet));
    let mut running = tokio::select! {
        started = &mut starting => started.map_err(io::Error::other)??,
        () = stop.wait_for_another() => {
            give_up(starting, &name, &mut stop).await?;
            return Ok(is_down(&name, quiet));
        }
    };
    before.say_remaining();
    if door.is_some() {
        running.begin_to_serve_apprunner();
    }
    serve_then_take_down(running, door, &command, &mut stop).await?;
    Ok(is_down(&name, quiet))
}

/// Serves a lab, and takes it down in any case.
async fn serve_then_take_down(
    running: Running,
    door: Option<FrontDoor>,
    command: &Command<'_>,
    stop: &mut Stop,
) -> Result<(), CliError> {
    let name = running.lab().name.clone();
    let (shared, ended) = Shared::new(running);
    let served = serve(&shared, door, ended, command, stop).await;
    let stopped = take_down(shared, &name, stop).await;
    if let (Err(_), Err(error)) = (&served, &stopped) {
        output::note(&format!("the lab is not taken down either: {error}"));
    }
    served.and(stopped)
}

/// Builds the lab, and prints each step.
async fn start(
    state: StateDir,
    lab: Lab,
    time_scale: Option<f64>,
    quiet: bool,
) -> Result<Running, LabError> {
    let mut say = |step: &str| {
        notify::status(step);
        if !quiet {
            output::note(step);
        }
    };
    Running::start_in(state, lab, time_scale, &mut say).await
}

/// Ends a start before the lab is ready. Dropping the lab takes down what was built until then;
/// another signal in the meantime ends the process at once.
async fn give_up(
    starting: JoinHandle<Result<Running, LabError>>,
    lab: &str,
    stop: &mut Stop,
) -> Result<(), CliError> {
    notify::stopping();
    starting.abort();
    tokio::select! {
        // A start that failed at that moment has its own error, and may leave a lab that another
        // start resumes.
        started = starting => match started {
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(_)) | Err(_) => Ok(()),
        },
        () = stop.wait_for_another() => Err(at_once(lab)),
    }
}

/// Prints that the lab has ended in order.
fn is_down(lab: &str, quiet: bool) -> ExitCode {
    if !quiet {
        output::note(&format!("lab `{lab}` is down"));
    }
    ExitCode::SUCCESS
}

/// Makes the error of a lab that a signal ended before it was taken down.
fn at_once(lab: &str) -> CliError {
    let said = format!("ended at once; `egret down --lab {lab}` clears what is left");
    CliError::Io(io::Error::other(said))
}

/// Opens the App Runner API, if requested, and returns it with the lab and what was created through
/// it before. That is the last work with all rights of root.
async fn open(
    lab: Lab,
    args: &UpArgs,
    time_scale: f64,
) -> Result<(Lab, Option<FrontDoor>), CliError> {
    let door = FrontDoor::open(&lab, args.origin(), args.api, time_scale).await?;
    keep_those_of_a_lab()?;
    let Some(door) = door else { return Ok((lab, None)) };
    let over = door.over(&lab)?;
    if !args.quiet && over.overlay != lab.overlay {
        door.say_findings(over.clone());
    }
    Ok((over, Some(door)))
}

/// Prints that the lab is ready, answers clients and runs housekeeping, until a signal comes or a
/// client asks for the end.
async fn serve(
    shared: &Shared,
    door: Option<FrontDoor>,
    ended: watch::Receiver<bool>,
    command: &Command<'_>,
    stop: &mut Stop,
) -> Result<(), CliError> {
    let Command { args, begun, .. } = *command;
    let facts = shared.facts().await;
    let format = args.output.format;
    let is_silent = args.quiet || !format.is_text();
    if !is_printed(tables(&facts, is_silent, format.is_wide())?, stop).await? {
        return Ok(());
    }
    // Before the message that the lab is ready: its readers connect next.
    let listener = control::listen(&facts.socket, facts.is_shared)?;
    let ready = match format.is_text() {
        true => ready(&facts, door.as_ref(), begun, args.quiet),
        false => ready_as(format, &facts, door.as_ref(), begun)?,
    };
    let mut server = tokio::spawn(answer(shared.clone(), listener, door, ended.clone()));
    let output = background::is_in_background().then(|| ready.clone());
    let early = match is_printed(ready, stop).await? {
        true => {
            notify::ready(output.as_deref());
            keep(shared, command, stop, ended, &mut server).await
        }
        false => None,
    };
    shared.end();
    let served = match early {
        Some(served) => served,
        None => tokio::select! {
            served = tokio::time::timeout(GRACE, &mut server) => match served {
                Ok(served) => served,
                // A call that is not complete by now is not waited for.
                Err(_) => return Ok(()),
            },
            () = stop.wait_for_another() => return Ok(()),
        },
    };
    Ok(served.map_err(io::Error::other)??)
}

/// Returns the tables of ENIs and tasks.
fn tables(facts: &Facts, is_silent: bool, wide: bool) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if !is_silent {
        let style = TableStyle { wide, ..TableStyle::default() };
        explain::print(&mut text, &facts.enis, &style)?;
        writeln!(text)?;
        explain::print(&mut text, &facts.tasks, &style)?;
        writeln!(text)?;
    }
    Ok(text)
}

/// Returns the line that begins with `ready`, and how to call the App Runner API.
fn ready(facts: &Facts, door: Option<&FrontDoor>, begun: Instant, quiet: bool) -> Vec<u8> {
    let (name, took) = (&facts.name, begun.elapsed());
    let speed = list::speed(facts.time_scale).map_or_else(String::new, |s| format!(", {s}"));
    let api = door.map_or_else(String::new, |door| format!("; App Runner API at {}", door.url()));
    let hint = door.filter(|_| !quiet).map_or_else(String::new, |door| door.hint() + "\n");
    let down = match background::is_in_background() {
        true => format!("`sudo egret down --lab {name}`"),
        false => "Ctrl-C".to_owned(),
    };
    let text = format!(
        "ready: lab `{name}` is up after {took:.2?}{speed}{api}; {down} takes it down\n{hint}"
    );
    text.into_bytes()
}

/// Returns the output in another format, with the parts of a killed run that this start has
/// resumed.
fn ready_as(
    format: Format,
    facts: &Facts,
    door: Option<&FrontDoor>,
    begun: Instant,
) -> Result<Vec<u8>, CliError> {
    let Facts { name, time_scale, resumed, .. } = facts;
    let (seconds, resumed) = (begun.elapsed().as_secs_f64(), resumed.as_ref());
    let api = door.map(FrontDoor::url);
    let ready = Ready { lab: name, seconds, time_scale: *time_scale, api, resumed };
    let line = serde_json::to_string(&ready).map_err(io::Error::other)?;
    let mut text = Vec::new();
    Stream::new(format, &Rows::NONE).document(&mut text, line.as_bytes())?;
    Ok(text)
}

/// Prints, unless a signal asks for the end first: the reader may take nothing.
async fn is_printed(text: Vec<u8>, stop: &mut Stop) -> Result<bool, CliError> {
    let mut printing = tokio::task::spawn_blocking(move || output::out(|w| w.write_all(&text)));
    tokio::select! {
        printed = &mut printing => printed.map_err(io::Error::other)?.map(|()| true).map_err(CliError::from),
        () = stop.wait_for_another() => Ok(false),
    }
}

/// Answers on the control socket and at the App Runner API until the lab is to end, or one of them
/// fails.
async fn answer(
    shared: Shared,
    listener: UnixListener,
    door: Option<FrontDoor>,
    ended: watch::Receiver<bool>,
) -> io::Result<()> {
    let control = control::serve(shared.clone(), listener, ended.clone()).map(Ok);
    match door {
        Some(door) => tokio::try_join!(control, door.serve(shared, ended)).map(drop),
        None => control.await,
    }
}

/// Takes the lab down; a signal in the meantime ends the process at once.
async fn take_down(shared: Shared, lab: &str, stop: &mut Stop) -> Result<(), CliError> {
    notify::stopping();
    let held = Held::unnamed(lab);
    let mut down = tokio::task::spawn_blocking(move || shared.stop());
    tokio::select! {
        stopped = &mut down => {
            stopped.map_err(io::Error::other)??;
            held.say_remaining();
            Ok(())
        }
        () = stop.wait_for_another() => Err(at_once(lab)),
    }
}

/// Runs housekeeping until a signal comes, a client asks for the end, or the API or the
/// housekeeping ends; returns how that ended.
async fn keep(
    shared: &Shared,
    command: &Command<'_>,
    stop: &mut Stop,
    mut ended: watch::Receiver<bool>,
    server: &mut JoinHandle<io::Result<()>>,
) -> Option<Result<io::Result<()>, JoinError>> {
    // On a task of its own: it waits for its turn while the lab is changed, and signals are handled
    // then as well.
    let mut house = Housekeeping(tokio::spawn(keep_house(shared.clone())));
    let until = ended.clone();
    loop {
        tokio::select! {
            ended = &mut house.0 => return ended.err().map(Err),
            asked = stop.wait_or_reload() => match asked {
                Asked::End => return None,
                Asked::Reload => {
                    if !is_reloaded(shared, command, stop, until.clone()).await {
                        return None;
                    }
                }
            },
            _ = ended.wait_for(|end| *end) => return None,
            served = &mut *server => return Some(served),
        }
    }
}

/// The task that runs housekeeping; it ends when this is dropped.
struct Housekeeping(JoinHandle<()>);

impl Drop for Housekeeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep_house(shared: Shared) {
    loop {
        let rest = shared.tick(&mut output::note).await;
        tokio::time::sleep(rest).await;
    }
}

/// Returns the name and the present text of the lab file, or of the source.
async fn read_again(command: &Command<'_>) -> Result<(String, String), String> {
    let source = command.args.source().map_err(|error| error.to_string())?;
    let (kept, name) = (command.kept.clone(), command.args.origin().display().to_string());
    let read = move || match kept.and_then(|kept| kept.read()) {
        Some(text) => text.map(|text| (name, text)),
        None => source.read_again(),
    };
    // A source may be large, and a file a pipe that never gets data.
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|fault| Err(fault.to_string()))
}

/// Reloads, and returns false if a signal or a client asked for the end first: a source may be a
/// pipe that never gets data. A half-done reload is taken down with the lab.
async fn is_reloaded(
    shared: &Shared,
    command: &Command<'_>,
    stop: &mut Stop,
    mut ended: watch::Receiver<bool>,
) -> bool {
    tokio::select! {
        () = reload(shared, command) => true,
        () = stop.wait_for_another() => false,
        _ = ended.wait_for(|end| *end) => false,
    }
}

/// Reads the lab file, or the source, again, and applies it. Even after a failure the lab goes on.
async fn reload(shared: &Shared, command: &Command<'_>) {
    notify::reloading();
    let outcome = match apply_again(shared, command).await {
        Ok(generation) => format!("up, generation {generation}"),
        Err(error) => {
            let said = format!("not reloaded: {error}");
            output::note(&said);
            said
        }
    };
    notify::reloaded(&outcome);
}

/// Does the work of [`reload`]; returns the number of the configuration.
async fn apply_again(shared: &Shared, command: &Command<'_>) -> Result<u32, String> {
    let args = command.args;
    let (name, text) = read_again(command).await?;
    let (time_scale, dry_run, before) = (args.time_scale, false, None);
    let keeps_name = args.lab.given().is_some();
    let request = Request { file: name, text, time_scale, dry_run, before, keeps_name };
    let held = Held::unnamed(&shared.lab().await.name);
    let reload = shared.reload(&request, &mut output::note).await;
    let reload = reload.map_err(|error| error.to_string())?;
    held.say_remaining();
    reload.warnings.iter().for_each(|warning| output::note(&warning.to_string()));
    reload.more_warnings().for_each(|more| output::note(&more));
    reload.notes.iter().for_each(|note| output::note(note));
    // A terminal that does not take it has no reader.
    drop(output::out(|w| explain::print_reload(w, &reload)));
    Ok(reload.generation)
}
