//! The answer about a set of packets, with names instead of positions, from which both text and
//! JSON are made.

use super::broken::BrokenTask;
use super::class::{ClassExplanation, class_explanation};
use super::coverage::{PortSpan, Span, counted, thousands};
use super::destination_names::Unresolved;
use super::evidence::{Explanation, explanation};
use super::fix::{Fix, Proposal};
use super::names::{self, Places};
use super::resolution::without_host;
use crate::config::import::Source;
use crate::packet::{Inside, Protocol};
use crate::pipeline::reach::{self, Answer, Class, Ports, Ranges, SetVerdict, Tasks};
use crate::pipeline::{Evidence, Reason};
use crate::vpc::path::Attachment;
use crate::vpc::{ServiceIx, Snapshot, Task};
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The reason of the verdict on a name that the task's resolver does not answer.
pub(super) const NAME_NOT_RESOLVED: &str = "name-not-resolved";

/// An answer.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The lab, with the tasks that run.
    pub(super) lab: Snapshot,
    /// The configuration of the question: with a task at each attachment.
    pub(super) snapshot: Snapshot,
    pub(super) service: ServiceIx,
    /// The tasks that were asked about.
    pub(super) tasks: Tasks,
    /// Set for a running lab.
    pub(super) is_running: bool,
    pub(super) question: AskedQuestion,
    pub(super) notes: Vec<String>,
    pub(super) outcome: Outcome,
    pub(super) now: Option<Now>,
    /// The broken tasks among those that run and are asked about.
    pub(super) broken_tasks: Vec<BrokenTask>,
    /// The proposal for the first class that fails.
    pub(super) proposal: Proposal,
    /// The question's set of packets.
    pub(super) packets: (Ranges, Ports),
}

/// The kind of answer.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Packets.
    Answered(Answer),
    /// A name without an address.
    NotResolved(NotResolved),
}

/// A name without an address.
#[derive(Clone, Debug)]
pub(super) struct NotResolved {
    pub(super) name: String,
    pub(super) why: Unresolved,
    /// The answer for the address that the lab knows by this name.
    pub(super) by_address: Option<Box<Explained>>,
}

/// The question.
#[derive(Clone, Debug, Serialize)]
pub struct AskedQuestion {
    /// The service.
    pub service: String,
    /// `possible`, `running`, or one task's number.
    pub tasks: String,
    /// The destination as it was written, a URL without its user.
    pub destination: String,
    /// The source port, if it was given.
    pub source_port: Option<u16>,
    /// The destination addresses.
    pub destinations: Vec<Span<Ipv4Addr>>,
    /// The protocols with their destination ports.
    pub ports: Vec<PortSpan>,
}

/// The result for a packet in a running lab now that does not depend on its configuration: all
/// ports may be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Now {
    /// The reason's name.
    pub reason: &'static str,
    /// One sentence that states what happens.
    pub sentence: &'static str,
    /// A hint how to fix it.
    pub hint: &'static str,
}

/// The answer of `egret explain`.
#[derive(Clone, Debug, Serialize)]
pub struct SetExplanation {
    /// The first class that fails, or the first one; its verdict is that on the whole set.
    #[serde(flatten)]
    pub shown: Explanation,
    /// A change that removes the denial of the packets of the first class that fails, and takes
    /// none from others.
    pub fix: Option<Fix>,
    /// The question.
    pub question: AskedQuestion,
    /// Notes about the question or the answer.
    pub notes: Vec<String>,
    /// The classes: those that fail first, then by their shares; last those that do not count.
    pub classes: Vec<ClassExplanation>,
    /// The answer for the address that the lab knows by a name that does not resolve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_address: Option<Box<Self>>,
    /// The result for a packet in a running lab now, if it is another verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Now>,
    /// The tasks that send nothing, or not everything, whatever the configuration: their links are
    /// broken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken_tasks: Vec<BrokenTask>,
}

impl Explained {
    /// Returns the verdict on the whole set.
    pub fn verdict(&self) -> SetVerdict {
        match &self.outcome {
            Outcome::Answered(answer) => answer.verdict,
            Outcome::NotResolved(_) => SetVerdict::Drop,
        }
    }

    /// Returns the evidence for one packet of the first class that fails, or of the first one.
    pub fn sample(&self) -> Option<Evidence> {
        self.classes().first().map(evidence_of)
    }

    /// Returns a change that removes the denial of the packets of the first class that fails, and
    /// takes none from others; `None` if no such change is known.
    pub fn fix(&self) -> Option<&Fix> {
        self.proposal.fix()
    }

    /// Writes the proposal in the words of the source from which the lab file is made.
    pub fn write_fix_for(&mut self, source: &Source) {
        self.proposal.write_for(source, &self.snapshot);
        if let Outcome::NotResolved(NotResolved { by_address: Some(by_address), .. }) =
            &mut self.outcome
        {
            by_address.write_fix_for(source);
        }
    }

    /// Returns the question's destination addresses and protocols with their ports.
    pub fn packets(&self) -> &(Ranges, Ports) {
        &self.packets
    }

    /// Returns the configuration of the question, with a task at each attachment.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the explanation of the answer, with names.
    pub fn explanation(&self) -> SetExplanation {
        let (shown, by_address) = match &self.outcome {
            Outcome::Answered(_) => (self.shown_explanation(), None),
            Outcome::NotResolved(NotResolved { by_address, .. }) => {
                let by_address = by_address.as_ref().map(|by| Box::new(by.explanation()));
                (self.unresolved_explanation(), by_address)
            }
        };
        let classes = self.classes().iter().map(|class| self.class_explanation(class)).collect();
        let (question, notes) = (self.question.clone(), self.notes());
        let (fix, now) = (self.fix().cloned(), self.now.clone());
        let broken_tasks = self.broken_tasks.clone();
        SetExplanation { shown, fix, question, notes, classes, by_address, now, broken_tasks }
    }

    /// Returns a packet to try in the running lab: of a class that passes, from a task that runs.
    pub fn live_packet(&self) -> Option<(Task, Inside, (u8, u8))> {
        let samples = self.classes().iter().filter(|class| class.passes()).map(|c| &c.sample);
        let of_present = |sample: &Evidence| {
            let task = self.lab.task(sample.inside.src())?;
            let is_echo = sample.inside.tuple().protocol == Protocol::Icmp;
            Some((*task, sample.inside, if is_echo { (8, 0) } else { (0, 0) }))
        };
        samples.filter(|_| self.is_running).find_map(of_present)
    }

    /// Records the result for [`Self::live_packet`] in the running lab now, if it does not depend
    /// on the configuration.
    pub fn note_live(&mut self, evidence: &Evidence) {
        let reason = evidence.denial.map(|denial| denial.reason);
        self.now = match reason {
            Some(
                reason @ (Reason::EniPortsExhausted
                | Reason::NatPortsExhausted
                | Reason::DnsThrottled),
            ) => {
                let (sentence, hint) = (reason.sentence(), reason.hint());
                Some(Now { reason: reason.name(), sentence, hint })
            }
            Some(_) | None => None,
        };
    }

    /// Records the broken tasks among those that are asked about.
    pub fn note_broken(&mut self, tasks: &[BrokenTask]) {
        self.broken_tasks = tasks.to_vec();
    }

    pub(super) fn classes(&self) -> &[Class] {
        match &self.outcome {
            Outcome::Answered(answer) => &answer.classes,
            Outcome::NotResolved(_) => &[],
        }
    }

    /// Returns the names of the tasks that run, are asked about and are in a class, by their
    /// numbers.
    pub(super) fn tasks(&self, class: &Class) -> Vec<String> {
        self.names(self.numbers(class))
    }

    /// Lists the numbers of the tasks that run, are asked about and are in a class.
    pub(super) fn numbers(&self, class: &Class) -> BTreeSet<u16> {
        let at = |attachment: &Attachment| reach::tasks_at(&self.lab, self.service, *attachment);
        let there = class.attachments.iter().flat_map(at);
        let is_asked = |task: &Task| match self.tasks {
            Tasks::Possible | Tasks::Running => true,
            Tasks::One(one) => one.number == task.number,
        };
        let asked = there.filter(|task| is_asked(task) && self.has_the_address(class, task));
        asked.map(|task| task.number).collect()
    }

    /// Returns the names of tasks of the service.
    pub(super) fn names(&self, numbers: BTreeSet<u16>) -> Vec<String> {
        let service = names::service_name(&self.lab, self.service);
        numbers.into_iter().map(|number| format!("{service}/{number}")).collect()
    }

    /// Decides whether the class has the real address of a task's ENI.
    fn has_the_address(&self, class: &Class, task: &Task) -> bool {
        let Some(ix) = task.eni else { return true };
        let real = self.lab.eni(ix).address.to_bits();
        class.eni_addresses.iter().any(|(of, ranges)| *of == ix && ranges.contains(real))
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let found = self.missing_hosts().into_iter().chain(self.not_counted());
        self.notes.iter().cloned().chain(found).collect()
    }

    /// Returns a note with the number of addresses that do not count because no interface has them.
    fn not_counted(&self) -> Option<String> {
        let others = self.classes().iter().filter(|class| !class.counts);
        let addresses = Ranges::new(others.flat_map(|class| class.destinations.iter())).count();
        let counted =
            counted(addresses, "address that no interface has", "addresses that no interface has");
        (addresses > 0).then(|| format!("not counted: {counted}"))
    }

    /// Returns a note that packets pass to an internet where the lab has no host, so that the
    /// verdict is the VPC's alone.
    fn missing_hosts(&self) -> Option<String> {
        let missing = without_host(&self.reached(), &self.snapshot);
        let shown = match (missing.count(), missing.first()) {
            (1, Some(address)) => Ipv4Addr::from(address).to_string(),
            (several, _) => format!("{} of these addresses", thousands(several)),
        };
        (!missing.is_empty()).then(|| no_host_at(&shown))
    }

    /// Returns a note that packets pass to one address where the lab has no host.
    pub(super) fn missing_host(&self) -> Option<String> {
        let reached = self.reached();
        let one = reached.first().filter(|_| reached.count() == 1)?;
        let is_missing = !without_host(&reached, &self.snapshot).is_empty();
        is_missing.then(|| no_host_at(&Ipv4Addr::from(one).to_string()))
    }

    /// Returns the destinations of the packets that pass.
    fn reached(&self) -> Ranges {
        let passing = self.classes().iter().filter(|class| class.passes());
        Ranges::new(passing.flat_map(|class| class.destinations.iter()))
    }

    fn shown_explanation(&self) -> Explanation {
        let verdict = self.verdict().name();
        match self.classes().first() {
            Some(class) => {
                Explanation { verdict, ..explanation(&evidence_of(class), &self.snapshot) }
            }
            None => self.nothing(),
        }
    }

    pub(super) fn unresolved_explanation(&self) -> Explanation {
        let Outcome::NotResolved(NotResolved { name, why, .. }) = &self.outcome else {
            return self.nothing();
        };
        let (reason, hint) = (Some(NAME_NOT_RESOLVED), Some(why.hint()));
        let sentence = format!("The task's resolver has no address for {name}: {why}.");
        Explanation { reason, hint, sentence, ..self.nothing() }
    }

    fn nothing(&self) -> Explanation {
        Explanation {
            verdict: self.verdict().name(),
            reason: None,
            code: None,
            decided_by: None,
            hint: None,
            generation: self.snapshot.generation.0,
            inside: None,
            outside: None,
            sentence: String::new(),
            nearest_miss: None,
            steps: Vec::new(),
        }
    }

    fn class_explanation(&self, class: &Class) -> ClassExplanation {
        let tasks = self.is_running.then(|| self.tasks(class));
        let packet = explanation(&evidence_of(class), &self.snapshot);
        class_explanation(class, packet, tasks, &self.snapshot)
    }
}

impl SetExplanation {
    /// Adds the place of every rule in the source from which the lab file is made.
    pub fn name_places(&mut self, places: Places<'_>) {
        self.shown.name_places(places);
        if let Some(fix) = self.fix.as_mut().filter(|fix| fix.at > 0) {
            fix.place = Some(places(fix.at));
        }
        self.classes.iter_mut().for_each(|class| class.packet.name_places(places));
        if let Some(by_address) = &mut self.by_address {
            by_address.name_places(places);
        }
    }
}

pub(super) fn no_host_at(shown: &str) -> String {
    format!("the lab has no host at {shown}: the verdict is about the VPC alone")
}

/// Returns the evidence for one packet of a class, with the verdict on the class.
pub(super) fn evidence_of(class: &Class) -> Evidence {
    Evidence { denial: class.denial, ..class.sample.clone() }
}

pub(super) fn subnet_of(attachment: Attachment, snapshot: &Snapshot) -> Option<String> {
    let Attachment::Eni(eni) = attachment else { return None };
    Some(names::subnet_id(snapshot, snapshot.eni(eni).subnet).to_owned())
}
