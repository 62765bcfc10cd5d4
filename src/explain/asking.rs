//! Turns the user's question into the answer about a set of packets.

use super::coverage::{address_spans, port_spans};
use super::destination::{Destination, DestinationSpec};
use super::explained::{AskedQuestion, Explained, NotResolved, Outcome, evidence_of};
use super::fix::{Proposal, propose};
use super::names;
use super::resolution::{Found, Resolution, resolve};
use super::target::TargetError;
use super::url::without_user;
use crate::pipeline::reach::{self, Addresses, Answer, Asked, Interrupted, Question, Tasks};
use crate::vpc::{Egress, EniIx, ServiceIx, Snapshot, Task, VpcIx};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// The highest number that is tried for a task that does not run.
const MOST_TASKS: u16 = 1000;

/// The user's question.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The service.
    pub service: ServiceIx,
    /// The tasks that are asked about.
    pub tasks: Tasks,
    /// [`Addresses::Real`] of a running lab, [`Addresses::Open`] of a file.
    pub addresses: Addresses,
    /// The pool of the tasks' addresses.
    pub pool: Ipv4Network,
    /// The argument `DEST`.
    pub destination: &'a str,
    /// The option `--protocol`.
    pub protocol: Option<&'a str>,
    /// The option `--source-port`.
    pub source_port: Option<u16>,
}

/// The reason why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// An argument is invalid.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The question is about running tasks only, and none runs.
    #[error(
        "service {0} has no task now; `egret task add {0}` makes one, or ask without --running"
    )]
    NoTask(String),
    /// The answer is no longer wanted.
    #[error("the question was interrupted before it was answered")]
    Interrupted,
}

impl From<Interrupted> for AskError {
    fn from(Interrupted: Interrupted) -> Self {
        Self::Interrupted
    }
}

/// Answers the user's question. `goes_on` is called repeatedly, and returns whether the answer is
/// still wanted.
///
/// # Errors
/// The fault in the question and how to correct it; or [`AskError::Interrupted`].
pub fn ask(
    snapshot: &Snapshot,
    asking: &Asking<'_>,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Explained, AskError> {
    let destination = Destination::parse(asking.destination, asking.protocol)?;
    let resolution = resolve(&destination, vpc_of(asking.service, snapshot), snapshot)?;
    let senders = Senders::new(snapshot, asking);
    answer_for(snapshot, asking, &senders, resolution, Proposals::Made, goes_on)
}

/// Answers for a destination that has been looked up.
pub(super) fn answer_for(
    snapshot: &Snapshot,
    asking: &Asking<'_>,
    senders: &Senders,
    resolution: Resolution,
    proposals: Proposals,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Explained, AskError> {
    let mut answer = |found| answer(snapshot, asking, senders, found, proposals, goes_on);
    match resolution {
        Resolution::Found(found) => answer(found),
        Resolution::NotResolved { name, why, by_lab } => {
            let by_address = by_lab.map(answer).transpose()?.map(Box::new);
            let outcome = Outcome::NotResolved(NotResolved { name, why, by_address });
            Ok(asking.explained(snapshot, snapshot.clone(), Found::nothing(), outcome))
        }
    }
}

/// The choice whether to propose a change for packets that fail, which takes far longer than the
/// answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proposals {
    Made,
    None,
}

/// The senders that all questions about a service have in common.
pub(super) struct Senders {
    /// The configuration with a task at each attachment.
    completed: Snapshot,
    asked: Vec<Asked>,
}

impl Senders {
    /// Finds the attachments of the tasks that are asked about.
    pub(super) fn new(snapshot: &Snapshot, asking: &Asking<'_>) -> Self {
        let Asking { service, tasks, addresses, pool, .. } = *asking;
        let (completed, mut asked) = reach::attachments(snapshot, service, tasks, addresses);
        let completed = with_a_task_each(completed, &mut asked, pool);
        Self { completed, asked }
    }
}

/// Returns the VPC whose resolver the tasks use; `None` for App Runner's own egress.
pub(super) fn vpc_of(service: ServiceIx, snapshot: &Snapshot) -> Option<VpcIx> {
    let Egress::Vpc(connector) = snapshot.service(service).egress else { return None };
    let subnet = snapshot.connector(connector).subnets.first()?;
    Some(snapshot.subnet(*subnet).vpc)
}

fn answer(
    snapshot: &Snapshot,
    asking: &Asking<'_>,
    senders: &Senders,
    found: Found,
    proposals: Proposals,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Explained, AskError> {
    let Asking { service, addresses, source_port, .. } = *asking;
    let Senders { completed, asked } = senders;
    if found.destinations.is_empty() {
        return Err(TargetError::NoAddress(asking.destination.to_owned()).into());
    }
    if asked.is_empty() {
        return Err(AskError::NoTask(names::service_name(snapshot, service).to_owned()));
    }
    let question = Question {
        service,
        attachments: asked.clone(),
        gateway_addresses: addresses,
        destinations: found.destinations.clone(),
        ports: found.ports.clone(),
        source_port,
    };
    let ask = if found.each { reach::ask_each } else { reach::ask };
    let answer = ask(completed, &question, goes_on)?;
    let proposal = match proposals {
        Proposals::Made => {
            let name = name_in(asking);
            proposal(completed, &question, (&answer, name.as_deref()), goes_on)?
        }
        Proposals::None => Proposal::Unknown,
    };
    let completed = completed.clone();
    let explained = asking.explained(snapshot, completed, found, Outcome::Answered(answer));
    Ok(Explained { proposal, ..explained })
}

/// Returns the name in the question; `None` if the destination is given by addresses.
fn name_in(asking: &Asking<'_>) -> Option<String> {
    match Destination::parse(asking.destination, asking.protocol).ok()?.place {
        DestinationSpec::Named(name) => Some(name),
        DestinationSpec::Internet | DestinationSpec::Block(_) => None,
    }
}

/// Proposes a change for the first class that fails.
fn proposal(
    snapshot: &Snapshot,
    question: &Question,
    (answer, name): (&Answer, Option<&str>),
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Proposal, Interrupted> {
    match answer.classes.first().filter(|class| !class.passes()) {
        Some(class) => {
            let about = (class, name);
            propose(snapshot, question, about, &evidence_of(class), goes_on)
        }
        None => Ok(Proposal::Unknown),
    }
}

impl Asking<'_> {
    fn explained(
        &self,
        lab: &Snapshot,
        snapshot: Snapshot,
        found: Found,
        outcome: Outcome,
    ) -> Explained {
        let question = AskedQuestion {
            service: names::service_name(lab, self.service).to_owned(),
            tasks: match self.tasks {
                Tasks::Possible => "possible".to_owned(),
                Tasks::Running => "running".to_owned(),
                Tasks::One(task) => task.number.to_string(),
            },
            destination: without_user(self.destination),
            source_port: self.source_port,
            destinations: address_spans(&found.destinations),
            ports: port_spans(&found.ports),
        };
        Explained {
            lab: lab.clone(),
            snapshot,
            service: self.service,
            tasks: self.tasks,
            is_running: self.addresses == Addresses::Real,
            question,
            notes: found.notes,
            outcome,
            now: None,
            broken_tasks: Vec::new(),
            proposal: Proposal::Unknown,
            packets: (found.destinations, found.ports),
        }
    }
}

/// Adds a task to each attachment that has none, with the number and the address that the next task
/// there would get.
fn with_a_task_each(mut snapshot: Snapshot, asked: &mut [Asked], pool: Ipv4Network) -> Snapshot {
    for asked in asked.iter_mut().filter(|asked| asked.task.number == 0) {
        let Some(task) = next_task(&snapshot, asked.task, pool) else { continue };
        asked.task = task;
        snapshot = snapshot.with_task(task);
    }
    snapshot
}

fn next_task(snapshot: &Snapshot, nobody: Task, pool: Ipv4Network) -> Option<Task> {
    let Task { service, eni, .. } = nobody;
    let is_unused = |number: &u16| {
        let mut own = snapshot.tasks().filter(|task| task.service == service);
        own.all(|task| task.number != *number)
    };
    let mut unused = (1..=MOST_TASKS).filter(is_unused);
    let first = unused.clone().next()?;
    let is_there = |number: &u16| is_attached(snapshot, service, *number, eni);
    let number = unused.find(is_there).unwrap_or(first);
    let own = pool.nth(number.into()).into_iter();
    let is_free = |address: &Ipv4Addr| snapshot.task(*address).is_none();
    let address = own.chain(pool.iter().skip(1)).find(is_free)?;
    Some(Task { service, number, address, eni })
}

fn is_attached(snapshot: &Snapshot, service: ServiceIx, number: u16, eni: Option<EniIx>) -> bool {
    snapshot.choose_eni(service, number) == eni
}
