//! Chooses the packets to send: a few for every class of the expectations' questions, from the
//! tasks that run.

use super::super::resolve::Resolved;
use super::super::run::{Answers, Subject, TestError, looked_up};
use super::listeners::{Listeners, Target};
use super::probe::Probe;
use super::report::NotTried;
use crate::config::expectations::Expectations;
use crate::explain::Explained;
use crate::pipeline::reach::{Class, PortRange};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// The most tasks from which packets of one class are sent.
const MOST_TASKS: usize = 10;
/// The number of packets to a destination whose verdict depends on a port or an address that the
/// lab draws.
const DRAWS: u16 = 8;

pub(super) const NOTHING_LISTENS: &str = "nothing listens";
const NO_TASK: &str = "no task runs there";
const NO_ADDRESS: &str = "the name has no address";
const NOT_UNICAST: &str = "not a host's address";
const OTHER_PROTOCOL: &str = "only tcp, udp and ping are sent";

/// The packets to send for the expectations of a file.
#[derive(Debug, Default)]
pub struct Plan {
    probes: Vec<Planned>,
    positions: HashMap<Probe, usize>,
    pub(super) expectations: Vec<Sending>,
}

#[derive(Debug)]
struct Planned {
    probe: Probe,
    may_pass: bool,
}

/// The packets to send for one expectation.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) sent: Vec<Sent>,
    pub(super) not_tried: Vec<NotTried>,
}

/// A packet that is sent for one question of an expectation.
#[derive(Debug)]
pub(super) struct Sent {
    /// The position of the packet.
    pub(super) probe: usize,
    pub(super) target: Target,
    /// The destination, as written in the expectation.
    pub(super) to: String,
    pub(super) explained: Rc<Explained>,
    /// The positions of its possible classes.
    pub(super) classes: Vec<usize>,
}

impl Plan {
    /// Lists the packets to send, each once.
    pub fn probes(&self) -> impl Iterator<Item = &Probe> {
        self.probes.iter().map(|planned| &planned.probe)
    }

    /// Decides whether a packet, given by its position, may pass: only then is an answer worth
    /// waiting for.
    pub fn may_pass(&self, position: usize) -> bool {
        self.probes.get(position).is_some_and(|planned| planned.may_pass)
    }

    /// Decides whether the verdict on any packet depends on a port or an address that the lab
    /// draws.
    pub fn draws_decide(&self) -> bool {
        self.probes().any(|probe| probe.number > 0)
    }

    /// Returns the position of a packet; adds it to the plan if it is not there yet.
    fn position(&mut self, probe: Probe, may_pass: bool) -> usize {
        let next = self.probes.len();
        let position = *self.positions.entry(probe.clone()).or_insert(next);
        match self.probes.get_mut(position) {
            Some(planned) => planned.may_pass |= may_pass,
            None => self.probes.push(Planned { probe, may_pass }),
        }
        position
    }
}

/// Plans the packets for expectations in a running lab. `goes_on` is called as by
/// [`test`](super::super::test).
///
/// # Errors
/// The errors of [`test`](super::super::test).
pub fn plan(
    subject: &Subject<'_>,
    expectations: &Expectations,
    goes_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Plan, TestError> {
    let (resolved, questions) = looked_up(subject.snapshot, expectations)?;
    let mut answers = Answers::new(subject, &questions);
    let listeners = Listeners::new(subject.snapshot);
    let mut plan = Plan::default();
    for (done, Resolved { questions: positions, .. }) in resolved.iter().enumerate() {
        let mut sending = Sending::default();
        for &position in positions {
            let Some(question) = questions.get(position) else { continue };
            let explained = answers.answer(position, question, &mut || goes_on(done))?;
            let to = question.to;
            Choosing { plan: &mut plan, sending: &mut sending, explained, to }.choose(&listeners);
        }
        plan.expectations.push(sending);
    }
    Ok(plan)
}

/// The choice of packets for one question.
struct Choosing<'p, 'q> {
    plan: &'p mut Plan,
    sending: &'p mut Sending,
    explained: Rc<Explained>,
    to: &'q str,
}

impl Choosing<'_, '_> {
    fn choose(&mut self, listeners: &Listeners) {
        let explained = Rc::clone(&self.explained);
        let classes = explained.classes();
        if classes.is_empty() {
            return self.not_tried(NO_ADDRESS);
        }
        let tasks: Vec<BTreeSet<u16>> =
            classes.iter().map(|class| explained.numbers(class)).collect();
        let mut known = BTreeSet::new();
        for (class, own) in classes.iter().zip(&tasks).filter(|(class, _)| class.counts) {
            let targets = listeners.targets(class);
            match (own.is_empty(), targets.is_empty()) {
                (true, _) => self.not_tried(NO_TASK),
                (false, true) => self.not_tried(why_nothing_is_sent(class)),
                (false, false) => {
                    for task in own.iter().take(MOST_TASKS) {
                        for target in &targets {
                            self.send(class, *task, *target, &tasks, &mut known);
                        }
                    }
                }
            }
        }
    }

    /// Plans the packets from one task to one destination, so that they are in a class as far as
    /// the task can choose that.
    fn send(
        &mut self,
        class: &Class,
        task: u16,
        target: Target,
        tasks: &[BTreeSet<u16>],
        known: &mut BTreeSet<usize>,
    ) {
        // A task answers itself.
        if self.explained.lab.task(target.address).is_some() {
            return self.not_tried(NOT_UNICAST);
        }
        let mut source_port = None;
        let mut classes = self.candidates(task, target, source_port, tasks);
        if !self.is_agreed(&classes) && self.keeps_ports(task) {
            source_port = class.source_ports.as_ref().and_then(|ports| {
                ports.nth(ports.count() / 2).and_then(|port| u16::try_from(port).ok())
            });
            classes = self.candidates(task, target, source_port, tasks);
        }
        let draws = if self.is_agreed(&classes) { 1 } else { DRAWS };
        let passes = |at: &usize| self.explained.classes().get(*at).is_some_and(Class::passes);
        let may_pass = target.listens && classes.iter().any(passes);
        for number in 0..draws {
            let probe = self.probe(task, target, source_port, number);
            let probe = self.plan.position(probe, may_pass);
            if known.insert(probe) {
                let (to, explained) = (self.to.to_owned(), Rc::clone(&self.explained));
                let classes = classes.clone();
                self.sending.sent.push(Sent { probe, target, to, explained, classes });
            }
        }
    }

    fn probe(&self, task: u16, target: Target, source_port: Option<u16>, number: u16) -> Probe {
        let Target { protocol, address, port, .. } = target;
        let service = self.explained.question.service.clone();
        Probe { service, task, protocol, destination: address, port, source_port, number }
    }

    /// Lists the positions of a packet's possible classes.
    fn candidates(
        &self,
        task: u16,
        target: Target,
        source_port: Option<u16>,
        tasks: &[BTreeSet<u16>],
    ) -> Vec<usize> {
        let has_port = |class: &Class| match (source_port, &class.source_ports) {
            (Some(port), Some(ports)) => ports.contains(port.into()),
            (None, _) | (_, None) => true,
        };
        let is_of = |class: &Class| {
            class.destinations.contains(target.address.to_bits())
                && class.ports.contains(target.protocol, target.port)
                && has_port(class)
        };
        let all = self.explained.classes().iter().zip(tasks).enumerate();
        let own = all.filter(|(_, (class, tasks))| tasks.contains(&task) && is_of(class));
        own.map(|(at, _)| at).collect()
    }

    /// Decides whether some classes have one verdict.
    fn is_agreed(&self, classes: &[usize]) -> bool {
        let mut passes =
            classes.iter().filter_map(|at| Some(self.explained.classes().get(*at)?.passes()));
        let first = passes.next();
        passes.all(|other| Some(other) == first)
    }

    /// Decides whether a task's own source ports are those of its ENI.
    fn keeps_ports(&self, number: u16) -> bool {
        let (lab, service) = (&self.explained.lab, self.explained.service);
        let mut tasks = lab.tasks();
        let task = tasks.find(|task| task.service == service && task.number == number);
        task.and_then(|task| task.eni).is_some_and(|eni| lab.eni(eni).task.is_some())
    }

    fn not_tried(&mut self, why: &str) {
        let service = self.explained.question.service.clone();
        self.sending.not_tried.push(NotTried::new(service, self.to.to_owned(), why.to_owned()));
    }
}

fn why_nothing_is_sent(class: &Class) -> &'static str {
    let can_be_sent = class.ports.iter().any(|range| !matches!(range, PortRange::Protocols(..)));
    match (can_be_sent, class.admitted_by) {
        (false, _) => OTHER_PROTOCOL,
        (true, Some(_)) => NOTHING_LISTENS,
        (true, None) => NOT_UNICAST,
    }
}
