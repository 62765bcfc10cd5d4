//! `egret test`: tests that services reach all that they must, and nothing that they must not.

use super::completion::values;
use super::error::NO;
use super::format::{FORMAT, Formats, JSON, OutputArgs, Rows};
use super::import::ImportArgs;
use super::live::RunningLab;
use super::output::{self, ColorChoice};
use super::progress::{PATIENCE, Progress};
use super::running_lab::running_lab;
use super::{CliError, LabArg};
use crate::config::expectations::Expectations;
use crate::config::import::Imported;
use crate::config::{Diagnostics, Lab, lab_name};
use crate::edge::input::is_standard_input;
use crate::edge::{self, own};
use crate::explain::{
    self, Live, Look, MOST_FIXES, Places, Subject, TestError, TestReport, Tested,
};
use crate::pipeline::reach::Addresses;
use crate::vpc::{Generation, Line, Snapshot};
use clap_complete::engine::ArgValueCompleter;
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FILE is a lab file with [[expect]] sections, which is tested against itself. With --config, --from \
or --lab it is any file that has such sections, which is tested against that lab. A section is

  [[expect]]
  from = \"web\"               a service, a list, or \"*\" for each
  to = \"orders-db\"           as DEST of `egret explain`, or a list
  is = \"reachable\"           or \"blocked\": of all packets, so that a mixed verdict fails both
  by = \"sg-egress-no-rules\"  the drop reason, or the id of the group, ACL or table that decides
  via = \"nat-a\"              a gateway, endpoint or peering connection on the path
  seen_as = \"198.51.100.7\"   the source address that the destination sees, or its block
  protocol = \"udp\"           instead of /PROTO in `to`
  note = \"why\"               is shown if it fails

`by`, `via`, `seen_as`, `protocol` and `note` may be left out. An unknown name is an error. The \
first 5 expectations of `reachable` that fail get a verified fix; with --from it is in the words of \
the source. Without --lab and --live, the test needs no root and starts nothing. Ctrl-C ends it.

With --live the lab must run, and egret sends real packets: from the first ten tasks of each kind, \
to destinations where something listens, and to any destination that is to be blocked. A line says \
how many packets met the verdict and which did not. Another one says what was not sent, and why.

Exit codes:
  0    all expectations hold, and all packets of --live met what the verdicts say
  1    some expectations fail, or some packets did not meet what the verdicts say
  2    an error in a file or in a name, no expectations at all, or a usage error
  130  Ctrl-C or SIGTERM ended a test with --live

Examples:
  egret test lab.toml
  egret test lab.toml --github --junit egret.xml         in CI
  egret test expectations.toml --from examples/vpc       see `egret import`
  egret test expectations.toml --config lab.toml --json
  egret test lab.toml -o name                            the places of those that fail
  sudo egret test --lab shop                             the running lab, by its own expectations
  sudo egret test lab.toml --live                        after `sudo egret up lab.toml`")]
pub struct TestArgs {
    /// Files with expectations; without one, those of the lab file
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(values::lab_files))]
    pub files: Vec<PathBuf>,
    /// The lab file that the expectations are about
    #[arg(long, value_name = "FILE", add = ArgValueCompleter::new(values::lab_files))]
    pub config: Option<PathBuf>,
    /// What `egret import` reads, as the lab that the expectations are about
    #[arg(id = "source", long = "from", value_name = "SOURCE", conflicts_with = "config")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArgs,
    /// The running lab that the expectations are about
    #[arg(
        long,
        value_name = "NAME",
        value_parser = lab_name,
        conflicts_with_all = ["config", "source"],
        add = ArgValueCompleter::new(values::labs_that_run)
    )]
    pub lab: Option<String>,
    /// Also send real packets in the running lab
    #[arg(long)]
    pub live: bool,
    #[command(flatten)]
    output: OutputArgs<Held>,
    /// Also write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also write GitHub's annotations: each failure and each error at its file and line
    #[arg(long, conflicts_with_all = [JSON, FORMAT])]
    pub github: bool,
}

/// The formats of `egret test`.
#[derive(Debug)]
pub struct Held;

impl Formats for Held {
    const CSV: Option<&'static str> = Some("One row for each expectation, without explanations");
    const NAME: Option<&'static str> = Some("The places of those that fail, as FILE:LINE");
}

const EXPECTATIONS: Rows = Rows {
    lists: &["/expectations"],
    columns: &[
        "file",
        "line",
        "from",
        "to",
        "protocol",
        "is",
        "by",
        "via",
        "seen_as",
        "note",
        "ok",
        "failures.service",
        "failures.destination",
        "failures.verdict",
        "failures.message",
        "live.agreed",
        "live.contradictions.task",
        "live.contradictions.destination",
        "live.contradictions.wire",
        "live.contradictions.verdict",
        "live.not_tried.why",
    ],
    names: failing,
    ..Rows::NONE
};

/// Lists the places of the expectations that fail.
fn failing(answer: &Value) -> Vec<String> {
    let rows = answer.get("expectations").and_then(Value::as_array).into_iter().flatten();
    let place = |row: &Value| {
        Some(format!("{}:{}", row.get("file")?.as_str()?, row.get("line")?.as_u64()?))
    };
    rows.filter(|row| row.get("ok") == Some(&Value::Bool(false))).filter_map(place).collect()
}

/// A lab that expectations are about.
struct Asked {
    lab: Lab,
    snapshot: Snapshot,
    addresses: Addresses,
    /// The source that the lab is made from.
    imported: Option<Box<Imported>>,
}

/// The results of the expectations of one file.
struct Suite<'a> {
    asked: &'a Asked,
    tested: Vec<Tested<'a>>,
    /// The number of packets that were sent.
    packets: usize,
}

/// Tests expectations: 0 if all hold, 1 if some fail.
pub(super) fn run(args: &TestArgs, color: ColorChoice) -> Result<ExitCode, CliError> {
    if args.junit.as_deref().is_some_and(is_standard_input) {
        let why = "--junit needs a file of its own: standard output has the results";
        return Err(CliError::Usage(why.to_owned()));
    }
    let outcome = test(args, color);
    if let Err(CliError::Config(errors) | CliError::Expectations(errors)) = &outcome
        && args.github
    {
        output::out(|w| explain::github_errors(w, errors))?;
    }
    outcome
}

fn test(args: &TestArgs, color: ColorChoice) -> Result<ExitCode, CliError> {
    match &args.from {
        None => args.import.without_source()?,
        Some(source) if args.live => return Err(no_lab_of_a_source(source)),
        Some(_) => {}
    }
    let asked = match Asked::of_arguments(args)? {
        Some(one) => vec![one],
        None => args.files.iter().map(|file| Asked::of_file(file)).collect::<Result<_, _>>()?,
    };
    let expectations = expectations(args, &asked)?;
    let all = asked.iter().cycle().zip(&expectations);
    let all: Vec<_> = all.collect();
    let mut suites = tested(&all)?;
    if args.live {
        for (suite, (_, expectations)) in suites.iter_mut().zip(&all) {
            suite.send(args, expectations)?;
        }
    }
    if let Some(file) = &args.junit {
        write_junit(file, &suites)?;
    }
    report(args, &suites, color)?;
    let holds = suites.iter().flat_map(|suite| &suite.tested).all(Tested::holds);
    Ok(ExitCode::from(if holds { 0 } else { NO }))
}

/// Returns the error that `--live` needs a running lab, with the way to bring a source up.
fn no_lab_of_a_source(source: &Path) -> CliError {
    CliError::Usage(format!(
        "--live sends packets in a running lab: bring one up with `sudo egret up --from {} --lab NAME`, and give --lab \
         NAME instead of --from",
        source.display()
    ))
}

impl Asked {
    /// Loads the lab that the arguments name; `None` if each file is a lab of its own.
    fn of_arguments(args: &TestArgs) -> Result<Option<Self>, CliError> {
        Ok(Some(match (&args.config, &args.from, &args.lab) {
            (Some(file), ..) => Self::of_file(file)?,
            (None, Some(source), _) => Self::of_source(args, source)?,
            (None, None, Some(name)) => Self::running(name)?,
            (None, None, None) => return Ok(None),
        }))
    }

    fn of_file(file: &Path) -> Result<Self, CliError> {
        let lab = LabArg::of_environment()?.load(file).map_err(CliError::Config)?;
        if lab.spec.services.is_empty() {
            return Err(CliError::Usage(format!(
                "{} has no service to test: give the lab with --config FILE, --from SOURCE or --lab NAME",
                lab.file
            )));
        }
        Ok(Self::offline(lab, None))
    }

    fn of_source(args: &TestArgs, source: &Path) -> Result<Self, CliError> {
        let imported = args.import.load(source)?;
        Ok(Self::offline(imported.lab.clone(), Some(Box::new(imported))))
    }

    fn offline(lab: Lab, imported: Option<Box<Imported>>) -> Self {
        let snapshot = lab.lower(Generation::default());
        Self { lab, snapshot, addresses: Addresses::Open, imported }
    }

    fn running(name: &str) -> Result<Self, CliError> {
        let (lab, snapshot) = running_lab(name)?;
        Ok(Self { lab, snapshot, addresses: Addresses::Real, imported: None })
    }

    /// Names a line of the lab file, or its place in the source.
    fn place(&self, line: Line) -> String {
        match &self.imported {
            Some(imported) => imported.place(line),
            None => format!("{}:{line}", self.lab.file),
        }
    }

    fn subject(&self) -> Subject<'_> {
        let Self { snapshot, addresses, .. } = self;
        Subject { snapshot, addresses: *addresses, pool: self.lab.task_cidr }
    }
}

impl Suite<'_> {
    /// Looks for the changes that make the first failing expectations hold, and writes them for the
    /// source.
    fn propose_fixes(
        &mut self,
        left: &mut usize,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), CliError> {
        let source = self.asked.imported.as_ref().map(|imported| &imported.written);
        let tested = (&mut *self.tested, left);
        Ok(explain::propose_fixes(&self.asked.subject(), source, tested, goes_on)?)
    }

    /// Sends packets in the running lab, and notes their results.
    fn send(&mut self, args: &TestArgs, expectations: &Expectations) -> Result<(), CliError> {
        let running = match &args.lab {
            Some(name) => RunningLab::find(name, None)?,
            None => RunningLab::find(&self.asked.lab.name, Some(&self.asked.lab))?,
        };
        let plan = match explain::plan(&running.subject(), expectations, &mut |_| true) {
            Ok(plan) => plan,
            Err(TestError::Names(faults)) => return Err(CliError::Expectations(faults)),
            Err(TestError::Ask(error)) => return Err(error.into()),
        };
        let sights = running.send(&plan)?;
        self.packets = sights.len();
        for (tested, live) in self.tested.iter_mut().zip(plan.judge(&sights)) {
            tested.live = Some(live);
        }
        Ok(())
    }

    /// Names lines of the lab file.
    fn places(&self) -> Box<dyn Fn(Line) -> String + '_> {
        Box::new(|line| self.asked.place(line))
    }
}

/// Reads the expectations of each file, or those of the lab. All errors are reported at once.
fn expectations(args: &TestArgs, asked: &[Asked]) -> Result<Vec<Expectations>, CliError> {
    let is_of_another = args.config.is_some() || args.from.is_some() || args.lab.is_some();
    let found = if is_of_another && !args.files.is_empty() {
        load(&args.files)?
    } else {
        asked.iter().map(|asked| Expectations::of_lab(&asked.lab)).collect()
    };
    if found.is_empty() {
        let message = "give a file with [[expect]] sections, such as `egret test lab.toml`";
        return Err(CliError::Usage(message.to_owned()));
    }
    match found.iter().find(|expectations| expectations.list.is_empty()) {
        Some(empty) => Err(CliError::Usage(format!(
            "{} has no [[expect]] section, so that nothing is tested; `egret test --help` shows one",
            empty.file()
        ))),
        None => Ok(found),
    }
}

fn load(files: &[PathBuf]) -> Result<Vec<Expectations>, CliError> {
    let mut errors = Vec::new();
    let mut found = Vec::new();
    for file in files {
        match Expectations::load(file) {
            Ok(expectations) => found.push(expectations),
            Err(more) => errors.extend(more.0),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(CliError::Expectations(Diagnostics(errors))) }
}

/// Tests the expectations of each file. All names that name nothing are reported at once.
fn tested<'a>(all: &[(&'a Asked, &'a Expectations)]) -> Result<Vec<Suite<'a>>, CliError> {
    let mut progress = Patience::new(all.iter().map(|(_, of)| of.list.len()).sum());
    let mut suites = Vec::new();
    let mut errors = Vec::new();
    for &(asked, expectations) in all {
        match explain::test(&asked.subject(), expectations, &mut |done| progress.go_on(done)) {
            Ok(tested) => suites.push(Suite { asked, tested, packets: 0 }),
            Err(TestError::Names(faults)) => errors.extend(faults.0),
            Err(TestError::Ask(error)) => return Err(error.into()),
        }
        progress.before += expectations.list.len();
    }
    if !errors.is_empty() {
        return Err(CliError::Expectations(Diagnostics(errors)));
    }
    let mut left = MOST_FIXES;
    for suite in &mut suites {
        suite.propose_fixes(&mut left, &mut || progress.go_on(0))?;
    }
    Ok(suites)
}

/// Prints the progress of the test, once it takes long.
struct Patience {
    begin: Instant,
    said: Option<(Progress, Instant)>,
    /// The number of expectations of the earlier files.
    before: usize,
    all: usize,
}

impl Patience {
    fn new(all: usize) -> Self {
        Self { begin: Instant::now(), said: None, before: 0, all }
    }

    /// Notes the number of tested expectations of a file. Only a signal ends the test.
    fn go_on(&mut self, done: usize) -> bool {
        let last = self.said.as_ref().map_or(self.begin, |(_, last)| *last);
        if last.elapsed() > PATIENCE {
            let progress = self.said.take().map_or_else(Progress::new, |(progress, _)| progress);
            let (done, all) = (self.before + done, self.all);
            progress.say(&format!("tested {done} of {all} expectations; Ctrl-C ends it"));
            self.said = Some((progress, Instant::now()));
        }
        true
    }
}

/// Prints the results in the requested form.
fn report(args: &TestArgs, suites: &[Suite<'_>], color: ColorChoice) -> Result<(), CliError> {
    let format = args.output.format;
    let look = Look { color: color.on_stdout(), wide: format.is_wide() };
    Ok(format.print(
        &EXPECTATIONS,
        || for_programs(suites),
        |w| {
            text(w, suites, look)?;
            summary(w, suites, args.live)?;
            if args.github { annotations(w, suites) } else { Ok(()) }
        },
    )?)
}

/// Counts the expectations that hold and those that fail, and the packets that were sent.
fn summary(w: &mut dyn Write, suites: &[Suite<'_>], is_live: bool) -> io::Result<()> {
    let all = || suites.iter().flat_map(|suite| &suite.tested);
    let held = all().filter(|tested| tested.holds()).count();
    writeln!(w, "{}", explain::summary(held, all().count() - held))?;
    let live: Vec<&Live> = all().filter_map(|tested| tested.live.as_ref()).collect();
    let packets = suites.iter().map(|suite| suite.packets).sum();
    let lines = if is_live { explain::live_summary(packets, &live) } else { Vec::new() };
    lines.iter().try_for_each(|line| writeln!(w, "{line}"))
}

fn for_programs(suites: &[Suite<'_>]) -> TestReport {
    let mut report = TestReport::default();
    for Suite { asked, tested, .. } in suites {
        let place = |line| asked.place(line);
        report.add(tested, asked.imported.is_some().then_some(&place as Places<'_>));
    }
    report
}

fn text(w: &mut dyn Write, suites: &[Suite<'_>], look: Look) -> io::Result<()> {
    for Suite { asked, tested, .. } in suites {
        tested.iter().try_for_each(|tested| tested.text(w, &|line| asked.place(line), look))?;
    }
    Ok(())
}

fn annotations(w: &mut dyn Write, suites: &[Suite<'_>]) -> io::Result<()> {
    let write = |Suite { asked, tested, .. }: &Suite<'_>, w: &mut dyn Write| {
        explain::github(w, tested, &|line| asked.place(line))
    };
    suites.iter().try_for_each(|suite| write(suite, w))
}

fn write_junit(file: &Path, suites: &[Suite<'_>]) -> Result<(), CliError> {
    let places: Vec<_> = suites.iter().map(Suite::places).collect();
    let all: Vec<(&[Tested<'_>], Places<'_>)> =
        suites.iter().zip(&places).map(|(suite, place)| (&*suite.tested, &**place)).collect();
    let mut xml = Vec::new();
    explain::junit(&mut xml, &all)?;
    edge::output::write(file, own::READABLE, &xml)
        .map_err(|error| CliError::Usage(format!("cannot write {}: {error}", file.display())))
}
